"""The rule of the verdicts: its figures, and what it says over many simulated tables."""

from collections.abc import Sequence

import numpy as np
import pytest
from simulation import IMAGES, TABLES, false_alarms, is_higher, power, simulated

from repro.compare import (
    BETTER,
    CONSISTENT,
    NOT_CONSISTENT,
    NOT_REPRODUCED,
    PRINTED_SPREAD,
    REPRODUCED,
    TOO_FEW,
    Measured,
    judge,
    pooled,
    statistic_variance,
    student_t,
)
from repro.papers import Cell


def measured(printed: str, values: Sequence[float], statistic: str = "last", runs: int = 1) -> Measured:
    return Measured(Cell(printed), statistic, runs, tuple(values), IMAGES)


def verdict(printed: str, values: Sequence[float], statistic: str = "last", runs: int = 1) -> str:
    return judge([measured(printed, values, statistic, runs)])[0].verdict


@pytest.mark.parametrize(
    ("n", "statistic", "runs"), [(1, "last", 1), (3, "last", 1), (5, "last", 1), (5, "median", 5), (5, "best", 5)]
)
def test_without_a_true_difference_a_table_is_rarely_called_off(n: int, statistic: str, runs: int) -> None:
    higher = lower = 0
    for table in simulated(n, statistic=statistic, runs=runs):
        higher += any(is_higher(cell, said) for cell, said in table)
        lower += any(said == BETTER for _, said in table)
    assert higher / TABLES <= 0.05
    assert (higher + lower) / TABLES <= 0.06  # 5 % by the rule, in the mean of many simulations


def test_a_spread_up_to_the_binomial_bound_raises_no_more_false_alarms() -> None:
    assert false_alarms(3, phi=1.0) <= 0.05


@pytest.mark.parametrize(("n", "least", "most"), [(1, 0.0, 0.1), (3, 0.5, 0.7), (5, 0.6, 0.8)])
def test_more_seeds_see_a_difference_of_one_point_more_often(n: int, least: float, most: float) -> None:
    assert least <= power(n) <= most


def test_seeds_that_agree_reproduce() -> None:
    said = [each for table in simulated(5) for _, each in table]
    assert said.count(REPRODUCED) / len(said) > 0.9


def test_the_margin_of_one_row() -> None:
    """By hand: two cells, 4 + 2 degrees of freedom, t at 1 - 0.025 / 2."""
    cells = [measured("22.62", [22.5, 22.7, 22.9]), measured("24.65", [24.6])]
    b = (22.62 * 77.38 / IMAGES) ** 0.5
    phi = ((4 * (0.16 / (6.61 * 93.39 / IMAGES) ** 0.5) ** 2 + 2 * (0.2 / b) ** 2) / 6) ** 0.5
    assert pooled(cells).phi == pytest.approx(phi)
    assert judge(cells)[0].margin == pytest.approx(2.9687 * phi * b * (1 / 3 + 1) ** 0.5 + 0.005, rel=1e-4)


def test_the_verdict_follows_the_difference() -> None:
    close, far = [22.5, 22.7, 22.9], [24.4, 24.5, 24.6]
    assert verdict("22.62", close) == REPRODUCED
    assert verdict("22.62", far) == NOT_REPRODUCED
    assert verdict("26.65", far) == BETTER


def test_one_run_is_consistent_or_not() -> None:
    assert verdict("22.62", [23.0]) == CONSISTENT
    assert verdict("22.62", [25.0]) == NOT_CONSISTENT
    assert verdict("4.51", [7.5]) == NOT_CONSISTENT  # the replication of DenseNet-BC that blamed chance
    assert verdict("25.62", [22.62]) == NOT_CONSISTENT


def test_seeds_far_from_each_other_are_too_few() -> None:
    assert verdict("22.62", [21.0, 24.2]) == TOO_FEW


def test_cells_of_one_table_share_its_false_alarms() -> None:
    alone, others = measured("22.62", [22.5, 22.7, 22.9]), [measured("24.65", [24.6])] * 9
    assert judge([alone, *others])[0].margin > judge([alone])[0].margin


def test_seeds_of_other_rows_tell_the_spread_too() -> None:
    single = measured("22.62", [22.7])
    steady = [measured("23.03", [23.0, 23.01, 23.02, 23.03, 23.04])]
    assert pooled([single, *steady]).degrees == 4 + 4
    assert pooled([single, *steady]).phi < pooled([single]).phi == pytest.approx(PRINTED_SPREAD.phi)


def test_the_lowest_of_five_needs_five_and_no_more_count() -> None:
    assert verdict("6.43", [6.5, 6.6, 6.7], "best", runs=5) == TOO_FEW
    assert verdict("6.43", [6.5, 6.6, 6.7, 6.8, 6.9], "best", runs=5) == REPRODUCED
    assert measured("6.43", [6.5, 6.6, 6.7, 6.8, 6.9, 1.0], "best", runs=5).value == 6.5


def test_variances_of_statistics() -> None:
    """Of normal draws, from 400,000 samples each."""
    random = np.random.default_rng(0)
    assert statistic_variance("mean", 4) == statistic_variance("last", 4) == 0.25
    for n in range(1, 7):
        draws = random.standard_normal((400_000, n))
        assert statistic_variance("median", n) == pytest.approx(np.median(draws, axis=1).var(), rel=0.01)
        assert statistic_variance("best", n) == pytest.approx(draws.min(axis=1).var(), rel=0.01)


def test_students_quantiles() -> None:
    found = [student_t(degrees, cells=1) for degrees in (1, 2, 4)]
    assert found == pytest.approx([12.706, 4.303, 2.776], abs=1e-3)
    assert student_t(4, cells=5) == pytest.approx(4.604, abs=1e-3)
