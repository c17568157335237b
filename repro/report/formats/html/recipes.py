"""Recipes on the page: every value and its source."""

from __future__ import annotations

from dataclasses import dataclass

from repro.comparison.join import Comparison
from repro.recipes import RECIPES, Recipe, SourceKind
from repro.recipes.values import Value, unused, values_of
from repro.report.grid import Grid, Heading, Line, Shown, Tag
from repro.report.notes import recipe_names


@dataclass(frozen=True)
class ShownRecipe:
    """A recipe with its values."""

    name: str
    paper: str
    inferred: tuple[str, ...]
    """The names of the values that are inferred, wholly or in part."""
    grid: Grid
    unused: tuple[str, ...]
    """The names of the values that the recipe leaves at their defaults."""


def recipes_of(comparison: Comparison) -> list[ShownRecipe]:
    """Return the recipes of a table's errors, without repetitions."""
    return [shown_recipe(RECIPES[name]) for name in recipe_names(comparison)]


def shown_recipe(recipe: Recipe) -> ShownRecipe:
    """Return a recipe as it is shown: the values that it gives, and only the names of the others."""
    values = values_of(recipe)
    return ShownRecipe(
        name=recipe.name,
        paper=recipe.paper,
        inferred=tuple(each.name for each in values if each.inferred),
        grid=Grid(
            f"Every value of {recipe.name}",
            (Heading("Setting"), Heading("Value"), Heading("Source"), Heading("Detail")),
            tuple(map(_line, values)),
            sortable=False,
        ),
        unused=tuple(unused(recipe)),
    )


def _line(value: Value) -> Line:
    label = value.kind.label if value.kind else ""
    kind = Shown(tags=(Tag(label, tone="unsure"),)) if value.kind is SourceKind.INFERRED else Shown(label)
    others = (f"alternatives: {value.alternatives_text}",) if value.alternatives else ()
    return Line((Shown(value.name), Shown(value.text, notes=others), kind, Shown(value.detail)))
