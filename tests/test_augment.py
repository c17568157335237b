"""Augmentation in a batch is that of every image by itself."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from repro.data.augment import Draws, Normalise, augment, draw, normaliser
from repro.recipes import Recipe, recipe

MIRU = recipe("miru2020-cifar100")


def one_by_one(images: Tensor, draws: Draws, chosen: Recipe) -> Tensor:
    """Augment in a plain loop with the same draws."""
    result = []
    mode = "constant" if chosen.padding_mode == "zero" else chosen.padding_mode
    for i, image in enumerate(images):
        padded = F.pad(image[None], (chosen.crop_padding,) * 4, mode=mode)[0]
        y, x = int(draws.dy[i]), int(draws.dx[i])
        crop = padded[:, y : y + 32, x : x + 32]
        result.append(crop.flip(2) if draws.flip[i] and chosen.flip else crop)
    return torch.stack(result)


@pytest.mark.parametrize("mode", ["reflect", "zero"])
@pytest.mark.parametrize("flip", [True, False])
def test_a_batch_is_bit_equal_to_a_loop(mode: str, flip: bool) -> None:
    chosen = replace(MIRU, padding_mode=mode, flip=flip)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(64, 3, 32, 32, generator=generator)
    draws = draw(chosen, 64, generator)
    assert torch.equal(augment(images, draws, chosen), one_by_one(images, draws, chosen))


def test_draws_are_uniform_and_of_each_image() -> None:
    draws = draw(MIRU, 90_000, torch.Generator().manual_seed(0))
    for offsets in (draws.dy, draws.dx):
        counts = offsets.bincount()
        assert len(counts) == 9
        assert counts.min() > 9_500
        assert counts.max() < 10_500
    assert draws.flip.float().mean().item() == pytest.approx(0.5, abs=0.01)


def test_reflect_and_zero_padding_differ_at_the_border() -> None:
    images = torch.ones(1, 3, 32, 32)
    corner = Draws(torch.tensor([0]), torch.tensor([0]), torch.tensor([False]))
    assert augment(images, corner, MIRU).eq(1).all()
    zero = augment(images, corner, replace(MIRU, padding_mode="zero"))
    assert zero[0, :, :4].eq(0).all()
    assert zero[0, :, 4:, 4:].eq(1).all()


def test_a_recipe_without_augmentation_leaves_images_alone() -> None:
    chosen = recipe("densenet-cifar10")
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(augment(images, draw(chosen, 4, torch.Generator()), chosen), images)


def test_normalisation_is_per_channel() -> None:
    pixels = torch.randint(0, 256, (8, 3, 4, 4), dtype=torch.uint8)
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    expected = (pixels / 255 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    torch.testing.assert_close(Normalise(mean, std)(pixels), expected)


def test_a_recipe_without_statistics_takes_the_training_sets() -> None:
    pixels = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8)
    normalised = normaliser(recipe("digits"), pixels)(pixels)
    torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised.std((0, 2, 3)), torch.ones(3), atol=1e-5, rtol=0)
