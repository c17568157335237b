"""What a record says of where and with what a run was made."""

from __future__ import annotations

import platform

import torch

from repro import __version__
from repro.commit import commit
from repro.training.device import device_name


def machine(device: torch.device) -> dict[str, str]:
    """Return device, versions and commit, by the names that they have in a record."""
    return {
        "device": device_name(device),
        "torch": str(torch.__version__),  # a plain string, which a checkpoint may hold
        "python": platform.python_version(),
        "version": __version__,
        "commit": commit(),
    }
