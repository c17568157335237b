"""Windows of time in which steps are measured; the device is idle whenever the clock is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import torch


class Window(NamedTuple):
    """The steps of one window."""

    images: int
    steps: int
    seconds: float

    @property
    def step_seconds(self) -> float:
        """The mean time of a step."""
        return self.seconds / self.steps


def measure_window(steps: Iterator[int], device: torch.device, seconds: float, between: int = 1) -> Window:
    """Take steps until a time has passed, and at least `between`.

    Args:
        steps: endless; yields the number of images of each step.
        device: on which the steps are computed.
        seconds: shortest time of the window.
        between: steps between two readings of the clock; a CPU that queues work for a GPU runs ahead of it.
    """
    images = taken = 0
    synchronise(device)
    begin = time.perf_counter()
    while taken == 0 or time.perf_counter() - begin < seconds:
        images += sum(islice(steps, between))
        taken += between
        synchronise(device)
    return Window(images, taken, time.perf_counter() - begin)


def seconds_of(action: Callable[[], object], device: torch.device) -> float:
    """Return the time of an action, with the work that it queues for the device."""
    synchronise(device)
    begin = time.perf_counter()
    action()
    synchronise(device)
    return time.perf_counter() - begin


def synchronise(device: torch.device) -> None:
    """Wait until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
