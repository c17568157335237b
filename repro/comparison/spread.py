"""The spread of a run's error between seeds, in units of the binomial one; rule.py derives it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import sqrt

FAILED = 1e-4
"""If seeds differ this improbably much, with independent images, one of the runs is taken to have failed."""


def binomial(error: float, images: int) -> float:
    """Return the standard deviation in points of an error in % on images that are misclassified independently."""
    return sqrt(error * (100 - error) / images)


@dataclass(frozen=True)
class Spread:
    """An estimate of the standard deviation of a run's error between seeds."""

    phi: float
    """In units of the binomial standard deviation."""
    degrees: int
    """Degrees of freedom of the estimate; 0 for one run, which has no spread."""

    @property
    def failed(self) -> bool:
        """Whether the spread is larger than independent images explain, so that a run has failed."""
        return self.degrees * self.phi**2 > most_squares(self.degrees)


def combined(spreads: Iterable[Spread]) -> Spread:
    """Return one estimate from several, weighted by their degrees of freedom; their sum must be at least 1."""
    estimates = tuple(spreads)
    degrees = sum(each.degrees for each in estimates)
    return Spread(sqrt(sum(each.degrees * each.phi**2 for each in estimates) / degrees), degrees)


@cache
def most_squares(degrees: int) -> float:
    """Return the quantile of chi-squared that seeds without a failed run exceed with probability FAILED."""
    from scipy.special import chdtri

    return float(chdtri(degrees, FAILED)) if degrees else 0.0


PRINTED_SPREADS = (Spread(0.16 / binomial(6.61, 10_000), degrees=4), Spread(0.16 / binomial(7.72, 10_000), degrees=4))
"""He et al., arXiv 1512.03385, Table 6, five runs each on CIFAR-10: ResNet-110, 6.61 +- 0.16, and Highway-19,
7.72 +- 0.16. The +- is taken as the standard deviation with n - 1."""
PRINTED_SPREAD = combined(PRINTED_SPREADS)
"""The estimate of the spread without any run of ours."""
