"""Runs and what they recorded, as DataFrames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from repro.api.library import Papers, place_of, text_of, using
from repro.api.listing import Line
from repro.bounds import kind_of
from repro.cluster.queue import JobLog, LiveJob, live_jobs, logs_of
from repro.comparison.corrections import records_today
from repro.console import note
from repro.errors import UserError
from repro.figures import RunCurve
from repro.frames import Dtype, frame_of
from repro.paths import checked_folders
from repro.recipes import current_library, deviations, within
from repro.store.csv_rows import types_of
from repro.store.curves import curve_of, read_curve
from repro.store.results import EpochRow, Record, read_records, result_folders
from repro.store.run_folders import CURVE, DESCRIPTION, Description, Run, run_at, run_names, runs_in
from repro.store.run_names import run_named
from repro.store.run_state import RunState

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pandas import DataFrame

KINDS = {int: Dtype.INTEGER, float: Dtype.NUMBER, str: Dtype.TEXT}
"""The types of columns, by that of a field; the others are objects."""


def _columns_of(kind: type[DataclassInstance]) -> dict[str, Dtype]:
    return {name: KINDS.get(kind_of(hint), Dtype.OBJECT) for name, hint in types_of(kind).items()}


RUN_COLUMNS = {
    "name": Dtype.TEXT,
    "epoch": Dtype.INTEGER,
    "epochs": Dtype.INTEGER,
    "test_error": Dtype.NUMBER,
    "test_ap": Dtype.NUMBER,
    "state": Dtype.TEXT,
    "where": Dtype.TEXT,
    "seconds_left": Dtype.NUMBER,
    "reason": Dtype.TEXT,
    "command": Dtype.TEXT,
    "log": Dtype.TEXT,
    "model": Dtype.TEXT,
    "options": Dtype.OBJECT,
    "dataset": Dtype.TEXT,
    "recipe": Dtype.TEXT,
    "deviations": Dtype.OBJECT,
    "seed": Dtype.INTEGER,
    "device": Dtype.TEXT,
    "changed": Dtype.TIME,
}
"""The columns of `runs`."""
RECORD_COLUMNS = _columns_of(Record) | {"started": Dtype.TIME}
"""The columns of `results`: those of results/runs.csv."""
EPOCH_COLUMNS = _columns_of(EpochRow)
"""The columns of `curve`: those of the files in results/curves."""


def runs(folder: str | Path = "runs", *, papers: Papers = ()) -> DataFrame:
    """Return a row for each run in a folder: how far it is, what is trained, and the command that resumes it.

    Args:
        folder: of the checkpoints; without runs the frame is empty.
        papers: the folder of a paper besides those that are found, or several.

    Raises:
        UserError: the folder is a file, or a paper is wrong.
    """
    with using(papers):
        return frame_of(run_lines(checked_folders(runs=place_of("folder", folder)).runs), RUN_COLUMNS)


def run_lines(folder: Path) -> list[Line]:
    """Return the progress of the runs in a folder, started or submitted, and the commands that resume stopped ones."""
    found = list(runs_in(folder))
    started, logs = {run.folder.name for run in found}, logs_of(folder)
    jobs = _jobs(folder, found)
    lines = [
        *(_line(run, (jobs or {}).get(run.folder.name)) for run in found),
        *(_queued(name, job) for name, job in sorted((jobs or {}).items()) if name not in started),
        *(_missing(name) for name in sorted(_unrecorded(logs) - started - jobs.keys() if jobs is not None else ())),
    ]
    return [{**line, "log": str(logs[line["name"]].path) if line["name"] in logs else None} for line in lines]


def _jobs(folder: Path, found: Iterable[Run]) -> dict[str, LiveJob] | None:
    """Return the jobs that have not ended, by the names of their runs; None if Slurm does not answer."""
    try:
        return live_jobs(folder, (run.folder.name for run in found if run.state.ended))
    except UserError as error:
        note(str(error))
        return None


def _unrecorded(logs: Mapping[str, JobLog]) -> set[str]:
    """Return the names of the runs of the newest submission that have no record."""
    newest = {name: log for name, log in logs.items() if log.newest}
    recorded = set[str]()
    with suppress(UserError):  # a file that cannot be read must not hide the runs
        recorded = {each.name for each in read_records({log.results for log in newest.values()})}
    return newest.keys() - recorded


def _line(run: Run, job: LiveJob | None) -> Line:
    waits = job is not None and run.state is RunState.STOPPED
    state = RunState.QUEUED if waits else run.state
    return {
        **dict.fromkeys(RUN_COLUMNS),
        "name": run.folder.name,
        "epoch": run.last and run.last.epoch,
        "epochs": run.epochs,
        "test_error": run.last.test_error if run.last else None,
        "test_ap": run.last.ap if run.last else None,
        "state": state.value,
        "where": ", ".join(filter(None, [job.place if job else None, run.holder])) or None,
        "seconds_left": None if state.ended else run.seconds_left,
        "reason": run.reason,
        "command": None if waits else run.command,
        **(_trained(run.description) if run.description else {}),
        "changed": run.changed.isoformat(timespec="seconds"),
    }


def _queued(name: str, job: LiveJob) -> Line:
    """Return the line of a run that has not started."""
    line: Line = dict.fromkeys(RUN_COLUMNS)
    return {**line, "name": name, "state": RunState.QUEUED.value, "where": job.place}


def _missing(name: str) -> Line:
    """Return the line of a run whose job ended before the run started."""
    line: Line = dict.fromkeys(RUN_COLUMNS)
    return {**line, "name": name, "state": RunState.MISSING.value, "reason": "its job ended before the run started"}


def _trained(description: Description) -> Line:
    """Return what a run trains."""
    found = description.experiment
    with within(current_library().also(map(Path, description.papers))):
        changed = deviations(found.recipe)
    return {
        "model": found.model,
        "options": dict(found.options),
        "dataset": found.dataset,
        "recipe": found.recipe.name,
        "deviations": changed,
        "seed": found.seed,
        "device": description.device,
    }


def results(folder: str | Path = "results", *, papers: Papers = ()) -> DataFrame:
    """Return a row for each experiment with a finished run: its first record, shipped or yours.

    `deviations` are those from today's recipe, as verdicts use them. Errors are in %, times in seconds.

    Args:
        folder: of your records.
        papers: the folder of a paper besides those that are found, or several.

    Raises:
        UserError: there is no such folder, or a line is not a record.
    """
    with using(papers):
        return frame_of(map(vars, records_today(_places(folder))), RECORD_COLUMNS)


def _places(results: str | Path) -> list[Path]:
    return result_folders(checked_folders(results=place_of("results", results), shows=True).results)


def curve(run: str, *, results: str | Path = "results", runs: str | Path = "runs", papers: Papers = ()) -> DataFrame:
    """Return the metrics of a run, a row for each epoch: errors in %, losses in nats per image, times in seconds.

    Args:
        run: its name, a prefix of it, or its ID; the run may be finished, stopped or in progress.
        results: the folder of your records; the shipped ones are always included.
        runs: the folder of the checkpoints.
        papers: the folder of a paper besides those that are found, or several.

    Raises:
        UserError: there is no such run or several, or the run has no curve.
    """
    with using(papers):
        found = run_curve(text_of("run", run), _places(results), checked_folders(runs=place_of("runs", runs)).runs)
        return frame_of(map(vars, found.epochs), EPOCH_COLUMNS)


def run_curve(run: str, results: Sequence[Path], runs: Path, also: Sequence[str] = ()) -> RunCurve:
    """Return a run and its curve: that of its record, else that in its folder.

    Args:
        run: its name, a prefix of it, or its ID.
        results: the folders of records.
        runs: the folder of the checkpoints.
        also: other names that the user may have meant.

    Raises:
        UserError: there is no such run or several, or the run has no curve.
    """
    recorded = {each.name: each for each in records_today(results)}
    where = ", ".join(map(str, [runs, *results]))
    name = run_named(run, dict.fromkeys([*recorded, *run_names(runs)]), where, also)
    record = recorded.get(name)
    rows = curve_of(record, results) if record else read_curve(runs / name / CURVE)
    if not rows:
        raise UserError(f"{name} has no curve in {where}; repro list runs shows whether it has finished an epoch")
    if record:
        return RunCurve(name, record.dataset, record.seed, tuple(record.deviations), tuple(rows))
    description = run_at(runs / name).description
    if description is None:
        raise UserError(
            f"{runs / name / DESCRIPTION} cannot be read, so the dataset and the seed of {name} are unknown"
        )
    trained = _trained(description)
    return RunCurve(name, trained["dataset"], trained["seed"], tuple(trained["deviations"]), tuple(rows))
