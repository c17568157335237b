"""A watcher for tests."""

import signal
import time
from collections.abc import Callable

from repro.console import stderr
from repro.training.progress import Lines


class Silent(Lines):
    """Collects what is said, and can do something after a step."""

    def __init__(self, after: Callable[[int], None] = lambda step: None) -> None:
        super().__init__(stderr())
        self.said: list[str] = []
        self.after = after

    def say(self, text: str) -> None:
        self.spoken, self.step_spoken = time.monotonic(), self.now
        self.said.append(text)

    def step(self, step: int, lr: float) -> None:
        super().step(step, lr)
        self.after(step)


def stop_at(step: int) -> Silent:
    """Return a watcher that sends SIGINT to this process after a step."""
    return Silent(lambda now: signal.raise_signal(signal.SIGINT) if now == step else None)
