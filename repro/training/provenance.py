"""What a record says of where and with what a run was made."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import torch

from repro import __version__
from repro.commit import commit
from repro.store.results import SEPARATOR
from repro.training.device import device_name


def through(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return what a record says of a run that was begun with `before` and goes on with `now`.

    A value that changed stands behind the earlier ones, `3a03939; a1214b3`: a run is of all that made it.
    """
    joined = {}
    for name in {**before, **now}:
        values = [value for each in (before, now) if name in each for value in each[name].split(SEPARATOR)]
        joined[name] = SEPARATOR.join(dict.fromkeys(values))
    return joined


def machine(device: torch.device) -> dict[str, str]:
    """Return device, versions and commit, by the names that they have in a record."""
    return {
        "device": device_name(device),
        "torch": str(torch.__version__),  # a plain string, which a checkpoint may hold
        "python": platform.python_version(),
        "version": __version__,
        "commit": commit(),
    }
