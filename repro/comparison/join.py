"""A paper's table joined with our counts, times and runs; rule.py has the rule behind the verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from repro.comparison.counts import CountCell, count_cells
from repro.comparison.frame import errors_frame
from repro.comparison.match import WithRuns, is_of, once_each, replications_for, weights_of, with_runs
from repro.comparison.rule import judge
from repro.comparison.spread import PRINTED_SPREAD, Spread
from repro.comparison.times import TimeCell, time_cells
from repro.comparison.verdict import Verdict
from repro.data.inputs.protocol import ONE_CROP
from repro.paths import DEFAULT_RESULTS
from repro.store.results import Record
from repro.store.step_times import StepTime
from repro.store.weights_tests import WeightsTest
from repro.tables import PrintedError, Replication, Row, Selection, Statistic, Table
from repro.text import signed

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class ErrorCell:
    """A printed error and the runs that followed the recipe; figures have the unit of the record, % or points."""

    printed: PrintedError
    verdict: Verdict
    runs: tuple[Record, ...] = ()
    """The runs in the order of their seeds."""
    value: float | None = None
    """Our figure, by the statistic of the printed cell; None without runs, like the mean."""
    mean: float | None = None
    std: float | None = None
    """Standard deviation between seeds, with n - 1; None for fewer than two runs."""
    difference: float | None = None
    """Our figure minus the printed one; None also if the test images differ, like the next four fields."""
    margin: float | None = None
    """The largest distance of the difference from `expected` that randomness explains."""
    expected: float | None = None
    """The expected difference if there is no true one: 0, except for the lowest of fewer or more runs."""
    at_most: float | None = None
    """The largest distance of the true difference from `expected`, by the equivalence test."""
    bound: float | None = None
    """The difference that matters: an error is reproduced if `at_most` is no larger."""
    own_spread: Spread | None = None
    """The spread of the row's own seeds, if the verdict rests on it because a run has failed."""
    best_epoch: float | None = None
    """The lowest error after any epoch, mean over the runs. It is chosen on the test set, so no verdict uses it."""
    weights: tuple[WeightsTest, ...] = ()
    """Tests of weights that others published, from the lowest error; no verdict uses them."""

    @property
    def published(self) -> str:
        """The printed error."""
        return self.printed.cell.text

    @property
    def statistic(self) -> Statistic:
        """The statistic over our seeds: the mean if one run is behind the printed error."""
        return Statistic.MEAN if self.printed.statistic == Statistic.LAST else self.printed.statistic

    @property
    def n(self) -> int:
        """The number of measured seeds."""
        return len(self.runs)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The measured seeds."""
        return tuple(run.seed for run in self.runs)

    @property
    def digits(self) -> int:
        """Number of decimals with which ours is shown: as many as are printed, but at least two."""
        return max(2, len(self.published.partition(".")[2]))

    @property
    def margin_text(self) -> str:
        """The margin, as `margin ± 0.53` or, for the lowest of another number of runs, `expected +0.17 ± 0.53`."""
        assert self.margin is not None
        assert self.expected is not None
        shifted = abs(self.expected) >= 10**-self.digits / 2
        middle = f"expected {self.signed(self.expected)}" if shifted else "margin"
        return f"{middle} ± {self.rounded(self.margin)}"

    def signed(self, value: float) -> str:
        """Return a difference in % or points with its sign and the digits that are shown."""
        return signed(value, self.digits)

    def rounded(self, value: float) -> str:
        """Return a figure in % or points with the digits that are shown."""
        return f"{value:.{self.digits}f}"

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions of the runs."""
        return tuple(sorted({run.precision for run in self.runs}))

    @property
    def mismatch(self) -> bool:
        """Whether our error is higher than randomness explains, and possibly by more than the bound."""
        return self.verdict.mismatch

    @property
    def differs(self) -> bool:
        """Whether our error is higher or lower than randomness explains."""
        return self.verdict.differs


@dataclass(frozen=True)
class ComparedRow:
    """A row with its counts, errors and times by column; there is no verdict on a time."""

    row: Row
    counts: dict[str, CountCell] = field(default_factory=dict)
    errors: dict[str, ErrorCell] = field(default_factory=dict)
    times: dict[str, TimeCell] = field(default_factory=dict)
    replications: tuple[Replication, ...] = ()
    """What others report for its errors, in this table or for the same results in others; no verdict uses it."""

    def replications_of(self, column: str) -> list[Replication]:
        """Return what others report for one of its errors."""
        return [each for each in self.replications if each.reported.column == column]

    @property
    def verdict(self) -> Verdict | None:
        """The first of the row's verdicts in the order of Verdict: on measured errors, worst first; then the others.

        None if no error is printed.
        """
        verdicts = {cell.verdict for cell in self.errors.values()}
        without = Verdict.QUOTED if self.row.quoted else None
        return next((each for each in Verdict if each in verdicts), without)

    @property
    def share_measured(self) -> str:
        """How many of the row's printed errors are behind the verdict, as `1 of 5`; empty if all or none."""
        measurable = [cell.verdict for cell in self.errors.values() if cell.verdict != Verdict.NO_RECIPE]
        measured = sum(verdict.measured for verdict in measurable)
        return f"{measured} of {len(measurable)}" if 0 < measured < len(measurable) else ""

    @property
    def mismatches(self) -> dict[str, CountCell | ErrorCell]:
        """The cells that do not match the printed ones, by column; a lower error is not a mismatch."""
        cells: dict[str, CountCell | ErrorCell] = {**self.counts, **self.errors}
        return {key: cell for key, cell in cells.items() if cell.mismatch}

    @property
    def differing(self) -> dict[str, CountCell | ErrorCell]:
        """The mismatches, and the errors that are lower or higher than randomness explains, by column."""
        return {**self.mismatches, **{key: cell for key, cell in self.errors.items() if cell.differs}}


