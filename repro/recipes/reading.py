"""The reader of recipes: TOML files."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from repro.errors import UserError
from repro.models import MODELS, OPTIONS
from repro.models.outside import bare, is_outside
from repro.recipes.alternatives import wrong_alternative
from repro.recipes.contradictions import contradiction
from repro.recipes.layout import About, Document, Entry, Given
from repro.recipes.mistakes import explained
from repro.recipes.recipe import VALUES, Recipe
from repro.recipes.source import is_inferred
from repro.text import canonical, choose

NEEDED = (
    "summary",
    *(each.name for each in fields(Recipe) if each.default is MISSING and each.default_factory is MISSING),
)
"""The keys that every recipe must have, given or inherited."""


@dataclass(frozen=True)
class _Written:
    """A recipe as it is written in a file."""

    file: Path
    name: str
    about: About

    def refused(self, reason: str) -> UserError:
        return UserError(f"{self.file}: recipe {self.name}: {reason}")


class Recipes(Mapping[str, Recipe]):
    """Recipes by name, read on first use."""

    def __init__(self, read: Callable[[], Mapping[str, Recipe]]) -> None:
        """`read` returns the recipes each time that they are used."""
        self._read = read

    def __getitem__(self, name: str) -> Recipe:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def read_recipes(files: Iterable[Path]) -> dict[str, Recipe]:
    """Return the recipes of TOML files, by name.

    Raises:
        UserError: a file cannot be read or is not valid TOML, a key is unknown or has the wrong type, a value has no
            source, two names differ at most in case, `-` and `_`, or a recipe lacks a value, has values that exclude
            each other, has an alternative for a value that is not inferred or one that is no alternative, extends an
            unknown recipe or itself, is the default for an unknown model, or two are the default for the same case. The
            message names file, recipe and reason in one line.
    """
    written, spelled = dict[str, _Written](), dict[str, _Written]()
    for each in (each for file in files for each in _read(file)):
        first = spelled.setdefault(canonical(each.name), each)
        if first is not each:
            raise each.refused(f"{first.file} already has a recipe of that name")
        written[each.name] = each
    lines = [_line(each, written) for each in written.values()]
    recipes = {line[0].name: _recipe(line) for line in lines if not line[0].about.abstract}
    _refuse_unknown_defaults(written.values())
    _refuse_two_defaults(recipes, written)
    return recipes


def _read(file: Path) -> Iterator[_Written]:
    """Yield the recipes of a file as they are written."""
    try:
        document = msgspec.convert(tomllib.loads(file.read_text("utf-8")), Document[Any])
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not a TOML file: {error}") from None
    except msgspec.ValidationError as error:
        raise UserError(f"{file}: {error}") from None
    for name, content in document.recipes.items():
        try:
            yield _Written(file, name, msgspec.convert(content, Entry))
        except msgspec.ValidationError as error:
            raise UserError(f"{file}: recipe {name}: {explained(error, content)}") from None


def _recipe(line: Sequence[_Written]) -> Recipe:
    """Return the first recipe of a chain of inheritance, completed by the others."""
    content: dict[str, Any] = {"name": line[0].name, "sources": {}, "alternatives": {}}
    for each in reversed(line):
        content.update(_extended(content, each.about))
    missing = [name for name in NEEDED if name not in content]
    if missing:
        raise line[0].refused(f"no {missing[0]} is given")
    about = line[0].about
    made = Recipe(**content, default_for=about.default_for, default_with=about.default_with, file=line[0].file)
    if reason := contradiction(made) or wrong_alternative(made):
        raise line[0].refused(reason)
    return made


def _line(written: _Written, known: Mapping[str, _Written]) -> list[_Written]:
    """Return a recipe and those that it extends, the nearest first."""
    line = [written]
    while extends := line[-1].about.extends:
        if extends not in known:
            raise line[-1].refused(f"extends: {_unknown(extends, known)}")
        if known[extends] in line:
            raise written.refused(f"extends itself: {' -> '.join([*(each.name for each in line), extends])}")
        line.append(known[extends])
    return line


def _unknown(name: str, known: Iterable[str], kind: str = "recipe") -> str:
    """Return what is wrong with a name; a file must spell it exactly, which `choose` does not require."""
    try:
        return f"unknown {kind} {name!r}; did you mean {choose(kind, name, known)}?"
    except UserError as error:
        return str(error)


def _extended(content: Mapping[str, Any], about: About) -> dict[str, Any]:
    """Return what a recipe replaces in the `content` of the one that it extends."""
    given: dict[str, Given[Any]] = {
        name: value for name in VALUES if isinstance(value := getattr(about, name, UNSET), Given)
    }
    sources, alternatives = content["sources"], content["alternatives"]
    if about.inherited is not UNSET:
        sources = dict.fromkeys(sources, (about.inherited,))
        alternatives = alternatives if is_inferred((about.inherited,)) else {}
    kept = {name: each for name, each in alternatives.items() if name not in given}
    said = {name: getattr(about, name) for name in ("summary", "notes", "paper", "dataset")}
    return {
        **{name: value for name, value in said.items() if value is not UNSET},
        **{name: each.meaning for name, each in given.items()},
        "sources": {**sources, **{name: each.sources for name, each in given.items()}},
        "alternatives": {**kept, **{name: each.others for name, each in given.items() if each.others}},
    }


def _refuse_unknown_defaults(written: Iterable[_Written]) -> None:
    """Refuse a recipe that is the default for an unknown model, or with an unknown option."""
    for each in written:
        for name in each.about.default_for:
            if is_outside(name) and name != bare(name):
                raise each.refused(f"default_for: write {bare(name)!r} without folders and version, not {name!r}")
            if name not in {*MODELS, "*"} and not is_outside(name):
                raise each.refused(f"default_for: {_unknown(name, MODELS, 'model')}")
        for name in each.about.default_with:
            if name not in OPTIONS and not any(map(is_outside, each.about.default_for)):
                raise each.refused(f"default_with: {_unknown(name, OPTIONS, 'option')}")


def _refuse_two_defaults(recipes: Mapping[str, Recipe], written: Mapping[str, _Written]) -> None:
    """Refuse two recipes that are the default for the same model, options and dataset."""
    found: dict[tuple[Any, ...], str] = {}
    for name, each in recipes.items():
        for model in each.default_for:
            key = each.dataset, model, frozenset(each.default_with.items())
            if key in found:
                raise written[name].refused(f"{found[key]} is already the default for {model} on {each.dataset}")
            found[key] = name
