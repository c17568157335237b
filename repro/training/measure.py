"""The error of a network on a set of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from repro.data import Images
from repro.data.augment import Normalise
from repro.runtime import Runtime
from repro.training.device import autocast, laid_out

BATCH = 500
"""BatchNorm uses its running statistics, so that the size changes nothing but the speed."""


@dataclass(frozen=True)
class Metrics:
    """Means over the test images, each counted once."""

    error: float
    """%, of the first guess."""
    error5: float
    """%, of the first five."""
    loss: float
    """Cross-entropy in nats."""
    images: int


@torch.inference_mode()
def measure(
    network: nn.Module,
    images: Images,
    normalise: Normalise,
    runtime: Runtime,
    progress: Callable[[range], Iterable[int]] = iter,
) -> Metrics:
    """Return the metrics of a network on images of its device; the network is left in evaluation mode.

    `progress` wraps the beginnings of the batches, for a bar.
    """
    network.eval()
    device = images.labels.device
    sums = torch.zeros(3, device=device)
    for begin in progress(range(0, len(images), BATCH)):
        part = slice(begin, begin + BATCH)
        with autocast(device, runtime):
            logits = network(laid_out(normalise(images.pixels[part]), runtime))
        labels = images.labels[part]
        hit = (logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]).any(1)
        loss = nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
        sums += torch.stack([loss, (logits.argmax(1) != labels).sum(), (~hit).sum()])
    mean_loss, wrong, wrong5 = (each / len(images) for each in sums.tolist())
    return Metrics(error=100 * wrong, error5=100 * wrong5, loss=mean_loss, images=len(images))
