"""Whether a printed error was reproduced: the rule behind every verdict.

**The question.** A printed error is a statistic of k runs (one run, or the median, mean or lowest of k); ours is the
same statistic of n seeds. Is their difference larger than the chance between runs makes it?

**The spread of a run.** Let a network err on test image j with probability q_j over seeds, on each image independently
of the others. Then the error of a run varies with

    sigma^2 = sum of q_j (1 - q_j) / N^2  <=  p (1 - p) / N = b^2

for N images and a mean error p: sigma = phi b with phi <= 1. That images err independently is what Jordan found of
repeated CIFAR and ImageNet trainings (On the Variance of Neural Network Training with respect to Test Sets and
Distributions, arXiv 2304.01910). So runs of rows with different errors, and on different test sets, are compared
in units of their b, and one phi serves a table. It is estimated from the standard deviations s_r of the rows,

    phi^2 = sum of (n_r - 1) (s_r / b_r)^2 / nu,   nu = sum of (n_r - 1),

with b_r from the printed error. To the rows comes one more, the only spread that these papers print: ResNet-110 on
CIFAR-10, 6.61 +- 0.16 over 5 runs (He et al., arXiv 1512.03385, Table 6), which says phi = 0.64 with 4 degrees of
freedom. With it even a table of single runs can be judged, and every seed that is added makes it weigh less.

The rows are taken once each: a second figure of the same runs (top-5 beside top-1) tells nothing new of the spread.
A row whose seeds differ more than images that err independently explain (one in 10,000 rows with phi = 1 would) has
runs that failed. It would hide the others, and is left out of the pool and judged by its own spread. A bound that
honest rows pass more often would leave the widest of them out and make the margin too narrow.

**The margin.** Without a true difference, the difference between the two statistics has the variance
sigma^2 (v_n + v_k), where v is the variance of the statistic over normal draws: 1/n for a mean, 0.287 for the median
of five. Its mean is 0, but for the lowest of n against the lowest of k it is the difference sigma (e_n - e_k) of their
expectations, which is taken off first. Divided by its estimated standard deviation it is Student's t with nu
degrees of freedom, so that

    margin = t b phi sqrt(v_n + v_k) + half a unit of the last printed digit.

A table has many cells, and it should not be called off because one of many is far by chance. With m judged cells, t is
the quantile 1 - 0.025 / m (Bonferroni): of tables without any true difference whose phi the pool estimates, at most 5 %
show a difference beyond its margin, half of these a higher error. Should phi be 1, as large as it can be, while the
pool knows it from few seeds, still no more than 5 % show a higher error; tests/simulation.py draws the tables.

**The verdict.** Beyond the margin: *not reproduced* if ours is higher, *better than published* if it is lower.
Within it: *reproduced*, if the margin is no wider than a difference worth telling; else *too few runs to say*. So
*reproduced* does not say that there is no difference: one as large as the margin is overlooked half the time. Worth
telling is 1 point at 23 % error on 10,000 images, and elsewhere as much more or less as b is. One run is never
said to reproduce: within the margin it is *consistent*, beyond it *not consistent*.

**The choice of test images** does not belong in it. Both sides are tested on the same images, so that what these images
make easier or harder is in both figures alike, and the question is whether this training gives this figure on this test
set. Their sampling error (0.42 points at 23 % on 10,000 images) is what a claim about other images would
need. Where our images are not the paper's, nothing is judged.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt

from repro.papers import Cell

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
BETTER = "better than published"
TOO_FEW = "too few runs to say"
CONSISTENT = "consistent (one run)"
NOT_CONSISTENT = "not consistent (one run)"
LOWER = "not consistent (one run, lower)"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, BETTER, TOO_FEW, CONSISTENT, NOT_CONSISTENT, LOWER)

FALSE_ALARMS = 0.05
"""The share of tables without a true difference that may show one."""
WORTH_TELLING = 1.0
"""Percentage points, at the error and number of images that follow."""
REFERENCE_ERROR, REFERENCE_IMAGES = 23.0, 10_000

FAILED = 1e-4
"""The chance at which seeds whose images err independently differ so much: they are no draws of one training."""

RULE = (
    "The verdict asks whether the printed error and ours differ by more than chance between runs explains. The spread "
    "of a run is estimated from the seeds of all rows of the table, together with the one spread that the papers "
    "print (6.61 ± 0.16 over 5 runs of ResNet-110, He et al.). At most 5 % of tables without a true difference show a "
    "higher error beyond its margin. Beyond it: not reproduced, or better than published. Within it: reproduced, or "
    "too few runs to say if the margin is wider than 1 point at 23 % error on 10,000 images, elsewhere in proportion. "
    "One run is consistent or not consistent, never more."
)

STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "last": statistics.fmean,  # of a single printed run we have the seeds' mean to show
    "mean": statistics.fmean,
    "median": statistics.median,
    "best": min,
}


@dataclass(frozen=True)
class Spread:
    """The standard deviation of a run's error between seeds, in units of the binomial one."""

    phi: float
    degrees: int
    """Degrees of freedom of the estimate."""


