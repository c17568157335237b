"""`--papers`: the papers of a command besides those of the program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from repro.api.library import using
from repro.cli.options import Command, with_options
from repro.papers import Paper, find_papers, paper_of
from repro.paths import data_in
from repro.text import canonical

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

    The file of a table names its paper too, as if `--papers` did. All files are checked before the command begins, as
    `using` says.
    """

    @wraps(command)
    def informed(papers: Sequence[Path], **arguments: Any) -> Any:
        """Run the command in the library with its papers."""
        name = arguments.get("name") or ""
        found = _with_table(name, papers)
        with data_in(arguments.get("data")), using([*papers, *_paper_of(name, found)], [each.folder for each in found]):
            return command(**arguments)

    return with_options(informed, {"papers": Papers}, lambda given: {"papers": given.get("papers", ())})


def _with_table(name: str, named: Sequence[Path]) -> list[Paper]:
    """Return the papers that a command finds and that have the table which it is about.

    Args:
        name: what the command is about; it may be a table, or the file of one.
        named: the folders of `--papers`.
    """
    file = _file_of_table(name)

    def fits(table: Path) -> bool:
        return table.samefile(file) if file else canonical(table.stem) == canonical(name)

    return [each for each in find_papers(named) if any(map(fits, each.tables))]


def _paper_of(name: str, found: Sequence[Paper]) -> list[Path]:
    """Return the folder of the paper that the file of a table belongs to, unless a command finds it anyway."""
    file = _file_of_table(name)
    folder = paper_of(file) if file and not found else None
    return [folder] if folder else []


def _file_of_table(name: str) -> Path | None:
    """Return the file of a table; None if this is another name."""
    file = Path(name)
    return file if file.suffix == ".toml" and file.is_file() else None
