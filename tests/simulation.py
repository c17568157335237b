"""Tables drawn by chance, to see how often the rule of the verdicts errs and how often it sees a difference."""

from collections.abc import Iterator
from itertools import cycle, islice
from statistics import fmean

import numpy as np

from repro.compare import (
    NOT_CONSISTENT,
    NOT_REPRODUCED,
    PRINTED_SPREAD,
    REPRODUCED,
    STATISTICS,
    Measured,
    binomial,
    judge,
)
from repro.papers import Cell

IMAGES = 10_000
TABLES = 10_000
PRINTED = (22.95, 24.65, 23.03, 22.62, 23.29)  # the errors of Table 2 of the DenseResNet paper

Judged = list[tuple[Measured, str]]


def simulated(
    n: int,
    *,
    rows: int = len(PRINTED),
    phi: float = PRINTED_SPREAD.phi,
    higher: float = 0.0,
    statistic: str = "last",
    runs: int = 1,
    tables: int = TABLES,
) -> Iterator[Judged]:
    """Give tables with n seeds a row, whose first row is truly `higher`, in points, than its paper's."""
    random = np.random.default_rng(0)
    for _ in range(tables):
        cells = []
        for number, true in enumerate(islice(cycle(PRINTED), rows)):
            sigma, shift = phi * binomial(true, IMAGES), higher * (number == 0)
            printed = STATISTICS[statistic](random.normal(true, sigma, runs).tolist())
            ours = random.normal(true + shift, sigma, n).tolist()
            cells.append(Measured(Cell(f"{printed:.2f}"), statistic, runs, tuple(ours), IMAGES))
        yield list(zip(cells, (each.verdict for each in judge(cells)), strict=True))


def is_higher(verdict: str) -> bool:
    """Whether a cell is said to be off."""
    return verdict in (NOT_REPRODUCED, NOT_CONSISTENT)


def false_alarms(n: int, **how: float) -> float:
    """Return the share of tables without a true difference in which a cell is said to be off."""
    return fmean(any(is_higher(verdict) for _, verdict in table) for table in simulated(n, **how))  # type: ignore[arg-type]


def power(n: int, **how: float) -> float:
    """Return the share of tables in which a true difference of 1 point in the first row is seen there."""
    return fmean(is_higher(table[0][1]) for table in simulated(n, higher=1.0, **how))  # type: ignore[arg-type]


def overlooked(n: int, **how: float) -> float:
    """Return the share of tables in which a first row that is truly 1 point worse is called reproduced."""
    return fmean(table[0][1] == REPRODUCED for table in simulated(n, higher=1.0, **how))  # type: ignore[arg-type]


def power_table() -> str:
    """Return how often one seed, three and five a row err and see, as Markdown."""
    headings = ("Rows", "Seeds a row", "False alarms", "False alarms, phi = 1", "1 point seen", "1 point overlooked")
    lines = [f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}"]
    for rows in (1, len(PRINTED)):
        for n in (1, 2, 3, 5):
            alarms = f"{false_alarms(n, rows=rows):.1%} | {false_alarms(n, rows=rows, phi=1.0):.1%}"
            seen = f"{power(n, rows=rows):.0%} | {overlooked(n, rows=rows):.0%}"
            lines.append(f"| {rows} | {n} | {alarms} | {seen} |")
    return "\n".join(lines)
