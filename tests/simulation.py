"""Randomly drawn tables, to measure how often the verdict rule errs and how often it detects a difference.

Each row of a table has one printed run, or a statistic of several, and n seeds of ours. All errors are normal
draws; the printed error is rounded to two decimals, the seeds are not rounded. The spread is pooled
from the printed spreads and the rows of the table. Two truths about the spread are simulated, ESTIMATED and WIDEST.

The rule is computed here for all tables at once; a test compares the outcomes with those of repro.comparison.rule.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from repro.comparison.rule import MeasuredError, moments, t_of_equivalence, t_of_margin
from repro.comparison.spread import PRINTED_SPREAD, binomial, most_squares
from repro.tables import Cell

IMAGES = 10_000
TABLES = 20_000
PRINTED = (22.95, 24.65, 23.03, 22.62, 23.29)  # the errors of Table 2 of the DenseResNet paper
ROWS = (1, len(PRINTED))
SEEDS = (1, 2, 3, 5, 10)
HALF = 0.005  # half a unit of the last printed digit
STATISTICS: dict[str, Callable[..., np.ndarray]] = {
    "last": np.mean,
    "mean": np.mean,
    "median": np.median,
    "best": np.min,
}


@dataclass(frozen=True)
class Truth:
    """The true spread, which the rule has to estimate."""

    phi: float
    """Spread of all our runs and of the printed ones."""
    printed_are_draws: bool
    """Whether the printed spreads are drawn anew for each table; else they are as printed, for any phi."""


ESTIMATED = Truth(PRINTED_SPREAD.phi, printed_are_draws=True)
"""The printed spreads are a representative sample of the spread."""
WIDEST = Truth(1.0, printed_are_draws=False)
"""The printed spreads mislead: all runs differ as much as independent images allow."""


@dataclass(frozen=True)
class Drawn:
    """Tables without a verdict."""

    printed: np.ndarray
    """Printed errors in %, tables x rows."""
    values: np.ndarray
    """Our errors in %, tables x rows x seeds."""
    known: np.ndarray
    """The spread according to the two printed spreads, by table."""
    statistic: str
    runs: int

    def first(self, seeds: int) -> "Drawn":
        """Return the same tables when only the first seeds are trained."""
        return Drawn(self.printed, self.values[:, :, :seeds], self.known, self.statistic, self.runs)

    def measured(self, table: int) -> list[MeasuredError]:
        """Return one table in the form that the rule takes."""
        rows = zip(self.printed[table], self.values[table].tolist(), strict=True)
        return [MeasuredError(Cell(f"{p:.2f}"), self.statistic, self.runs, tuple(v), IMAGES) for p, v in rows]


@dataclass(frozen=True)
class Outcome:
    """The rule's findings, each tables x rows."""

    above: np.ndarray
    """Whether our error is higher by more than the margin."""
    below: np.ndarray
    """Whether our error is lower by more than the margin."""
    equivalent: np.ndarray
    """Whether a difference as large as the bound is ruled out; never for one run."""

    @property
    def differs(self) -> np.ndarray:
        """Whether our error is beyond the margin on either side."""
        return self.above | self.below

    @property
    def reproduced(self) -> np.ndarray:
        """Whether the verdict is `reproduced`."""
        return self.equivalent & ~self.differs

    @property
    def higher(self) -> np.ndarray:
        """Whether the verdict is `not reproduced` or `not consistent`."""
        return self.above & ~self.equivalent


def drawn(
    n: int,
    rows: int,
    truth: Truth = ESTIMATED,
    *,
    higher: float = 0.0,
    statistic: str = "last",
    runs: int = 1,
    tables: int = TABLES,
) -> Drawn:
    """Draw tables with n seeds a row; the first row is truly worse than printed by `higher` times its bound."""
    random = np.random.default_rng(0)
    true = np.array([PRINTED[row % len(PRINTED)] for row in range(rows)])
    sigma = truth.phi * _binomial(true)
    printed = STATISTICS[statistic](random.normal(true, sigma, (runs, tables, rows)), axis=0).round(2)
    values = random.normal(true, sigma, (n, tables, rows)).transpose(1, 2, 0)
    values[:, 0] += higher * _bound(true[0])
    squares = random.chisquare(PRINTED_SPREAD.degrees, tables) / PRINTED_SPREAD.degrees
    known = truth.phi * np.sqrt(squares) if truth.printed_are_draws else np.full(tables, PRINTED_SPREAD.phi)
    return Drawn(printed, values, known, statistic, runs)


