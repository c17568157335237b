"""Processes that are forked from one which has torch loaded: a new one takes seconds to import it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any, TextIO

import torch.multiprocessing

from repro.__main__ import main
from repro.runtime import Runtime
from repro.training.tasks import file_test, in_memory

SERVER = get_context("forkserver")
TWO = Runtime(device="cpu", processes=2)
LOADED = ("repro.cli.app", "repro.training.runs.train", "torch._dynamo", "torchvision", "sklearn.datasets")
SERVER.set_forkserver_preload(list(LOADED))


def two_of(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function in the two processes of a run, with its rank, a free port and more arguments."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(function, (port, *arguments), nprocs=2, start_method="forkserver")


def join_as(rank: int, port: int) -> None:
    """Make this process one of two, as torchrun would, in double precision; both test a part of the images."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    in_memory.TEST_BATCHES["cpu"], file_test.TEST_CROPS = 100, 2


def start(words: list[str], before: Callable[[], None] | None = None) -> tuple[ForkServerProcess, TextIO]:
    """Start a command of the program in a session of its own, and return its process and what it writes to stderr.

    Args:
        words: the command without `repro`.
        before: called first in that process.
    """
    received, sent = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=_command, args=(words, sent, before))
    process.start()
    sent.close()
    lines = os.fdopen(os.dup(received.fileno()), encoding="utf-8")
    received.close()
    return process, lines


def ended(process: ForkServerProcess) -> int | None:
    """Wait for a process, and return its exit status."""
    process.join()
    return process.exitcode


def _command(words: list[str], errors: Connection, before: Callable[[], None] | None) -> None:
    os.setsid()
    os.dup2(errors.fileno(), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
    torch.set_num_threads(1)
    if before:
        before()
    main(words)
