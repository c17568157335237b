"""The library of a command: everything that the papers give, found once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from repro.errors import Mistake, Place, refuse
from repro.models import as_typed, find
from repro.papers import Paper, find_papers
from repro.recipes.reading import Reading, survey_recipes
from repro.recipes.recipe import Recipe
from repro.text import canonical


@dataclass(frozen=True, eq=False)
class Library:
    """The recipes and the files of the tables and datasets of some papers. They are read on first use."""

    papers: tuple[Paper, ...]
    lenient: bool = False
    """Whether wrong recipes and second tables of a name are left out instead of refused; `mistakes` has them."""
    _wider: dict[tuple[Path, ...], Library] = field(default_factory=dict, repr=False)

    @cached_property
    def reading(self) -> Reading:
        """What the files of the recipes give, right or wrong."""
        return survey_recipes([file for paper in self.papers for file in paper.recipes])

    @cached_property
    def recipes(self) -> Mapping[str, Recipe]:
        """All recipes by name; WrongFiles as in `read_recipes`, unless the library is lenient."""
        if not self.lenient:
            refuse(self.reading.mistakes)
        return self.reading.recipes

    @cached_property
    def tables(self) -> Mapping[str, Path]:
        """The files of all tables by name; WrongFiles if two have the same name, unless the library is lenient."""
        files, second = self._tables
        if not self.lenient:
            refuse(second)
        return {file.stem: file for file in sorted(files, key=lambda each: each.stem)}

    @property
    def mistakes(self) -> list[Mistake]:
        """What is wrong with the recipes and with the names of the tables."""
        return [*self.reading.mistakes, *self._tables[1]]

    @cached_property
    def _tables(self) -> tuple[list[Path], list[Mistake]]:
        """The first file of each name, and the mistakes of the others."""
        found, second = dict[str, Path](), list[Mistake]()
        for file in (file for paper in self.papers for file in paper.tables):
            first = found.setdefault(canonical(file.stem), file)
            if first is not file:
                second.append(Place(file).mistake(f"{first} already is a table of that name; rename one of them"))
        return list(found.values()), second

    @property
    def datasets(self) -> list[Path]:
        """The files that declare datasets."""
        return [file for paper in self.papers for file in paper.datasets]

    @cached_property
    def _shipped(self) -> frozenset[Path]:
        return frozenset(file for paper in self.papers if paper.shipped for file in (*paper.tables, *paper.recipes))

    def origin(self, file: Path) -> Path | None:
        """Return the file of a table or a recipe if it is not shipped, else None."""
        return None if file in self._shipped else file

    def is_unasked(self, table: Path) -> bool:
        """Whether the paper of a table was found only in ./papers/: a command about all tables runs no code of it."""
        return any(paper.unasked and table in paper.tables for paper in self.papers)

    @property
    def own_recipes(self) -> list[Recipe]:
        """The recipes that are not shipped."""
        return [each for each in self.recipes.values() if self.origin(each.file)]

    @property
    def named(self) -> tuple[Path, ...]:
        """The folders that a later command must name with `--papers` to have the same library."""
        return tuple(each.named for each in self.papers if each.named)

    def needed_by(self, recipe: Recipe) -> tuple[Path, ...]:
        """Return the folders that a command with this recipe must name with `--papers`."""
        return self.named if recipe.name in self.recipes and self.origin(self.recipes[recipe.name].file) else ()

    def also(self, folders: Iterable[Path]) -> Library:
        """Return the library with more folders of `--papers`; itself if it has them. UserError as in `find_papers`."""
        known = {each.folder.resolve() for each in self.papers}
        missing = tuple(each for each in folders if each.resolve() not in known)
        if not missing:
            return self
        if missing not in self._wider:
            kept = {*known, *(each.resolve() for each in missing)}  # others may have been left out
            found = find_papers([*self.named, *missing])
            self._wider[missing] = Library(tuple(each for each in found if each.folder.resolve() in kept))
        return self._wider[missing]


def network_folders() -> list[Path]:
    """Return where the files of networks are searched: the working folder, then those of the papers."""
    asked, unasked = _network_folders()
    return [*asked, *unasked]


def _network_folders() -> tuple[list[Path], list[Path]]:
    """Return the working folder with those of the papers that were asked for, and those only found in ./papers/."""
    own = [each for each in current_library().papers if not each.shipped]
    asked, unasked = ([each.folder for each in own if each.unasked is found] for found in (False, True))
    return [Path(), *asked], unasked


def find_network(typed: str) -> str:
    """Return the name of a network as typed by a user; UserError as in `find`.

    A paper that was only found in ./papers/ is searched last: the user may have named another one with that file.
    """
    return find(typed, *_network_folders())


_CURRENT: ContextVar[Library] = ContextVar("library")


def current_library() -> Library:
    """Return the library of the running command; outside commands, what is found without `--papers`."""
    return _CURRENT.get(None) or _unnamed()


def naming_papers(command: str) -> str:
    """Return a command with the `--papers` of the running one that it lacks."""
    papers = [as_typed({"papers": str(each)}) for each in current_library().named]
    return " ".join([command, *(each for each in papers if f" {each} " not in f"{command} ")])


@cache
def _unnamed() -> Library:
    return Library(find_papers())


@contextmanager
def within(library: Library) -> Iterator[Library]:
    """Make a library the current one."""
    token = _CURRENT.set(library)
    try:
        yield library
    finally:
        _CURRENT.reset(token)
