"""The reader of recipes: TOML files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from repro.errors import Mistake, Place, UserError, WrongFiles, collecting, refuse
from repro.models import ELSEWHERE, MODELS, OptionValue, stored_option
from repro.models.outside.location import bare, is_outside
from repro.papers import toml_of
from repro.recipes.alternatives import without_wrong_alternatives, wrong_alternative
from repro.recipes.contradictions import contradiction
from repro.recipes.entries import About, Document, Entry, Given
from repro.recipes.mistakes import reasons
from repro.recipes.recipe import VALUES, Recipe
from repro.recipes.source import is_inferred, is_read
from repro.text import canonical, nearest, number_of, unknown

NEEDED = (
    "summary",
    *(each.name for each in fields(Recipe) if each.default is MISSING and each.default_factory is MISSING),
)
"""The keys that every recipe must have, given or inherited."""


@dataclass(frozen=True)
class _Written:
    """A recipe as it is written in a file."""

    place: Place
    name: str
    about: About


@dataclass(frozen=True)
class Reading:
    """What files of recipes give, although some of it may be wrong."""

    recipes: Mapping[str, Recipe]
    """Those that are right and not abstract, by name."""
    abstract: frozenset[str]
    """The names of the recipes that are only extended."""
    names: frozenset[str]
    """All names, also those of recipes that are abstract or wrong."""
    extends: Mapping[str, str]
    """The recipe that each recipe extends, if it extends one."""
    mistakes: tuple[Mistake, ...]
    borrowings: tuple[Mistake, ...]
    """Recipes that have sources or notes of another paper as if they were their own paper's."""


def read_recipes(files: Iterable[Path]) -> Mapping[str, Recipe]:
    """Return the recipes of TOML files, by name.

    Raises:
        WrongFiles: a file cannot be read or is not valid TOML, a key is unknown or has the wrong type, a value has no
            source, two names differ at most in case, `-` and `_`, or a recipe lacks a value, has values that exclude
            each other, extends an unknown recipe or itself, is the default for an unknown model, or two are the default
            for the same case. Each mistake names file, recipe and reason.
    """
    reading = survey_recipes(files)
    refuse(reading.mistakes)
    return reading.recipes


def survey_recipes(files: Iterable[Path]) -> Reading:
    """Return the recipes of TOML files, and the mistakes for which others are left out; see `read_recipes`."""
    mistakes, borrowings = list[Mistake](), list[Mistake]()
    names = dict[str, tuple[Path, str]]()
    written, recipes = dict[str, _Written](), dict[str, Recipe]()
    for file in files:
        with collecting(mistakes):
            for name, content in _read(file).items():
                with collecting(mistakes):
                    place = Place(file, f"recipe {name}")
                    _refuse_second(place, name, names)
                    written[name] = _written(place, name, content)
    spelled = frozenset(name for _, name in names.values())
    for each in written.values():
        with collecting(mistakes):
            ancestry = _ancestry(each, written, spelled)
            _refuse_unknown_defaults(each)
            options = _default_with(each)
            if reason := _borrowed(ancestry):
                borrowings.append(each.place.mistake(reason))
            if not each.about.abstract:
                recipes[each.name] = _recipe(ancestry, options)
    mistakes += _second_defaults(recipes)
    abstract = frozenset(name for name, each in written.items() if each.about.abstract)
    extends = {name: each.about.extends for name, each in written.items() if each.about.extends}
    return Reading(recipes, abstract, spelled, extends, tuple(mistakes), tuple(borrowings))


def _read(file: Path) -> Mapping[str, Any]:
    """Return the content of a file by the names of its recipes."""
    try:
        return msgspec.convert(toml_of(file), Document[Any]).recipes
    except msgspec.ValidationError as error:
        raise Place(file).refused(f"{error}; a file of recipes has only tables [recipes.NAME]") from None


def _refuse_second(place: Place, name: str, names: dict[str, tuple[Path, str]]) -> None:
    """Refuse a name that another recipe has, in any spelling; else add it to `names`."""
    first, _ = names.setdefault(canonical(name), (place.file, name))
    if names[canonical(name)] != (place.file, name):
        raise place.refused(f"{first} already has a recipe of that name")


def _written(place: Place, name: str, content: Any) -> _Written:
    """Return a recipe as it is written; WrongFiles with a mistake for each wrong key."""
    try:
        return _Written(place, name, msgspec.convert(content, Entry))
    except msgspec.ValidationError as error:
        raise WrongFiles(*map(place.mistake, reasons(error, content))) from None


def _recipe(ancestry: Sequence[_Written], default_with: Mapping[str, OptionValue]) -> Recipe:
    """Return the first recipe of a chain of inheritance, completed by the others."""
    content = {"name": ancestry[0].name, **_content(ancestry)}
    missing = [name for name in NEEDED if name not in content]
    if missing:
        raise ancestry[0].place.refused(f"no {missing[0]} is given; add it, or extend a recipe that has it")
    content |= {"stated": _stated(ancestry), "file": ancestry[0].place.file}
    made = Recipe(**content, default_for=ancestry[0].about.default_for, default_with=default_with)
    if reason := contradiction(made) or wrong_alternative(made):
        raise ancestry[0].place.refused(reason)
    return without_wrong_alternatives(made)


