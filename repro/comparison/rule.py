"""The rule of the verdicts: whether a printed error was reproduced.

**The question.** A printed error is a statistic of k runs: one run, or the mean, median or lowest of k. Ours is the
same statistic of n seeds. Two questions are asked of their difference: is it larger than the randomness of training
explains, and is it smaller than a difference that matters?

**The spread of a run.** Let a network err on test image j with probability q_j over seeds, independently of the other
images. Then the error of a run has the variance

    sigma^2 = sum of q_j (1 - q_j) / N^2  <=  p (1 - p) / N = b^2

for N images and a mean error p, so that sigma = phi b with phi <= 1. Jordan found this independence in repeated
trainings on CIFAR and ImageNet (On the Variance of Neural Network Training with respect to Test Sets and
Distributions, arXiv 2304.01910). In units of b, rows with different errors and different test sets can be compared, and
one phi is estimated for all of them from the standard deviations s_r of the rows,

    phi^2 = sum of nu_r (s_r / b_r)^2 / nu,   nu = sum of nu_r,   nu_r = n_r - 1,

with b_r from the printed error. The sum runs over the rows of all tables, each run once, and over two printed spreads
of five runs each: ResNet-110, 6.61 +- 0.16, and Highway-19, 7.72 +- 0.16 (He et al., arXiv 1512.03385, Table 6).
These two give phi = 0.62 with 8 degrees of freedom, so that even single runs can be judged; every further seed reduces
their weight. The Highway paper prints two smaller ones, 7.69 +- 0.12 and 32.39 +- 0.15 (phi = 0.45 and 0.32), which are
left out: the larger spreads are the cautious choice.

A row whose seeds differ more than independent images explain (which happens to one in 10,000 rows with phi = 1) is
taken to have a failed run. Its spread would dominate the pool, so it is left out of it and judged by its own spread.
If rows without a failed run exceeded this limit more often, the margin would become too narrow.

**The margin.** Without a true difference, the difference d between the two statistics has the variance
sigma^2 (v_n + v_k), where v is the variance of the statistic of standard normal draws: 1/n for a mean, 0.287 for the
median of five. Its mean is 0, except for the lowest of n against the lowest of k, whose expected difference
e = sigma (e_n - e_k) is subtracted first. With the estimated standard error se = b phi sqrt(v_n + v_k), (d - e) / se
follows Student's t with nu degrees of freedom. The difference is more than randomness if

    |d - e| > t(1 - 0.025 / m, nu) se + half a unit of the last printed digit = margin.

m is the number of cells that share the 5 % (Bonferroni). The table fixes it: all its printed errors that can be judged,
measured or not, or those of the rows that the user selected. So m does not change because another row was measured;
several runs of another row only make the estimate of phi better. Rows have to be selected before their runs are seen;
otherwise the 5 % does not hold.

**Equivalence.** Finding no difference is not evidence that there is none: there may be too few runs. *Reproduced*
is therefore the result of an equivalence test (two one-sided t-tests at the 5 % level): the difference is smaller than
the bound if

    |d - e| + t(0.95, nu) se + half a unit of the last printed digit <= bound.

The left side is the limit of the difference, `at_most`. The bound is 1 point at 23 % error on 10,000 test images, and
in proportion to b for other errors and test sets.

**The verdict.**

    ==================  ==========================  =========================================
                        difference within margin    difference beyond margin
    ==================  ==========================  =========================================
    at_most <= bound    reproduced                  within the bound, but higher (or lower)
    at_most > bound     too few runs                not reproduced, or better than published
    ==================  ==========================  =========================================

A single run is never called reproduced: beyond the margin it is *not consistent*; within a margin that is no wider
than the bound it is *consistent*; a wider margin shows nothing, and more runs are needed.

**Error rates**, measured by tests/simulation.py for tables of 1, 5 and 27 rows with two to ten seeds, false alarms
also with one seed; the pool consists of the printed spreads and the rows of the table:

- The printed spreads are a representative sample of the spread of our runs. Of tables without a true difference, at
  most 5 % show one beyond its margin, about half of these a higher error. Of rows that are truly worse by the bound, at
  most 5 % are called reproduced. Of rows without a true difference, at least 75 % are (two seeds each), or 85 % (five).
- The printed spreads mislead, and our runs have phi = 1, as large as independent images allow. Up to 18 % of tables
  show a difference, up to 10 % a higher error; up to 12 % of rows that are worse by the bound are called reproduced,
  and of rows without a true difference 25 to 60 %.
- Both hold for a number of seeds that was fixed in advance. Looking after every seed and stopping at the first
  difference finds one more often: with up to ten seeds, and the spread as printed, in up to 15 % of tables without one
  instead of 5 %, and a higher error in up to 9 % instead of 3 %. If the printed spreads mislead, in up to 32 %.

**The choice of test images** is not part of the margin. Both sides are tested on the same images, so what makes these
images easier or harder affects both errors. Their sampling error (0.42 points at 23 % on 10,000 images) belongs to a
claim about other images. If our images are not the paper's, there is no verdict.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt

from repro.comparison.spread import PRINTED_SPREADS, Spread, binomial, combined
from repro.comparison.verdict import Verdict
from repro.tables import Cell, Statistic

FALSE_ALARMS = 0.05
"""The share of tables without a true difference that may show one, and of rows worse by the bound called reproduced."""
BOUND = 1.0
"""The difference that matters, in percentage points at the error and number of images that follow."""
REFERENCE_ERROR, REFERENCE_IMAGES = 23.0, 10_000

RULE = (
    "The verdict rests on two tests. A difference counts as real if it exceeds the margin, the largest difference that "
    "the randomness of training explains. An equivalence test may rule out a difference as large as the bound: 1 point "
    "at 23 % error on 10,000 images, and in proportion for others. Real and not ruled out: not reproduced, or better "
    "than published. Real but ruled out: within the bound, but higher or lower. Not real and ruled out: reproduced. "
    "Neither: too few runs. One run is at most consistent, "
    "and only if its margin is no wider than the bound. The spread of a run is estimated from the seeds of all tables "
    "and from two printed spreads of five runs each (He et al., Table 6: 6.61 ± 0.16 and 7.72 ± 0.16). At most 5 % of "
    "tables without a true difference show one, and up to 18 % if these two are misleading and the spread is as large "
    "as independent images allow. This holds for a number of seeds fixed in advance; looking after every seed and "
    "stopping at the first difference raises the 5 % to as much as 15 %, and the 18 % to as much as 32 %."
)

FIGURE_OF: dict[Statistic, Callable[[Sequence[float]], float]] = {
    Statistic.LAST: statistics.fmean,  # a single printed run is compared with the mean of our seeds
    Statistic.MEAN: statistics.fmean,
    Statistic.MEDIAN: statistics.median,
    Statistic.BEST: min,
}
"""Returns our figure from the errors of our seeds, by the statistic of the printed one."""


@dataclass(frozen=True)
class MeasuredError:
    """A printed error and our runs of it."""

    published: Cell
    """In %."""
    statistic: Statistic
    """The statistic that the printed figure is."""
    runs: int
    """Number of the paper's runs for the printed figure."""
    values: tuple[float, ...]
    """Our errors in %, by seed; none before the first run, which has no value and difference yet."""
    images: int
    """Number of test images."""
    more_is_better: bool = False
    """Whether the values are of a metric whose best one is the largest; such figures get no verdict."""

    @property
    def n(self) -> int:
        """The number of our runs."""
        return len(self.values)

    @property
    def value(self) -> float:
        """Our figure in %, by the statistic of the printed one."""
        figure = max if self.statistic == Statistic.BEST and self.more_is_better else FIGURE_OF[self.statistic]
        return figure(self.values)

    @property
    def difference(self) -> float:
        """Our figure minus the printed one, in percentage points."""
        return self.value - float(self.published.value)

    @property
    def binomial(self) -> float:
        """The standard deviation in points if each image were wrong with the printed probability."""
        return binomial(float(self.published.value), self.images)

    @property
    def bound(self) -> float:
        """The difference that matters, in percentage points."""
        return BOUND * self.binomial / binomial(REFERENCE_ERROR, REFERENCE_IMAGES)

    @property
    def spread(self) -> Spread:
        """The spread of our seeds; without a second seed there is no degree of freedom."""
        std = statistics.stdev(self.values) if self.n > 1 else 0.0
        return Spread(std / self.binomial, max(0, self.n - 1))

    def judged_by(self, pooled: Spread) -> Spread:
        """Return the spread that a verdict rests on: the pooled one, or that of a row with a failed run."""
        return self.spread if self.spread.failed else pooled

    @property
    def variance(self) -> float:
        """The variance of the difference, in units of the variance of one run."""
        return moments(self.statistic, self.n)[1] + moments(self.statistic, self.runs)[1]

    @property
    def shift(self) -> float:
        """The expected difference in standard deviations of one run: positive for the lowest of fewer runs."""
        return moments(self.statistic, self.n)[0] - moments(self.statistic, self.runs)[0]


