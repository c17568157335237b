"""Values of a recipe that have an effect only together with others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from repro.recipes.recipe import Recipe


@dataclass(frozen=True)
class Condition:
    """What a value needs to have an effect."""

    text: str
    holds: Callable[[Recipe], bool]


def _falls_by_gamma(recipe: Recipe) -> bool:
    return recipe.schedule == "plateau" or (recipe.schedule in AT_MILESTONES and bool(recipe.milestones))


AT_MILESTONES = ("steps", "exponential")
"""The schedules that use `milestones`."""


EFFECTS: Mapping[str, Condition] = {
    "milestones": Condition(
        'schedule = "steps" or "exponential", or momentum_reset',
        lambda recipe: recipe.schedule in AT_MILESTONES or bool(recipe.momentum_reset and recipe.momentum),
    ),
    "gamma": Condition('milestones and schedule = "steps" or "exponential", or schedule = "plateau"', _falls_by_gamma),
    "patience": Condition('schedule = "plateau"', lambda recipe: recipe.schedule == "plateau"),
    "momentum_reset": Condition("milestones and momentum", lambda recipe: bool(recipe.milestones and recipe.momentum)),
    "warmup_lr": Condition("warmup_iterations", lambda recipe: recipe.warmup_iterations > 0),
    "linear_warmup": Condition("warmup_iterations", lambda recipe: recipe.warmup_iterations > 0),
    "decay_scope": Condition("a weight_decay above 0", lambda recipe: recipe.weight_decay > 0),
    "padding_mode": Condition("crop_padding", lambda recipe: recipe.crop_padding > 0),
    "batchnorm_images": Condition("a larger batch", lambda recipe: recipe.batchnorm_images < recipe.batch),
    "elastic_grid": Condition("elastic", lambda recipe: recipe.elastic > 0),
    "border_sigma": Condition("border_weight", lambda recipe: recipe.border_weight > 0),
}
"""What each value needs; contradictions.py has what is refused, and every other value always has an effect."""


def without_effect(recipe: Recipe) -> Iterator[tuple[str, Condition]]:
    """Yield the values that a recipe states without effect, with what they need; 0 and empty values are left out."""
    for name, need in EFFECTS.items():
        if name in recipe.stated and getattr(recipe, name) and not need.holds(recipe):
            yield name, need
