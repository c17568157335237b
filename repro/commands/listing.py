"""`repro list`: what there is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from repro.console import print_json, stderr, stdout, with_bar
from repro.counting.cache import counted_parameters
from repro.counting.count import Subject
from repro.data import DATASETS
from repro.errors import UserError
from repro.models import MODELS, as_typed, resolve_options
from repro.names import choose
from repro.papers import read_table, table_names
from repro.recipes import RECIPES, Recipe, recipe
from repro.runs import runs_in

Line = dict[str, object]


def _models() -> list[Line]:
    """Return every network, with its parameters as its paper trains it, options at their defaults."""
    subjects = [default_subject(name) for name in MODELS]
    params = counted_parameters(subjects, lambda missing: with_bar(missing, "counting parameters"))
    return [
        {
            "name": name,
            "network": spec.summary,
            "params": each,
            "options": dict(spec.options),
            "dataset": spec.dataset,
        }
        for (name, spec), each in zip(MODELS.items(), params, strict=True)
    ]


def default_subject(model: str) -> Subject:
    """Return what is counted of a network: its defaults on its paper's data set."""
    spec = DATASETS[MODELS[model].dataset]
    return Subject(model, resolve_options(model, {}, MODELS[model].dataset), spec.input, spec.classes)


def _tables() -> list[Line]:
    tables = [read_table(name) for name in table_names()]
    return [{"name": each.name, "paper": each.paper, "table": each.title, "caption": each.caption} for each in tables]


def _datasets() -> list[Line]:
    return [
        {"name": name, "images": spec.summary, "input": "x".join(map(str, spec.input)), "classes": spec.classes}
        for name, spec in DATASETS.items()
    ]


def _recipes() -> list[Line]:
    recipes = [recipe(name) for name in RECIPES]
    return [
        {
            "name": each.name,
            "paper": each.paper,
            "dataset": each.dataset,
            "length": _length(each),
            "batch": each.batch,
            "lr": each.lr,
            "schedule": each.schedule,
            "weight_decay": each.weight_decay,
        }
        for each in recipes
    ]


def _runs(folder: Path) -> list[Line]:
    """Return how far the runs of a folder are, and the commands that go on with those that wait."""
    return [
        {
            "name": run.folder.name,
            "epoch": run.last and run.last.epoch,
            "epochs": run.epochs,
            "test_error": run.last.test_error if run.last else None,
            "state": run.state,
            "command": run.command,
        }
        for run in runs_in(folder)
    ]


def _length(recipe: Recipe) -> str:
    """Return how long a recipe trains, and how long it then tunes the classifier."""
    if recipe.iterations:
        return f"{recipe.iterations} iterations"
    return f"{recipe.epochs}{f' + {recipe.tune_epochs}' if recipe.tune_epochs else ''} epochs"


KINDS: dict[str, Callable[[], list[Line]]] = {
    "models": _models,
    "tables": _tables,
    "datasets": _datasets,
    "recipes": _recipes,
}
HEADINGS = {"dataset": "data set", "weight_decay": "weight decay", "test_error": "test error"}


def run(what: str, runs: Path | None, format: str) -> None:
    """Show what there is of a kind; `runs` is where those of the user lie, unless where they usually do."""
    folder = runs or Path("runs")
    kinds: dict[str, Callable[[], list[Line]]] = {**KINDS, "runs": partial(_runs, folder)}
    kind, format = choose("list", what, kinds), choose("format", format, ("rich", "json"))
    if runs and kind != "runs":
        raise UserError(f"--runs goes with repro list runs; {kind} come with the program")
    lines = kinds[kind]()
    if format == "json":
        print_json(lines)
    elif lines:
        _show(lines)
    else:
        stderr().print(f"there are no runs in {folder} yet; repro train begins one", soft_wrap=True, markup=False)


def _show(lines: list[Line]) -> None:
    """Show a table of what there is; names and commands are copied from here, and so never cut."""
    from rich.table import Table

    grid = Table()
    keys = [key for key in lines[0] if key != "command"]
    for key in keys:
        grid.add_column(HEADINGS.get(key, key), overflow="fold", no_wrap=key == "name")
    for line in lines:
        grid.add_row(*(_cell(line[key]) for key in keys))
    stdout().print(grid)
    for line in lines:
        if line.get("command"):
            stdout().print(f"goes on: {line['command']}", soft_wrap=True, markup=False)


def _cell(value: object) -> str:
    from rich.markup import escape

    if value is None:
        return "–"
    if isinstance(value, dict):
        return as_typed(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))
