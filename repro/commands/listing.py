"""`repro list`: what there is."""

from __future__ import annotations

from collections.abc import Callable

from repro.console import print_json, stdout, with_bar
from repro.counting.cache import counted_parameters
from repro.counting.count import Subject
from repro.data import DATASETS
from repro.models import MODELS, as_typed, resolve_options
from repro.names import choose
from repro.papers import read_table, table_names
from repro.recipes import RECIPES, Recipe, recipe

Line = dict[str, object]


def _models() -> list[Line]:
    """Return every network, with its parameters as its paper trains it, options at their defaults."""
    subjects = [subject_of(name) for name in MODELS]
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


def subject_of(model: str) -> Subject:
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
HEADINGS = {"dataset": "data set", "weight_decay": "weight decay"}


def run(what: str, format: str) -> None:
    """Show what there is of a kind."""
    lines = KINDS[choose("list", what, KINDS)]()
    if choose("format", format, ("rich", "json")) == "json":
        print_json(lines)
        return
    from rich.table import Table

    grid = Table()
    for number, key in enumerate(lines[0]):
        # A name is copied from here, and so never cut.
        grid.add_column(HEADINGS.get(key, key), overflow="fold", no_wrap=number == 0)
    for line in lines:
        grid.add_row(*map(_cell, line.values()))
    stdout().print(grid)


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return as_typed(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
