"""`--papers`: the papers of a command besides those of the program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from repro.api.library import using
from repro.cli.options import Command, with_options
from repro.papers import find_papers, paper_of
from repro.paths import data_in

Papers = Annotated[
    list[Path] | None,
    typer.Option(
        "--papers",
        metavar="DIR",
        help="Folder of a paper with tables/*.toml, recipes/*.toml or datasets.toml; repeat it for several (also: "
        "$REPRO_PAPERS, papers/*).",
    ),
]


def with_papers(command: Command) -> Command:
    """Add `--papers` to a command, which finds the tables, recipes and datasets of the papers in the current library.

    The file of a table names its paper too, as if `--papers` did. All files are checked before the command begins, so
    that none is refused after days of training.
    """

    @wraps(command)
    def informed(papers: Sequence[Path], **arguments: Any) -> Any:
        with data_in(arguments.get("data")), using([*papers, *_paper_of(arguments.get("name"), papers)]):
            return command(**arguments)

    return with_options(informed, {"papers": Papers}, lambda given: {"papers": given.get("papers", ())})


def _paper_of(name: str | None, named: Sequence[Path]) -> list[Path]:
    """Return the folder of the paper that the file of a table belongs to, unless a command finds it anyway.

    Args:
        name: what a command is about; it may be the file of a table.
        named: the folders of `--papers`.
    """
    file = Path(name or "")
    folder = paper_of(file) if file.suffix == ".toml" and file.is_file() else None
    if folder is None or any(file.samefile(each) for paper in find_papers(named) for each in paper.tables):
        return []
    return [folder]
