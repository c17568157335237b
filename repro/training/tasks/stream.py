"""Batches of image files, which worker processes read, decode and augment while the device computes."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing.util import Finalize
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from repro.data.inputs.views import stacked
from repro.errors import RunFailed, UserError
from repro.runtime import Runtime, cores
from repro.training.machine.device_memory import return_freed_memory
from repro.training.machine.signals import blocked_in_children

PREFETCH = 4
"""Batches that each worker prepares ahead."""
PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


def stream(
    views: Dataset[Any],
    requests: Iterable[list[Any]],
    runtime: Runtime,
    device: torch.device,
    *,
    collate: Callable[[Sequence[Any]], list[Tensor]] | None = None,
) -> Iterator[list[Tensor]]:
    """Yield the requested batches of views, in order, on the device.

    `collate` makes a batch of the views that were requested together (default: `collated`).

    Raises:
        UserError: a file cannot be read.
        RunFailed: a worker process was killed, for example because memory ran out.
    """
    workers = workers_of(runtime)
    on_gpu = device.type == "cuda"
    with _without_advice():
        loader: Iterable[list[Tensor] | Unreadable] = DataLoader(
            Readable(views),
            batch_sampler=requests,  # consumed while the first batches are already being read
            num_workers=workers,
            pin_memory=on_gpu,
            prefetch_factor=PREFETCH if workers else None,
            multiprocessing_context="fork" if workers else None,  # the run must be the parent of its workers
            collate_fn=partial(_collated_if_readable, collate or collated),
            worker_init_fn=partial(_end_with_the_run, os.getpid()),
            generator=torch.Generator(),  # without it the loader draws from the default generator, which dropout uses
        )
    _kill_workers_at_exit(os.getpid())
    if workers:
        return_freed_memory()
    try:
        # A run that is stopped saves before its workers end.
        with blocked_in_children(), _without_advice(), _same_handler(signal.SIGCHLD):
            batches = iter(loader)
        for batch in batches:
            if isinstance(batch, Unreadable):
                raise UserError(batch.reason)
            yield [each.to(device, non_blocking=on_gpu) for each in batch]
    except RuntimeError as error:
        if not any(each in str(error) for each in ("DataLoader worker", "Pin memory thread")):
            raise
        raise RunFailed(f"{str(error).strip(' .')}; fewer --workers need less memory") from error


@contextmanager
def _without_advice() -> Iterator[None]:
    """Context in which torch does not warn of more workers than cores: the user chose their number."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        yield


@contextmanager
def _same_handler(number: signal.Signals) -> Iterator[None]:
    """Context that keeps the handler of a signal.

    The handler of a DataLoader raises an error wherever the run is when a worker dies, which can leave a lock of its
    queues locked. Without it, the DataLoader finds within five seconds that the worker is gone.
    """
    before = signal.getsignal(number)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, before or signal.SIG_DFL)


class Unreadable(NamedTuple):
    """Why a file cannot be read. An exception in a worker would arrive with a traceback as its text."""

    reason: str


class Readable(Dataset[Any]):
    """Views, or why one cannot be read."""

    def __init__(self, views: Dataset[Any]) -> None:
        self.views = views

    def __getitem__(self, request: Any) -> Any:
        """Return the view that is requested, or Unreadable."""
        try:
            return self.views[request]
        except UserError as error:
            return Unreadable(str(error))


def _collated_if_readable(
    collate: Callable[[Sequence[Any]], list[Tensor]], samples: Sequence[Any]
) -> list[Tensor] | Unreadable:
    """Return a batch, or why one of its files cannot be read."""
    return next((each for each in samples if isinstance(each, Unreadable)), None) or collate(samples)


def collated(samples: Sequence[tuple[Any, ...]]) -> list[Tensor]:
    """Return images (..., C, H, W), other tensors and labels as batches.

    The memory of a batch has the channels last, as in a decoded image and in a network: no pixel is transposed.
    """
    return [stacked(each) if isinstance(each[0], Tensor) else torch.tensor(each) for each in zip(*samples, strict=True)]


def workers_of(runtime: Runtime) -> int:
    """Return the number of worker processes that read images."""
    return cores() if runtime.workers is None else runtime.workers


@cache
def _kill_workers_at_exit(process: int) -> None:
    """Let this process kill workers that it has left when it ends.

    Python would send them SIGTERM, which they block, and wait for them forever: a failed run whose traceback is still
    known has the workers of its epoch.
    """
    Finalize(None, _kill_workers, exitpriority=1)


def _kill_workers() -> None:
    for each in multiprocessing.active_children():
        if each.daemon:
            each.kill()


def _end_with_the_run(run: int, worker: int) -> None:
    """Let Linux kill this worker when the run dies: a worker still holds the run's locks, which a fork copies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != run:  # it died before Linux knew
        os.kill(os.getpid(), signal.SIGKILL)
