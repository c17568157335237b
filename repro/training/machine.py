"""What a record says of where and with what a run was made."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import torch

from repro import __version__
from repro.training.device import device_name


def machine(device: torch.device) -> dict[str, str]:
    """Return device, versions and commit, by the names that they have in a record."""
    return {
        "device": device_name(device),
        "torch": str(torch.__version__),  # a plain string, which a checkpoint may hold
        "python": platform.python_version(),
        "version": __version__,
        "commit": _commit(),
    }


def _commit() -> str:
    """Return the commit of the program's checkout, with `+` if files differ from it; empty outside of one."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return ""
    command = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
