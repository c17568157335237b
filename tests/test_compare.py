"""The rule of the verdicts: its figures, and what it says over many simulated tables."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from simulation import IMAGES, TABLES, false_alarms, is_higher, power, simulated

from repro.compare import (
    BETTER,
    CONSISTENT,
    LOWER,
    NOT_CONSISTENT,
    NOT_REPRODUCED,
    PRINTED_SPREAD,
    REPRODUCED,
    TOO_FEW,
    Measured,
    judge,
    moments,
    pooled,
    student_t,
)
from repro.papers import Cell


def measured(printed: str, values: Sequence[float], statistic: str = "last", runs: int = 1) -> Measured:
    return Measured(Cell(printed), statistic, runs, tuple(values), IMAGES)


def verdict(printed: str, values: Sequence[float], statistic: str = "last", runs: int = 1) -> str:
    return judge([measured(printed, values, statistic, runs)])[0].verdict


CASES = [
    (1, "last", 1, 0.0),
    (3, "last", 1, 0.008),
    (5, "last", 1, 0.01),
    (5, "median", 5, 0.008),
    (5, "best", 5, 0.008),
    (3, "best", 5, 0.005),
]


@pytest.mark.parametrize(("n", "statistic", "runs", "least"), CASES)
def test_without_a_true_difference_a_table_is_rarely_called_off(
    n: int, statistic: str, runs: int, least: float
) -> None:
    """Nor hardly ever: a margin that is too wide would say nothing."""
    higher = either = 0
    for table in simulated(n, statistic=statistic, runs=runs):
        higher += any(is_higher(said) for _, said in table)
        either += any(is_higher(said) or said in (BETTER, LOWER) for _, said in table)
    assert least <= higher / TABLES <= 0.05
    assert either / TABLES <= 0.05


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_spread_up_to_the_binomial_bound_raises_no_more_false_alarms(n: int, rows: int) -> None:
    assert false_alarms(n, rows=rows, phi=1.0) <= 0.05


def test_nor_does_it_in_a_table_of_many_rows() -> None:
    """As long as Table 2 of the DenseNet paper; by two seeds a row the spread is known worst."""
    assert false_alarms(2, rows=27, phi=1.0, tables=2000) <= 0.05


@pytest.mark.parametrize(("n", "least", "most"), [(1, 0.02, 0.05), (3, 0.5, 0.65), (5, 0.65, 0.8)])
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
    assert verdict("25.62", [22.62]) == LOWER


def test_a_margin_wider_than_what_is_worth_telling_is_too_wide() -> None:
    cells = [measured("22.62", [22.5, 22.9]), *[measured("24.65", [24.6])] * 9]
    assert judge(cells)[0].verdict == TOO_FEW


def test_seeds_of_one_training_hardly_ever_look_failed() -> None:
    for n in (2, 3, 5):
        rows = [cell for table in simulated(n, phi=1.0, tables=2000) for cell, _ in table]
        assert sum(each.failed for each in rows) / len(rows) < 0.001


def test_a_failed_run_hides_only_its_own_row() -> None:
    failed = measured("24.65", [24.6, 24.7, 99.0])
    high = [measured("22.62", [25.5, 25.6, 25.7])] * 4
    assert failed.failed
    assert [each.verdict for each in judge([failed, *high])] == [TOO_FEW, *[NOT_REPRODUCED] * 4]


def test_a_second_figure_of_the_same_runs_tells_no_spread() -> None:
    top1 = measured("24.65", [24.6, 24.7, 24.8])
    assert pooled([top1, replace(top1, pooled=False)]) == pooled([top1])


def test_cells_of_one_table_share_its_false_alarms() -> None:
    alone, others = measured("22.62", [22.5, 22.7, 22.9]), [measured("24.65", [24.6])] * 9
    assert judge([alone, *others])[0].margin > judge([alone])[0].margin


def test_seeds_of_other_rows_tell_the_spread_too() -> None:
    single = measured("22.62", [22.7])
    steady = [measured("23.03", [23.0, 23.01, 23.02, 23.03, 23.04])]
    assert pooled([single, *steady]).degrees == 4 + 4
    assert pooled([single, *steady]).phi < pooled([single]).phi == pytest.approx(PRINTED_SPREAD.phi)


def test_the_lowest_of_five_is_compared_with_that_of_any_number() -> None:
    """Of fewer seeds the lowest is higher by itself: here by (1.163 - 0.846) of a run's spread."""
    assert verdict("6.43", [6.5, 6.6, 6.7, 6.8, 6.9], "best", runs=5) == REPRODUCED
    assert verdict("6.43", [36.3], "best", runs=5) == NOT_CONSISTENT
    assert verdict("6.43", [20.0, 20.1, 20.2, 20.3], "best", runs=5) == NOT_REPRODUCED
    assert measured("6.43", [6.5, 6.6, 6.7], "best", runs=5).shift == pytest.approx(1.163 - 0.846, abs=1e-3)
    assert measured("6.43", [6.5, 6.6, 6.7], "last").shift == 0


def test_moments_of_statistics() -> None:
    """Of normal draws, from 400,000 samples each."""
    random = np.random.default_rng(0)
    assert moments("mean", 4) == moments("last", 4) == (0, 0.25)
    for n in range(1, 7):
        draws = random.standard_normal((400_000, n))
        for statistic, drawn in (("median", np.median(draws, axis=1)), ("best", draws.min(axis=1))):
            assert moments(statistic, n) == pytest.approx((drawn.mean(), drawn.var()), rel=0.01, abs=0.005)


def test_students_quantiles() -> None:
    found = [student_t(degrees, cells=1) for degrees in (1, 2, 4)]
    assert found == pytest.approx([12.706, 4.303, 2.776], abs=1e-3)
    assert student_t(4, cells=5) == pytest.approx(4.604, abs=1e-3)
