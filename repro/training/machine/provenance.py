"""Hardware and software of a run, as they are recorded."""

from __future__ import annotations

import hashlib
import platform
import socket
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distributions

import torch

from repro import __version__
from repro.commit import commit
from repro.store.results import SEPARATOR
from repro.text import canonical
from repro.training.machine.device import device_name
from repro.training.machine.processor import exact_processor

SMI_SECONDS = 10.0
"""Longest wait for nvidia-smi."""
DECIDING_PARTS = ("device", "processor", "torch")
"""The parts of a provenance with which the bits of a result change."""


def through(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return the provenance of a run that was started with `before` and resumed with `now`.

    If a value changed, both are kept, as in `3a03939; a1214b3`; that of the last session is the last one.
    """
    joined = {}
    for name in {**before, **now}:
        values = [value for each in (before, now) if name in each for value in each[name].split(SEPARATOR)]
        joined[name] = SEPARATOR.join(reversed(dict.fromkeys(reversed(values))))
    return joined


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what determines the bits of a result and has changed since a run's last session.

    Each has the form `torch 2.12 instead of 2.11`.
    """
    last = {name: before[name].split(SEPARATOR)[-1] for name in DECIDING_PARTS if before.get(name)}
    return [f"{name} {now[name]} instead of {old}" for name, old in last.items() if now.get(name, old) != old]


def machine(device: torch.device) -> dict[str, str]:
    """Return host, device, versions and commit, and of a GPU driver and clocks, by the names of a record's fields."""
    return {
        "host": socket.gethostname(),
        "device": device_name(device),
        "torch": str(torch.__version__),  # a plain string, since a checkpoint may not hold other classes
        "python": platform.python_version(),
        "version": __version__,
        "commit": commit(),
        "environment": environment(),
        **(_driver_and_clocks(device) if device.type == "cuda" else {"processor": exact_processor()}),
    }


@cache
def environment() -> str:
    """Return a hash of all installed distributions with their versions, twelve hexadecimal digits.

    Equal hashes mean equal packages, in whatever order and spelling they are listed.
    """
    installed = {f"{canonical(each.name)}=={each.version}" for each in distributions() if each.name}
    return hashlib.sha256("\n".join(sorted(installed)).encode()).hexdigest()[:12]


def _driver_and_clocks(device: torch.device) -> dict[str, str]:
    """Return the driver's version and the SM clocks of a GPU as nvidia-smi reports them; nothing that it does not."""
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"  # numbers differ with CUDA_VISIBLE_DEVICES
    query = "--query-gpu=driver_version,clocks.sm,clocks.max.sm"
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits", f"--id={uuid}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SMI_SECONDS, check=True)
        driver, now, most = (each.strip() for each in done.stdout.strip().split(","))
    except (OSError, subprocess.SubprocessError, ValueError):  # it is missing or fails, or knows no such GPU
        return {}
    found = {"driver": driver} if driver[:1].isdigit() else {}
    return {**found, "clocks": f"{now} of {most} MHz"} if now.isdigit() and most.isdigit() else found
