"""Every key of a good paper is removed, misspelt and given values of other types: one clear line answers each."""

import tomllib
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from fuzzing import toml

from repro.api.library import using
from repro.errors import WrongFiles
from repro.papers import find_papers
from repro.recipes.library import Library, within
from repro.templates import paper_files
from repro.validation import Level, validate

NAMES = {"recipes/demo.toml": 40, "tables/demo.toml": 100}
"""The files, and the least number of changes that are tried in each."""
OTHERS: tuple[Any, ...] = ("text", -7)
"""The first one of another type replaces the right value."""
RUN_LATER = "options"
"""Options of a network from outside the package are checked when its code runs."""


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every key in a file."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        if isinstance(key, str):
            yield (*path, key)
        yield from places(value, (*path, key))


def changed(content: dict[str, Any], path: tuple[Any, ...], new: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a file with other keys in place of the last one of a path."""
    whole = deepcopy(content)
    holder: Any = whole
    for each in path[:-1]:
        holder = holder[each]
    del holder[path[-1]]
    holder.update(new)
    return whole


def mutations(content: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], str, dict[str, Any], bool]]:
    """Yield the path of a key, the key that a message must name, the changed file, and whether it must be refused."""
    for path in places(content):
        key, value = path[-1], content
        for each in path:
            value = value[each]
        yield path, key, changed(content, path, {}), False
        yield path, f"{key[:-1]}q", changed(content, path, {f"{key[:-1]}q": value}), True
        other = next(each for each in OTHERS if type(each) is not type(value))
        yield path, key, changed(content, path, {key: other}), True


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """The files of a good paper, which are written."""
    folder = tmp_path_factory.mktemp("papers") / "demo"
    files = {folder / name: content.decode() for name, content in paper_files("demo", folder, found=True).items()}
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return files


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), NAMES.items())
def test_one_line_names_the_file_and_the_key(good: dict[Path, str], name: str, least: int) -> None:
    file = next(each for each in good if str(each).endswith(name))
    folder, tried = file.parent.parent, 0
    for path, key, mutated, wrong in mutations(tomllib.loads(good[file])):
        file.write_text("\n".join(f"{each} = {toml(value)}" for each, value in mutated.items()))
        tried += 1
        line = refusal(folder)
        assert line or not wrong or RUN_LATER in path, f"{path} as {mutated} is accepted"
        if line:
            assert "\n" not in line
            assert line.startswith(f"{folder}/")
            assert named(key, path) in line, f"{path}: {line}"
        if line and tried % 8 == 0:
            assert validated(folder), f"{path}: {line}"
    file.write_text(good[file])
    assert tried >= least


def refusal(folder: Path) -> str:
    """Return the line with which a command refuses a paper; empty if it does not."""
    try:
        with using([folder]):
            pass
    except WrongFiles as error:
        return str(error)
    return ""


def named(key: str, path: tuple[Any, ...]) -> str:
    """Return what a message must name: the key, or the recipe or place whose name was lost with it."""
    if path in {("recipes", "demo"), ("recipes",), ("recipes", "demo", "extends")}:
        return "recipe"
    return "recipes" if key == "recipeq" and len(path) == 1 else key


def validated(folder: Path) -> int:
    """Return the number of errors that a validation finds."""
    library = Library(find_papers([folder]), lenient=True)
    with within(library):
        return validate([each for each in library.papers if each.named]).number_of(Level.ERROR)
