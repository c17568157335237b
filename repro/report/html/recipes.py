"""Recipes on the page: every value, and where it is from."""

from __future__ import annotations

from dataclasses import dataclass

from repro.comparison.join import Comparison
from repro.recipes import Recipe, recipe
from repro.recipes.recipe import INFERRED
from repro.recipes.values import Value, unused, values_of
from repro.report.html.grid import Grid, Heading, Line, Shown
from repro.report.legend import ORIGINS
from repro.report.notes import recipe_names


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
    values = values_of(recipe)
    return ShownRecipe(
        name=recipe.name,
        paper=recipe.paper,
        inferred=tuple(each.name for each in values if each.inferred),
        grid=Grid(
            f"Every value of {recipe.name}",
            (Heading("Value"), Heading("Is"), Heading("From"), Heading("Place")),
            tuple(map(_line, values)),
            sortable=False,
        ),
        unused=tuple(unused(recipe)),
    )


def _line(value: Value) -> Line:
    origin = ORIGINS.get(value.origin, "")
    shown = Shown(flag=origin) if value.origin == INFERRED else Shown(origin)
    return Line((Shown(value.name), Shown(value.words), shown, Shown(value.place)))
