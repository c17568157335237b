"""The loss and the errors that all classification tasks share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.training.tasks.task import Batch, Metrics, Progress

TOP = 5
"""The number of guesses of the top-5 error."""


class Classification(ABC):
    """The loss and the errors of a batch of labelled images."""

    recipe: Recipe
    runtime: Runtime
    device: torch.device

    @abstractmethod
    def test_batches(self, progress: Progress = iter) -> Iterator[Batch]:
        """Yield the test images in batches, each image once; each process yields its share."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats, with the recipe's label smoothing and auxiliary classifiers.

        Args:
            outputs: (n, classes), or (n, classifiers, classes) with the auxiliary classifiers after the main one.
            targets: (n,), the labels.
        """
        smoothing = self.recipe.label_smoothing
        main, *auxiliary = (
            F.cross_entropy(each.to(torch.get_default_dtype()), targets, label_smoothing=smoothing)
            for each in (outputs.unbind(1) if outputs.ndim > 2 else (outputs,))
        )
        return main + self.recipe.auxiliary * torch.stack(auxiliary).sum() if auxiliary else main

    def wrong(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the number of wrong top-1 predictions of the main classifier; outputs as for `loss`."""
        main = outputs[:, 0] if outputs.ndim > 2 else outputs
        return (main.argmax(1) != targets).sum()


def class_sums(logits: Tensor, labels: Tensor) -> Tensor:
    """Return (3,): the loss, the top-1 errors and the top-5 errors, each summed over the images."""
    hit = (logits.topk(min(TOP, logits.shape[1]), dim=1).indices == labels[:, None]).any(1)
    loss = F.cross_entropy(logits.to(torch.get_default_dtype()), labels, reduction="sum")
    return torch.stack([loss, (logits.argmax(1) != labels).sum(), (~hit).sum()])


def class_metrics(sums: Tensor, images: int, classes: int) -> Metrics:
    """Return the metrics from the sums over all images; five classes or fewer have no top-5 error."""
    loss, wrong, wrong5 = (each / images for each in sums.tolist())
    return Metrics(error=100 * wrong, error5=100 * wrong5 if classes > TOP else None, loss=loss, images=images)
