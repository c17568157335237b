"""How long a run is, and the learning rate of each of its steps."""

from __future__ import annotations

import math

from repro.recipes import Recipe


def steps_per_epoch(recipe: Recipe, images: int) -> int:
    """Return the steps that show every image once; the last batch may be smaller."""
    return math.ceil(images / recipe.batch)


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
    length = total_steps(recipe, images)
    if recipe.schedule != "steps":
        raise ValueError(f"schedule {recipe.schedule!r} is neither cosine nor steps")
    passed = sum(step >= round(share * length) for share in recipe.milestones)
    return recipe.lr * recipe.gamma**passed
