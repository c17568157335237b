"""Noticing that a run became far slower than it was at its own start, as beside other processes on the same cores."""

from __future__ import annotations

import time
from collections.abc import Iterator

from repro.training.engine.engine import Engine
from repro.training.progress.watcher import Watcher

START_SECONDS, WINDOW_SECONDS = 10.0, 60.0
"""Seconds of steps from which the pace is computed: at the start, after the first step, and from then on."""
FACTOR = 4.0
"""How many times slower steps must be than at the start."""


class SlowdownNotice:
    """Times the steps of a run on a CPU and says once if they became far slower, and what helps."""

    def __init__(self, engine: Engine, watcher: Watcher) -> None:
        self.engine, self.watcher = engine, watcher
        self.started = False
        self.at_start: float | None = None
        self.silent = engine.device.type != "cpu"
        self._clear()

    def _clear(self) -> None:
        self.seconds, self.images = 0.0, 0

    def timed(self, steps: Iterator[int]) -> Iterator[int]:
        """Yield steps and time them, without what happens between two steps."""
        clock = time.perf_counter()
        for step in steps:
            if not self.silent:
                self._add(time.perf_counter() - clock)
            yield step
            clock = time.perf_counter()

    def _add(self, seconds: float) -> None:
        """Add a step; the first one may compile, so its time says nothing about the others."""
        if not self.started:
            self.started = True
            return
        self.seconds += seconds
        self.images += min(self.engine.phase.recipe.batch, self.engine.task.images)
        if self.seconds < (START_SECONDS if self.at_start is None else WINDOW_SECONDS):
            return
        pace = self.seconds / self.images
        self._clear()
        if self.at_start is None:
            self.at_start = pace
        elif pace > FACTOR * self.at_start:
            self.silent = True
            self.watcher.say(self._line(pace / self.at_start))

    def _line(self, times: float) -> str:
        """Return what helps a run that is some times slower than at its start."""
        threads = "" if self.engine.runtime.threads == 1 else "stop it and resume it with --threads 1, or "
        return f"the run is {times:.0f} times slower than at its start; {threads}run fewer other processes on this CPU"
