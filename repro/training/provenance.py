"""Hardware and software of a run, as they are recorded."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import torch

from repro import __version__
from repro.commit import commit
from repro.store.results import SEPARATOR
from repro.training.device import device_name


def through(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return the provenance of a run that was started with `before` and resumed with `now`.

    If a value changed, both are kept, as in `3a03939; a1214b3`.
    """
    joined = {}
    for name in {**before, **now}:
        values = [value for each in (before, now) if name in each for value in each[name].split(SEPARATOR)]
        joined[name] = SEPARATOR.join(dict.fromkeys(values))
    return joined


def machine(device: torch.device) -> dict[str, str]:
    """Return device, versions and commit, by the names of a record's fields."""
    return {
        "device": device_name(device),
        "torch": str(torch.__version__),  # a plain string, since a checkpoint may not hold other classes
        "python": platform.python_version(),
        "version": __version__,
        "commit": commit(),
    }
