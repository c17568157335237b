"""The library of one request: the papers of the program, those that are found, and those that are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from repro.data import check_datasets
from repro.errors import UnknownName
from repro.experiment import check_recipes
from repro.papers import find_papers
from repro.recipes import Library, within
from repro.tables import check_tables
from repro.tables.names import named_otherwise

Place = str | Path
"""A file or a folder."""
Papers = Place | Sequence[Place]
"""The folder of a paper, or several."""


@contextmanager
def using(papers: Papers) -> Iterator[None]:
    """Make the library with some papers the current one.

    The files are read again each time, and all of them are checked first, so that none is refused after days of
    training.

    Raises:
        UserError: a folder is not a paper, or a file that is not shipped is wrong. An unknown name that is of another
            kind is answered with what belongs to it.
    """
    named = [papers] if isinstance(papers, str | Path) else papers
    with within(Library(find_papers([Path(each) for each in named]))) as library:
        if any(not each.shipped for each in library.papers):
            check_datasets()
            check_recipes(library.own_recipes)
            check_tables()
        try:
            yield
        except UnknownName as error:
            raise named_otherwise(error) from None
