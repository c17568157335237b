"""How `repro list` shows its lines: the columns of each kind, and which are left out of a narrow terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from repro.api.listing import RecipeLine
from repro.api.run_lines import RunLine
from repro.models import as_typed
from repro.text import clock

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


class Kind(StrEnum):
    """What can be listed."""

    MODELS = "models"
    TABLES = "tables"
    DATASETS = "datasets"
    RECIPES = "recipes"
    RUNS = "runs"


def grid_of(kind: Kind, lines: Sequence[object]) -> RenderableType:
    """Return a grid; a column that is empty in all lines is left out, and those that matter least if it is too wide."""
    from rich.markup import escape

    from repro.report.formats.fitted import Fitted

    cells = {heading: [escape(_text(cell(line))) for line in lines] for heading, cell in COLUMNS[kind].items()}
    shown = {heading: column for heading, column in cells.items() if any(column)}
    grids = [_table(shown)]
    for least in DROPPED if kind is Kind.RUNS else ():
        if shown.pop(least, None):
            grids.append(_table(shown))
    return Fitted(*grids)


def reasons_of(runs: Sequence[RunLine]) -> list[str]:
    """Return the lines below the grid of runs that say why they are in their states."""
    return [f"{run.name} ({run.state}): {run.reason}" for run in runs if run.reason]


def _table(columns: Mapping[str, Sequence[str]]) -> Table:
    """Return a table of columns by their headings."""
    from repro.report.formats.fitted import empty_grid

    grid = empty_grid()
    for heading in columns:
        grid.add_column(heading, no_wrap=heading in WHOLE)
    for row in zip(*columns.values(), strict=True):
        grid.add_row(*row)
    return grid


def _text(value: object) -> str:
    """Return the value of a cell as text; empty for None."""
    return "" if value is None else str(value)


def _length(recipe: RecipeLine) -> str:
    """Return the length of a recipe, with the epochs of a tuning stage added."""
    if recipe.iterations:
        return f"{recipe.iterations:,} steps"
    tuning = f" + {recipe.tune_epochs}" if recipe.tune_epochs else ""
    return f"{recipe.epochs:,}{tuning} epochs"


def _progress(run: RunLine) -> str:
    """Return the number of finished epochs and the total number of epochs."""
    return f"{run.epoch or 0}/{'?' if run.epochs is None else run.epochs}"


def _error(run: RunLine) -> str:
    if run.test_ap is not None:
        return f"AP {run.test_ap:.2f} %"
    return "–" if run.test_error is None else f"{run.test_error:.2f} %"


def _left(run: RunLine) -> str | None:
    return None if run.seconds_left is None else clock(run.seconds_left)


def _deviation(run: RunLine) -> str:
    return ", ".join(run.deviations or ())


def _changed(run: RunLine) -> str | None:
    """Return when a run changed, in the time of this machine."""
    return f"{datetime.fromisoformat(run.changed).astimezone():%Y-%m-%d %H:%M}" if run.changed else None


COLUMNS: dict[Kind, dict[str, Callable[[Any], object]]] = {
    Kind.MODELS: {
        "Name": attrgetter("name"),
        "Model": attrgetter("network"),
        "Parameters": lambda line: f"{line.params:,}",
        "Options": lambda line: as_typed(line.options),
        "Dataset": attrgetter("dataset"),
    },
    Kind.TABLES: {
        "Name": attrgetter("name"),
        "Paper": attrgetter("paper"),
        "Table": attrgetter("table"),
        "Caption": attrgetter("caption"),
        "From": attrgetter("file"),
    },
    Kind.DATASETS: {
        "Name": attrgetter("name"),
        "Images": attrgetter("images"),
        "Input": attrgetter("input"),
        "Classes": attrgetter("classes"),
        "From": attrgetter("file"),
    },
    Kind.RECIPES: {
        "Name": attrgetter("name"),
        "Paper": attrgetter("paper"),
        "Dataset": attrgetter("dataset"),
        "Length": _length,
        "Batch size": attrgetter("batch"),
        "From": attrgetter("file"),
    },
    Kind.RUNS: {
        "Name": attrgetter("name"),
        "Epoch": _progress,
        "Test\nerror": _error,
        "State": attrgetter("state"),
        "Time left": _left,
        "Seed": attrgetter("seed"),
        "Deviation": _deviation,
        "Changed": _changed,
        "Device": attrgetter("device"),
        "Where": attrgetter("where"),
    },
}
"""The cells of a line, by kind and heading; each takes the line of its kind."""
DROPPED = ("Device", "Changed", "Seed", "Where", "Deviation", "Time left")
"""Headings of runs that a narrow terminal leaves out, the least important first; a run's name has its seed."""
WHOLE = ("Name", "Epoch", "Test\nerror", "Time left", "Seed", "Changed", "Device")
"""Headings of cells that are never broken over lines."""
