"""Printed times and ours, as ratios to one row of the table.

Seconds on another GPU cannot be compared. The ratio of two networks' times can, although it also depends on the
hardware. So both ratios are shown, without a verdict. Ours are of steps that were measured together
(`repro table NAME --time`), or of runs on one device with the same runtime options.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from repro.comparison.match import all_options
from repro.recipes import RECIPES
from repro.runtime import Together
from repro.store.results import Record, is_cpu
from repro.store.step_times import StepTime
from repro.tables import Row, Selection, Table

IN_TURN = "steps measured in turn"
OF_RUNS = "whole runs, including their tests"
IRRELEVANT = ("device", "checkpoint_seconds", "log", "together", "at_once")
"""Runtime options that do not change the time of a step, or that are checked separately."""
STEADY = 1.2
"""The largest ratio of a median window to the fastest one at which the measurement is meaningful."""


@dataclass(frozen=True)
class Timing:
    """Times of several rows that can be compared with each other."""

    how: str
    """IN_TURN or OF_RUNS."""
    device: str
    precision: str
    started: str
    """The latest start, in UTC."""
    steps: Mapping[int, tuple[float, int]]
    """Seconds and images of a step, by the row's position among the compared rows."""
    spread: float | None = None
    """The largest ratio over the rows of the median window to the fastest one; None for runs."""

    @property
    def steady(self) -> bool:
        """Whether the windows show that nothing else kept the device busy."""
        return self.spread is None or self.spread <= STEADY


@dataclass(frozen=True)
class TimeCell:
    """A printed time and ours, both as ratios to the reference row."""

    published: str
    published_ratio: float
    reference: str
    """The label of the row whose time is 1."""
    seconds: float | None = None
    """Our time of a training step."""
    batch: int | None = None
    """Number of images of that step."""
    ratio: float | None = None
    """The ratio of our seconds per image."""
    timing: Timing | None = None


def time_cells(
    selection: Selection, times: Sequence[StepTime], runs: Sequence[Sequence[Record]]
) -> list[dict[str, TimeCell]]:
    """Return the cells of some rows, by column.

    Args:
        selection: the table with the rows that are compared; one of them is the reference.
        times: measured steps of any table.
        runs: for each row, the runs that followed its recipe.
    """
    column, reference = selection.table.time, selection.reference
    if column is None or reference is None:
        return [{} for _ in selection.rows]
    place = list(selection.rows).index(reference)
    timing = _chosen([*_in_turn(selection, times), *_of_runs(selection, runs)], place)
    unit = reference.cells[column.key].number
    cells: list[dict[str, TimeCell]] = []
    for number, row in enumerate(selection.rows):
        printed = row.cells.get(column.key)
        if printed is None:
            cells.append({})
            continue
        cell = TimeCell(printed.text, printed.number / unit, reference.label)
        cells.append({column.key: _with_ours(cell, timing, number, place)})
    return cells


def _with_ours(cell: TimeCell, timing: Timing | None, number: int, reference: int) -> TimeCell:
    """Return a printed time with ours, if the row was timed."""
    if timing is None or number not in timing.steps:
        return cell
    (seconds, batch), (one, images) = timing.steps[number], timing.steps[reference]
    return replace(cell, seconds=seconds, batch=batch, ratio=(seconds / batch) / (one / images), timing=timing)


def _chosen(timings: Sequence[Timing], reference: int) -> Timing | None:
    """Return the timing to show: with the reference row, then most rows, steady, measured in turn, newest."""
    fit = [each for each in timings if reference in each.steps]
    return max(fit, key=lambda each: (len(each.steps), each.steady, each.how == IN_TURN, each.started), default=None)


def _in_turn(selection: Selection, times: Sequence[StepTime]) -> list[Timing]:
    """Return the measurements of a table, each with the rows that are compared."""
    found: dict[str, list[tuple[int, StepTime]]] = defaultdict(list)
    for time in times:
        for number, row in enumerate(selection.rows):
            if time.table == selection.table.name and row.model and _is_of(time, selection.table, row):
                found[time.measurement].append((number, time))
    return [
        Timing(
            how=IN_TURN,
            device=together[0][1].device,
            precision=together[0][1].precision,
            started=together[0][1].started,
            steps={number: (time.seconds, time.batch) for number, time in together},
            spread=max(time.seconds / time.fastest for _, time in together),
        )
        for together in found.values()
    ]


def _is_of(time: StepTime, table: Table, row: Row) -> bool:
    """Whether a time is of the network of a row, which may have got options since, with the printed batch size."""
    if (time.row, time.model, time.dataset) != (row.label, row.model, table.dataset_of(row)):
        return False
    return _has_printed_batch(table, time.batch) and all_options(time) == table.options(row)


def _of_runs(selection: Selection, runs: Sequence[Sequence[Record]]) -> list[Timing]:
    """Return the times of runs with the same device, precision, torch and runtime; the median over seeds."""
    found: dict[tuple[str, ...], dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for number, row in enumerate(selection.rows):
        for run in runs[number]:
            if _is_timed(run, selection.table, row):
                options = {key: value for key, value in run.runtime.items() if key not in IRRELEVANT}
                conditions = (run.device, run.precision, run.torch, repr(sorted(options.items())))
                found[conditions][number].append(run)
    return [
        Timing(
            how=OF_RUNS,
            device=conditions[0],
            precision=conditions[1],
            started=max(run.started for same in by_row.values() for run in same),
            steps={
                number: (statistics.median(run.seconds / run.steps for run in same), RECIPES[same[0].recipe].batch)
                for number, same in by_row.items()
            },
        )
        for conditions, by_row in found.items()
    ]


def _is_timed(run: Record, table: Table, row: Row) -> bool:
    """Whether a run's seconds can be compared: it has the printed batch size, and its seed was trained alone."""
    mode = run.trained_by.together
    alone = mode == Together.OFF or (mode is None and is_cpu(run.device))
    same_batch = _has_printed_batch(table, RECIPES[run.recipe].batch)
    return alone and same_batch and run.seconds > 0 and run.dataset == table.dataset_of(row)


def _has_printed_batch(table: Table, batch: int) -> bool:
    """Whether steps of so many images are those whose times a table prints; any may be, if it does not say."""
    return table.time is not None and table.time.batch in (None, batch)