@dataclass(frozen=True)
class Measured:
    """A printed error and our runs of it."""

    published: Cell
    """In %."""
    statistic: str
    """Behind the printed figure: one of STATISTICS."""
    runs: int
    """Behind the printed figure."""
    values: tuple[float, ...]
    """Our errors in %, by seed; one at least."""
    images: int
    """Of the test set."""
    pooled: bool = True
    """False if another figure of the same runs tells their spread."""

    @property
    def n(self) -> int:
        """How many runs of ours there are."""
        return len(self.values)

    @property
    def value(self) -> float:
        """Our figure in %, by the statistic of the printed one."""
        return STATISTICS[self.statistic](self.values)

    @property
    def difference(self) -> float:
        """Our figure minus the printed one, in percentage points."""
        return self.value - float(self.published.value)

    @property
    def binomial(self) -> float:
        """What the standard deviation would be if each image were wrong with the printed probability, in points."""
        return binomial(float(self.published.value), self.images)

    @property
    def phi(self) -> float:
        """The standard deviation between our seeds over the binomial one; 0 of one seed."""
        mean = statistics.fmean(self.values)
        return sqrt(sum((value - mean) ** 2 for value in self.values) / max(1, self.n - 1)) / self.binomial

    @property
    def failed(self) -> bool:
        """Whether the seeds differ by more than images that err independently explain."""
        return (self.n - 1) * self.phi**2 > most_squares(self.n - 1)

    @property
    def variance(self) -> float:
        """The variance of the difference, over that of one run."""
        return moments(self.statistic, self.n)[1] + moments(self.statistic, self.runs)[1]

    @property
    def shift(self) -> float:
        """The mean of the difference, over the standard deviation of one run: of the lowest of more runs negative."""
        return moments(self.statistic, self.n)[0] - moments(self.statistic, self.runs)[0]


@dataclass(frozen=True)
class Judgement:
    """How far the printed figure may be from ours by chance, in percentage points, and what that means."""

    margin: float
    verdict: str
    expected: float
    """Ours minus the printed one in the mean, without a true difference: the lowest of fewer runs is higher."""


def binomial(error: float, images: int) -> float:
    """Return the standard deviation in points of an error in % over so many images that err independently."""
    return sqrt(error * (100 - error) / images)


PRINTED_SPREAD = Spread(0.16 / binomial(6.61, 10_000), degrees=4)
"""ResNet-110 on CIFAR-10, five runs: He et al., arXiv 1512.03385, Table 6."""


def judge(measured: Sequence[Measured]) -> list[Judgement]:
    """Return the judgement on each measured cell of one table; each depends on how many there are."""
    spread = pooled(measured)
    return [_judgement(each, _own(each) if each.failed else spread, cells=len(measured)) for each in measured]


def pooled(measured: Sequence[Measured]) -> Spread:
    """Return the spread that all cells of a table and the printed one tell together."""
    telling = [each for each in measured if each.pooled and not each.failed]
    degrees = PRINTED_SPREAD.degrees + sum(each.n - 1 for each in telling)
    squares = sum((each.n - 1) * each.phi**2 for each in telling)
    return Spread(sqrt((PRINTED_SPREAD.degrees * PRINTED_SPREAD.phi**2 + squares) / degrees), degrees)


def _own(cell: Measured) -> Spread:
    return Spread(cell.phi, cell.n - 1)


def _judgement(cell: Measured, spread: Spread, cells: int) -> Judgement:
    sigma = spread.phi * cell.binomial
    margin = student_t(spread.degrees, cells) * sigma * sqrt(cell.variance) + cell.published.half_unit
    expected = sigma * cell.shift
    return Judgement(margin, _verdict(cell, cell.difference - expected, margin), expected)


def _verdict(cell: Measured, difference: float, margin: float) -> str:
    if abs(difference) > margin:
        higher, lower = (NOT_REPRODUCED, BETTER) if cell.n > 1 else (NOT_CONSISTENT, LOWER)
        return higher if difference > 0 else lower
    if cell.n == 1:
        return CONSISTENT
    return REPRODUCED if margin <= worth_telling(cell) else TOO_FEW


def worth_telling(cell: Measured) -> float:
    """Return the difference in points that the runs of a cell should be able to show."""
    return WORTH_TELLING * cell.binomial / binomial(REFERENCE_ERROR, REFERENCE_IMAGES)


@cache
def student_t(degrees: int, cells: int) -> float:
    """Return the quantile of Student's distribution that all of so many cells pass together by chance."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 1 - FALSE_ALARMS / 2 / cells))


@cache
def most_squares(degrees: int) -> float:
    """Return the quantile of chi-squared, the squares of phi = 1, that seeds without a failed run do not pass."""
    from scipy.special import chdtri

    return float(chdtri(degrees, FAILED)) if degrees else 0.0


@cache
def moments(statistic: str, n: int) -> tuple[float, float]:
    """Return mean and variance of a statistic of n standard normal draws; but for means, integrated numerically."""
    if statistic in ("last", "mean"):
        return 0.0, 1 / n
    import numpy as np
    from scipy.special import ndtr

    def density(x: np.ndarray) -> np.ndarray:
        return np.exp(-(x**2) / 2)

    x = np.linspace(-9, 9, 1801)
    if statistic == "best":
        weight = ndtr(-x) ** (n - 1) * density(x)
    elif n % 2:
        weight = (ndtr(x) * ndtr(-x)) ** (n // 2) * density(x)
    else:  # the middle of two draws, x - t and x + t, with n / 2 - 1 on either side
        t = np.linspace(0, 9, 901)[:, None]
        weight = ((ndtr(x - t) * ndtr(-x - t)) ** (n // 2 - 1) * density(x - t) * density(x + t)).sum(0)
    mean = np.average(x, weights=weight)
    return float(mean), float(np.average((x - mean) ** 2, weights=weight))
