"""Several networks counted at once: tracing a network keeps one core busy, so that each process counts one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue

import msgspec

from repro.bars import with_bar
from repro.counting.cache import counted, demanded
from repro.counting.count import Subject
from repro.memory import free_host_memory
from repro.models import is_outside
from repro.runtime import cores

Process = subprocess.Popen[bytes]

KEPT: dict[str, Callable[[Subject], object]] = {each.__name__: each for each in (counted, demanded)}
"""What a process can compute of a network and put into the cache."""
NETWORKS_EACH = 3
"""Counting so many takes as long as loading torch, which each process does."""
MEMORY = 2**31
"""Bytes that a process needs at most for a network of the tables: ResNet-1202 took 1.9 GiB."""


def when_cached(value: Callable[[Subject], object], subjects: Sequence[Subject], what: str) -> Iterator[int]:
    """Let processes compute a value of each network and put it into the cache; a few networks are left to the caller.

    The caller computes each value again: that takes it from the cache, or meets the error that the process has met.
    The processes end with the iterator.

    Args:
        value: `counted` or `demanded`.
        subjects: networks whose value is not in the cache; code from outside the package does not run in a process.
        what: is done, in words, for the progress.

    Yields:
        The number of each network, in order, when a process is done with it.
    """
    shipped = [not is_outside(each.model) for each in subjects]
    processes = _number_for(sum(shipped))
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(max(1, processes)))
        idle = SimpleQueue[Process]()
        for _ in range(processes):
            idle.put(_started(stack))
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        answers = [
            threads.submit(_ask, idle, msgspec.json.encode((value.__name__, each))) if processes and own else None
            for each, own in zip(subjects, shipped, strict=True)
        ]
        for number, answer in with_bar(list(enumerate(answers)), what):
            if answer:
                answer.result()
            yield number


def _number_for(networks: int) -> int:
    """Return the number of processes for some networks; 0 where one process is as fast."""
    free = free_host_memory()
    number = min(cores(), networks // NETWORKS_EACH, networks if free is None else free // MEMORY)
    return number if number > 1 else 0


def _started(stack: ExitStack) -> Process:
    """Return a process that ends with a context."""
    found = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],  # -P: files in the user's folder are not imported
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": found},
            bufsize=0,
        )
    )
    stack.callback(process.kill)
    return process


def _ask(idle: SimpleQueue[Process], task: bytes) -> None:
    """Send a task to a process that has none, and wait for its answer; there is none from a process that has ended."""
    process = idle.get()
    assert process.stdin
    assert process.stdout
    with suppress(OSError, ValueError):
        process.stdin.write(task + b"\n")
        process.stdout.readline()
    idle.put(process)


def _serve() -> None:
    """Compute the values that the lines of stdin name, and print an empty line after each."""
    for line in sys.stdin.buffer:
        name, subject = msgspec.json.decode(line, type=tuple[str, Subject])
        with suppress(Exception):  # whoever waits computes the value, too, and meets the error
            KEPT[name](subject)
        print(flush=True)


if __name__ == "__main__":
    _serve()
