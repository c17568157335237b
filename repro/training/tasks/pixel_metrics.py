"""Metrics of a segmentation: pixel error, intersection over union, and the pixel and Rand errors of ISBI 2012.

The challenge's definitions are those of its Fiji plugin (trainableSegmentation.metrics): the probability map is
thresholded at ten levels, the pixels or pairs of all slices are summed at each level, and the largest F-score counts.
The challenge's third metric, the warping error, needs that plugin's topology-preserving warps and is not computed.
A loss with larger weights on membranes favours them, so the plain pixel error can be far above the challenge's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from repro.training.tasks.task import Metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVELS = tuple(step / 10 for step in range(10))
"""Thresholds. The paper says 10 different levels; that they are 0, 0.1, ..., 0.9 is inferred."""


class Tally:
    """Counts over the slices of a test, from which the metrics are computed."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.slices = 0
        self.loss = torch.zeros((), dtype=torch.float64)
        self.confusion = torch.zeros(classes, classes, dtype=torch.float64)
        """Pixels by true class and predicted class."""
        self.pixels = torch.zeros(len(LEVELS), 3, dtype=torch.float64)
        """Per level, pixels inside a cell: in label and prediction, in the label, in the prediction."""
        self.pairs = torch.zeros(len(LEVELS), 3, dtype=torch.float64)
        """Per level, pairs of pixels in one cell, in the same order."""

    def add(self, probabilities: Tensor, labels: Tensor) -> None:
        """Add one slice: probabilities (classes, H, W), labels (H, W)."""
        probabilities, labels = probabilities.cpu(), labels.cpu().long()
        self.slices += 1
        likely = probabilities.gather(0, labels[None])[0].double()
        self.loss += -likely.clamp(min=torch.finfo(torch.float32).tiny).log().mean()
        pairs = labels.flatten() * self.classes + probabilities.argmax(0).flatten()
        self.confusion += torch.bincount(pairs, minlength=self.classes**2).view(self.classes, -1)
        if self.classes == 2:
            self._cut(probabilities[1], labels == 1)

    def _cut(self, inside: Tensor, truth: Tensor) -> None:
        from scipy import ndimage

        cells, _ = ndimage.label(truth.numpy())
        for level, threshold in enumerate(LEVELS):
            guess = inside > threshold
            self.pixels[level] += torch.stack([(guess & truth).sum(), truth.sum(), guess.sum()])
            self.pairs[level] += pairs_together(cells, ndimage.label(guess.numpy())[0])

    def metrics(self) -> Metrics:
        """Return the metrics over all pixels of the slices."""
        right = self.confusion.diagonal()
        union = self.confusion.sum(0) + self.confusion.sum(1) - right
        extra = {"iou": float((right / union)[union > 0].mean())}
        if self.classes == 2:
            extra |= {"isbi_pixel": 1 - best_f_score(self.pixels), "isbi_rand": 1 - best_f_score(self.pairs)}
        wrong = 1 - float(right.sum() / self.confusion.sum())
        return Metrics(100 * wrong, None, float(self.loss / self.slices), self.slices, extra=extra)


def best_f_score(counts: Tensor) -> float:
    """Return the largest F-score of counts (levels, 3): in both, in the truth, in the prediction."""
    both, truth, guess = counts.unbind(1)
    return float((2 * both / (truth + guess)).nan_to_num(1.0).max())


def pairs_together(cells: NDArray[np.int32], guess: NDArray[np.int32]) -> Tensor:
    """Return (3,): pairs of pixels in one cell in both segmentations, in the truth, and in the prediction.

    Only pixels inside a true cell count (foreground-restricted), and each of them that is predicted as membrane counts
    as a separate cell. Pairs are ordered and include a pixel with itself, as in the plugin's N^2 normalisation.

    Args:
        cells: (H, W) numbers of the true cells; 0 on membranes.
        guess: (H, W) numbers of the predicted cells; 0 on membranes.
    """
    inside = torch.from_numpy(cells > 0)
    true_of, guess_of = (torch.from_numpy(each)[inside].long() for each in (cells, guess))
    height, width = (int(each.max()) + 1 for each in (cells, guess))
    together = torch.bincount(true_of * width + guess_of, minlength=height * width).view(height, width).double()
    alone = together[:, 0].sum()
    both = together[:, 1:].square().sum() + alone
    by_guess = together[:, 1:].sum(0).square().sum() + alone
    return torch.stack([both, together.sum(1).square().sum(), by_guess])
