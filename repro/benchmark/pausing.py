"""Worker processes run only while their own variant is measured: otherwise they would refill its queue later."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import active_children

from repro.benchmark.variants import Variant


@contextmanager
def workers_running(variant: Variant) -> Iterator[None]:
    """Continue the worker processes of a variant, and pause them and those it has started at the end."""
    others = _alive() - variant.workers
    _send(variant.workers, signal.SIGCONT)
    try:
        yield
    finally:
        variant.workers = _alive() - others
        _send(variant.workers, signal.SIGSTOP)


def continue_workers(variants: Iterable[Variant]) -> None:
    """Continue the worker processes of all variants, so that they can end."""
    for variant in variants:
        _send(variant.workers & _alive(), signal.SIGCONT)


def _alive() -> set[int]:
    return {each.pid for each in active_children() if each.pid is not None}


def _send(workers: Iterable[int], number: signal.Signals) -> None:
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(worker, number)
