"""How the papers trained their networks: TOML files of the papers, independent of hardware and speed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from repro.models import OptionValue
from repro.models.outside.location import bare, is_outside
from repro.recipes.library import Library, current_library, find_network, network_folders, within
from repro.recipes.overrides import SETTABLE, overridden, overrides_of
from repro.recipes.reading import read_recipes
from repro.recipes.recipe import Recipe
from repro.recipes.source import Source, SourceKind

__all__ = [
    "RECIPES",
    "SETTABLE",
    "Library",
    "Recipe",
    "Source",
    "SourceKind",
    "current_library",
    "default_recipe",
    "deviations",
    "find_network",
    "former_recipes",
    "has_default",
    "network_folders",
    "overridden",
    "overrides_of",
    "read_recipes",
    "within",
]


class Recipes(Mapping[str, Recipe]):
    """The recipes of the current library, by name."""

    def __getitem__(self, name: str) -> Recipe:
        return current_library().recipes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(current_library().recipes)

    def __len__(self) -> int:
        return len(current_library().recipes)


RECIPES = Recipes()


@cache
def former_recipes() -> Mapping[str, Recipe]:
    """Return the recipes as they were before a correction; they show how the runs of that time deviate."""
    return read_recipes(sorted((Path(__file__).parent / "former").glob("*.toml")))


def default_recipe(model: str, dataset: str, options: Mapping[str, OptionValue]) -> str | None:
    """Return the name of the recipe that a model uses by default on a dataset, None if there is none.

    If several recipes fit, one that names the model is chosen before one for all models, and then the one that requires
    the most options.

    Args:
        model: the name of a network; recipes name one from outside the package without its folder and its version.
        dataset: the name of a dataset.
        options: all options of the model, also those with their default values.
    """
    named = _named(model)
    fitting = [each for each in RECIPES.values() if each.is_default(named, dataset, options)]
    return max(fitting, key=lambda each: (named in each.default_for, len(each.default_with))).name if fitting else None


def has_default(model: str, dataset: str) -> bool:
    """Whether a model uses a recipe by default on a dataset, if perhaps only with some options."""
    wanted = {_named(model), "*"}
    return any(each.dataset == dataset and wanted & {*each.default_for} for each in RECIPES.values())


def _named(model: str) -> str:
    return bare(model) if is_outside(model) else model


def deviations(changed: Recipe) -> list[str]:
    """Return what differs from the recipe of the same name, as `epochs=1 (300)`; empty for a faithful one."""
    return changed.differences(RECIPES[changed.name])
