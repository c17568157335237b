"""How far each run is: recorded, being trained, stopped with a checkpoint, or missing."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from repro.cluster.queue import LiveJob, live_jobs
from repro.data import DATASETS
from repro.errors import UserError
from repro.experiment import Experiment
from repro.store.results import Record
from repro.store.run_folders import run_at, runs_in
from repro.store.run_state import RunState
from repro.training.schedule import images_shown, total_steps

if TYPE_CHECKING:
    from repro.training.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True)
class RunStatus:
    """A run that a table needs, and how far it is."""

    experiment: Experiment
    state: RunState
    step: int = 0
    """Steps in its last checkpoint."""
    seconds: float = 0.0
    """Wall time up to that checkpoint; 0 if seeds were trained at once, which share it."""
    device: str | None = None
    """The device of its sessions up to that checkpoint; None without a checkpoint."""
    holder: str | None = None
    """The process that trains it, or the job that will, in words."""

    @property
    def train_images(self) -> int:
        """Number of training images; 0 if it is unknown, as where a declared dataset is not there."""
        return self.experiment.train_images if DATASETS[self.experiment.dataset].train_images else 0

    @property
    def steps(self) -> int:
        """Steps of the whole run; 0 if the number of training images is unknown."""
        return total_steps(self.experiment.recipe, self.train_images)

    @property
    def images_so_far(self) -> int:
        """Number of training images shown up to the last checkpoint."""
        return self._images(self.step)

    @property
    def images_left(self) -> int:
        """Number of training images that are still to be shown; 0 also if the number of training images is unknown."""
        if self.state.ended:
            return 0
        return self._images(self.steps) - self.images_so_far

    def _images(self, step: int) -> int:
        images = self.train_images
        return images_shown(self.experiment.recipe, step, images) if images else 0


def jobs_of(records: Sequence[Record], untested: Container[str], runs: Path) -> dict[str, LiveJob]:
    """Return the jobs that have not ended, by the names of their runs.

    Slurm is asked only if some submitted run is neither recorded nor diverged, or is still to be tested.

    Args:
        records: those of all runs.
        untested: the IDs of recorded runs that are still to be tested; others in it do not matter.
        runs: the folder of the runs.

    Raises:
        UserError: Slurm does not answer.
    """
    diverged = (run.folder.name for run in runs_in(runs) if run.state is RunState.DIVERGED)
    tested, left = ([each.name for each in records if (each.id in untested) is known] for known in (False, True))
    return live_jobs(runs, {*diverged, *tested}, left)


def status_of(experiment: Experiment, recorded: Container[str], runs: Path, jobs: Mapping[str, LiveJob]) -> RunStatus:
    """Return the state of a run, and how far its newest checkpoint is; nothing is written.

    Arguments as for `quick_status_of`.

    Raises:
        UserError: all checkpoints of a stopped run are broken.
    """
    status = quick_status_of(experiment, recorded, runs, jobs)
    try:
        saved = None if status.state.ended else newest_checkpoint(runs / experiment.name)
    except UserError:
        if status.state is not RunState.RUNNING:
            raise
        saved = None  # the other process may be writing the checkpoint
    if saved is None:
        return status
    return replace(
        status,
        state=RunState.STOPPED if status.state is RunState.MISSING else status.state,
        step=saved.step,
        seconds=0.0 if saved.runtime.shares else saved.seconds_so_far,
        device=saved.machine.get("device"),
    )


def quick_status_of(
    experiment: Experiment, recorded: Container[str], runs: Path, jobs: Mapping[str, LiveJob]
) -> RunStatus:
    """Return the state of a run without reading its checkpoints, so that a stopped run is a missing one.

    Args:
        experiment: the run.
        recorded: the IDs of all recorded experiments.
        runs: the folder of the runs.
        jobs: the jobs that have not ended, by the names of their runs.
    """
    if experiment.id in recorded:
        return RunStatus(experiment, RunState.DONE)
    folder, job = runs / experiment.name, jobs.get(experiment.name)
    run = run_at(folder) if folder.is_dir() else None
    if run and run.state in (RunState.RUNNING, RunState.DIVERGED):
        return RunStatus(experiment, run.state, holder=run.holder)
    return RunStatus(experiment, RunState.QUEUED, holder=job.place) if job else RunStatus(experiment, RunState.MISSING)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest intact checkpoint of a run; torch is loaded only if there is one."""
    if not any(folder.glob("*.pt")):
        return None
    from repro.training.checkpoints.checkpoint import load_newest

    return load_newest(folder)[0]
