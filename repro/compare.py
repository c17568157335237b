"""A paper's table beside our counts and our records, with a verdict for every row.

The verdict on an error asks whether the printed figure and ours differ by more than runs of one experiment
differ from each other. With n >= 2 seeds the printed figure is expected within t * s * sqrt(1/n + 1/m) of our
statistic, where s is our seeds' standard deviation, m the runs behind the printed cell, and t the 97.5 %
quantile of Student's distribution with n - 1 degrees of freedom; sqrt(pi/2) times as far for medians, and half
a unit of the last printed digit farther. One seed, or seeds without spread, decide nothing, and neither does a
printed best of several runs, which no such interval fits. Where our test images are not the paper's, both figures are
shown and nothing is judged.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import pi, sqrt

from repro.counting.cache import cached, counted
from repro.counting.count import Count, Subject
from repro.data import DATASETS
from repro.experiment import experiment_for
from repro.models import MODELS
from repro.papers import UNITS, Cell, Column, Row, Table
from repro.results import Record, StepTime
from repro.times import TimeCell, time_cells

NOT_MEASURED = "not measured"
UNDECIDED = "undecided"
NO_RECIPE = "no recipe here"
REPRODUCED = "reproduced"
BETTER = "lower than printed"
NOT_REPRODUCED = "not reproduced"
CONTEXT = "quoted by the paper"
TESTED_OTHERWISE = "tested otherwise"

STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "last": statistics.fmean,  # of a single printed run we have the seeds' mean to show
    "mean": statistics.fmean,
    "median": statistics.median,
    "best": min,
}


@dataclass(frozen=True)
class CountCell:
    """A printed count and ours."""

    published: str | None
    exact: int
    shown: str
    """Ours with the digits and unit of the printed one."""
    matches: bool | None
    """None where nothing is printed."""


@dataclass(frozen=True)
class ErrorCell:
    """A printed error and the runs that followed the recipe."""

    published: str | None
    statistic: str
    seeds: tuple[int, ...]
    value: float | None
    """%, by the printed cell's statistic; None without runs."""
    std: float | None
    """Between seeds, with n - 1; None below two runs."""
    difference: float | None
    """Ours minus the printed one, percentage points; None also where they are tested otherwise."""
    precisions: tuple[str, ...]
    verdict: str

    @property
    def n(self) -> int:
        """How many seeds were measured."""
        return len(self.seeds)


@dataclass(frozen=True)
class ComparedRow:
    """A row with its counts, errors and times by column; no verdict is on a time."""

    row: Row
    counts: dict[str, CountCell] = field(default_factory=dict)
    errors: dict[str, ErrorCell] = field(default_factory=dict)
    times: dict[str, TimeCell] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The verdict on the row's errors that can be measured; the worst where there are several."""
        verdicts = {cell.verdict for cell in self.errors.values()}
        order = (NOT_REPRODUCED, BETTER, UNDECIDED, NOT_MEASURED, REPRODUCED, TESTED_OTHERWISE, NO_RECIPE)
        return next((each for each in order if each in verdicts), NOT_MEASURED if self.row.model else CONTEXT)

    @property
    def off(self) -> bool:
        """Whether a count is not the printed one, or an error was not reproduced."""
        return any(cell.matches is False for cell in self.counts.values()) or self.verdict == NOT_REPRODUCED


@dataclass(frozen=True)
class Comparison:
    """A whole table compared."""

    table: Table
    rows: tuple[ComparedRow, ...]
    deviating: tuple[Record, ...]
    """Runs of the table's networks that changed their recipe; never counted."""


def subject_of(table: Table, row: Row) -> Subject:
    """Return what is counted for a row."""
    spec = DATASETS[row.dataset or table.dataset]
    assert row.model
    return Subject(row.model, table.options(row), spec.input, spec.classes)


def compare(
    table: Table,
    records: Sequence[Record],
    times: Sequence[StepTime] = (),
    *,
    progress: Callable[[Sequence[Row]], Iterable[Row]] = lambda rows: rows,
) -> Comparison:
    """Join a table with our counts and records.

    Args:
        table: the printed one.
        records: of all experiments.
        times: of all measured steps.
        progress: wraps the rows whose networks must be counted first, for a bar.
    """
    unknown = [row for row in table.rows if _is_counted(table, row) and cached(subject_of(table, row)) is None]
    for row in progress(unknown):
        counted(subject_of(table, row))
    timed = time_cells(table, times, [_runs_of_row(table, row, records) for row in table.rows])
    rows = tuple(_compare_row(table, row, records, cells) for row, cells in zip(table.rows, timed, strict=True))
    deviating = [record for record in records if not record.faithful and _belongs(table, record)]
    return Comparison(table, rows, tuple(deviating))


