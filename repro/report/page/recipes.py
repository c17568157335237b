"""Recipes on the page: every value, and where it is from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from repro.comparison import Comparison
from repro.recipes import Recipe, recipe
from repro.recipes.recipe import CODE, INFERRED, PRINTED
from repro.report.notes import recipe_names
from repro.report.page.grid import Grid, Heading, Line, Shown

NO_VALUES = ("name", "paper", "origins")
KINDS = {PRINTED: "printed", CODE: "authors' code", INFERRED: "inferred"}


@dataclass(frozen=True)
class ShownRecipe:
    """A recipe with its values."""

    name: str
    paper: str
    inferred: tuple[str, ...]
    """The values that are inferred, wholly or in part."""
    grid: Grid
    unused: tuple[str, ...]
    """What recipes know and this one does not do."""


def recipes_of(comparison: Comparison) -> list[ShownRecipe]:
    """Return the recipes behind a table's errors, once each."""
    return [shown_recipe(recipe(name)) for name in recipe_names(comparison)]


def shown_recipe(recipe: Recipe) -> ShownRecipe:
    """Return a recipe as it is shown: what it sets or says the source of; the rest is named only."""
    said = recipe.values().keys() | recipe.origins.keys()
    keys = [each.name for each in fields(recipe) if each.name not in NO_VALUES]
    shown = [key for key in keys if key in said]
    return ShownRecipe(
        name=recipe.name,
        paper=recipe.paper,
        inferred=tuple(key for key in shown if INFERRED in recipe.origins.get(key, "")),
        grid=Grid(
            f"Every value of {recipe.name}",
            (Heading("Value"), Heading("Is"), Heading("From"), Heading("Place")),
            tuple(_line(recipe, key) for key in shown),
            sortable=False,
        ),
        unused=tuple(key for key in keys if key not in said),
    )


def _kind(recipe: Recipe, key: str) -> str:
    """Return `printed`, `code` or `inferred`; the table's data set needs no source of its own."""
    return recipe.origins.get(key, "").partition(":")[0].partition(";")[0]


def _line(recipe: Recipe, key: str) -> Line:
    kind = _kind(recipe, key)
    place = recipe.origins.get(key, "").removeprefix(kind).lstrip(":; ")
    value = Shown(_words(getattr(recipe, key)))
    origin = Shown(flag=KINDS[kind]) if kind == INFERRED else Shown(KINDS.get(kind, ""))
    return Line((Shown(key), value, origin, Shown(place)))


def _words(value: Any) -> str:
    """Return a value as it is read: 5e-4 as 0.0005, a list without brackets."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(_words(each) for each in value) or "the training set's own"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None or value == "" else str(value)
