"""Runs and what they recorded, as DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from repro.api.library import Papers, path_argument, shown_results, text_argument, using
from repro.api.run_lines import RUN_COLUMNS, deviations_of, run_lines
from repro.comparison.corrections import records_today
from repro.errors import NoCurve, UserError
from repro.figures import RunCurve
from repro.frames import Dtype, columns_of, frame_of
from repro.paths import checked_folders
from repro.store.curves import curve_of, read_curve
from repro.store.results import EpochRow, Record, result_folders
from repro.store.run_folders import CURVE, DESCRIPTION, run_at, run_names
from repro.store.run_names import run_named
from repro.text import one_of

if TYPE_CHECKING:
    from pandas import DataFrame

RECORD_COLUMNS = columns_of(Record) | {"started": Dtype.TIME}
"""The columns of `results`: those of results/runs.csv."""
EPOCH_COLUMNS = columns_of(EpochRow)
"""The columns of `curve`: those of the files in results/curves."""


def runs(folder: str | Path = "runs", *, papers: Papers = ()) -> DataFrame:
    """Return a row for each run in a folder: how far it is, what is trained, and the command that resumes it.

    Args:
        folder: of the checkpoints; without runs the frame is empty.
        papers: one or several folders of papers, besides those that are found.

    Raises:
        UserError: the folder is a file, or a paper is wrong.
    """
    with using(papers):
        return frame_of(map(vars, run_lines(checked_folders(runs=path_argument("folder", folder)).runs)), RUN_COLUMNS)


def results(folder: str | Path = "results", *, papers: Papers = ()) -> DataFrame:
    """Return a row for each experiment with a finished run: its first record, shipped or yours.

    `deviations` are those from today's recipe, as verdicts use them. Errors are in %, times in seconds.

    Args:
        folder: of your records.
        papers: one or several folders of papers, besides those that are found.

    Raises:
        UserError: there is no such folder, or a line is not a record.
    """
    with using(papers):
        return frame_of(map(vars, records_today(_places(folder))), RECORD_COLUMNS)


def _places(results: str | Path) -> list[Path]:
    return result_folders(shown_results(results))


def curve(run: str, *, results: str | Path = "results", runs: str | Path = "runs", papers: Papers = ()) -> DataFrame:
    """Return the metrics of a run, a row for each epoch: errors in %, losses in nats per image, times in seconds.

    Args:
        run: its name, a prefix of it, or its ID; the run may be finished, stopped or in progress.
        results: the folder of your records; the shipped ones are always included.
        runs: the folder of the checkpoints.
        papers: one or several folders of papers, besides those that are found.

    Raises:
        UserError: there is no such run or several, or the run has no curve.
    """
    with using(papers):
        found = run_curve(
            text_argument("run", run), _places(results), checked_folders(runs=path_argument("runs", runs)).runs
        )
        return frame_of(map(vars, found.epochs), EPOCH_COLUMNS)


def run_curve(run: str, results: Sequence[Path], runs: Path, also: Sequence[str] = ()) -> RunCurve:
    """Return a run and its curve: that of its record, else that in its folder.

    Args:
        run: its name, a prefix of it, or its ID.
        results: the folders of records.
        runs: the folder of the checkpoints.
        also: other names that the user may have meant.

    Raises:
        UserError: there is no such run or several.
        NoCurve: the run has no curve.
    """
    recorded = {each.name: each for each in records_today(results, runs)}
    known = dict.fromkeys([*run_names(runs), *reversed(recorded)])
    name = run_named(run, known, [runs, *reversed(results)], also, other="a table" if also else "")
    record = recorded.get(name)
    rows = curve_of(record, results) if record else read_curve(runs / name / CURVE)
    if not rows:
        where = one_of(list(map(str, [runs, *reversed(results)])))
        raise NoCurve(f"{name} has no curve in {where}; repro list runs shows whether it has finished an epoch")
    if record:
        return RunCurve(name, record.dataset, record.seed, tuple(record.deviations), tuple(rows))
    description = run_at(runs / name).description
    if description is None:
        raise UserError(
            f"{runs / name / DESCRIPTION} cannot be read, so the dataset and the seed of {name} are unknown"
        )
    trained = description.experiment
    return RunCurve(name, trained.dataset, trained.seed, tuple(deviations_of(description)), tuple(rows))
