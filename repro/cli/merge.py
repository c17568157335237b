"""`repro merge`: the results of several machines in one folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from repro.cli.options.shared import AnswerFormat, Format, Results
from repro.cli.suggestion import suggest, with_folders
from repro.console import print_json, print_line
from repro.paths import DEFAULT_RESULTS, FolderUse, checked_folders
from repro.store.merging import merge as merge_results
from repro.text import number_of

Sources = Annotated[
    list[Path], typer.Argument(metavar="FOLDER", help="Folders of results, such as results-0 results-1.")
]


def merge(sources: Sources, results: Results = DEFAULT_RESULTS, format: Format = AnswerFormat.RICH) -> None:
    """Add the records, curves, gate weights, times and tests of weights of other folders to --results."""
    folders = checked_folders(results=results, use=FolderUse.WRITE_RESULTS)
    added = merge_results(sources, results)
    if format == AnswerFormat.JSON:
        print_json({"results": str(results), **asdict(added)})
        return
    counts = (
        number_of(added.records, "record"),
        number_of(added.curves, "curve"),
        number_of(added.gates, "file") + " of gate weights",
        number_of(added.times, "time"),
        number_of(added.weights, "test") + " of weights",
        *([f"further tests of {number_of(added.tested, 'run')}"] if added.tested else []),
    )
    present = f"; {number_of(added.present, 'record')} already there" if added.present else ""
    print_line(f"added to {results}: {', '.join(counts)}{present}")
    suggest(with_folders("repro table", folders, "results"))
