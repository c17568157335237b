"""The length of a run, and the learning rate of each of its steps.

A recipe that tunes the classifier at the end has two phases, each with its own recipe; all others have one phase.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from repro.recipes import Recipe


class Phase(NamedTuple):
    """A part of a run, and its start."""

    recipe: Recipe
    epoch: int
    """Epochs before this phase."""
    step: int
    """Steps before this phase."""

    @property
    def tunes(self) -> bool:
        """Whether only the classifier is trained."""
        return self.epoch > 0


def phases(recipe: Recipe, images: int) -> list[Phase]:
    """Return the phases of a run on `images` training images."""
    found: list[Phase] = []
    epoch = step = 0
    for each in recipe.phases:
        found.append(Phase(each, epoch, step))
        epoch, step = epoch + each.epochs, step + _length(each, images)
    return found


def phase_of_epoch(recipe: Recipe, epoch: int, images: int) -> Phase:
    """Return the phase of epoch 0, 1, ...; after the last epoch, the last phase."""
    return [each for each in phases(recipe, images) if each.epoch <= epoch][-1]


def phase_of_step(recipe: Recipe, step: int, images: int) -> Phase:
    """Return the phase of step 0, 1, ...; after the last step, the last phase."""
    return [each for each in phases(recipe, images) if each.step <= step][-1]


def images_per_epoch(recipe: Recipe, images: int) -> int:
    """Return the number of images that an epoch shows."""
    return min(images, recipe.steps_per_epoch(images) * recipe.batch)


def total_steps(recipe: Recipe, images: int) -> int:
    """Return the steps of the whole run."""
    return sum(_length(each, images) for each in recipe.phases)


def images_shown(recipe: Recipe, step: int, images: int) -> int:
    """Return the number of images that the first `step` steps of a run show."""
    shown = 0
    for each in phases(recipe, images):
        steps = min(max(0, step - each.step), _length(each.recipe, images))
        epochs, rest = divmod(steps, each.recipe.steps_per_epoch(images))
        shown += epochs * images_per_epoch(each.recipe, images) + rest * each.recipe.batch
    return shown


def epoch_at(recipe: Recipe, step: int, images: int) -> int:
    """Return the epoch 0, 1, ... of a step; after the last step, the last epoch."""
    phase = phase_of_step(recipe, step, images)
    epoch = phase.epoch + (step - phase.step) // phase.recipe.steps_per_epoch(images)
    return min(epoch, recipe.all_epochs - 1)


def first_step_of_epoch(recipe: Recipe, epoch: int, images: int) -> int:
    """Return the first step of epoch 0, 1, ...; after the last epoch, the steps of the whole run."""
    phase = phase_of_epoch(recipe, epoch, images)
    step = phase.step + (epoch - phase.epoch) * phase.recipe.steps_per_epoch(images)
    return min(step, total_steps(recipe, images))


def lr_at(recipe: Recipe, step: int, images: int, plateaus: int = 0) -> float:
    """Return the learning rate of step 0, 1, ... of a run on `images` training images.

    Args:
        recipe: the recipe.
        step: the step.
        images: number of training images.
        plateaus: how many plateaus the error had before; only the schedule `plateau` uses them.
    """
    phase = phase_of_step(recipe, step, images)
    return _lr_in_phase(phase.recipe, step - phase.step, images, plateaus)


def plateaus_in(errors: Iterable[float], patience: int) -> int:
    """Return how many plateaus the errors after each epoch have.

    A plateau is `patience` epochs in a row without a new lowest error; the next one starts after it.
    """
    lowest, waited, found = math.inf, 0, 0
    for error in errors:
        waited = 0 if error < lowest else waited + 1
        lowest = min(lowest, error)
        if waited and waited == patience:
            found, waited = found + 1, 0
    return found


def drops(recipe: Recipe, images: int) -> list[int]:
    """Return the first step with a smaller learning rate for each milestone."""
    length = _length(recipe, images)
    return [round(share * length) for share in recipe.milestones]


def resets_momentum(recipe: Recipe, step: int, images: int) -> bool:
    """Whether the momentum is set to zero before a step, at a milestone."""
    return recipe.momentum_reset and step in drops(recipe, images)


def _length(recipe: Recipe, images: int) -> int:
    """Return the steps of a phase."""
    steps = recipe.epochs * recipe.steps_per_epoch(images)
    return min(steps, recipe.iterations) if recipe.iterations else steps


def _lr_in_phase(recipe: Recipe, step: int, images: int, plateaus: int) -> float:
    epoch = step // recipe.steps_per_epoch(images)
    if step < recipe.warmup_iterations:
        risen = step / recipe.warmup_iterations if recipe.linear_warmup else 0.0
        return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * risen
    if epoch < recipe.warmup_epochs:
        return recipe.lr * (epoch + 1) / (recipe.warmup_epochs + 1)
    if recipe.schedule == "cosine":
        return recipe.lr * (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2
    return recipe.lr * recipe.gamma ** _falls(recipe, step, images, plateaus)


def _falls(recipe: Recipe, step: int, images: int, plateaus: int) -> float:
    """Return how often the learning rate was multiplied by `gamma` before a step; the exponential schedule does it in
    parts.
    """
    if recipe.schedule == "plateau":
        return plateaus
    if recipe.schedule == "exponential":
        return step / (recipe.milestones[0] * _length(recipe, images))
    return sum(step >= drop for drop in drops(recipe, images))