@dataclass(frozen=True)
class Judgement:
    """A verdict and the figures that it rests on, in percentage points."""

    verdict: Verdict
    expected: float
    """The expected difference if there is no true one: 0, except for the lowest of fewer or more runs."""
    margin: float
    """The largest distance of the difference from `expected` that randomness explains."""
    at_most: float
    """The largest distance of the true difference from `expected`: the limit of the equivalence test."""
    bound: float
    """The difference that matters."""
    own_spread: Spread | None = None
    """The spread of the row's own seeds, if the verdict rests on it because a run has failed."""


def pooled(rows: Iterable[MeasuredError]) -> Spread:
    """Return the spread between seeds from the printed spreads and our rows, which must not share runs."""
    return combined([*PRINTED_SPREADS, *(each.spread for each in rows if not each.spread.failed)])


def judge(cell: MeasuredError, spread: Spread, cells: int) -> Judgement:
    """Return the judgement on one measured cell.

    Args:
        cell: the printed error and ours.
        spread: the spread between seeds, pooled over all tables; a row with a failed run is judged by its own spread.
        cells: number of cells of the table that share the rate of false alarms.
    """
    spread = cell.judged_by(spread)
    sigma = spread.phi * cell.binomial
    error, half = sigma * sqrt(cell.variance), cell.published.half_unit
    expected = sigma * cell.shift
    margin = t_of_margin(spread.degrees, cells) * error + half
    at_most = abs(cell.difference - expected) + t_of_equivalence(spread.degrees) * error + half
    verdict_on = _verdict_on_one if cell.n == 1 else _verdict_on_several
    verdict = verdict_on(cell.difference - expected, margin, at_most, cell.bound)
    return Judgement(verdict, expected, margin, at_most, cell.bound, spread if cell.spread.failed else None)