def _content(ancestry: Sequence[_Written]) -> dict[str, Any]:
    """Return what the recipes of a chain of inheritance give the first one, by the fields of `Recipe`."""
    content: dict[str, Any] = {"sources": {}, "alternatives": {}}
    for each in reversed(ancestry):
        content.update(_extended(content, each.about))
    return content


def _stated(ancestry: Sequence[_Written]) -> frozenset[str]:
    """Return the values that a recipe states itself, or in the abstract recipes that it extends first."""
    abstract = takewhile(lambda each: each.about.abstract, ancestry[1:])
    return frozenset(name for each in (ancestry[0], *abstract) for name in _given(each.about))


def _ancestry(written: _Written, known: Mapping[str, _Written], names: Collection[str]) -> list[_Written]:
    """Return a recipe and those that it extends, the nearest first; `names` has also those that are wrong."""
    ancestry = [written]
    while extends := ancestry[-1].about.extends:
        if extends not in known:
            if extends in names:
                raise ancestry[-1].place.refused(f"extends: recipe {extends} has an error; correct it first")
            raise ancestry[-1].place.refused(f"extends: {unknown('recipe', extends, known)}")
        if known[extends] in ancestry:
            raise written.place.refused(f"extends itself: {' -> '.join([*(each.name for each in ancestry), extends])}")
        ancestry.append(known[extends])
    return ancestry


def _given(about: About) -> dict[str, Given[Any]]:
    """Return the values that a recipe gives itself."""
    return {name: value for name in VALUES if isinstance(value := getattr(about, name, UNSET), Given)}


def _extended(content: Mapping[str, Any], about: About) -> dict[str, Any]:
    """Return what a recipe replaces in the `content` of the one that it extends."""
    given, sources, alternatives = _given(about), content["sources"], content["alternatives"]
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


def _borrowed(ancestry: Sequence[_Written]) -> str:
    """Return which sources and notes of another paper the first recipe of a chain has, and what to do; empty if none.

    What an abstract recipe states for it is its own.
    """
    about, extended = ancestry[0].about, _content(ancestry[1:])
    if about.inherited is not UNSET or about.paper in (UNSET, extended.get("paper", about.paper)):
        return ""
    base = ancestry[1].about
    if base.abstract and base.paper is UNSET:
        return (
            f"its base {about.extends} has the paper {extended['paper']!r}; state paper = {about.paper!r} in the base"
        )
    read = {name for name, sources in extended["sources"].items() if is_read(sources)}
    remedies = dict[str, str]()
    if values := len(read - _stated(ancestry)):
        kept = f"the sources of {number_of(values, 'value')}"
        remedies[kept] = f'inherited = {{ source = "inferred", note = "as {about.extends}" }}'
    if about.notes is UNSET and extended.get("notes"):
        remedies["the notes"] = 'notes = ["..."]'
    if not remedies:
        return ""
    where = f"{about.extends}, whose paper is {extended['paper']!r}, not {about.paper!r}"
    return f"{' and '.join(remedies)} are those of {where}; state {' and '.join(remedies.values())}"


def _refuse_unknown_defaults(written: _Written) -> None:
    """Refuse a recipe that is the default for an unknown model."""
    for name in written.about.default_for:
        if is_outside(name) and name != bare(name):
            raise written.place.refused(f"default_for: write {bare(name)!r} without folders and version, not {name!r}")
        if name not in {*MODELS, "*"} and not is_outside(name):
            raise written.place.refused(f"default_for: {unknown('model', name, MODELS, ELSEWHERE)}")


def _default_with(written: _Written) -> dict[str, OptionValue]:
    """Return the options that a model must have for a default, as experiments have them.

    Those of a network from outside the package are known only to its code, which does not run for that.
    """
    about, chosen = written.about, dict[str, OptionValue]()
    named = MODELS if "*" in about.default_for else [name for name in about.default_for if name in MODELS]
    having = {option: name for name in named for option in MODELS[name].options}
    for option, value in about.default_with.items():
        if option not in having and not any(map(is_outside, about.default_for)):
            why = f"no network that default_for names has the option {option!r}; {nearest(option, having)}"
            raise written.place.refused(f"default_with: {why}")
        try:
            chosen[option] = stored_option(having[option], option, value) if option in having else value
        except UserError as error:
            raise written.place.refused(f"default_with: {error}") from None
    return chosen


def _second_defaults(recipes: Mapping[str, Recipe]) -> Iterator[Mistake]:
    """Yield a mistake for each recipe that is the default for a model, options and dataset that have one."""
    found: dict[tuple[Any, ...], str] = {}
    for name, each in recipes.items():
        for model in each.default_for:
            first = found.setdefault((each.dataset, model, frozenset(each.default_with.items())), name)
            if first != name:
                reason = f"{first} is already the default for {model} on {each.dataset}; leave out default_for here"
                yield each.place.mistake(reason)