def runs_of(table: Table, row: Row, column: Column, records: Sequence[Record]) -> list[Record]:
    """Return the runs of exactly a row's experiment, as the recipe has it today, by seed."""
    recipe = table.recipe(row, column)
    if row.model is None or recipe is None:
        return []
    runs = []
    for record in records:
        if record.faithful and _is_of(record, table, row, column):
            experiment = experiment_for(row.model, table.options(row), seed=record.seed, recipe_name=recipe)
            runs += [record] if record.id == experiment.id else []
    return sorted(runs, key=lambda each: each.seed)


def verdict_on(published: Cell, values: Sequence[float], statistic: str, runs: int) -> str:
    """Return the verdict on an error whose printed cell is a statistic of so many runs."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    if spread == 0 or statistic == "best":
        return UNDECIDED
    margin = student_t(len(values) - 1) * spread * sqrt(1 / len(values) + 1 / runs)
    if statistic == "median":
        margin *= sqrt(pi / 2)
    margin += published.half_unit
    difference = STATISTICS[statistic](values) - float(published.value)
    if abs(difference) <= margin:
        return REPRODUCED
    return BETTER if difference < 0 else NOT_REPRODUCED


def student_t(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


def _runs_of_row(table: Table, row: Row, records: Sequence[Record]) -> list[Record]:
    """Return the runs behind all of a row's errors, once each."""
    if table.time is None:
        return []
    runs = [run for column in table.of_kind("error") for run in runs_of(table, row, column, records)]
    return list({run.id: run for run in runs}.values())


def _compare_row(table: Table, row: Row, records: Sequence[Record], times: dict[str, TimeCell]) -> ComparedRow:
    if row.model is None:
        return ComparedRow(row, times=times)
    columns = [*table.of_kind("params"), *table.of_kind("flops")]
    counts = counted(subject_of(table, row)) if columns else None
    return ComparedRow(
        row,
        {column.key: _count_cell(table, row, column, counts) for column in columns if counts},
        {
            column.key: _error_cell(table, row, column, records)
            for column in table.of_kind("error")
            if column.key in row.cells
        },
        times,
    )


def _is_counted(table: Table, row: Row) -> bool:
    """Whether the table has a column for a count of a row's network."""
    return row.model is not None and bool(table.of_kind("params") or table.of_kind("flops"))


def _count_cell(table: Table, row: Row, column: Column, counts: Count) -> CountCell:
    exact = counts.params if column.kind == "params" else counts.flops[table.flops_convention]
    cell = row.cells.get(column.key)
    if cell is None:
        return CountCell(None, exact, abbreviated(exact), None)
    return CountCell(cell.text, exact, cell.like(exact), cell.matches(exact))


def abbreviated(exact: int) -> str:
    """Return a count with three digits and a unit, as papers print them."""
    unit, scale = next(((unit, scale) for unit, scale in reversed(UNITS.items()) if exact >= scale), ("", 1))
    return f"{exact / scale:.3g}{unit}"


def _error_cell(table: Table, row: Row, column: Column, records: Sequence[Record]) -> ErrorCell:
    runs = [run for run in runs_of(table, row, column, records) if getattr(run, column.metric) is not None]
    published = row.cells[column.key]
    values = [getattr(run, column.metric) for run in runs]
    statistic, _ = table.statistic(row, column)
    value = STATISTICS[statistic](values) if values else None
    return ErrorCell(
        published=published.text,
        statistic="mean" if statistic == "last" else statistic,
        seeds=tuple(run.seed for run in runs),
        value=value,
        std=statistics.stdev(values) if len(values) > 1 else None,
        difference=value - float(published.value) if value is not None and column.comparable else None,
        precisions=tuple(sorted({run.precision for run in runs})),
        verdict=_verdict(table, row, column, values),
    )


def _verdict(table: Table, row: Row, column: Column, values: Sequence[float]) -> str:
    if table.recipe(row, column) is None:
        return NO_RECIPE
    if not values:
        return NOT_MEASURED
    if not column.comparable:
        return TESTED_OTHERWISE
    return verdict_on(row.cells[column.key], values, *table.statistic(row, column))


def _belongs(table: Table, record: Record) -> bool:
    """Whether a record is of one of the table's networks, on a data set and with a recipe of the table."""
    columns = table.of_kind("error")
    return any(_is_of(record, table, row, column) for row in table.rows if row.model for column in columns)


def _is_of(record: Record, table: Table, row: Row, column: Column) -> bool:
    """Whether a record is of a row's network, on the column's data set and with its recipe, changed or not."""
    wanted = (row.model, row.dataset or column.dataset, table.recipe(row, column))
    if (record.model, record.dataset, record.recipe) != wanted:
        return False
    # An option that the network has learnt since has its default.
    spec = MODELS[record.model]
    return {**spec.options, **spec.options_on.get(record.dataset, {}), **record.options} == table.options(row)
