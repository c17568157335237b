"""When checkpoints are written: often enough to lose little, and not so often that writing dominates."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from repro.errors import RunFailed, os_error_text
from repro.training.checkpoints.checkpoint import kept, save
from repro.training.engine.engine import Engine
from repro.training.machine import processes

AFTER_EPOCH_SECONDS = 10.0
"""After an epoch, no checkpoint is written if the last one is younger: writing may take longer than a short epoch."""


@dataclass
class Saver:
    """Writes the checkpoints of a session and knows the age of the last one."""

    engine: Engine
    runs: Path
    last: float = field(default_factory=time.monotonic)
    """Monotonic time of the last checkpoint; before the first one, of the session's start."""
    written: bool = False
    """Whether this session has written a checkpoint."""

    def save(self) -> None:
        """Write checkpoints now.

        Raises:
            RunFailed: a checkpoint could not be written; the last one, if there is one, is kept.
        """
        failure: OSError | None = None
        checkpoints = self.engine.checkpoints()
        for checkpoint in checkpoints if processes.rank() == 0 else ():
            try:
                save(checkpoint, self.runs / checkpoint.experiment.name)
            except OSError as error:
                failure = error
        # In all processes, so that none waits for another.
        if processes.greatest(failure is not None, self.engine.device):
            reason = os_error_text(failure) if failure else "see the first process"
            raise RunFailed(f"the checkpoint could not be written ({reason}){self.kept}") from failure
        self.last, self.written = time.monotonic(), True

    @property
    def kept(self) -> str:
        """What is added to the reason why the runs ended."""
        return kept(self.runs / each.name for each in self.engine.experiments)

    def older_than(self, seconds: float) -> bool:
        """Whether more than `seconds` of work are not saved."""
        return time.monotonic() - self.last > seconds

    def end_epoch(self) -> None:
        """Write checkpoints after the first and the last epoch, and after others if the last one is old enough."""
        seconds = min(AFTER_EPOCH_SECONDS, self.engine.runtime.checkpoint_seconds)
        due = not self.written or self.engine.finished or self.older_than(seconds)
        if processes.greatest(int(due), self.engine.device):  # the clocks of several processes differ
            self.save()
