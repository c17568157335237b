"""`--papers`: the papers of a command besides those of the program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from repro.cli.options import Command, with_options
from repro.experiment import check_recipes
from repro.papers import find_papers
from repro.recipes import Library, within
from repro.tables import check_tables

Papers = Annotated[
    list[Path] | None,
    typer.Option(
        "--papers",
        metavar="DIR",
        help="Folder of a paper with tables/*.toml or recipes/*.toml; repeat it for several (also: $REPRO_PAPERS, "
        "papers/*).",
    ),
]


def with_papers(command: Command) -> Command:
    """Add `--papers` to a command, which finds the tables and recipes of the papers in the current library.

    All files are checked before the command begins, so that none is refused after days of training.
    """

    @wraps(command)
    def informed(papers: Sequence[Path], **arguments: Any) -> Any:
        with within(checked_library(papers)):
            return command(**arguments)

    return with_options(informed, {"papers": Papers}, lambda given: {"papers": given.get("papers", ())})


def checked_library(named: Sequence[Path]) -> Library:
    """Return the library with the folders of `--papers`; UserError if a file that is not shipped is wrong."""
    library = Library(find_papers(named))
    if any(not each.shipped for each in library.papers):
        with within(library):
            check_recipes(library.own_recipes)
            check_tables()
    return library
