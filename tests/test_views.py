"""A random part of a scaled image, next to torchvision's own steps."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from repro.data.inputs.views import RandomPart
from repro.recipes import RECIPES

PAPER = RECIPES["resnet-imagenet"]
SIZES = [(300, 260), (260, 301), (500, 375), (640, 480)]


def picture(size: tuple[int, int]) -> Image.Image:
    """Return smooth random colours."""
    pixels = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(1))
    return functional.to_pil_image(pixels).resize(size, Image.Resampling.BICUBIC)


def scaled_as_a_whole(image: Image.Image, square: bool, interpolation: str) -> Image.Image:
    """Return the image scaled and cropped by torchvision with the numbers that RandomPart draws."""
    side = int(torch.randint(256, 481, ()))
    whole = functional.resize(image, [side], functional.InterpolationMode(interpolation))
    if square:
        whole = functional.center_crop(whole, [side])
    left, top = (int(torch.randint(0, length - 223, ())) for length in whole.size)
    return functional.crop(whole, top, left, 224, 224)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("square", [False, True])
def test_a_random_part_is_that_of_the_whole_scaled_image(square: bool, interpolation: str) -> None:
    part = RandomPart(replace(PAPER, square=square, interpolation=interpolation))
    for seed, size in enumerate(SIZES):
        image = picture(size)
        torch.manual_seed(seed)
        ours: Tensor = functional.pil_to_tensor(part(image)).int()
        torch.manual_seed(seed)
        theirs = functional.pil_to_tensor(scaled_as_a_whole(image, square, interpolation)).int()
        off = (ours - theirs).abs()
        assert off.max() <= 2
        assert off.float().mean() < 0.1
