"""How far a run is, in one word, and how it ended."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """The state of a run."""

    DONE = "done"
    """It is recorded."""
    RUNNING = "running"
    """A process trains it now."""
    QUEUED = "queued"
    """A job will train it."""
    STOPPED = "stopped"
    """It was started, and resumes where it stopped."""
    DIVERGED = "diverged"
    """It ended because a loss or a weight became NaN or infinite; the same run would diverge again."""
    MISSING = "missing"
    """It was not started, or has no checkpoint yet."""
    UNKNOWN = "unknown"
    """Its folder has no description that can be read, or a lock that may not be read."""

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self in (RunState.DONE, RunState.DIVERGED)

    @property
    def to_train(self) -> bool:
        """Whether a plan counts the run as still to be trained.

        A diverged run is not, although `repro table NAME --run` tries it again.
        """
        return self in (RunState.STOPPED, RunState.MISSING)


class Ending(StrEnum):
    """How a run ended, as its description says."""

    RECORDED = "recorded"
    DIVERGED = "diverged"

    @property
    def state(self) -> RunState:
        """The state of a run that ended so."""
        return RunState.DONE if self is Ending.RECORDED else RunState.DIVERGED
