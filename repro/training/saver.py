"""When a run's checkpoints are written: often enough, and not so often that writing takes longer than training."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from repro.errors import RunFailed
from repro.training import processes
from repro.training.checkpoint import save
from repro.training.engine import Engine

AFTER_EPOCH_SECONDS = 10.0
"""After an epoch there is no checkpoint while the last one is younger: writing it may take longer than the epoch."""


@dataclass
class Saver:
    """Writes the checkpoints of a sitting and knows how old the last one is."""

    engine: Engine
    runs: Path
    last: float = field(default_factory=time.monotonic)
    """When the last one was written, or the sitting began."""
    written: bool = False

    def save(self) -> None:
        """Write checkpoints now.

        Raises:
            RunFailed: one could not be written; the last good one is kept.
        """
        failure, checkpoints = None, self.engine.checkpoints()
        for checkpoint in checkpoints if processes.rank() == 0 else ():
            try:
                save(checkpoint, self.runs / checkpoint.experiment.name)
            except (OSError, RuntimeError) as error:
                failure = error
        if processes.greatest(failure is not None, self.engine.device):  # in all, so that none waits for another
            raise RunFailed(
                f"the checkpoint could not be written to {self.runs} ({failure or 'see the first process'}); "
                "the last good one is kept"
            ) from failure
        self.last, self.written = time.monotonic(), True

    def older_than(self, seconds: float) -> bool:
        """Whether what would be lost is more than so many seconds of work."""
        return time.monotonic() - self.last > seconds

    def end_epoch(self) -> None:
        """Write checkpoints after the first epoch and the last, and when epochs of seconds have added up."""
        seconds = min(AFTER_EPOCH_SECONDS, self.engine.runtime.checkpoint_seconds)
        due = not self.written or self.engine.finished or self.older_than(seconds)
        if processes.greatest(int(due), self.engine.device):  # the clocks of several processes differ
            self.save()
