"""Image files as network inputs: decoded, and cropped at random for training or by a protocol for tests.

This runs in worker processes, on PIL images like the papers' code, and returns bytes, which take a quarter of the
bandwidth of floats. Every image has its own random seed, so that the order of work does not matter.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from repro.data.crops import TEN, Averaged
from repro.data.folder import Files
from repro.errors import UserError
from repro.recipes import Recipe

EIGENVALUES = torch.tensor((0.2175, 0.0188, 0.0045))
EIGENVECTORS = torch.tensor(((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203)))
"""Eigenvectors, as columns, of the covariance of ImageNet's red, green and blue in 0..1; from fb.resnet.torch."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The test protocol of image files: resizing, crops and normalisation."""

    resize: int
    """Length of the shorter side after scaling, with antialiasing."""
    crop: int
    """Side of a crop in pixels."""
    crops: int = 1
    """1: the centre; TEN: the corners and the centre, and their mirror images."""
    averaged: Averaged = Averaged.PROBABILITIES
    """What is averaged over the crops of an image."""
    interpolation: str = "bilinear"
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.crops not in (1, TEN):
            raise UserError(
                f"--crops {self.crops} is impossible: use 1 (the centre) or 10 (corners and centre, also mirrored)"
            )
        if not 0 < self.crop <= self.resize:
            raise UserError(f"a crop of {self.crop} pixels cannot be cut from images of {self.resize}")

    def to_json(self) -> dict[str, object]:
        """Return the protocol as plain data."""
        return {**asdict(self), "antialias": True}

    def __str__(self) -> str:
        crops = f"{TEN} crops, {self.averaged.words}" if self.crops == TEN else "1 centre crop"
        return f"shorter side to {self.resize} ({self.interpolation}, antialiased), {crops}, {self.crop}x{self.crop}"


def protocol_of(recipe: Recipe) -> Protocol:
    """Return the test protocol of a recipe, with one crop."""
    return Protocol(
        resize=recipe.resize,
        crop=recipe.test_crop,
        interpolation=recipe.interpolation,
        mean=recipe.mean,
        std=recipe.std,
    )


class TrainViews(Dataset[tuple[Tensor, Tensor, int]]):
    """Training images by (index, seed): pixels (C, side, side) uint8, lighting noise (3,) in 0..1, label."""

    def __init__(self, files: Files, recipe: Recipe) -> None:
        from torchvision.transforms import v2

        self.files, self.lighting = files, recipe.lighting
        filter = v2.InterpolationMode(recipe.interpolation)
        steps: list[Any] = [v2.RandomResizedCrop(recipe.scaled_crop, (0.08, 1.0), (3 / 4, 4 / 3), filter)]
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


class CropViews(Dataset[tuple[Tensor, int]]):
    """Test images by index: pixels (crops, C, crop, crop) uint8, label."""

    def __init__(self, files: Files, protocol: Protocol) -> None:
        from torchvision.transforms import v2

        self.files = files
        filter = v2.InterpolationMode(protocol.interpolation)
        cut = v2.TenCrop(protocol.crop) if protocol.crops == TEN else v2.CenterCrop(protocol.crop)
        self.transform = v2.Compose([v2.Resize(protocol.resize, filter), cut, v2.PILToTensor()])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self.transform(self.files.read(index))
        crops = pixels[None] if isinstance(pixels, Tensor) else torch.stack(list(pixels))
        return crops, int(self.files.labels[index])


def lighting_noise(deviation: float) -> Tensor:
    """Return the lighting noise for red, green and blue in 0..1, (3,): Krizhevsky et al. 2012, section 4.1.

    The standard deviation is relative to the eigenvalues; it is 0.1 in that paper.
    """
    if not deviation:
        return torch.zeros(3)
    return EIGENVECTORS @ (torch.randn(3) * deviation * EIGENVALUES)