@dataclass(frozen=True, repr=False)
class Comparison:
    """A table, or some rows of it, compared with ours."""

    table: Table
    rows: tuple[ComparedRow, ...]
    """The rows that are shown."""
    deviating: tuple[Record, ...]
    """Runs of these rows that changed their recipe; no verdict uses them."""
    pooled: Spread = PRINTED_SPREAD
    """The spread between seeds, pooled over all tables, that these verdicts and those of further runs use."""
    repeated: tuple[tuple[Record, ...], ...] = ()
    """The records of each run of these rows that has several; the first one is used."""
    cells: int = 0
    """Number of printed errors that can be judged, measured or not; they share the rate of false alarms."""
    results: Path = DEFAULT_RESULTS
    """The folder of the user's records, for commands in notes."""

    @property
    def spread(self) -> Spread | None:
        """The spread between seeds that the verdicts use; None without verdicts."""
        judged = any(cell.margin is not None for row in self.rows for cell in row.errors.values())
        return self.pooled if judged else None

    @property
    def runs(self) -> tuple[Record, ...]:
        """The runs that verdicts use, without repetitions."""
        return tuple(once_each(run for row in self.rows for cell in row.errors.values() for run in cell.runs))

    def to_frame(self) -> DataFrame:
        """Return a row for each printed error, with our figures and the verdict; errors are in %."""
        return errors_frame(self)

    def __repr__(self) -> str:
        return "\n".join([f"{self.table.name}: {self.table.caption}", *map(self._line, self.rows)])

    def _line(self, row: ComparedRow) -> str:
        name = self.table.called(row.row)
        return f"  {row.verdict.mark} {name}: {row.verdict}" if row.verdict else f"  {name}"


def compare(
    table: Table,
    records: Sequence[Record],
    times: Sequence[StepTime] = (),
    weights: Sequence[WeightsTest] = (),
    reported: Sequence[PrintedError] = (),
    *,
    shown: Sequence[Row] | None = None,
    left_out: Sequence[Row] = (),
    spread: Spread = PRINTED_SPREAD,
    lowest: Callable[[Record], float | None] = lambda record: None,
    repeated: Mapping[str, Sequence[Record]] = MappingProxyType({}),
    results: Path = DEFAULT_RESULTS,
) -> Comparison:
    """Join a table with our counts, times and records.

    Args:
        table: the printed table.
        records: the records of all experiments.
        times: all measured times of training steps.
        weights: all tests of weights that others published.
        reported: the errors of all tables for which others report values.
        shown: the rows to compare, which share the rate of false alarms (default: all).
        left_out: further rows that share it: see `Selection`.
        spread: the spread between seeds, pooled over all tables (default: only the printed spreads).
        lowest: returns the lowest test error of a run after any epoch; None if its curve is missing.
        repeated: all records of the experiments that have several, by ID.
        results: the folder of the user's records.
    """
    rows = table.rows if shown is None else tuple(shown)
    selection = Selection(table, rows, left_out)
    errors = [with_runs(table.errors([row]), records) for row in rows]
    every = [*chain(*errors)]
    faithful = [once_each(chain(*(each.runs for each in row))) for row in errors]
    timed = time_cells(selection, times, faithful)
    cells = selection.cells

    compared = [
        ComparedRow(
            row,
            count_cells(table, row),
            {each.error.column.key: _error_cell(each, weights, spread, cells, lowest) for each in of_row},
            ratios,
            replications_for(table, row, reported),
        )
        for row, of_row, ratios in zip(rows, errors, timed, strict=True)
    ]
    deviating = [run for run in records if not run.faithful and any(is_of(run, each.error) for each in every)]
    used = once_each([*chain(*(each.runs for each in every)), *deviating])
    several = tuple(tuple(repeated[each.id]) for each in used if each.id in repeated)
    return Comparison(table, tuple(compared), tuple(deviating), spread, several, cells, results)


def _error_cell(
    found: WithRuns,
    weights: Sequence[WeightsTest],
    spread: Spread,
    cells: int,
    lowest: Callable[[Record], float | None],
) -> ErrorCell:
    """Return a printed error with ours; the arguments are those of `compare`, and `cells` as in Comparison."""
    error, tests = found.error, tuple(weights_of(found.error, weights))
    if not found.runs:
        unmeasured = Verdict.OTHER_PROTOCOL if found.tested_differently else Verdict.NOT_MEASURED
        return ErrorCell(error, unmeasured if error.recipe else Verdict.NO_RECIPE, weights=tests)
    measured = found.measured
    judgement = vars(judge(measured, spread, cells)) if found.judged else {"verdict": Verdict.DIFFERENT_IMAGES}
    is_of_curves = error.column.metric == "error" and error.protocol == ONE_CROP
    return ErrorCell(
        error,
        **judgement,
        runs=found.runs,
        value=measured.value,
        mean=statistics.fmean(measured.values),
        std=statistics.stdev(measured.values) if measured.n > 1 else None,
        difference=measured.difference if found.judged else None,
        best_epoch=_mean_lowest(found.runs, lowest) if is_of_curves else None,
        weights=tests,
    )


def _mean_lowest(runs: Sequence[Record], lowest: Callable[[Record], float | None]) -> float | None:
    """Return the mean of the runs' lowest errors; None if a curve is missing."""
    found = [each for each in map(lowest, runs) if each is not None]
    return statistics.fmean(found) if len(found) == len(runs) else None
