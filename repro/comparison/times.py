"""Printed times beside ours, as ratios to one row of the table.

Seconds on somebody's GPU mean nothing elsewhere; how many times as long one network takes as another means something,
though it too depends on the hardware. So both ratios are shown and none is judged. Ours are of steps that were
measured together (`repro table NAME --time`), or of runs on one device with the same switches.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from repro.recipes import recipe
from repro.store.results import Record, StepTime
from repro.tables import Row, Table

IN_TURN = "steps measured in turn"
OF_RUNS = "whole runs, their tests included"
IRRELEVANT = ("device", "checkpoint_seconds", "log", "side_by_side")
"""Switches of a runtime that change no time, or that are looked at otherwise."""
STEADY = 1.2
"""The spread of the windows up to which ratios are worth reading."""


@dataclass(frozen=True)
class Timing:
    """Times of several rows that can be compared with each other."""

    how: str
    """IN_TURN or OF_RUNS."""
    device: str
    precision: str
    started: str
    """UTC, of the latest."""
    steps: Mapping[int, tuple[float, int]]
    """Seconds and images of a step, by the row's place in the table."""
    spread: float | None = None
    """How many times as long as its fastest window a row's median one took, at worst; None of runs."""

    @property
    def steady(self) -> bool:
        """Whether nothing else kept the device busy while it was measured, as far as the windows tell."""
        return self.spread is None or self.spread <= STEADY


@dataclass(frozen=True)
class TimeCell:
    """A printed time and ours, both as ratios to the table's reference row."""

    published: str
    published_ratio: float
    reference: str
    """The label of the row whose time is 1."""
    seconds: float | None = None
    """Ours, of a training step."""
    batch: int | None = None
    """Images of that step."""
    ratio: float | None = None
    """Of our seconds per image."""
    timing: Timing | None = None


def time_cells(table: Table, times: Sequence[StepTime], runs: Sequence[Sequence[Record]]) -> list[dict[str, TimeCell]]:
    """Return the cells of each row, by column.

    Args:
        table: the printed one.
        times: measured steps, of any table.
        runs: of each row, those that followed its recipe.
    """
    column, reference = table.time, table.reference
    if column is None or reference is None:
        return [{} for _ in table.rows]
    place = table.rows.index(reference)
    timing = _chosen([*_in_turn(table, times), *_of_runs(table, runs)], place)
    unit = float(reference.cells[column.key].value)
    cells: list[dict[str, TimeCell]] = []
    for number, row in enumerate(table.rows):
        printed = row.cells.get(column.key)
        if printed is None:
            cells.append({})
            continue
        cell = TimeCell(printed.text, float(printed.value) / unit, reference.label)
        if timing and number in timing.steps:
            (seconds, batch), (one, images) = timing.steps[number], timing.steps[place]
            ratio = (seconds / batch) / (one / images)
            cell = replace(cell, seconds=seconds, batch=batch, ratio=ratio, timing=timing)
        cells.append({column.key: cell})
    return cells


def _chosen(timings: Sequence[Timing], reference: int) -> Timing | None:
    """Return what is shown, if any has the reference row: that of most rows, steady, measured in turn, newest."""
    fit = [each for each in timings if reference in each.steps]
    return max(fit, key=lambda each: (len(each.steps), each.steady, each.how == IN_TURN, each.started), default=None)


def _in_turn(table: Table, times: Sequence[StepTime]) -> list[Timing]:
    """Return the measurements of a table, each with the rows that are shown."""
    found: dict[str, list[tuple[int, StepTime]]] = defaultdict(list)
    for time in times:
        for number, row in enumerate(table.rows):
            if time.table == table.name and row.model and _is_of(time, table, row):
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
    wanted = (row.label, row.model, table.options(row), row.dataset or table.dataset)
    return (time.row, time.model, dict(time.options), time.dataset) == wanted


def _of_runs(table: Table, runs: Sequence[Sequence[Record]]) -> list[Timing]:
    """Return the times of runs of one device, precision, torch and runtime; of several seeds of a row the median."""
    found: dict[tuple[str, ...], dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for number, row in enumerate(table.rows):
        for run in runs[number]:
            if _tells_a_time(run, table, row):
                switches = {key: value for key, value in run.runtime.items() if key not in IRRELEVANT}
                conditions = (run.device, run.precision, run.torch, json.dumps(switches, sort_keys=True))
                found[conditions][number].append(run)
    return [
        Timing(
            how=OF_RUNS,
            device=conditions[0],
            precision=conditions[1],
            started=max(run.started for same in by_row.values() for run in same),
            steps={
                number: (statistics.median(run.seconds / run.steps for run in same), recipe(same[0].recipe).batch)
                for number, same in by_row.items()
            },
        )
        for conditions, by_row in found.items()
    ]


def _tells_a_time(run: Record, table: Table, row: Row) -> bool:
    """Whether a run's seconds are its network's own: its batch is the printed one, and no other seed ran beside it."""
    beside = run.runtime.get("side_by_side")
    alone = beside is False or (beside is None and run.device.startswith("CPU"))
    printed = table.time.batch if table.time else None
    same_batch = printed in (None, recipe(run.recipe).batch)
    return alone and same_batch and run.dataset == (row.dataset or table.dataset)
