"""Stopping a run by a signal: it finishes its step, saves, and can be resumed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from repro.console import is_live
from repro.torchrun import is_first

CLEAR_LINE = "\r\x1b[2K"
"""Removes the progress of a terminal, which is drawn again below what is written in its place."""


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
"""The signals that stop a run; SIGHUP comes when a terminal or an SSH connection ends. NCCL uses SIGUSR1."""


@contextmanager
def blocked_in_children() -> Iterator[None]:
    """Context whose new processes never get the stop signals, which a cluster sends to every process of a job."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopRequest:
    """Context in which SIGNALS only request a stop; a second SIGINT interrupts at once.

    SIGHUP stays ignored if it was, as under `nohup`.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._old: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has arrived."""
        return self.signal != 0

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            numbers = (each for each in SIGNALS if not (ignored and each == signal.SIGHUP))
            self._old = {number: signal.signal(number, self._ask) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        again = "; press Ctrl-C again to stop at once without saving" if number == signal.SIGINT else ""
        if is_first():
            # Not through a console, which the signal may have interrupted. Without a reader the run is saved anyway.
            with suppress(OSError):
                os.write(2, f"{CLEAR_LINE if is_live() else ''}stopping and saving after this step{again}\n".encode())
