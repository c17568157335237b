"""Augmenting a batch equals augmenting each image separately."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from repro.data.inputs.augment import Draws, augment, draw
from repro.data.inputs.normalise import Normalise, mean_image, normaliser
from repro.errors import UserError
from repro.recipes import RECIPES, Recipe

MIRU = RECIPES["miru2020-cifar100"]


def one_by_one(images: Tensor, draws: Draws, chosen: Recipe) -> Tensor:
    """Augment image by image with the same draws."""
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


def test_draws_are_uniform_and_made_per_image() -> None:
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
    chosen = RECIPES["densenet-cifar10"]
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(augment(images, draw(chosen, 4, torch.Generator()), chosen), images)


def test_normalisation_is_per_channel() -> None:
    pixels = torch.randint(0, 256, (8, 3, 4, 4), dtype=torch.uint8)
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    expected = (pixels / 255 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    torch.testing.assert_close(Normalise(mean, std)(pixels), expected)


def test_a_recipe_without_statistics_takes_the_training_sets() -> None:
    pixels = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8)
    normalised = normaliser(RECIPES["digits"], pixels)(pixels)
    torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised.std((0, 2, 3)), torch.ones(3), atol=1e-5, rtol=0)


def test_images_in_memory_with_a_constant_channel_need_declared_statistics() -> None:
    pixels = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8)
    pixels[:, 1] = 9
    with pytest.raises(UserError, match="a channel of the training images of digits is constant; set mean"):
        normaliser(RECIPES["digits"], pixels)
    known = replace(RECIPES["digits"], mean=(0.5,) * 3, std=(0.5,) * 3)
    assert normaliser(known, pixels)(pixels).isfinite().all()


def test_wide_resnets_of_may_2016_crop_a_batch_at_once() -> None:
    """szagoruyko/wide-residual-networks 06e84a4: one offset for a batch; since 730d723 one for each image."""
    early, later = RECIPES["wrn-cifar10-zca"], RECIPES["wrn-cifar10"]
    draws = draw(early, 1000, torch.Generator().manual_seed(0))
    offsets = [torch.stack([draws.dy, draws.dx], 1)[first : first + 128].unique(dim=0) for first in range(0, 1000, 128)]
    assert [len(each) for each in offsets] == [1] * 8
    assert len(torch.cat(offsets).unique(dim=0)) > 4
    assert len(draw(later, 128, torch.Generator().manual_seed(0)).dy.unique()) == 9


def test_wide_resnets_of_may_2016_mirror_half_of_each_batch() -> None:
    draws = draw(RECIPES["wrn-cifar10-zca"], 300, torch.Generator().manual_seed(0))
    assert [int(part.sum()) for part in draws.flip.split(128)] == [64, 64, 22]
    assert not torch.equal(draws.flip[:128], draws.flip[128:256])
    by_chance = [int(part.sum()) for part in draw(RECIPES["wrn-cifar10"], 1280, torch.Generator()).flip.split(128)]
    assert len(set(by_chance)) > 1


def test_draws_of_a_batch_also_apply_to_its_parts() -> None:
    """Several processes each have a share of a batch."""
    chosen = RECIPES["wrn-cifar10-zca"]
    draws = draw(chosen, 128, torch.Generator().manual_seed(0))
    images = torch.randn(128, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    halves = [augment(images[part], draws.at(part), chosen) for part in (slice(0, 64), slice(64, 128))]
    assert torch.equal(torch.cat(halves), augment(images, draws, chosen))


def test_the_mean_image_is_subtracted_and_nothing_divided() -> None:
    """He et al., arXiv 1512.03385, section 4.2, subtract the per-pixel mean."""
    pixels = torch.randint(256, (50, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    normalised = normaliser(RECIPES["resnet-cifar10"], pixels)(pixels)
    torch.testing.assert_close(normalised, pixels / 255 - (pixels / 255).mean(0))
    assert mean_image(pixels).shape == (3, 32, 32)
    assert normalised.std().item() == pytest.approx((pixels / 255).std().item(), rel=0.02)
