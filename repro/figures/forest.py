"""The evidence on each printed error of a table as numbers: what is printed, what others report, and ours."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from math import sqrt
from typing import Any

from repro.comparison.join import ComparedRow, Comparison, ErrorCell
from repro.comparison.match import figure_of, is_of, measured_error
from repro.comparison.rule import judge, student_t
from repro.comparison.spread import Spread
from repro.figures.panels import panel_title
from repro.store.results import Record
from repro.store.weights_tests import WeightsTest
from repro.tables import Column, ColumnKind, PrintedError, Replication, Statistic, Table

CONFIDENCE = 0.95
"""Of the interval of our mean, by the spread between seeds that the verdicts use."""


class Evidence(StrEnum):
    """What an error in the plot is."""

    PRINTED = "printed"
    REPLICATION = "replication"
    """What others report."""
    WEIGHTS = "published weights"
    """Weights that others published, tested by us."""
    SEED = "seed"
    """A run of ours that followed the recipe."""
    MEAN = "mean"
    """The mean of our seeds."""
    MEDIAN = "median"
    """The median of our seeds, if the verdict compares it."""
    LOWEST = "lowest"
    """The lowest error of our seeds, if the verdict compares it."""
    DEVIATING = "deviating run"
    """A run of ours that changed the recipe; no verdict counts it."""


@dataclass(frozen=True)
class Point:
    """An error in %, and the range around it."""

    kind: Evidence
    error: float
    low: float
    high: float
    """Printed: the margin for our number of runs, or for one. Mean: the confidence interval. Else the error itself."""
    note: str = ""
    """Of a replication how close its training is; of weights their file; of a run its seed."""
    source: str = ""
    """Where a replication is reported, or weights are published."""

    @property
    def range(self) -> tuple[float, float]:
        """The ends of the range."""
        return self.low, self.high

    @property
    def drawn(self) -> tuple[float, float]:
        """The ends of the part of the range that errors can have."""
        return max(0.0, self.low), min(100.0, self.high)


@dataclass(frozen=True)
class ForestRow:
    """The evidence on one printed error."""

    label: str
    points: tuple[Point, ...]

    def of(self, *kinds: Evidence) -> list[Point]:
        """Return the points of some kinds."""
        return [each for each in self.points if each.kind in kinds]


@dataclass(frozen=True)
class ForestPanel:
    """The rows of one column."""

    column: Column
    title: str
    rows: tuple[ForestRow, ...]


@dataclass(frozen=True)
class Forest:
    """A panel for each column of errors in % on a known number of test images that are the paper's."""

    table: Table
    panels: tuple[ForestPanel, ...]

    COLUMNS = ("table", "column", "row", "evidence", "error", "low", "high", "note", "source")
    """The columns of the CSV file."""

    def lines(self) -> list[dict[str, Any]]:
        """Return a line for each error."""
        return [
            {
                "table": self.table.name,
                "column": panel.column.key,
                "row": row.label,
                "evidence": point.kind.value,
                **{name: round(getattr(point, name), 4) for name in ("error", "low", "high")},
                "note": point.note,
                "source": point.source,
            }
            for panel in self.panels
            for row in panel.rows
            for point in row.points
        ]


def forest_of(comparison: Comparison) -> Forest | None:
    """Return the evidence on a table, or on some of its rows; None if no printed error can be compared."""
    panels = (_panel(comparison, column) for column in comparison.table.of_kind(ColumnKind.ERROR) if column.comparable)
    found = tuple(each for each in panels if each.rows)
    return Forest(comparison.table, found) if found else None


def _panel(comparison: Comparison, column: Column) -> ForestPanel:
    cells = ((each, each.errors[column.key]) for each in comparison.rows if column.key in each.errors)
    rows = [each for each, cell in cells if cell.printed.images and column.metric.judged]
    title = panel_title(comparison.table, column, (each.errors[column.key].printed.dataset for each in rows))
    return ForestPanel(column, title, tuple(_row(comparison, each, each.errors[column.key]) for each in rows))


def _row(comparison: Comparison, row: ComparedRow, cell: ErrorCell) -> ForestRow:
    spread = comparison.pooled
    points = [_printed(cell, spread, max(1, comparison.cells))]
    points += [_reported(each) for each in row.replications_of(cell.printed.column.key)]
    points += [_tested(each) for each in cell.weights]
    changed = [run for run in comparison.deviating if is_of(run, cell.printed)]
    points += [*_runs(Evidence.DEVIATING, cell.printed, changed), *_runs(Evidence.SEED, cell.printed, cell.runs)]
    return ForestRow(comparison.table.called(row.row), (*points, *_mean(cell, spread), *_compared(cell)))


def _printed(cell: ErrorCell, spread: Spread, cells: int) -> Point:
    error = float(cell.printed.cell.value)
    margin, expected = cell.margin, cell.expected
    if margin is None or expected is None:
        one = judge(replace(measured_error(cell.printed, cell.runs), values=(error,)), spread, cells)
        margin, expected = one.margin, one.expected
    return Point(Evidence.PRINTED, error, error + expected - margin, error + expected + margin)


def _reported(replication: Replication) -> Point:
    error, source = float(replication.error), replication.source
    return Point(Evidence.REPLICATION, error, error, error, source.closeness.value, source.url)


def _tested(test: WeightsTest) -> Point:
    return Point(Evidence.WEIGHTS, test.error, test.error, test.error, test.file, test.source)


def _runs(kind: Evidence, printed: PrintedError, runs: Iterable[Record]) -> Iterator[Point]:
    """Yield the errors of the runs that were tested by the protocol of the printed one."""
    for run in runs:
        if (error := figure_of(run, printed)) is not None:
            yield Point(kind, error, error, error, f"seed {run.seed}")


def _mean(cell: ErrorCell, spread: Spread) -> Iterator[Point]:
    """Yield the mean of our seeds with its confidence interval; nothing without runs."""
    if not cell.runs:
        return
    measured = measured_error(cell.printed, cell.runs)
    mean, spread = statistics.fmean(measured.values), measured.judged_by(spread)
    half = student_t(spread.degrees, (1 + CONFIDENCE) / 2) * spread.phi * measured.binomial / sqrt(measured.n)
    yield Point(Evidence.MEAN, mean, mean - half, mean + half, f"n = {measured.n}")


def _compared(cell: ErrorCell) -> Iterator[Point]:
    """Yield our figure if the verdict compares another statistic of several seeds than their mean."""
    if cell.value is None or cell.n == 1 or cell.statistic is Statistic.MEAN:
        return
    kind = Evidence.MEDIAN if cell.statistic is Statistic.MEDIAN else Evidence.LOWEST
    yield Point(kind, cell.value, cell.value, cell.value, f"n = {cell.n}")
