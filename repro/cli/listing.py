"""`repro list`: what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from repro.console import print_json, stderr, stdout, with_bar
from repro.counting.cache import counted_parameters
from repro.counting.count import Subject
from repro.data import DATASETS
from repro.errors import UserError
from repro.models import MODELS, as_typed, resolve_options
from repro.recipes import RECIPES, Recipe, recipe
from repro.recipes.values import unused, values_of
from repro.store.run_folders import runs_in
from repro.tables import read_table, table_names
from repro.text import choose

Line = Mapping[str, Any]


def run(what: str, name: str | None, runs: Path | None, format: str) -> None:
    """Show what there is of a kind, or one recipe whole.

    Args:
        what: the kind.
        name: of a recipe, to see all of it.
        runs: where the user's runs lie, unless where they usually do.
        format: rich or json.
    """
    folder = runs or Path("runs")
    kinds: dict[str, Callable[[], list[Line]]] = {
        "models": _models,
        "tables": _tables,
        "datasets": _datasets,
        "recipes": _recipes,
        "runs": partial(_runs, folder),
    }
    kind, format = choose("list", what, kinds), choose("format", format, ("rich", "json"))
    if runs and kind != "runs":
        raise UserError(f"--runs goes with repro list runs; {kind} come with the program")
    if name is not None:
        if kind != "recipes":
            raise UserError(f"repro list {kind} takes no name; repro count MODEL and repro table NAME show one")
        _show_recipe(recipe(choose("recipe", name, RECIPES)), format)
        return
    lines = kinds[kind]()
    if format == "json":
        print_json(lines)
    elif lines:
        _show(kind, lines)
    else:
        stderr().print(f"there are no runs in {folder} yet; repro train begins one", soft_wrap=True, markup=False)


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
        {
            "name": name,
            "images": spec.summary,
            "train_images": spec.train_images or None,
            "test_images": spec.test_images or None,
            "input": "x".join(map(str, spec.input)),
            "classes": spec.classes,
        }
        for name, spec in DATASETS.items()
    ]


def _recipes() -> list[Line]:
    keys = ("name", "paper", "dataset", "epochs", "iterations", "tune_epochs", "batch", "lr", "schedule")
    recipes = [recipe(name) for name in RECIPES]
    return [{key: getattr(each, key) for key in (*keys, "weight_decay")} for each in recipes]


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


def _show(kind: str, lines: Sequence[Line]) -> None:
    """Show a line of each; names and commands are copied from here, and so never cut."""
    from rich.markup import escape

    from repro.report.grid import Fitted, empty_grid

    grid = empty_grid()
    for heading in COLUMNS[kind]:
        grid.add_column(heading, no_wrap=heading == "Name")
    for line in lines:
        grid.add_row(*(escape(str(cell(line))) for cell in COLUMNS[kind].values()))
    stdout().print(Fitted(grid))
    for line in lines:
        if line.get("command"):
            stdout().print(f"goes on: {line['command']}", soft_wrap=True, markup=False)
    if kind == "recipes":
        stdout().print("repro list recipes NAME shows every value, and where it is from", style="dim")


def _length(recipe: Line) -> str:
    """Return how long a recipe trains, and how long it then tunes the classifier."""
    if recipe["iterations"]:
        return f"{recipe['iterations']:,} steps"
    tuning = f" + {recipe['tune_epochs']}" if recipe["tune_epochs"] else ""
    return f"{recipe['epochs']:,}{tuning} epochs"


def _progress(run: Line) -> str:
    """Return the last epoch that is over, of how many."""
    return f"{run['epoch'] or 0} of {'?' if run['epochs'] is None else run['epochs']}"


def _error(run: Line) -> str:
    return "–" if run["test_error"] is None else f"{run['test_error']:.2f} %"


def _show_recipe(chosen: Recipe, format: str) -> None:
    """Show every value of a recipe, and where it is from."""
    values = values_of(chosen)
    if format == "json":
        said = {each.name: {"value": each.value, "origin": each.origin or None, "place": each.place} for each in values}
        print_json({"name": chosen.name, "paper": chosen.paper, "values": said, "unused": unused(chosen)})
        return
    from rich.markup import escape

    from repro.report.grid import Fitted, empty_grid
    from repro.report.legend import ORIGINS

    grid = empty_grid(f"{chosen.name}: {chosen.paper}")
    for heading in ("Value", "Is", "From"):
        grid.add_column(heading)
    for each in values:
        source = ": ".join(part for part in (ORIGINS.get(each.origin), each.place) if part)
        grid.add_row(*map(escape, (each.name, each.words, source)))
    stdout().print(Fitted(grid))
    stdout().print(f"Not used: {', '.join(unused(chosen))}", style="dim")


COLUMNS: dict[str, dict[str, Callable[[Line], object]]] = {
    "models": {
        "Name": itemgetter("name"),
        "Network": itemgetter("network"),
        "Parameters": lambda line: f"{line['params']:,}",
        "Options": lambda line: as_typed(line["options"]),
        "Data set": itemgetter("dataset"),
    },
    "tables": {
        "Name": itemgetter("name"),
        "Paper": itemgetter("paper"),
        "Table": itemgetter("table"),
        "Caption": itemgetter("caption"),
    },
    "datasets": {
        "Name": itemgetter("name"),
        "Images": itemgetter("images"),
        "Input": itemgetter("input"),
        "Classes": itemgetter("classes"),
    },
    "recipes": {
        "Name": itemgetter("name"),
        "Paper": itemgetter("paper"),
        "Data set": itemgetter("dataset"),
        "Length": _length,
        "Batch": itemgetter("batch"),
    },
    "runs": {
        "Name": itemgetter("name"),
        "Epoch": _progress,
        "Test error": _error,
        "State": itemgetter("state"),
    },
}
"""What is shown of a line, by kind and heading."""
