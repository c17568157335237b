"""Hostile inputs, made by changing good ones, and how they are tried."""

import contextlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from repro.errors import UserError

CHUNK = 10
"""Examples between two looks at the clock."""
LONGEST_LINE = 12_000
"""An error quotes a value of at most 5,000 characters, and may quote it twice."""
Content = Any
"""What a file holds: dictionaries, lists and plain values."""

ENDS = [0, -1, 2**31 - 1, 2**63 - 1, 2**64, -(2**63), 10**25, 10**400]
TRICKS = ["", "../../etc", "\0", "\x1b[2J", "\u202e", "a" * 5000, "1e999", "nan", "NaN", "*", "[", "{}", "%s", "\n\n"]
CHARACTERS = st.characters(exclude_categories=["Cs"])
"""All that UTF-8 can encode; by default hypothesis tries each with the codec first, for seconds in every process."""
scalars = st.one_of(
    *(st.booleans(), st.integers(), st.sampled_from(ENDS), st.floats()),
    *(st.text(CHARACTERS, max_size=20), st.sampled_from(TRICKS)),
)
wild = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.text(CHARACTERS, max_size=5), scalars, max_size=2),
    st.sampled_from([[[[[]]]], {"value": 1}, {"value": {"value": []}}, [{}], date(9999, 12, 31)]),
)


@dataclass(frozen=True)
class Attack:
    """One kind of hostile input, and what must hold for each."""

    name: str
    inputs: st.SearchStrategy[Any]
    attempt: Callable[[Any], None]
    """Raises if an input is not answered with one line or with a right value."""
    examples: int = 100
    """How many inputs a short test tries, in about a second."""


@dataclass
class Figures:
    """How often an attack was tried, and how often it succeeded."""

    tries: int = 0
    failures: int = 0


def run(attack: Attack, *, examples: int, figures: Figures, seconds: float = math.inf) -> None:
    """Try an attack until the examples or the seconds are used up; the first failure is shrunk and raised."""
    end, chunk = time.monotonic() + seconds, 0
    while figures.tries < examples and time.monotonic() < end:
        chunk += 1
        _tried(attack, figures, chunk)()


def _tried(attack: Attack, figures: Figures, chunk: int) -> Callable[[], None]:
    @seed(chunk)
    @settings(
        max_examples=CHUNK,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(attack.inputs)
    def tried(value: Any) -> None:
        figures.tries += 1
        try:
            attack.attempt(value)
        except BaseException:
            figures.failures += 1
            raise

    return tried


def places(content: Content, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each key and each index."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def changed(draw: st.DrawFn, contents: st.SearchStrategy[Content], values: st.SearchStrategy[Any] = wild) -> Content:
    """Return a content in which one to three values are replaced, removed, or have another key."""
    content = deepcopy(draw(contents))
    for _ in range(draw(st.integers(1, 3))):
        paths = list(places(content))
        if not paths:
            break
        *way, last = draw(st.sampled_from(paths))
        holder = content
        for each in way:
            holder = holder[each]
        match draw(st.sampled_from(["replace", "replace", "remove", "rename", "copy"])):
            case "replace":
                holder[last] = draw(values)
            case "rename" if isinstance(holder, dict):
                holder[draw(st.text(CHARACTERS, max_size=8))] = holder.pop(last)
            case "copy" if isinstance(holder, list):
                holder.append(deepcopy(holder[last]))
            case _:
                del holder[last]
    return content


@st.composite
def damaged(draw: st.DrawFn, files: st.SearchStrategy[bytes]) -> bytes:
    """Return a file that is cut, or in which some bytes are replaced, added or repeated."""
    content = bytearray(draw(files))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(content) - 1, 0)))
        stop = min(len(content), start + draw(st.sampled_from([0, 1, 2, 16, 10**6])))
        new = draw(st.one_of(st.binary(max_size=4), st.just(bytes(content[start:stop]) * 2), st.just(b"[" * 2000)))
        content[start:stop] = new
    return bytes(content)


def toml(value: Any) -> str:
    """Return a value as TOML; tables are written in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.isoformat() if isinstance(value, date) else json.dumps(value).replace("\x7f", "\\u007f")


def toml_file(content: Mapping[str, Any]) -> bytes:
    """Return the content of a TOML file."""
    return "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in content.items()).encode()


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Allow only an error that a user sees as one line."""
    line = ""
    try:
        yield
    except UserError as error:
        line = str(error)
    assert len(line) < LONGEST_LINE, line[:200]


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Give a new folder."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
