"""Batches of image files, which worker processes read, decode and augment while the device computes."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from multiprocessing.util import Finalize
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from repro.data.views import stacked
from repro.errors import RunFailed, UserError
from repro.runtime import Runtime
from repro.training.device import return_freed_memory
from repro.training.signals import blocked_in_children

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
    loader: Iterable[list[Tensor]] = DataLoader(
        views,
        batch_sampler=requests,  # consumed while the first batches are already being read
        num_workers=workers,
        pin_memory=on_gpu,
        prefetch_factor=PREFETCH if workers else None,
        multiprocessing_context="fork" if workers else None,  # the run must be the parent of its workers
        collate_fn=collate or collated,
        worker_init_fn=partial(_end_with_the_run, os.getpid()),
        generator=torch.Generator(),  # without it the loader draws from the default generator, which dropout uses
    )
    _kill_workers_at_exit(os.getpid())
    if workers:
        return_freed_memory()
    try:
        with blocked_in_children():  # a run that is stopped saves before its workers end
            batches = iter(loader)
        for batch in batches:
            yield [each.to(device, non_blocking=on_gpu) for each in batch]
    except UserError as error:  # a worker's error has a traceback before its message
        raise UserError(str(error).strip().splitlines()[-1].removeprefix("repro.errors.UserError: ")) from error
    except RuntimeError as error:
        raise_if_a_worker_died(error)
        raise


def collated(samples: Sequence[tuple[Any, ...]]) -> list[Tensor]:
    """Return images (..., C, H, W), other tensors and labels as batches.

    The memory of a batch has the channels last, as in a decoded image and in a network: no pixel is transposed.
    """
    return [stacked(each) if isinstance(each[0], Tensor) else torch.tensor(each) for each in zip(*samples, strict=True)]


def raise_if_a_worker_died(error: RuntimeError) -> None:
    """Raise RunFailed if torch reports with this error, which may come at any time, that a worker was killed."""
    if "DataLoader worker" in str(error):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # otherwise torch reports every worker that ends
        raise RunFailed(
            f"{str(error).strip(' .')}; the last checkpoint is kept; fewer --workers need less memory"
        ) from error


def workers_of(runtime: Runtime) -> int:
    """Return the number of worker processes that read images."""
    if runtime.workers is not None:
        return runtime.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _kill_workers_at_exit(process: int) -> None:
    """Let this process kill workers that it has left when it ends.

    Python would send them SIGTERM, which they block, and wait for them forever: a failed run whose traceback is still
    known has the workers of its epoch.
    """
    Finalize(None, _kill_workers, exitpriority=1)


def _kill_workers() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # otherwise torch reports them as killed
    for each in multiprocessing.active_children():
        if each.daemon:
            each.kill()


def _end_with_the_run(run: int, worker: int) -> None:
    """Let Linux kill this worker when the run dies: a worker still holds the run's locks, which a fork copies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != run:  # it died before Linux knew
        os.kill(os.getpid(), signal.SIGKILL)
