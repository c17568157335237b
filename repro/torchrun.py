"""The environment variables with which torchrun describes a process. Without torchrun there is only the first one."""

from __future__ import annotations

import os
import socket

from repro.errors import UserError


def process_count() -> int:
    """Return how many processes torchrun started; UserError if WORLD_SIZE is not a positive number."""
    return _number("WORLD_SIZE", 1, "the number of processes")


def is_first() -> bool:
    """Whether this is the first of the processes, the only one that prints and writes."""
    return os.environ.get("RANK", "0") == "0"


def check_process() -> None:
    """Raise UserError for a RANK that is not one of the processes, as another launcher or a test leaves it behind.

    Such a process would print and write nothing, because it takes itself for one of several.
    """
    rank, processes = os.environ.get("RANK", "0"), process_count()
    if not rank.isdecimal() or int(rank) >= processes:
        size = "WORLD_SIZE is not set" if "WORLD_SIZE" not in os.environ else f"WORLD_SIZE is {processes}"
        raise UserError(f"RANK is {rank!r}, and {size}; unset RANK, or start several processes with torchrun")
    if int(rank) and "MASTER_ADDR" not in os.environ:
        raise UserError(
            f"RANK is {rank!r}, and MASTER_ADDR is not set, where the processes meet; unset RANK and WORLD_SIZE, or "
            "start several processes with torchrun"
        )


def check_meeting() -> None:
    """Raise UserError if several processes do not know where they meet, as when WORLD_SIZE is left over."""
    if unset := next((each for each in ("RANK", "MASTER_ADDR", "MASTER_PORT") if each not in os.environ), None):
        raise UserError(
            f"WORLD_SIZE is {process_count()}, and {unset} is not set; unset WORLD_SIZE, or start several processes "
            "with torchrun"
        )


def gpu_number() -> int:
    """Return the number of this process's GPU on its machine; UserError if LOCAL_RANK is not a number."""
    return _number("LOCAL_RANK", 0, "the number of a process on its machine")


def environments(processes: int) -> list[dict[str, str]]:
    """Return the variables for each process of one run on this machine, as torchrun sets them; none for a single one.

    As under torchrun, each has one CPU thread, unless OMP_NUM_THREADS is set.
    """
    if processes == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    return [{**shared, "RANK": str(number), "LOCAL_RANK": str(number)} for number in range(processes)]


def _number(name: str, default: int, meaning: str) -> int:
    """Return a variable as a number; UserError if it is below the default."""
    value = os.environ.get(name, str(default))
    if not value.isdecimal() or int(value) < default:
        raise UserError(f"{name} is {value!r}, but torchrun sets it to {meaning}; unset it, or use torchrun")
    return int(value)
