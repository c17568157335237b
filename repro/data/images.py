"""Images in memory, with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Images:
    """One split of a dataset, in memory."""

    pixels: Tensor
    """(n, C, H, W), uint8; float32 if whitened."""
    labels: Tensor
    """(n,) int64; in a segmentation (n, H, W) uint8, the class of every pixel."""

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Images:
        """Return the split on a device."""
        return Images(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """The training and the test images."""

    train: Images
    test: Images
    fingerprint: str
    """Hash of the bytes that the images were read from."""
    validation: Tensor | None = None
    """(m,) int64: indices of the training images that a recipe with a validation set does not train on."""


def fingerprint(name: str, digest: str) -> str:
    """Return the fingerprint of a dataset from a hash of its files."""
    return f"{name}:{digest[:12]}"
