"""Image files as inputs: decoded, and cropped at random for training or by a protocol for tests.

This runs in worker processes, on PIL images like the papers' code, and returns bytes, which take a quarter of the
bandwidth of floats. Every training image has its own random seed, so that the order of work does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from repro.data.inputs.procedure import Procedure
from repro.data.inputs.protocol import Views
from repro.data.readers.folder import Files
from repro.recipes import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

EIGENVALUES = torch.tensor((0.2175, 0.0188, 0.0045))
EIGENVECTORS = torch.tensor(((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203)))
"""Eigenvectors, as columns, of the covariance of ImageNet's red, green and blue in 0..1; from fb.resnet.torch."""
CENTRAL = 0.875
"""The share of both sides that a central crop keeps."""


class TrainViews(Dataset[tuple[Tensor, Tensor, int]]):
    """Training images by (index, seed): pixels (C, side, side) uint8, lighting noise (3,) in 0..1, label."""

    def __init__(self, files: Files, recipe: Recipe) -> None:
        from torchvision.transforms import v2

        self.files, self.lighting = files, recipe.lighting
        steps: list[Any] = [_scaled_crop(recipe) if recipe.scaled_crop else v2.Lambda(RandomPart(recipe))]
        if recipe.flip:
            steps.append(v2.RandomHorizontalFlip())
        if recipe.color_jitter:
            jitter = recipe.color_jitter
            steps.append(v2.ColorJitter(brightness=jitter, contrast=jitter, saturation=jitter))
        self.transform = v2.Compose([*steps, v2.PILToTensor()])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, request: tuple[int, int]) -> tuple[Tensor, Tensor, int]:
        index, seed = request
        image = self.files.read(index)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPU
            pixels = self.transform(image)
            noise = lighting_noise(self.lighting)
        return pixels, noise, int(self.files.labels[index])


def _scaled_crop(recipe: Recipe) -> Any:
    """Return the step that crops a random part of random size and shape, and scales it to the input's size."""
    from torchvision.transforms import v2

    filter = v2.InterpolationMode(recipe.interpolation)
    return v2.RandomResizedCrop(recipe.scaled_crop, (0.08, 1.0), (3 / 4, 4 / 3), filter)


class RandomPart:
    """Scales an image to a random size and crops a random part of it.

    Only this part is scaled, which takes less time. PIL rounds its borders to fp32, so that a few values differ by 1 or
    2 of 255 from those of a part of the whole scaled image.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.smallest, self.largest = recipe.shorter_side, recipe.shorter_side_max or recipe.shorter_side
        self.crop, self.square, self.interpolation = recipe.random_crop, recipe.square, recipe.interpolation

    def __call__(self, image: Image) -> Image:
        """Return a part of a PIL image as a PIL image."""
        from PIL.Image import Resampling

        side = self.smallest if self.largest == self.smallest else _random(self.smallest, self.largest)
        shorter = min(image.size)
        width, height = (int(side * each / shorter) for each in image.size)
        left, top = (self._begin(length, side) for length in (width, height))
        to_width, to_height = image.width / width, image.height / height
        return image.resize(
            (self.crop, self.crop),
            Resampling[self.interpolation.upper()],
            (left * to_width, top * to_height, (left + self.crop) * to_width, (top + self.crop) * to_height),
        )

    def _begin(self, length: int, side: int) -> int:
        """Return where the part begins, along an edge of the scaled image, or of the square in its middle."""
        if self.square:
            return round((length - side) / 2) + _random(0, side - self.crop)
        return _random(0, length - self.crop)


def _random(smallest: int, largest: int) -> int:
    """Return a random integer in a closed range."""
    return int(torch.randint(smallest, largest + 1, ()))


def lighting_noise(deviation: float) -> Tensor:
    """Return the lighting noise for red, green and blue in 0..1, (3,): Krizhevsky et al. 2012, section 4.1.

    The standard deviation is relative to the eigenvalues; it is 0.1 in that paper.
    """
    if not deviation:
        return torch.zeros(3)
    return EIGENVECTORS @ (torch.randn(3) * deviation * EIGENVALUES)


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors of one shape as one; images (..., C, H, W) with the channels last in memory."""
    if tensors[0].dim() < 3:
        return torch.stack(list(tensors))
    return torch.stack([each.movedim(-3, -1) for each in tensors]).movedim(-1, -3)


class TestViews(Dataset[tuple[Any, ...]]):
    """Test images by index: their views as uint8, then the label.

    The views are one tensor (crops, C, crop, crop); dense, they are one (1, C, height, width) for each scale.
    """

    __test__ = False  # it is no test of pytest

    def __init__(self, files: Files, procedure: Procedure) -> None:
        from torchvision.transforms import v2

        self.files, self.procedure = files, procedure
        self.filter = v2.InterpolationMode(procedure.interpolation)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        from torchvision.transforms.v2 import functional as F

        pixels = [F.pil_to_tensor(each) for each in self._views(self.files.read(index))]
        dense = self.procedure.protocol.views is Views.DENSE
        views = [each[None] for each in pixels] if dense else [stacked(pixels)]
        return *views, int(self.files.labels[index])

    def _views(self, image: Image) -> Iterator[Image]:
        from torchvision.transforms.v2 import functional as F

        crop = self.procedure.crop
        if self.procedure.protocol.views is Views.CENTRAL_CROP:
            yield F.resize(central(image), [crop, crop], self.filter)
        for scale in self.procedure.scales:
            scaled: Image = F.resize(image, [scale], self.filter)
            match self.procedure.protocol.views:
                case Views.ONE_CROP:
                    yield F.center_crop(scaled, [crop])
                case Views.TEN_CROP:
                    whole = F.center_crop(scaled, [min(scaled.size)]) if self.procedure.square else scaled
                    yield from F.ten_crop(whole, [crop])
                case Views.CROPS_144:
                    for square in squares(scaled):
                        six = [*F.five_crop(square, [crop]), F.resize(square, [crop, crop], self.filter)]
                        yield from [*six, *map(F.horizontal_flip, six)]
                case Views.DENSE:
                    yield scaled


def central(image: Image) -> Image:
    """Return the middle 87.5 % of both sides, as tf.image.central_crop rounds them."""
    left, top = (int(side * (1 - CENTRAL) / 2) for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top))


def squares(image: Image) -> list[Image]:
    """Return the left, centre and right square of an image, or the top, centre and bottom one of a tall image."""
    from torchvision.transforms.v2 import functional as F

    side = min(image.size)
    right, bottom = image.width - side, image.height - side
    return [
        image.crop((0, 0, side, side)),
        F.center_crop(image, [side]),
        image.crop((right, bottom, image.width, image.height)),
    ]
