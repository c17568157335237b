"""A paper's table joined with our counts, times and runs; rule.py has the rule behind the verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from repro.comparison.counts import CountCell, count_cells
from repro.comparison.match import belongs, runs_of, runs_of_row
from repro.comparison.rule import Judgement, Measured, judge, pooled
from repro.comparison.spread import PRINTED_SPREAD, Spread
from repro.comparison.times import TimeCell, time_cells
from repro.comparison.verdict import Verdict
from repro.data import DATASETS
from repro.store.results import Record, StepTime
from repro.tables import Column, Row, Table


@dataclass(frozen=True)
class ErrorCell:
    """A printed error and the runs that followed the recipe. In %, or percentage points, as a record has them."""

    published: str
    statistic: str
    verdict: Verdict
    runs: tuple[Record, ...] = ()
    """By seed."""
    value: float | None = None
    """By the printed cell's statistic; None without runs, like the mean."""
    mean: float | None = None
    std: float | None = None
    """Between seeds, with n - 1; None below two runs."""
    difference: float | None = None
    """Ours minus the printed one; None also where they are tested otherwise, like the margin."""
    margin: float | None = None
    """How far the two may be from each other by chance, to either side of `expected`."""
    expected: float | None = None
    """The difference to expect without a true one: 0, but for the lowest of fewer runs than the printed one is of."""
    at_most: float | None = None
    """How far from `expected` the true difference is at most, by the equivalence test."""
    bound: float | None = None
    """The difference that matters: an error is reproduced if `at_most` is no larger."""
    best_epoch: float | None = None
    """The lowest error after any epoch, mean over the runs: chosen on the test set, so that no verdict uses it."""

    @property
    def n(self) -> int:
        """How many seeds were measured."""
        return len(self.runs)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Which seeds were measured."""
        return tuple(run.seed for run in self.runs)

    @property
    def digits(self) -> int:
        """After the point, when ours is shown: two, or as many as are printed."""
        return max(2, len(self.published.partition(".")[2]))

    @property
    def by_chance(self) -> str:
        """What the difference may be by chance, as `± 0.53` or, of the lowest of fewer runs, `+0.17 ± 0.53`."""
        if self.margin is None or self.expected is None:
            return ""
        least = 10**-self.digits / 2
        middle = f"{self.expected:+.{self.digits}f} " if abs(self.expected) >= least else ""
        return f"{middle}± {self.margin:.{self.digits}f}"

    @property
    def precisions(self) -> tuple[str, ...]:
        """Which precisions they were trained in."""
        return tuple(sorted({run.precision for run in self.runs}))

    @property
    def off(self) -> bool:
        """Whether ours is higher than chance explains, and possibly by more than the bound."""
        return self.verdict.off

    @property
    def differs(self) -> bool:
        """Whether ours is higher or lower than chance explains."""
        return self.verdict.differs


@dataclass(frozen=True)
class ComparedRow:
    """A row with its counts, errors and times by column; no verdict is on a time."""

    row: Row
    counts: dict[str, CountCell] = field(default_factory=dict)
    errors: dict[str, ErrorCell] = field(default_factory=dict)
    times: dict[str, TimeCell] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict on the row's errors that were measured."""
        verdicts = {cell.verdict for cell in self.errors.values()}
        without = Verdict.NOT_MEASURED if self.row.model else Verdict.CONTEXT
        return next((each for each in Verdict if each in verdicts), without)

    @property
    def share_measured(self) -> str:
        """Of how many of the row's printed errors the verdict is, as `1 of 5`; nothing if of all or none."""
        measurable = [cell.verdict for cell in self.errors.values() if cell.verdict != Verdict.NO_RECIPE]
        measured = sum(verdict != Verdict.NOT_MEASURED for verdict in measurable)
        return f"{measured} of {len(measurable)}" if 0 < measured < len(measurable) else ""

    @property
    def off(self) -> dict[str, CountCell | ErrorCell]:
        """The cells that are not the printed ones, by column."""
        cells: dict[str, CountCell | ErrorCell] = {**self.counts, **self.errors}
        return {key: cell for key, cell in cells.items() if cell.off}

    @property
    def differing(self) -> dict[str, CountCell | ErrorCell]:
        """The cells that are off, and the errors that are lower or higher than chance explains, by column."""
        return {**self.off, **{key: cell for key, cell in self.errors.items() if cell.differs}}


@dataclass(frozen=True)
class Comparison:
    """A whole table compared."""

    table: Table
    rows: tuple[ComparedRow, ...]
    deviating: tuple[Record, ...]
    """Runs of the table's networks that changed their recipe; never counted."""
    spread: Spread | None = None
    """Between seeds, as the verdicts take it; None where nothing is judged."""
    cells: int = 0
    """Printed errors that can be judged, measured or not; they share the rate of false alarms."""

    @property
    def runs(self) -> tuple[Record, ...]:
        """The runs that are counted, once each."""
        runs = (run for row in self.rows for cell in row.errors.values() for run in cell.runs)
        return tuple({run.id: run for run in runs}.values())


