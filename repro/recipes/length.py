"""The length of an epoch of a recipe."""

from __future__ import annotations

import math

from repro.recipes.recipe import Recipe


def steps_per_epoch(recipe: Recipe, images: int) -> int:
    """Return the steps of an epoch on `images` training images. The last batch may be smaller; some recipes drop it."""
    return images // recipe.batch if recipe.drop_last else math.ceil(images / recipe.batch)
