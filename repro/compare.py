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

**The margin.** Without a true difference, the difference between the two statistics has mean 0 and variance
sigma^2 (v_n + v_k), where v is the variance of the statistic over normal draws: 1/n for a mean, 0.287 for the median
of five. Divided by its estimated standard deviation it is Student's t with nu degrees of freedom, so that

    margin = t b phi sqrt(v_n + v_k) + half a unit of the last printed digit.

A table has many cells, and it should not be called off because one of many is far by chance. With m judged cells, t is
the quantile 1 - 0.025 / m (Bonferroni): of tables without any true difference, at most 5 % show a difference
beyond its margin, and at most half of these a higher error.

**The verdict.** Beyond the margin: *not reproduced* if ours is higher, *better than published* if it is lower.
Within it: *reproduced*, but only if a difference worth telling would have been beyond it; else *too few runs to say*.
Worth telling is 1 point at 23 % error on 10,000 images, and elsewhere as much more or less as b is. One run
is never said to reproduce: within the margin it is *consistent*, beyond it *not consistent*. The lowest of k
runs is compared with the lowest of our first k seeds, and needs as many.

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
VERDICTS = (REPRODUCED, NOT_REPRODUCED, BETTER, TOO_FEW, CONSISTENT, NOT_CONSISTENT)

FALSE_ALARMS = 0.05
"""The share of tables without a true difference that may show one."""
WORTH_TELLING = 1.0
"""Percentage points, at the error and number of images that follow."""
REFERENCE_ERROR, REFERENCE_IMAGES = 23.0, 10_000

RULE = (
    "The verdict asks whether the printed error and ours differ by more than chance between runs explains. The spread "
    "of a run is estimated from the seeds of all rows of the table, together with the one spread that the papers "
    "print (6.61 ± 0.16 over 5 runs of ResNet-110, He et al.). Of tables without a true difference, at most 5 % show a "
    "cell beyond its margin. Beyond it: not reproduced, or better than published. Within it: reproduced, or too few "
    "runs to say if even 1 point at 23 % error would not have been seen. One run is consistent or not consistent, "
    "never more."
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

    @property
    def n(self) -> int:
        """How many runs of ours there are."""
        return len(self.values)

    @property
    def compared(self) -> tuple[float, ...]:
        """The runs whose statistic is compared: all, but of the lowest of k only k."""
        return self.values[: self.runs] if self.statistic == "best" else self.values

    @property
    def value(self) -> float:
        """Our figure in %, by the statistic of the printed one."""
        return STATISTICS[self.statistic](self.compared)

    @property
    def difference(self) -> float:
        """Our figure minus the printed one, in percentage points."""
        return self.value - float(self.published.value)

    @property
    def binomial(self) -> float:
        """What the standard deviation would be if each image were wrong with the printed probability, in points."""
        return binomial(float(self.published.value), self.images)

    @property
    def variance(self) -> float:
        """The variance of the difference, over that of one run."""
        return statistic_variance(self.statistic, len(self.compared)) + statistic_variance(self.statistic, self.runs)


@dataclass(frozen=True)
class Judgement:
    """How far the printed figure may be from ours by chance, in percentage points, and what that means."""

    margin: float
    verdict: str


def binomial(error: float, images: int) -> float:
    """Return the standard deviation in points of an error in % over so many images that err independently."""
    return sqrt(error * (100 - error) / images)


PRINTED_SPREAD = Spread(0.16 / binomial(6.61, 10_000), degrees=4)
"""ResNet-110 on CIFAR-10, five runs: He et al., arXiv 1512.03385, Table 6."""


def judge(measured: Sequence[Measured]) -> list[Judgement]:
    """Return the judgement on each measured cell of one table; each depends on how many there are."""
    spread = pooled(measured)
    return [_judgement(each, spread, cells=len(measured)) for each in measured]


def pooled(measured: Sequence[Measured]) -> Spread:
    """Return the spread that all cells of a table and the printed one tell together."""
    degrees = PRINTED_SPREAD.degrees + sum(each.n - 1 for each in measured)
    squares = PRINTED_SPREAD.degrees * PRINTED_SPREAD.phi**2
    for each in measured:
        mean = statistics.fmean(each.values)
        squares += sum((value - mean) ** 2 for value in each.values) / each.binomial**2
    return Spread(sqrt(squares / degrees), degrees)


def _judgement(cell: Measured, spread: Spread, cells: int) -> Judgement:
    sigma = spread.phi * cell.binomial
    margin = student_t(spread.degrees, cells) * sigma * sqrt(cell.variance) + cell.published.half_unit
    return Judgement(margin, _verdict(cell, margin))


def _verdict(cell: Measured, margin: float) -> str:
    within = abs(cell.difference) <= margin
    if cell.statistic == "best" and cell.n < cell.runs:
        return TOO_FEW
    if cell.n == 1:
        return CONSISTENT if within else NOT_CONSISTENT
    if not within:
        return NOT_REPRODUCED if cell.difference > 0 else BETTER
    worth_telling = WORTH_TELLING * cell.binomial / binomial(REFERENCE_ERROR, REFERENCE_IMAGES)
    return REPRODUCED if margin <= worth_telling else TOO_FEW


@cache
def student_t(degrees: int, cells: int) -> float:
    """Return the quantile of Student's distribution that all of so many cells pass together by chance."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 1 - FALSE_ALARMS / 2 / cells))


@cache
def statistic_variance(statistic: str, n: int) -> float:
    """Return the variance of a statistic of n standard normal draws: 1/n for a mean, else integrated numerically."""
    if statistic in ("last", "mean"):
        return 1 / n
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
    return float(np.average((x - mean) ** 2, weights=weight))
