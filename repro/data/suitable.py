"""The images of a dataset as a recipe trains on them, and whether it suits them: channels, size and number."""

from __future__ import annotations

import math
from collections.abc import Iterable

from repro.data import DATASETS, DatasetKind, why_unknown
from repro.errors import Mistake, UserError, refuse
from repro.models.options import Shape
from repro.recipes import Recipe
from repro.recipes.alternatives import alternatives_of


def trained_on(recipe: Recipe) -> int:
    """Return the number of images that a recipe trains on: those of its dataset without the validation images."""
    return DATASETS[recipe.dataset].train_images - recipe.validation_images


def training_input(recipe: Recipe) -> Shape:
    """Return C, H, W of what a recipe shows a network in training."""
    input, side = DATASETS[recipe.dataset].input, recipe.train_side
    return (input[0], side, side) if side else input


def check_recipes(recipes: Iterable[Recipe]) -> None:
    """Refuse recipes of an unknown dataset, and those that do not suit its images; WrongFiles with all of them."""
    mistakes = list[Mistake]()
    for each in recipes:
        try:
            if each.dataset not in DATASETS:
                raise UserError(why_unknown(each.dataset))
            check_images(each, each)
            _check_alternatives(each)
        except UserError as error:
            mistakes.append(each.place.mistake(str(error)))
    refuse(mistakes)


def _check_alternatives(recipe: Recipe) -> None:
    for each in alternatives_of(recipe):
        try:
            check_images(each.of(recipe), recipe)
        except UserError as error:
            raise UserError(f"{each.name}: the alternative {each.text} is invalid: {error}") from None


def check_images(recipe: Recipe, usual: Recipe) -> None:
    """Raise UserError if a recipe, which was changed from the usual one, does not suit the images of its dataset."""
    data = DATASETS[recipe.dataset]
    channels, *sides = data.input
    if len(recipe.mean) not in (0, channels):
        raise UserError(
            f"mean and std need one number per channel, and images of {recipe.dataset} have {channels}; "
            "value = [] (on the command line --set mean= --set std=) takes those of the dataset"
        )
    if recipe.lighting and channels != 3:
        raise UserError(f"lighting is for images in RGB, and images of {recipe.dataset} have {channels} channel")
    if recipe.crop_padding > min(sides):
        raise UserError(f"crop_padding={recipe.crop_padding} is more than the side of images of {min(sides)} pixels")
    if recipe.padding_mode == "reflect" and recipe.crop_padding >= min(sides):
        raise UserError(f"crop_padding={recipe.crop_padding} is too large to mirror images of {min(sides)} pixels")
    images = trained_on(recipe)
    _check_batches(recipe, usual, images)
    _check_iterations(recipe, images, as_stated=recipe is usual)
    if data.declared:
        _check_size(recipe, data.kind, data.declared.size)


def _check_batches(recipe: Recipe, usual: Recipe, images: int) -> None:
    """Raise UserError if a phase with drop_last has no batch, or if the batch was raised above the images."""
    if images < 1:
        return
    for name, each in zip(("batch", "tune_batch"), recipe.phases, strict=False):
        if recipe.drop_last and each.batch > images:
            raise UserError(f"{name}={each.batch} with drop_last leaves no batch of {recipe.dataset}")
    if images < recipe.batch > usual.batch:
        raise UserError(f"batch={recipe.batch} is more than the {images:,} training images of {recipe.dataset}")


def _check_size(recipe: Recipe, kind: DatasetKind, size: int) -> None:
    """Raise UserError if neither training nor test shows the network images of the declared size.

    A network is built and counted for that size. Its test may have larger images than its training.
    """
    if kind is DatasetKind.IMAGE_FILES:
        sides = [recipe.train_side, recipe.test_crop]
        keys = f"{'random_crop' if recipe.random_crop else 'scaled_crop'} and test_crop"
    elif kind is DatasetKind.SEGMENTATION and recipe.tile:
        sides, keys = [recipe.train_side], "tile + 2 margin"
    else:
        return
    if all(sides) and size not in sides:
        shown = " and ".join(dict.fromkeys(f"{side}x{side}" for side in sides))
        raise UserError(
            f"size of {recipe.dataset} is {size}, but the recipe shows the network {shown} pixels; "
            f"set size = {sides[-1]}, or {keys} to {size}"
        )


def _check_iterations(recipe: Recipe, images: int, *, as_stated: bool) -> None:
    """Raise UserError if the epochs of a recipe have fewer steps than its iterations, which would not be reached.

    With `as_stated`, also if whole epochs follow after the iterations: a recipe may inherit them and state the epochs.
    """
    if not recipe.iterations or images < 1:
        return
    steps = recipe.steps_per_epoch(images)
    if recipe.iterations > recipe.epochs * steps:
        raise UserError(
            f"iterations={recipe.iterations} is more than the {recipe.epochs * steps} of epochs={recipe.epochs} with "
            f"{steps} steps each; change one of iterations, epochs and batch too"
        )
    if as_stated and recipe.iterations <= (recipe.epochs - 1) * steps:
        last = math.ceil(recipe.iterations / steps)
        raise UserError(
            f"iterations={recipe.iterations} ends the run in epoch {last}, before epochs={recipe.epochs}; state both"
        )
