"""The runs in a folder, a line for each: how far it is, what it trains, and the command that resumes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from repro.cluster.queue import JobLog, LiveJob, live_jobs, logs_of, recorded_by
from repro.cluster.tasks import Where
from repro.console import note
from repro.errors import UserError
from repro.frames import Dtype, columns_of
from repro.models import OptionValue
from repro.recipes import deviations, within
from repro.store.run_folders import Description, Run, library_with, runs_in
from repro.store.run_state import RunState


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """A run, started or submitted; what is not known is None."""

    name: str
    epoch: int | None = None
    """The last finished epoch."""
    epochs: int | None = None
    test_error: float | None = None
    """After that epoch, in %."""
    test_ap: float | None = None
    """The average precision of a detection, in %."""
    state: RunState
    where: str | None = None
    """Its job, and the process that trains it."""
    seconds_left: float | None = None
    reason: str | None = None
    """Why it is in its state, and cannot be resumed."""
    command: str | None = None
    """What resumes it, or trains it if its job ended before it started."""
    log: str | None = None
    """What its job has printed."""
    model: str | None = None
    options: Mapping[str, OptionValue] | None = None
    dataset: str | None = None
    recipe: str | None = None
    deviations: Sequence[str] | None = None
    """How its recipe deviates from that of today."""
    seed: int | None = None
    device: str | None = None
    changed: str | None = None
    """When, in UTC."""


RUN_COLUMNS = columns_of(RunLine) | {"state": Dtype.TEXT, "changed": Dtype.TIME}
"""The columns of `repro.runs`."""


def run_lines(folder: Path) -> list[RunLine]:
    """Return the progress of the runs in a folder, started or submitted, and the commands that resume stopped ones."""
    found = list(runs_in(folder))
    started, logs = {run.folder.name for run in found}, logs_of(folder)
    jobs, unanswered = _jobs(folder, found)
    unknown = {name for name, log in logs.items() if unanswered and log.submission.where is Where.SLURM}
    asked = {name: log for name, log in logs.items() if log.newest or name in unknown}
    unstarted = _unrecorded(asked) - started - jobs.keys()
    lines = [
        *(_line(run, jobs.get(run.folder.name)) for run in found),
        *(
            _queued(name, job, _to_start(name, folder, logs))
            for name, job in sorted(jobs.items())
            if name not in started
        ),
        *(
            _unstarted(name, unanswered if name in unknown else None, _to_start(name, folder, logs))
            for name in sorted(unstarted)
        ),
    ]
    written = {name: str(log.path) for name, log in logs.items() if log.path.exists()}
    return [replace(line, log=written.get(line.name)) for line in lines]


def _jobs(folder: Path, found: Sequence[Run]) -> tuple[dict[str, LiveJob], str | None]:
    """Return the jobs that have not ended, by the names of their runs, and why Slurm does not answer."""
    ended, unended = ([run.folder.name for run in found if run.state.ended is each] for each in (True, False))
    try:
        return live_jobs(folder, ended, unended), None
    except UserError as error:
        note(str(error))
        return live_jobs(folder, ended, unended, where=[Where.LOCAL]), str(error)


def _unrecorded(logs: Mapping[str, JobLog]) -> set[str]:
    """Return the names of the submitted runs that have no record."""
    recorded = recorded_by(log.submission for log in logs.values())
    return {name for name, log in logs.items() if name not in recorded[log.submission.folders.results]}


def _line(run: Run, job: LiveJob | None) -> RunLine:
    waits = job is not None and run.state is RunState.STOPPED
    state = RunState.QUEUED if waits else run.state
    line = RunLine(
        name=run.folder.name,
        epoch=run.last.epoch if run.last else None,
        epochs=run.epochs,
        test_error=run.last.test_error if run.last else None,
        test_ap=run.last.ap if run.last else None,
        state=state,
        where=", ".join(filter(None, [job.place if job else None, run.holder])) or None,
        seconds_left=None if state.ended else run.seconds_left,
        reason=run.reason,
        command=None if waits else run.command,
        changed=run.changed.isoformat(timespec="seconds"),
    )
    return line if run.description is None else _described(line, run.description)


def _described(line: RunLine, description: Description) -> RunLine:
    """Return a line with what the run trains."""
    trained = description.experiment
    return replace(
        line,
        model=trained.model,
        options=dict(trained.options),
        dataset=trained.dataset,
        recipe=trained.recipe.name,
        deviations=deviations_of(description),
        seed=trained.seed,
        device=description.device,
    )


def _to_start(name: str, folder: Path, logs: Mapping[str, JobLog]) -> Run | None:
    """Return a submitted run as it would be just after its start; None if it is not known what it trains."""
    description = logs[name].submission.description_of(name) if name in logs else None
    if description is None:
        return None
    return Run(folder / name, description, unread=None, last=None, holder=None, changed=datetime.now(UTC))


def _queued(name: str, job: LiveJob, run: Run | None) -> RunLine:
    """Return the line of a run that has not started."""
    line = RunLine(name=name, state=RunState.QUEUED) if run is None else _line(run, job)
    return replace(line, where=job.place, reason=None, changed=None)  # the job trains a copy of the network's file


def _unstarted(name: str, unanswered: str | None, run: Run | None) -> RunLine:
    """Return the line of a run that has not started and whose job ended, or is unknown where Slurm does not answer."""
    line = RunLine(name=name, state=RunState.MISSING) if run is None else _line(run, None)
    if unanswered:
        return replace(line, state=RunState.UNKNOWN, reason=unanswered, command=None, changed=None)
    return replace(line, state=RunState.MISSING, reason="its job ended before the run started", changed=None)


def deviations_of(description: Description) -> list[str]:
    """Return how the recipe of a run deviates from that of today."""
    with within(library_with(description.papers)):
        return deviations(description.experiment.recipe)
