"""The number of seeds with which the rule of the verdicts would decide a row: the rule, run forward.

**The question.** With how many seeds n does the rule of rule.py reach a decision (*reproduced*, or any difference) with
a probability of at least 80 %, if there is no true difference: if the expected error of our runs is the one of which
the printed error is a statistic? One run decides nothing.

**What is known.** All figures are differences from the printed error, in units of b, as in rule.py. The true spread phi
is taken to be the pooled estimate, with nu degrees of freedom. The printed error is a statistic of k runs with mean
phi e_k and variance phi^2 v_k around the common expected error u, and m runs so far have the mean x. So u is normal
(with a flat prior),

    u ~ N((m x - phi e_k / v_k) / (m + 1 / v_k),  phi^2 / (m + 1 / v_k)),

and the mean y of the r = n - m next runs is normal around the same centre with the variance phi^2 / r added.

**What the rule will see.** The mean of all n runs is (m x + r y) / n. Their statistic is that mean plus phi e_n plus a
part of variance phi^2 (v_n - 1 / n), which is independent of the mean (Basu) and is 0 for a mean; for medians and the
lowest it is taken as normal, as the rule takes the whole statistic. The pool gains squares and degrees of freedom,

    nu' phi'^2 = nu phi^2 + phi^2 chi^2(r - 1) + (m r / n) (x - y)^2,   nu' = nu + r       if m > 0,
    nu' phi'^2 = nu phi^2 + phi^2 chi^2(n - 1),                         nu' = nu + n - 1   if m = 0.

With the new phi', the standard error is se = phi' sqrt(v_n + v_k), and the rule leaves a row undecided if

    bound - t(0.95, nu') se - half a digit  <  |d - phi' (e_n - e_k)|  <=  t(1 - 0.025 / c, nu') se + half a digit

for a difference d in a table of c cells.

**The probability** of that, given y and chi^2, is a difference of normal probabilities. It is averaged over chi^2 and,
if there are runs, over y: at the midpoints of equally probable parts of their distributions. With no runs, y has no
part in the pool and is integrated exactly. tests/test_planning.py compares the result with tests/simulation.py.

Left out: failed runs, further seeds of other rows (which only help), and what the spread of the printed runs says about
u beyond phi.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import TYPE_CHECKING

from repro.comparison.rule import MeasuredError, judge, moments, t_of_equivalence, t_of_margin
from repro.comparison.spread import Spread
from repro.comparison.verdict import Verdict
from repro.tables import Statistic

if TYPE_CHECKING:
    import numpy as np

ENOUGH = 0.8
"""The probability of a decision that is asked for."""
MOST = 50
"""The largest number of seeds that is tried."""
SQUARES, MEANS = 100, 400
"""Number of equally probable parts of the distributions of chi^2 and of the next runs' mean."""


@dataclass(frozen=True)
class Known:
    """What decides how probable a decision is; the same for many rows. Figures are in units of b."""

    statistic: Statistic
    runs: int
    """The paper's runs for the printed error, k."""
    n: int
    """Our runs so far, m."""
    mean: float
    """Their mean minus the printed error; 0 without runs."""
    half: float
    """Half a unit of the last printed digit."""
    bound: float
    spread: Spread
    cells: int


def deciding_seeds(error: MeasuredError, spread: Spread, cells: int) -> int | None:
    """Return the least number of seeds, those so far included, that would decide a row; None for more than MOST.

    Args:
        error: the printed error and our runs so far, if any.
        spread: the spread between seeds, pooled over all tables with these runs.
        cells: number of cells of the table that share the rate of false alarms.
    """
    if error.n > 1 and judge(error, spread, cells).verdict is not Verdict.TOO_FEW:
        return error.n
    own = error.judged_by(spread)
    b = error.binomial
    mean = (statistics.fmean(error.values) - float(error.published.value)) / b if error.values else 0.0
    # Rounded, so that rows of nearly the same precision share one computation; the digits left out change nothing.
    half, bound = round(error.published.half_unit / b, 3), round(error.bound / b, 6)
    return _least_seeds(Known(error.statistic, error.runs, error.n, mean, half, bound, own, cells))


@cache
def _least_seeds(known: Known) -> int | None:
    """Return the least number of seeds that decide with probability ENOUGH; None for more than MOST."""
    tried = range(max(2, known.n + 1), MOST + 1)
    return next((n for n in tried if probability(known, n) >= ENOUGH), None)


def probability(known: Known, n: int) -> float:
    """Return the probability that the rule decides with n > m seeds, if there is no true difference."""
    from scipy.special import chdtri

    phi, m, r = known.spread.phi, known.n, n - known.n
    degrees = known.spread.degrees + (r if m else n - 1)
    squares = phi**2 * chdtri(r - 1, _midpoints(SQUARES))[:, None] if r > 1 else 0.0
    (e_n, v_n), (e_k, v_k) = moments(known.statistic, n), moments(known.statistic, known.runs)
    information = m + 1 / v_k
    centre, variance = (m * known.mean - phi * e_k / v_k) / information, phi**2 * (1 / information + 1 / r)
    if m:
        y, rest = _parts_of_normal(centre, sqrt(variance)), phi**2 * max(0.0, v_n - 1 / n)
        squares = squares + m * r / n * (known.mean - y) ** 2
    else:  # the statistic as a whole is independent of the pool
        y, rest = _parts_of_normal(centre, 0.0), phi**2 * (v_n + v_k)
    pooled = ((known.spread.degrees * phi**2 + squares) / degrees) ** 0.5
    d = (m * known.mean + r * y) / n + phi * e_n - pooled * (e_n - e_k)
    se = pooled * sqrt(v_n + v_k)
    smaller = known.bound - t_of_equivalence(degrees) * se - known.half
    margin = t_of_margin(degrees, known.cells) * se + known.half
    return float((1 - _between(smaller, margin, d, sqrt(rest))).mean())


def _between(low: np.ndarray, high: np.ndarray, centre: np.ndarray, deviation: float) -> np.ndarray:
    """Return the probabilities that the size of normal draws is above `low` and at most `high`."""
    import numpy as np
    from scipy.special import ndtr

    def within(size: np.ndarray) -> np.ndarray:
        size, scale = np.maximum(size, 0.0), max(deviation, 1e-9)
        return ndtr((size - centre) / scale) - ndtr((-size - centre) / scale)

    return np.maximum(0.0, within(high) - within(low))


def _parts_of_normal(centre: float, deviation: float) -> np.ndarray:
    """Return midpoints of equally probable parts of a normal distribution, in a row; one if it has no width."""
    from scipy.special import ndtri

    return centre + deviation * ndtri(_midpoints(MEANS if deviation else 1))[None, :]


def _midpoints(parts: int) -> np.ndarray:
    import numpy as np

    return (np.arange(parts) + 0.5) / parts
