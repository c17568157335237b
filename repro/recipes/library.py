"""The library of a command: everything that the papers give, found once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from repro.errors import UserError
from repro.models import find
from repro.papers import Paper, find_papers
from repro.recipes.reading import read_recipes
from repro.recipes.recipe import Recipe
from repro.text import canonical


@dataclass(frozen=True)
class Library:
    """The recipes and the files of the tables of some papers. They are read on first use."""

    papers: tuple[Paper, ...]
    _wider: dict[tuple[Path, ...], Library] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def recipes(self) -> Mapping[str, Recipe]:
        """All recipes by name; UserError as in `read_recipes`."""
        return read_recipes([file for paper in self.papers for file in paper.recipes])

    @cached_property
    def tables(self) -> Mapping[str, Path]:
        """The files of all tables by name; UserError if two have the same name."""
        files = [file for paper in self.papers for file in paper.tables]
        found = dict[str, Path]()
        for file in files:
            first = found.setdefault(canonical(file.stem), file)
            if first is not file:
                raise UserError(f"{file}: {first} already is a table of that name; rename one of them")
        return {file.stem: file for file in sorted(files, key=lambda each: each.stem)}

    @cached_property
    def _shipped(self) -> frozenset[Path]:
        return frozenset(file for paper in self.papers if paper.shipped for file in (*paper.tables, *paper.recipes))

    def origin(self, file: Path) -> Path | None:
        """Return the file of a table or a recipe if it is not shipped, else None."""
        return None if file in self._shipped else file

    @property
    def own_recipes(self) -> list[Recipe]:
        """The recipes that are not shipped."""
        return [each for each in self.recipes.values() if self.origin(each.file)]

    @property
    def named(self) -> tuple[Path, ...]:
        """The folders that a later command must name with `--papers` to have the same library."""
        return tuple(each.folder for each in self.papers if each.named)

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
            self._wider[missing] = Library(find_papers([*self.named, *missing]))
        return self._wider[missing]


def network_folders() -> list[Path]:
    """Return where the files of networks are searched: the working folder, then those of the papers."""
    return [Path(), *(each.folder for each in current_library().papers if not each.shipped)]


def find_network(typed: str) -> str:
    """Return the name of a network as typed by a user; UserError as in `find`."""
    return find(typed, network_folders())


_CURRENT: ContextVar[Library] = ContextVar("library")


def current_library() -> Library:
    """Return the library of the running command; outside commands, what is found without `--papers`."""
    return _CURRENT.get(None) or _unnamed()


@cache
def _unnamed() -> Library:
    return Library(find_papers())


@contextmanager
def within(library: Library) -> Iterator[None]:
    """Make a library the current one."""
    token = _CURRENT.set(library)
    try:
        yield
    finally:
        _CURRENT.reset(token)