def compare(
    table: Table,
    records: Sequence[Record],
    times: Sequence[StepTime] = (),
    *,
    spread: Spread = PRINTED_SPREAD,
    lowest: Callable[[Record], float | None] = lambda record: None,
) -> Comparison:
    """Join a table with our counts and records.

    Args:
        table: the printed one; the rows that are shown share the rate of false alarms.
        records: of all experiments.
        times: of all measured steps.
        spread: of a run, pooled over all tables; the printed spreads alone unless given.
        lowest: the lowest test error of a run after any epoch, if its curve is there.
    """
    places = [_places_of(table, row, records) for row in table.rows]
    cells = sum(place.judgeable for of_row in places for place in of_row)
    of_rows = [runs_of_row(table, row, records) if table.time else [] for row in table.rows]
    timed = time_cells(table, times, of_rows)
    rows = [
        ComparedRow(
            row,
            count_cells(table, row),
            {place.column.key: _error_cell(place, _judgement(place, spread, cells), lowest) for place in of_row},
            ratios,
        )
        for row, of_row, ratios in zip(table.rows, places, timed, strict=True)
    ]
    deviating = [record for record in records if not record.faithful and belongs(table, record)]
    judged = any(place.judged for of_row in places for place in of_row)
    return Comparison(table, tuple(rows), tuple(deviating), spread if judged else None, cells)


def pooled_over(tables: Iterable[Table], records: Sequence[Record]) -> Spread:
    """Return the spread of a run, from the printed spreads and the seeds of all tables' rows, each run once."""
    places = (place for table in tables for row in table.rows for place in _places_of(table, row, records))
    seen: set[str] = set()
    rows = []
    for place in places:
        ids = {run.id for run in place.runs}
        if place.judged and seen.isdisjoint(ids):
            rows.append(place.measured)
            seen |= ids
    return pooled(rows)


@dataclass(frozen=True)
class _Place:
    """A printed error and the runs of it."""

    table: Table
    row: Row
    column: Column
    runs: tuple[Record, ...]

    @property
    def measured(self) -> Measured:
        """The printed figure and ours."""
        values = tuple(getattr(run, self.column.metric) for run in self.runs)
        images = DATASETS[self.row.dataset or self.column.dataset or self.table.dataset].test_images
        statistic, runs = self.table.statistic(self.row, self.column)
        return Measured(self.row.cells[self.column.key], statistic, runs, values, images)

    @property
    def has_recipe(self) -> bool:
        """Whether there is a recipe for it."""
        return self.table.recipe(self.row, self.column) is not None

    @property
    def judgeable(self) -> bool:
        """Whether runs of it can be judged: they have a recipe, and are tested on the paper's images."""
        return self.has_recipe and self.column.comparable

    @property
    def judged(self) -> bool:
        """Whether there are runs that are judged."""
        return bool(self.runs) and self.judgeable


def _places_of(table: Table, row: Row, records: Sequence[Record]) -> list[_Place]:
    """Return the printed errors of a row's network; none of a row that the paper quotes from elsewhere."""
    printed = [column for column in table.of_kind("error") if row.model and column.key in row.cells]
    return [_place(table, row, column, records) for column in printed]


def _place(table: Table, row: Row, column: Column, records: Sequence[Record]) -> _Place:
    runs = (run for run in runs_of(table, row, column, records) if getattr(run, column.metric) is not None)
    return _Place(table, row, column, tuple(runs))


def _judgement(place: _Place, spread: Spread, cells: int) -> Judgement | None:
    return judge(place.measured, spread, cells) if place.judged else None


def _error_cell(place: _Place, judgement: Judgement | None, lowest: Callable[[Record], float | None]) -> ErrorCell:
    statistic, _ = place.table.statistic(place.row, place.column)
    cell = ErrorCell(
        published=place.row.cells[place.column.key].text,
        statistic="mean" if statistic == "last" else statistic,
        verdict=Verdict.NOT_MEASURED if place.has_recipe else Verdict.NO_RECIPE,
    )
    if not place.runs:
        return cell
    measured = place.measured
    cell = replace(
        cell,
        verdict=Verdict.TESTED_OTHERWISE,
        runs=place.runs,
        value=measured.value,
        mean=statistics.fmean(measured.values),
        std=statistics.stdev(measured.values) if measured.n > 1 else None,
        best_epoch=_mean_lowest(place.runs, lowest) if place.column.metric == "error" else None,
    )
    return replace(cell, difference=measured.difference, **vars(judgement)) if judgement else cell


def _mean_lowest(runs: Sequence[Record], lowest: Callable[[Record], float | None]) -> float | None:
    """Return the mean of the runs' lowest errors, if all of their curves are there."""
    found = [each for each in map(lowest, runs) if each is not None]
    return statistics.fmean(found) if len(found) == len(runs) else None
