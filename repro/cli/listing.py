"""`repro list`: models, tables, datasets, recipes and runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repro.api.listing import dataset_lines, model_lines, origin, recipe_lines, table_lines
from repro.api.run_lines import run_lines
from repro.cli.lines import Kind, grid_of, reasons_of
from repro.cli.options.shared import AnswerFormat, Format, Runs, completing
from repro.cli.suggestion import after_runs, suggest, with_folders
from repro.console import note, print_json, print_line, stdout
from repro.errors import UserError
from repro.models import as_typed
from repro.paths import Folders, checked_folders
from repro.recipes import RECIPES, Recipe, current_library
from repro.recipes.source import sources_text
from repro.recipes.values import unused, values_of
from repro.store.run_state import RunState
from repro.text import choose

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LISTED: Mapping[Kind, Callable[[], Sequence[DataclassInstance]]] = {
    Kind.MODELS: model_lines,
    Kind.TABLES: table_lines,
    Kind.DATASETS: dataset_lines,
    Kind.RECIPES: recipe_lines,
}
"""What returns the lines of each kind but runs."""
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
        help="With recipes: the recipe whose values and sources are shown.",
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
        _show_recipe(RECIPES[choose("recipe", name, RECIPES)], format)
        return
    folders = checked_folders(runs=runs)
    if watch:
        _watch(folders.runs, format)
    elif what == Kind.RUNS:
        _list_runs(folders, format)
    else:
        _list(what, format)


def _list(kind: Kind, format: AnswerFormat) -> None:
    """List what is of a kind, other than runs."""
    lines = LISTED[kind]()
    if format == AnswerFormat.JSON:
        print_json({kind.value: [asdict(each) for each in lines]})
        return
    stdout().print(grid_of(kind, lines))
    if kind == Kind.RECIPES:
        stdout().print("repro list recipes NAME shows every value and its source.", style="dim")
    suggest(NEXT[kind])


def _list_runs(folders: Folders, format: AnswerFormat) -> None:
    """List runs; names and commands are never cut, so that they can be copied."""
    lines = run_lines(folders.runs)
    if format == AnswerFormat.JSON:
        print_json({Kind.RUNS.value: [asdict(each) for each in lines]})
        return
    if not lines:
        note(f"there are no runs in {folders.runs} yet")
        suggest(with_folders("repro train resnet20 --dataset digits", folders, "runs"))
        return
    stdout().print(grid_of(Kind.RUNS, lines))
    for reason in reasons_of(lines):
        print_line(reason)
    for run in lines:
        if run.command:
            print_line(f"{'train' if run.state is RunState.MISSING else 'resume'}: {run.command}")
        if run.log and run.state in (RunState.STOPPED, RunState.MISSING):
            print_line(f"log of {run.name}: {run.log}")
    suggest(after_runs(lines, folders))


def _watch(folder: Path, format: AnswerFormat) -> None:
    """Show the runs in a folder again and again, until the user ends it."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    if format == AnswerFormat.JSON or not stdout().file.isatty():
        raise UserError("--watch refreshes a terminal; leave it out for a file, a pipe or --format json")
    with Live(console=stdout(), screen=True, auto_refresh=False) as live:
        while True:
            lines = run_lines(folder)
            live.update(Group(grid_of(Kind.RUNS, lines), *map(Text, reasons_of(lines))), refresh=True)
            time.sleep(WATCH_SECONDS)


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
    grid = empty_grid()
    alternatives = ("Alternatives",) if chosen.alternatives else ()
    for heading in ("Setting", "Value", *alternatives, "Source"):
        grid.add_column(heading)
    for each in values:
        others = (each.alternatives_text,) if alternatives else ()
        grid.add_row(*map(escape, (each.name, each.text, *others, sources_text(each.sources))))
    stdout().print(Fitted(grid, title=f"{chosen.name} ({chosen.paper})"))
    if file := origin(chosen.file):
        print_line(f"From: {file}", "dim")
    if extended := current_library().reading.extends.get(chosen.name):
        print_line(f"Extends: {extended}", "dim")
    if chosen.default_for:
        stdout().print(f"Default for: {_defaults(chosen)}", style="dim")
    stdout().print(f"Not used: {', '.join(unused(chosen))}", style="dim")


def _defaults(chosen: Recipe) -> str:
    """Return the models for which a recipe is the default, with the options that they need."""
    models = ", ".join("every model" if each == "*" else each for each in chosen.default_for)
    return f"{models} {as_typed(chosen.default_with)}".strip() + f" on {chosen.dataset}"
