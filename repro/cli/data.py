"""`repro data`: download and verify datasets, for example on a login node before jobs without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from repro.cli.options.shared import AnswerFormat, Data, Format, completing
from repro.cli.suggestion import suggest, with_folders
from repro.console import note, print_json, problem, stdout
from repro.data import DATASETS, check_root, find_dataset
from repro.data.sources import DOWNLOADED, DatasetStatus, State, examine, fetch
from repro.paths import checked_folders
from repro.text import size

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME",
        help="Datasets to download or verify (default: download those that can be downloaded, and verify all); see "
        "repro list datasets.",
        autocompletion=completing(lambda: DATASETS),
    ),
]
Check = Annotated[
    bool,
    typer.Option("--check", help="Only verify what is there; exit with status 1 if something is missing or wrong."),
]


def data(names: Names = None, check: Check = False, data: Data = None, format: Format = AnswerFormat.RICH) -> None:
    """Download datasets and verify them: checksums, or the numbers of files."""
    chosen = list(dict.fromkeys(map(find_dataset, names or ())))
    folders = checked_folders(data)
    check_root(folders.data)
    shown = chosen or list(DATASETS)
    required = chosen or DOWNLOADED
    found = [(fetch if name in required and not check else examine)(name, folders.data) for name in shown]
    if format == AnswerFormat.JSON:
        print_json({"datasets": [_answer(each) for each in found]})
    else:
        _show(found)
    failed = [each for each in found if each.state == State.WRONG or (each.problem and each.name in required)]
    for each in found:
        if each.problem:
            named = each.problem if each.problem.startswith(f"{each.name} ") else f"{each.name}: {each.problem}"
            (problem if each in failed else note)(named)
        if each.remark:
            note(f"warning: {each.name}: {each.remark}")
    if failed:
        missing = [each.name for each in failed if each.state == State.MISSING and each.name in DOWNLOADED]
        if check and missing:
            suggest(with_folders(f"repro data {' '.join(missing)}", folders, "data"))
        raise typer.Exit(1)
    suggest("repro list recipes")


def _answer(found: DatasetStatus) -> dict[str, object]:
    return {
        "name": found.name,
        "state": found.state.value,
        "folder": None if found.folder is None else str(found.folder),
        "bytes": found.size,
        "problem": found.problem or None,
    }


def _show(found: Sequence[DatasetStatus]) -> None:
    """Show a grid with a line for each dataset."""
    from rich.markup import escape

    from repro.report.formats.fitted import Fitted, empty_grid

    grid = empty_grid()
    for heading in ("Dataset", "Folder", "State", "Size"):
        grid.add_column(heading, no_wrap=heading == "Dataset", justify="right" if heading == "Size" else "left")
    for each in found:
        shown = size(each.size) if each.size else "–"
        grid.add_row(each.name, escape(str(each.folder or "–")), each.state.value, shown)
    stdout().print(Fitted(grid))
