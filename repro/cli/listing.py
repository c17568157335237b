"""`repro list`: models, tables, datasets, recipes and runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repro.api.listing import Line, dataset_lines, model_lines, origin, recipe_lines, table_lines
from repro.api.records import run_lines
from repro.cli.options import AnswerFormat, Format, Runs, completing
from repro.cli.suggestion import after_runs, suggest, with_folders
from repro.console import note, print_json, print_line, stdout
from repro.errors import UserError
from repro.models import as_typed
from repro.paths import checked_folders
from repro.recipes import RECIPES, Recipe, recipe
from repro.recipes.source import sources_text
from repro.recipes.values import unused, values_of
from repro.store.run_state import RunState
from repro.text import choose, clock

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


NEXT = {
    Kind.MODELS: "repro count resnet20",
    Kind.TABLES: "repro table cifar100",
    Kind.DATASETS: "repro list recipes",
    Kind.RECIPES: "repro list recipes resnet-cifar10",
}
"""The command that is useful after each list but that of runs."""
What = Annotated[Kind, typer.Argument(case_sensitive=False, metavar="WHAT", help="What to list.")]
Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="Recipe whose values and sources are shown.",
        autocompletion=completing(lambda: RECIPES),
    ),
]


Watch = Annotated[bool, typer.Option("--watch", help="With runs: refresh the list until you press Ctrl-C.")]
WATCH_SECONDS = 10.0
"""Time between two refreshed lists, each of which asks Slurm about its queue."""


def list_(
    what: What = Kind.MODELS,
    name: Name = None,
    runs: Runs = None,
    watch: Watch = False,
    format: Format = AnswerFormat.RICH,
) -> None:
    """List models, tables, datasets, recipes, or runs with the commands that resume them."""
    for option, given in (("--runs", runs), ("--watch", watch)):
        if given and what != Kind.RUNS:
            raise UserError(f"{option} applies only to repro list runs, not to repro list {what}")
    if name is not None:
        if what != Kind.RECIPES:
            raise UserError(f"repro list {what} takes no name; see repro count MODEL and repro table NAME")
        _show_recipe(recipe(choose("recipe", name, RECIPES)), format)
        return
    folders = checked_folders(runs=runs)
    if watch:
        _watch(folders.runs, format)
        return
    lines = _lines(what, folders.runs)
    if format == AnswerFormat.JSON:
        print_json({what.value: lines})
    elif lines:
        _show(what, lines)
        suggest(after_runs(lines, folders) if what == Kind.RUNS else NEXT[what])
    else:
        note(f"there are no runs in {folders.runs} yet")
        suggest(with_folders("repro train resnet20 --dataset digits", folders, "runs"))


def _lines(kind: Kind, runs: Path) -> list[Line]:
    """Return a dictionary for each item of a kind."""
    listed: dict[Kind, Callable[[], list[Line]]] = {
        Kind.MODELS: model_lines,
        Kind.TABLES: table_lines,
        Kind.DATASETS: dataset_lines,
        Kind.RECIPES: recipe_lines,
        Kind.RUNS: partial(run_lines, runs),
    }
    return listed[kind]()


def _watch(folder: Path, format: AnswerFormat) -> None:
    """Show the runs in a folder again and again, until the user ends it."""
    from rich.live import Live

    if format == AnswerFormat.JSON or not stdout().file.isatty():
        raise UserError("--watch refreshes a terminal; leave it out for a file, a pipe or --format json")
    with Live(console=stdout(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(_grid(Kind.RUNS, run_lines(folder)), refresh=True)
            time.sleep(WATCH_SECONDS)


def _grid(kind: Kind, lines: Sequence[Line]) -> RenderableType:
    """Return a grid; a column that is empty in all lines is left out, and those that matter least if it is too wide."""
    from rich.markup import escape

    from repro.report.formats.fitted import Fitted

    cells = {heading: [escape(str(cell(line))) for line in lines] for heading, cell in COLUMNS[kind].items()}
    shown = {heading: column for heading, column in cells.items() if any(column)}
    grids = [_table(shown)]
    for least in DROPPED.get(kind, ()):
        if shown.pop(least, None):
            grids.append(_table(shown))
    return Fitted(*grids)


def _table(columns: Mapping[str, Sequence[str]]) -> Table:
    """Return a table of columns by their headings."""
    from repro.report.formats.fitted import empty_grid

    grid = empty_grid()
    for heading in columns:
        grid.add_column(heading, no_wrap=heading in WHOLE)
    for row in zip(*columns.values(), strict=True):
        grid.add_row(*row)
    return grid


def _show(kind: Kind, lines: Sequence[Line]) -> None:
    """Show a grid; names and commands are never cut, so that they can be copied."""
    stdout().print(_grid(kind, lines))
    for line in lines:
        if line.get("command"):
            print_line(f"resume: {line['command']}")
        if line.get("log") and line["state"] in (RunState.STOPPED, RunState.MISSING):
            print_line(f"log of {line['name']}: {line['log']}")
    if kind == Kind.RECIPES:
        stdout().print("repro list recipes NAME shows every value and its source.", style="dim")


def _from(line: Line) -> str:
    """Return the file of a table, a recipe or a dataset; empty if it is shipped."""
    return line["file"] or ""


def _length(recipe: Line) -> str:
    """Return the length of a recipe, with the epochs of a tuning stage added."""
    if recipe["iterations"]:
        return f"{recipe['iterations']:,} steps"
    tuning = f" + {recipe['tune_epochs']}" if recipe["tune_epochs"] else ""
    return f"{recipe['epochs']:,}{tuning} epochs"


def _progress(run: Line) -> str:
    """Return the number of finished epochs and the total number of epochs."""
    return f"{run['epoch'] or 0}/{'?' if run['epochs'] is None else run['epochs']}"


def _error(run: Line) -> str:
    if run["test_ap"] is not None:
        return f"AP {run['test_ap']:.2f} %"
    return "–" if run["test_error"] is None else f"{run['test_error']:.2f} %"


def _where(run: Line) -> str:
    return run["where"] or ""


def _left(run: Line) -> str:
    return "" if run["seconds_left"] is None else clock(run["seconds_left"])


def _seed(run: Line) -> str:
    return "" if run.get("seed") is None else str(run["seed"])


def _deviation(run: Line) -> str:
    return ", ".join(run.get("deviations") or ())


def _changed(run: Line) -> str:
    """Return when a run changed, in the time of this machine."""
    return f"{datetime.fromisoformat(run['changed']).astimezone():%Y-%m-%d %H:%M}" if run["changed"] else ""


def _device(run: Line) -> str:
    return run.get("device") or ""


def _state(run: Line) -> str:
    return f"{run['state']}: {run['reason']}" if run["reason"] else run["state"]


def _show_recipe(chosen: Recipe, format: AnswerFormat) -> None:
    """Show every value of a recipe and its source."""
    values = values_of(chosen)
    if format == AnswerFormat.JSON:
        about = {
            name: getattr(chosen, name) for name in ("name", "summary", "notes", "paper", "default_for", "default_with")
        }
        about["file"] = origin(chosen.file)
        print_json({**about, "values": {each.name: each.to_json() for each in values}, "unused": unused(chosen)})
        return
    from rich.markup import escape

    from repro.report.formats.fitted import Fitted, empty_grid

    for line in (chosen.summary, *chosen.notes):
        stdout().print(line, markup=False)
    grid = empty_grid(f"{chosen.name}: {chosen.paper}")
    alternatives = ("Alternatives",) if chosen.alternatives else ()
    for heading in ("Setting", "Value", *alternatives, "Source"):
        grid.add_column(heading)
    for each in values:
        others = (each.alternatives_text,) if alternatives else ()
        grid.add_row(*map(escape, (each.name, each.text, *others, sources_text(each.sources))))
    stdout().print(Fitted(grid))
    if file := origin(chosen.file):
        print_line(f"From: {file}", "dim")
    if chosen.default_for:
        stdout().print(f"Default for: {_defaults(chosen)}", style="dim")
    stdout().print(f"Not used: {', '.join(unused(chosen))}", style="dim")


def _defaults(chosen: Recipe) -> str:
    """Return the models for which a recipe is the default, with the options that they need."""
    models = ", ".join("every model" if each == "*" else each for each in chosen.default_for)
    return f"{models} {as_typed(chosen.default_with)}".strip() + f" on {chosen.dataset}"


COLUMNS: dict[Kind, dict[str, Callable[[Line], object]]] = {
    Kind.MODELS: {
        "Name": itemgetter("name"),
        "Model": itemgetter("network"),
        "Parameters": lambda line: f"{line['params']:,}",
        "Options": lambda line: as_typed(line["options"]),
        "Dataset": itemgetter("dataset"),
    },
    Kind.TABLES: {
        "Name": itemgetter("name"),
        "Paper": itemgetter("paper"),
        "Table": itemgetter("table"),
        "Caption": itemgetter("caption"),
        "From": _from,
    },
    Kind.DATASETS: {
        "Name": itemgetter("name"),
        "Images": itemgetter("images"),
        "Input": itemgetter("input"),
        "Classes": itemgetter("classes"),
        "From": _from,
    },
    Kind.RECIPES: {
        "Name": itemgetter("name"),
        "Paper": itemgetter("paper"),
        "Dataset": itemgetter("dataset"),
        "Length": _length,
        "Batch size": itemgetter("batch"),
        "From": _from,
    },
    Kind.RUNS: {
        "Name": itemgetter("name"),
        "Epoch": _progress,
        "Test\nerror": _error,
        "State": _state,
        "Time left": _left,
        "Seed": _seed,
        "Deviation": _deviation,
        "Changed": _changed,
        "Device": _device,
        "Where": _where,
    },
}
"""The cells of a line, by kind and heading."""
DROPPED = {Kind.RUNS: ("Device", "Changed", "Seed", "Where", "Deviation")}
"""Headings that are left out where a terminal is too narrow, the least important first; a run's name has its seed."""
WHOLE = ("Name", "Epoch", "Test\nerror", "Time left", "Seed", "Changed", "Device")
"""Headings of cells that are never broken over lines."""
