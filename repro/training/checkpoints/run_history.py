"""The history of a run: what its checkpoints, its record and its description state about its sessions."""

from __future__ import annotations

from dataclasses import dataclass, replace

from repro.runtime import Runtime, Together
from repro.training.checkpoints.checkpoint import Checkpoint
from repro.training.machine.provenance import through


@dataclass
class RunHistory:
    """The sessions of one run so far, the current one included unless the run was finished before it."""

    runtime: Runtime
    """How the last session trains or trained the run."""
    machine: dict[str, str]
    """Hardware and versions of all sessions, as in a record."""
    started: str
    """Start of the first session, UTC."""
    sessions: int = 1
    """Number of sessions so far."""
    seconds: float = 0.0
    """Wall time of the finished epochs."""
    epoch_seconds: float = 0.0
    """Wall time of the current epoch so far."""
    earlier_peak: int | None = None
    """Peak of the memory allocated on the GPU in earlier sessions."""
    shared_before: Together | None = None
    """How the run shared the device with others in an earlier session: stacked, if it ever was."""
    over: bool = False
    """Whether the run was finished before the current session, which trains nothing."""

    def after(self, saved: Checkpoint) -> RunHistory:
        """Return the history of a run whose checkpoint this first session resumes."""
        earlier = replace(
            self,
            started=saved.started,
            sessions=saved.sessions,
            seconds=saved.seconds,
            epoch_seconds=saved.epoch_seconds,
            earlier_peak=saved.peak_bytes,
        )
        if saved.finished:
            return replace(earlier, runtime=saved.runtime, machine=saved.machine or self.machine, over=True)
        return replace(
            earlier,
            machine=through(saved.machine, self.machine),
            sessions=saved.sessions + 1,
            shared_before=saved.runtime.together if saved.runtime.shares else None,
        )

    def end_epoch(self) -> None:
        """Count the current epoch as finished."""
        self.seconds, self.epoch_seconds = self.seconds + self.epoch_seconds, 0.0

    @property
    def recorded_runtime(self) -> Runtime:
        """The runtime in a checkpoint or a record, whose `together` says how the run ever shared the device.

        A run that was stacked is not bit-identical to itself alone, and a branch shares its time with others.
        """
        before, now = self.shared_before, self.runtime.together
        if before is None or now in (before, Together.STACKED):
            return self.runtime
        return replace(self.runtime, together=before, at_once=1)

    def peak_bytes(self, now: int | None) -> int | None:
        """Return the peak of all sessions; that of the current one is `now`, None on a CPU."""
        peaks = (self.earlier_peak, None if self.over else now)
        return max((each for each in peaks if each is not None), default=None)