def outcome(tables: Drawn) -> Outcome:
    """Return the rule's findings on all tables."""
    count, rows, n = tables.values.shape
    b = _binomial(tables.printed)
    squares = (n - 1) * tables.values.var(2, ddof=1) / b**2 if n > 1 else np.zeros((count, rows))
    failed = squares > most_squares(n - 1)
    degrees = PRINTED_SPREAD.degrees + (n - 1) * (~failed).sum(1, keepdims=True)
    pool = PRINTED_SPREAD.degrees * tables.known[:, None] ** 2 + (squares * ~failed).sum(1, keepdims=True)
    phi = np.sqrt(np.where(failed, squares / max(1, n - 1), pool / degrees))
    degrees = np.where(failed, n - 1, degrees)
    (e_n, v_n), (e_k, v_k) = moments(tables.statistic, n), moments(tables.statistic, tables.runs)
    difference = STATISTICS[tables.statistic](tables.values, axis=2) - tables.printed - phi * b * (e_n - e_k)
    error = phi * b * np.sqrt(v_n + v_k)
    margin = _each(lambda nu: t_of_margin(nu, rows), degrees) * error + HALF
    at_most = np.abs(difference) + _each(t_of_equivalence, degrees) * error + HALF
    equivalent = (at_most <= _bound(tables.printed)) & (n > 1)
    return Outcome(difference > margin, difference < -margin, equivalent)


def _each(quantile: Callable[[int], float], degrees: np.ndarray) -> np.ndarray:
    """Return a quantile for every number of degrees of freedom, of which there are few."""
    known, places = np.unique(degrees, return_inverse=True)
    return np.array([quantile(int(each)) for each in known])[places].reshape(degrees.shape)


def _binomial(error: np.ndarray) -> np.ndarray:
    return np.sqrt(error * (100 - error) / IMAGES)


def _bound(error: np.ndarray) -> np.ndarray:
    return _binomial(error) / binomial(23, IMAGES)


@cache
def without_difference(n: int, rows: int, truth: Truth = ESTIMATED) -> Outcome:
    """Return the rule's findings on tables without a true difference."""
    return outcome(drawn(n, rows, truth))


@cache
def with_difference(n: int, rows: int, truth: Truth = ESTIMATED) -> Outcome:
    """Return the rule's findings on tables whose first row is truly worse by its bound, 1 point at 23 %."""
    return outcome(drawn(n, rows, truth, higher=1.0))


def alarms(said: Outcome) -> float:
    """Return the share of tables in which some row is beyond its margin."""
    return float(said.differs.any(1).mean())


def higher_alarms(said: Outcome) -> float:
    """Return the share of tables in which some row is beyond its margin and higher."""
    return float(said.above.any(1).mean())


def looking(most: int, rows: int, truth: Truth = ESTIMATED) -> tuple[float, float]:
    """Return the shares of tables that show a difference, and a higher error, after any seed up to number `most`."""
    tables = drawn(most, rows, truth)
    any_, higher = np.zeros(TABLES, bool), np.zeros(TABLES, bool)
    for seeds in range(1, most + 1):
        said = outcome(tables.first(seeds))
        any_ |= said.differs.any(1)
        higher |= said.above.any(1)
    return float(any_.mean()), float(higher.mean())


def power_table() -> str:
    """Return how often the rule errs and detects, by rows and seeds, as Markdown; in brackets for WIDEST."""
    headings = (
        *("Rows", "Seeds per row", "False alarms", "Looking after every seed"),
        *("No difference: reproduced", "Worse by the bound: seen", "Worse by the bound: reproduced"),
    )
    lines = [f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}"]
    return "\n".join([*lines, *(f"| {' | '.join(line)} |" for line in _power_lines())])


def _power_lines() -> Iterator[list[str]]:
    """Yield the cells of a line for every number of rows and seeds."""
    for rows in ROWS:
        for n in SEEDS:
            none = [without_difference(n, rows, truth) for truth in (ESTIMATED, WIDEST)]
            worse = [with_difference(n, rows, truth) for truth in (ESTIMATED, WIDEST)]
            yield [
                *(f"{rows}", f"{n}"),
                "{:.1%} ({:.1%})".format(*map(alarms, none)),
                "{:.1%} ({:.1%})".format(*(looking(n, rows, truth)[0] for truth in (ESTIMATED, WIDEST))),
                "{:.0%} ({:.0%})".format(*(said.reproduced.mean() for said in none)),
                "{:.0%} ({:.0%})".format(*(said.higher[:, 0].mean() for said in worse)),
                "{:.1%} ({:.1%})".format(*(said.reproduced[:, 0].mean() for said in worse)),
            ]
