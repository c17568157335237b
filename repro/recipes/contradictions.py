"""Values of a recipe that exclude each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

from repro.recipes.recipe import Recipe

_REASONS: Mapping[str, Callable[[Recipe], bool]] = {
    "nesterov needs optimizer=sgd": lambda recipe: recipe.nesterov and recipe.optimizer != "sgd",
    "an optimizer of RMSprop needs square_decay and epsilon above 0": lambda recipe: (
        recipe.optimizer != "sgd" and not (recipe.square_decay and recipe.epsilon)
    ),
    "square_decay and epsilon need an optimizer of RMSprop": lambda recipe: bool(
        recipe.optimizer == "sgd" and (recipe.square_decay or recipe.epsilon)
    ),
    "schedule=plateau needs a patience of at least 1": lambda recipe: (
        recipe.schedule == "plateau" and not recipe.patience
    ),
    "schedule=exponential needs milestones at equal distances from the start": lambda recipe: (
        recipe.schedule == "exponential" and not _evenly_spaced(recipe.milestones)
    ),
    "milestones must be strictly increasing": lambda recipe: any(
        one >= other for one, other in pairwise(recipe.milestones)
    ),
    "scaled_crop and random_crop exclude each other; set one of them": lambda recipe: bool(
        recipe.scaled_crop and recipe.random_crop
    ),
    "random_crop needs a shorter_side of at least its size": lambda recipe: recipe.shorter_side < recipe.random_crop,
    "shorter_side, shorter_side_max and square need random_crop": lambda recipe: bool(
        (recipe.shorter_side or recipe.shorter_side_max or recipe.square) and not recipe.random_crop
    ),
    "shorter_side_max must be above shorter_side": lambda recipe: 0 < recipe.shorter_side_max <= recipe.shorter_side,
    "tune_epochs needs scaled_crop": lambda recipe: bool(recipe.tune_epochs and recipe.random_crop),
    "nesterov needs a momentum above 0": lambda recipe: recipe.nesterov and not recipe.momentum,
    "mean and std need equally many numbers; set both": lambda recipe: len(recipe.mean) != len(recipe.std),
    "std must be above 0": lambda recipe: 0 in recipe.std,
    "preprocessing is used instead of mean and std": lambda recipe: bool(recipe.preprocessing and recipe.mean),
    "reported=lowest-validation needs validation_images": lambda recipe: (
        recipe.reported == "lowest-validation" and not recipe.validation_images
    ),
    "warmup_iterations needs a warmup_lr above 0": lambda recipe: bool(
        recipe.warmup_iterations and not recipe.warmup_lr
    ),
    "flip_half needs flip": lambda recipe: recipe.flip_half and not recipe.flip,
    "crop_draw=batch needs crop_padding": lambda recipe: recipe.crop_draw == "batch" and not recipe.crop_padding,
    "tune_batch and tune_lr need tune_epochs": lambda recipe: bool(
        (recipe.tune_batch or recipe.tune_lr) and not recipe.tune_epochs
    ),
    "tune_epochs needs tune_batch and tune_lr": lambda recipe: bool(
        recipe.tune_epochs and not (recipe.tune_batch and recipe.tune_lr)
    ),
    "tune_epochs and iterations exclude each other": lambda recipe: bool(recipe.tune_epochs and recipe.iterations),
    "elastic needs an elastic_grid of at least 2": lambda recipe: bool(recipe.elastic and recipe.elastic_grid < 2),
    "border_weight needs a border_sigma above 0": lambda recipe: bool(recipe.border_weight and not recipe.border_sigma),
}


def _evenly_spaced(milestones: tuple[float, ...]) -> bool:
    """Whether there are milestones, all multiples of the first one."""
    return (
        bool(milestones)
        and milestones[0] > 0
        and all(math.isclose(each, number * milestones[0]) for number, each in enumerate(milestones, 1))
    )


def contradiction(recipe: Recipe) -> str | None:
    """Return the first reason why a recipe's values exclude each other; None if they do not."""
    return next((reason for reason, excluded in _REASONS.items() if excluded(recipe)), None)
