"""How the papers trained their networks: one TOML file per paper, independent of hardware and speed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from repro.models import OptionValue
from repro.recipes.overrides import overridden, overrides_of
from repro.recipes.reading import RecipeFolder, read_recipes
from repro.recipes.recipe import Recipe
from repro.recipes.source import Source, SourceKind

__all__ = [
    "FORMER",
    "RECIPES",
    "Recipe",
    "RecipeFolder",
    "Source",
    "SourceKind",
    "default_recipe",
    "deviations",
    "overridden",
    "overrides_of",
    "read_recipes",
    "recipe",
]

RECIPES = RecipeFolder(Path(__file__).parent)
"""The recipes of the package."""

FORMER = RecipeFolder(Path(__file__).parent / "former")
"""Recipes as they were before a correction; they show how the runs of that time deviate."""


def recipe(name: str) -> Recipe:
    """Return a recipe of the package; KeyError for an unknown name."""
    return RECIPES[name]


def default_recipe(model: str, dataset: str, options: Mapping[str, OptionValue]) -> str | None:
    """Return the name of the recipe that a model uses by default on a dataset, None if there is none.

    If several recipes fit, the one that requires the most options is chosen.
    """
    fitting = [each for each in RECIPES.values() if each.is_default(model, dataset, options)]
    return max(fitting, key=lambda each: len(each.default_with)).name if fitting else None


def deviations(changed: Recipe) -> list[str]:
    """Return what differs from the recipe of the same name, as `epochs=1 (300)`; empty for a faithful one."""
    return changed.differences(recipe(changed.name))
