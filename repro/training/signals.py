"""Asking a run to stop: it finishes its step, saves, and says how to go on."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any


class Stopped(Exception):
    """A run was stopped by a signal after its state was saved."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + number


class StopRequest:
    """While it is entered, SIGINT and SIGTERM only ask; a second SIGINT breaks off at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal = 0
        self._old: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.signal != 0

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._old = {number: signal.signal(number, self._ask) for number in self.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        again = "; a second Ctrl-C breaks off at once, unsaved" if number == signal.SIGINT else ""
        if os.environ.get("RANK", "0") == "0":
            # Not through a console, in the midst of whose writing a signal may come; nobody listening stops no saving.
            with suppress(OSError):
                os.write(2, f"stopping and saving after this step{again}\n".encode())
