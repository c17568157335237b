"""Tables drawn by chance, to see how often the rule of the verdicts errs and how often it sees a difference."""

from collections.abc import Iterator
from statistics import fmean

import numpy as np

from repro.compare import NOT_CONSISTENT, NOT_REPRODUCED, PRINTED_SPREAD, STATISTICS, Measured, binomial, judge
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
) -> Iterator[Judged]:
    """Give tables with n seeds a row, whose first row is truly `higher`, in points, than its paper's."""
    random = np.random.default_rng(0)
    for _ in range(TABLES):
        cells = []
        for number, true in enumerate(PRINTED[:rows]):
            sigma, shift = phi * binomial(true, IMAGES), higher * (number == 0)
            printed = STATISTICS[statistic](random.normal(true, sigma, runs).tolist())
            ours = random.normal(true + shift, sigma, n).tolist()
            cells.append(Measured(Cell(f"{printed:.2f}"), statistic, runs, tuple(ours), IMAGES))
        yield list(zip(cells, (each.verdict for each in judge(cells)), strict=True))


def is_higher(cell: Measured, verdict: str) -> bool:
    """Whether a cell is said to be off."""
    return verdict == NOT_REPRODUCED or (verdict == NOT_CONSISTENT and cell.difference > 0)


def false_alarms(n: int, **how: float) -> float:
    """Return the share of tables without a true difference in which a cell is said to be off."""
    return fmean(any(is_higher(*each) for each in table) for table in simulated(n, **how))  # type: ignore[arg-type]


def power(n: int, **how: float) -> float:
    """Return the share of tables in which a true difference of 1 point in the first row is seen there."""
    return fmean(is_higher(*table[0]) for table in simulated(n, higher=1.0, **how))  # type: ignore[arg-type]


def power_table() -> str:
    """Return how often one seed, three and five a row err and see, as Markdown."""
    lines = ["| seeds a row | rows | false alarms, tables | 1 point seen at 23 % |", "| --- | --- | --- | --- |"]
    for rows in (1, len(PRINTED)):
        for n in (1, 3, 5):
            lines.append(f"| {n} | {rows} | {false_alarms(n, rows=rows):.1%} | {power(n, rows=rows):.0%} |")
    return "\n".join(lines)
