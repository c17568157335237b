"""Tiny slices with cells and membranes, and their masks."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

SIDE = 48


def cells(number: int, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Return a grey slice with a grid of dark membranes that moves with `number`, and its label; (side, side) uint8."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    membrane = ((y + 3 * number) % 16 < 3) | ((x + 5 * number) % 16 < 3)
    noise = torch.randn(side, side, generator=torch.Generator().manual_seed(number))
    grey = torch.where(membrane, 60.0, 180.0) + 20 * noise
    return grey.clamp(0, 255).to(torch.uint8), torch.where(membrane, 0, 255).to(torch.uint8)


def write(path: Path, grey: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey.numpy()).save(path)


def write_folder(root: Path, train: int = 3, test: int = 1, side: int = SIDE, split: str = "test") -> None:
    for name, numbers in (("train", range(train)), (split, range(train, train + test))):
        for number in numbers:
            grey, label = cells(number, side)
            write(root / "segmentation" / name / "images" / f"{number}.png", grey)
            write(root / "segmentation" / name / "masks" / f"{number}.png", label)
