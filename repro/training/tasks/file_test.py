"""The test of a network on image files by a protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from repro.data.inputs.normalise import Normalise
from repro.data.inputs.procedure import Procedure
from repro.data.inputs.protocol import Averaged, Views
from repro.data.inputs.views import TestViews
from repro.data.readers.folder import Files
from repro.models.fully_convolutional import fully_convolutional
from repro.runtime import Runtime
from repro.training.machine import processes
from repro.training.machine.device import autocast, laid_out
from repro.training.tasks.classification import class_metrics, class_sums
from repro.training.tasks.stream import stream
from repro.training.tasks.task import Batch, Metrics, Progress

TEST_CROPS = 200
"""Crops in a test batch. BatchNorm uses its running statistics, so the number affects only the speed."""


class FileTest:
    """The test of a network on image files by a procedure."""

    def __init__(self, files: Files, procedure: Procedure, runtime: Runtime, device: torch.device) -> None:
        self.files, self.procedure, self.runtime, self.device = files, procedure, runtime, device
        mean, std = (torch.tensor(each, device=device) for each in (procedure.mean, procedure.std))
        self.normalise = Normalise(mean, std)
        self.dense = procedure.protocol.views is Views.DENSE

    @torch.inference_mode()
    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return the metrics on all files; the network is left in evaluation mode.

        Raises:
            UserError: a dense test of the network is not implemented, or an image is too small for it.
        """
        sums = torch.zeros(3, device=self.device)
        for _, so_far in self.running_sums(network, progress, 0, sums):
            sums = so_far
        return class_metrics(processes.total(sums), len(self.files), len(self.files.classes))

    @torch.inference_mode()
    def running_sums(
        self, network: nn.Module, progress: Progress, first: int, sums: Tensor
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield after each batch the number of files so far, and the sums of `class_sums` over those of this process.

        Args:
            network: it is left in evaluation mode.
            progress: wraps the range of the batches.
            first: the number of files that are tested already.
            sums: their sums.
        """
        network.eval()
        sums = sums.to(self.device)
        guesses = self._dense_predictions if self.dense else self._predictions
        for guess, labels in guesses(network, progress, first):
            sums = sums + class_sums(guess, labels)
            first += len(labels) * processes.count()
            yield first, sums

    def _predictions(self, network: nn.Module, progress: Progress, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the predictions for some images, (n, classes), and their labels, (n,)."""
        protocol = self.procedure.protocol
        for inputs, labels in self.batches(progress, first):
            with autocast(self.device, self.runtime):
                outputs = network(inputs)
            yield mean_prediction(outputs, protocol.views.number, protocol.averaged), labels

    def _dense_predictions(self, network: nn.Module, progress: Progress, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the same from whole images, one at a time since their shapes differ.

        The outputs of the positions are averaged, then those of the mirror image and of the scales as the protocol
        says: Simonyan & Zisserman 1409.1556, section 3.2.
        """
        network, protocol = fully_convolutional(network), self.procedure.protocol
        for *scales, labels in self._stream(progress, 1, first):
            outputs = []
            for pixels in scales:
                image = self.normalise(pixels.flatten(0, 1))
                with autocast(self.device, self.runtime):
                    maps = network(laid_out(torch.cat([image, image.flip(3)]), self.runtime))
                outputs.append(maps.float().flatten(2).mean(2) if maps.dim() == 4 else maps)
            yield mean_prediction(torch.cat(outputs), 2 * len(scales), protocol.averaged), labels

    def batches(self, progress: Progress = iter, first: int = 0) -> Iterator[Batch]:
        """Yield the crops of the files from `first` on, (n * crops, C, H, W), and the labels, (n,).

        Each process yields its share.
        """
        size = max(1, TEST_CROPS // self.procedure.protocol.views.number)
        for pixels, labels in self._stream(progress, size, first):
            yield Batch(laid_out(self.normalise(pixels.flatten(0, 1)), self.runtime), labels)

    def _stream(self, progress: Progress, size: int, first: int) -> Iterator[list[Tensor]]:
        """Yield the views of `size` files at a time, and their labels."""
        begins = range(first + processes.rank() * size, len(self.files), processes.count() * size)
        requests = [list(range(begin, min(begin + size, len(self.files)))) for begin in begins]
        batches = stream(TestViews(self.files, self.procedure), requests, self.runtime, self.device)
        for _, batch in zip(progress(begins), batches, strict=False):
            yield batch


def mean_prediction(outputs: Tensor, views: int, averaged: Averaged | None) -> Tensor:
    """Return one prediction per image, (n, classes), from its views, (n * views, classes).

    The prediction is the mean of the outputs, or the logarithm of the mean of the probabilities.
    """
    if views == 1:
        return outputs
    of_views = outputs.float().view(-1, views, outputs.shape[1])
    if averaged is Averaged.OUTPUTS:
        return of_views.mean(1)
    return of_views.log_softmax(2).logsumexp(1) - math.log(views)  # a small probability would become 0
