"""The weight map of U-Net's loss, arXiv 1505.04597, equation 2."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REACH = 8
"""Distance from a cell in sigmas at which the term is below 1e-13 of w0."""


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Return w_c, (classes,): an equal share of pixels over the class's actual share; 0 for a class without pixels."""
    counts = torch.bincount(labels.flatten().long(), minlength=classes)
    even = labels.numel() / classes
    return torch.where(counts > 0, even / counts.clamp(min=1), 0.0)


def border_weights(labels: Tensor, w0: float, sigma: float) -> Tensor:
    """Return w0 * exp(-(d1 + d2)^2 / (2 sigma^2)) between the cells of a slice, and 0 within them; (H, W) float32.

    d1 and d2 are the distances to the nearest and the second nearest cell; a cell is a 4-connected set of pixels of
    class 1. Figure 3d of the paper shows that the term applies to the pixels between cells.
    """
    from scipy import ndimage

    cells, _ = ndimage.label(labels.cpu().numpy() == 1)
    nearest, second = _two_distances(cells, ceil(REACH * sigma))
    term = w0 * torch.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return torch.where(torch.from_numpy(cells) == 0, term, 0.0).float()


def _two_distances(cells: NDArray[np.int32], reach: int) -> tuple[Tensor, Tensor]:
    """Return the distances to the nearest and the second nearest cell; infinite beyond `reach`."""
    from scipy import ndimage

    nearest = torch.full(cells.shape, torch.inf, dtype=torch.float64)
    second = nearest.clone()
    for number, box in enumerate(ndimage.find_objects(cells), 1):
        around = tuple(_grown(each, reach, size) for each, size in zip(box, cells.shape, strict=True))
        distance = torch.from_numpy(ndimage.distance_transform_edt(cells[around] != number))
        second[around] = torch.minimum(second[around], torch.maximum(nearest[around], distance))
        nearest[around] = torch.minimum(nearest[around], distance)
    return nearest, second


def _grown(box: Any, by: int, size: int) -> slice:
    return slice(max(0, box.start - by), min(size, box.stop + by))
