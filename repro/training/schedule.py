"""How long a run is, and the learning rate of each of its steps."""

from __future__ import annotations

import math

from repro.recipes import Recipe


def steps_per_epoch(recipe: Recipe, images: int) -> int:
    """Return the steps of an epoch; its last batch may be smaller, and is left out if the recipe says so."""
    return images // recipe.batch if recipe.drop_last else math.ceil(images / recipe.batch)


def images_per_epoch(recipe: Recipe, images: int) -> int:
    """Return the images that an epoch shows."""
    return min(images, steps_per_epoch(recipe, images) * recipe.batch)


def total_steps(recipe: Recipe, images: int) -> int:
    """Return the steps of the whole run."""
    steps = recipe.epochs * steps_per_epoch(recipe, images)
    return min(steps, recipe.iterations) if recipe.iterations else steps


def lr_at(recipe: Recipe, step: int, images: int) -> float:
    """Return the learning rate of step 0, 1, ... of a run over so many training images."""
    epoch = step // steps_per_epoch(recipe, images)
    if step < recipe.warmup_iterations:
        return recipe.warmup_lr
    if epoch < recipe.warmup_epochs:
        return recipe.lr * (epoch + 1) / (recipe.warmup_epochs + 1)
    if recipe.schedule == "cosine":
        return recipe.lr * (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2
    if recipe.schedule != "steps":
        raise ValueError(f"schedule {recipe.schedule!r} is neither cosine nor steps")
    return recipe.lr * recipe.gamma ** sum(step >= drop for drop in drops(recipe, images))


def drops(recipe: Recipe, images: int) -> list[int]:
    """Return the first steps with a smaller rate, one for each milestone."""
    length = total_steps(recipe, images)
    return [round(share * length) for share in recipe.milestones]


def resets_momentum(recipe: Recipe, step: int, images: int) -> bool:
    """Whether the optimizer forgets its momentum before a step."""
    return recipe.momentum_reset and step in drops(recipe, images)
