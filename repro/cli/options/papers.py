"""`--papers`: the papers of a command besides those of the program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from repro.api.library import using_for
from repro.cli.options.shared import Command, with_options
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

    All files are checked before the command begins, as `using_for` says of the table or network in the command's `name`
    or the first of its `names`. The command's `data` becomes the folder of datasets for what it calls.
    """

    @wraps(command)
    def informed(papers: Sequence[Path], **arguments: Any) -> Any:
        """Run the command in the library with its papers."""
        name = arguments.get("name") or next(iter(arguments.get("names") or ()), "")
        with data_in(arguments.get("data")), using_for(name, papers):
            return command(**arguments)

    return with_options(informed, {"papers": Papers}, lambda given: {"papers": given.get("papers", ())})
