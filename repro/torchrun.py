"""The environment variables with which torchrun describes a process. Without torchrun there is only the first one."""

from __future__ import annotations

import os

from repro.errors import UserError


def process_count() -> int:
    """Return how many processes torchrun started; UserError if WORLD_SIZE is not a positive number."""
    return _number("WORLD_SIZE", 1, "the number of processes")


def is_first() -> bool:
    """Whether this is the first of the processes, the only one that prints and writes."""
    return os.environ.get("RANK", "0") == "0"


def gpu_number() -> int:
    """Return the number of this process's GPU on its machine; UserError if LOCAL_RANK is not a number."""
    return _number("LOCAL_RANK", 0, "the number of a process on its machine")


def _number(name: str, default: int, meaning: str) -> int:
    """Return a variable as a number; UserError if it is below the default."""
    value = os.environ.get(name, str(default))
    if not value.isdecimal() or int(value) < default:
        raise UserError(f"{name} is {value!r}, which torchrun sets to {meaning}")
    return int(value)