def _verdict_on_several(difference: float, margin: float, at_most: float, bound: float) -> Verdict:
    higher = difference > 0
    if at_most <= bound:
        if abs(difference) <= margin:
            return Verdict.REPRODUCED
        return Verdict.WITHIN_HIGHER if higher else Verdict.WITHIN_LOWER
    if abs(difference) <= margin:
        return Verdict.TOO_FEW
    return Verdict.NOT_REPRODUCED if higher else Verdict.BETTER


def _verdict_on_one(difference: float, margin: float, at_most: float, bound: float) -> Verdict:
    if abs(difference) > margin:
        return Verdict.NOT_CONSISTENT if difference > 0 else Verdict.LOWER
    return Verdict.CONSISTENT if margin <= bound else Verdict.TOO_FEW


def t_of_margin(degrees: int, cells: int) -> float:
    """Return the two-sided quantile of Student's t at FALSE_ALARMS, shared among the cells of a table."""
    return student_t(degrees, 1 - FALSE_ALARMS / 2 / cells)


def t_of_equivalence(degrees: int) -> float:
    """Return the quantile of Student's t for each of the two one-sided tests."""
    return student_t(degrees, 1 - FALSE_ALARMS)


@cache
def student_t(degrees: int, probability: float) -> float:
    """Return the quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


@cache
def moments(statistic: Statistic, n: int) -> tuple[float, float]:
    """Return mean and variance of a statistic of n standard normal draws, integrated numerically except for means."""
    if statistic in (Statistic.LAST, Statistic.MEAN):
        return 0.0, 1 / n
    import numpy as np
    from scipy.special import log_ndtr, logsumexp

    def log_density(x: np.ndarray) -> np.ndarray:
        return -(x**2) / 2

    x = np.linspace(-9, 9, 1801)
    if statistic == Statistic.BEST:
        log_weight = (n - 1) * log_ndtr(-x) + log_density(x)
    elif n % 2:
        log_weight = (n // 2) * (log_ndtr(x) + log_ndtr(-x)) + log_density(x)
    else:  # the midpoint x of two draws, x - t and x + t, with n / 2 - 1 draws on either side
        t = np.arange(0.005, 9, 0.01)[:, None]
        beside = (n // 2 - 1) * (log_ndtr(x - t) + log_ndtr(-x - t))
        log_weight = logsumexp(beside + log_density(x - t) + log_density(x + t), axis=0)
    weight = np.exp(log_weight - log_weight.max())  # in logarithms, since powers of many runs underflow
    mean = np.average(x, weights=weight)
    return float(mean), float(np.average((x - mean) ** 2, weights=weight))
