"""The verdict rule: its numbers, and its verdicts on many simulated tables."""

from collections.abc import Sequence
from itertools import product
from math import exp, factorial, pi
from pathlib import Path

import numpy as np
import pytest
import simulation
from scipy import integrate, stats
from scipy.special import ndtr
from simulation import ESTIMATED, IMAGES, WIDEST, Outcome, Truth, drawn, outcome

from repro.comparison import rule
from repro.comparison.rule import (
    RULE,
    Judgement,
    MeasuredError,
    judge,
    moments,
    pooled,
    t_of_equivalence,
    t_of_margin,
)
from repro.comparison.spread import FAILED, PRINTED_SPREAD, PRINTED_SPREADS, Spread, combined, most_squares
from repro.comparison.verdict import Verdict
from repro.tables import Cell

SIZES = (1, 5, 27)  # the largest table, Table 2 of the DenseNet paper, has 27 errors
SEVERAL = (2, 3, 5, 10)

# The bounds of the documented claims, in %; those of WIDEST hold if the printed spreads mislead.
ALARMS, ALARMS_WIDEST = 5, 18
HIGHER, HIGHER_WIDEST = 3, 10
WORSE_REPRODUCED, WORSE_REPRODUCED_WIDEST = 5, 12
REPRODUCED_OF_TWO, REPRODUCED_OF_FIVE = 75, 85
REPRODUCED_WIDEST = (25, 60)
LOOKING, LOOKING_WIDEST = 15, 32
LOOKING_HIGHER = 9


def measured(printed: str, values: Sequence[float], statistic: str = "last", runs: int = 1) -> MeasuredError:
    return MeasuredError(Cell(printed), statistic, runs, tuple(values), IMAGES)


def judged(
    printed: str, values: Sequence[float], statistic: str = "last", runs: int = 1, *, cells: int = 1
) -> Judgement:
    """Return the judgement on a cell if no other cell has seeds."""
    cell = measured(printed, values, statistic, runs)
    return judge(cell, pooled([cell]), cells)


def verdict(printed: str, values: Sequence[float], statistic: str = "last", runs: int = 1) -> Verdict:
    return judged(printed, values, statistic, runs).verdict


# The documented claims about the rule: the docstring of repro.comparison.rule, RULE, and docs/verdict.md.


@pytest.mark.parametrize(("n", "rows"), list(product((1, *SEVERAL), SIZES)))
def test_without_a_true_difference_few_tables_show_one(n: int, rows: int) -> None:
    """The rate is not far below 5 % either, since a margin that is too wide would say nothing."""
    said = simulation.without_difference(n, rows)
    assert 0.02 <= simulation.alarms(said) <= ALARMS / 100 + 0.001  # of 20,000 tables: a standard error of 0.0015
    assert simulation.higher_alarms(said) <= HIGHER / 100
    assert said.below.any(1).mean() <= HIGHER / 100


@pytest.mark.parametrize(("statistic", "n"), [("median", 5), ("best", 5), ("best", 3), ("mean", 2)])
def test_without_a_true_difference_few_tables_of_other_statistics_show_one(statistic: str, n: int) -> None:
    """A statistic of five printed runs is compared with the same statistic of at most five of ours."""
    said = outcome(drawn(n, 5, statistic=statistic, runs=5))
    most = ALARMS / 100 + 0.005  # extremes and medians of normal draws are not quite normal
    assert 0.02 <= simulation.alarms(said) <= most
    assert said.reproduced.mean() >= REPRODUCED_OF_TWO / 100


@pytest.mark.parametrize(("n", "rows"), list(product(SEVERAL, SIZES)))
def test_rows_that_are_worse_by_the_bound_are_rarely_called_reproduced(n: int, rows: int) -> None:
    assert 0.025 <= simulation.with_difference(n, rows).reproduced[:, 0].mean() <= WORSE_REPRODUCED / 100 + 0.002
    assert simulation.with_difference(n, rows, WIDEST).reproduced[:, 0].mean() <= WORSE_REPRODUCED_WIDEST / 100


@pytest.mark.parametrize(("n", "rows"), list(product(SEVERAL, SIZES)))
def test_rows_without_a_difference_are_called_reproduced(n: int, rows: int) -> None:
    least = REPRODUCED_OF_FIVE if n >= 5 else REPRODUCED_OF_TWO
    assert simulation.without_difference(n, rows).reproduced.mean() >= least / 100
    low, high = REPRODUCED_WIDEST
    assert low / 100 <= simulation.without_difference(n, rows, WIDEST).reproduced.mean() <= high / 100


@pytest.mark.parametrize(("n", "rows"), list(product((1, *SEVERAL), SIZES)))
def test_if_the_printed_spreads_mislead_there_are_more_false_alarms(n: int, rows: int) -> None:
    said = simulation.without_difference(n, rows, WIDEST)
    assert simulation.alarms(said) <= ALARMS_WIDEST / 100
    assert simulation.higher_alarms(said) <= HIGHER_WIDEST / 100


def test_the_claimed_bounds_are_tight() -> None:
    """Each bound is nearly reached by some simulation."""
    said = [simulation.without_difference(n, rows, WIDEST) for n, rows in product((1, 2), SIZES)]
    assert max(map(simulation.alarms, said)) > 0.16
    assert max(map(simulation.higher_alarms, said)) > 0.085
    worse = [simulation.with_difference(n, rows, WIDEST) for n, rows in product(SEVERAL, SIZES)]
    assert max(each.reproduced[:, 0].mean() for each in worse) > 0.1


@pytest.mark.parametrize("rows", SIZES)
def test_looking_after_every_seed_gives_more_false_alarms(rows: int) -> None:
    """The bound is for up to ten seeds; with up to five there are fewer."""
    either, higher = simulation.looking(10, rows)
    assert 0.1 <= either <= LOOKING / 100
    assert HIGHER / 100 < higher <= LOOKING_HIGHER / 100
    assert 0.09 <= simulation.looking(5, rows)[0] <= either
    assert simulation.looking(10, rows, WIDEST)[0] <= LOOKING_WIDEST / 100


PAGE = (Path(__file__).parents[1] / "docs" / "verdict.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        (
            RULE,
            [
                f"At most {ALARMS} % of tables without a true difference show one, and up to {ALARMS_WIDEST} % if",
                f"raises the {ALARMS} % to as much as {LOOKING} %, and the {ALARMS_WIDEST} % to as much as "
                f"{LOOKING_WIDEST} %.",
            ],
        ),
        (
            rule.__doc__ or "",
            [
                f"at most {ALARMS} % show one beyond its margin, about half of these a higher error.",
                f"at most {WORSE_REPRODUCED} % are called reproduced.",
                f"at least {REPRODUCED_OF_TWO} % are (two seeds each), or {REPRODUCED_OF_FIVE} % (five).",
                f"Up to {ALARMS_WIDEST} % of tables show a difference, up to {HIGHER_WIDEST} % a higher error;",
                f"up to {WORSE_REPRODUCED_WIDEST} % of rows that are worse by the bound are called reproduced, and of "
                "rows without a true difference {} to {} %.".format(*REPRODUCED_WIDEST),
                f"in up to {LOOKING} % of tables without one instead of {ALARMS} %, and a higher error in up to "
                f"{LOOKING_HIGHER} % instead of {HIGHER} %.",
                f"If the printed spreads mislead, in up to {LOOKING_WIDEST} %.",
            ],
        ),
        (
            PAGE,
            [
                f"Their share is at most {ALARMS} % ({ALARMS_WIDEST} %).",
                f"raises the {ALARMS} % ({ALARMS_WIDEST} %) to as much as {LOOKING} % ({LOOKING_WIDEST} %)",
                f"how often reproduced, which is at most {WORSE_REPRODUCED} % ({WORSE_REPRODUCED_WIDEST} %).",
            ],
        ),
    ],
    ids=["RULE", "docstring", "page"],
)
def test_the_bounds_of_these_tests_are_those_that_are_stated(text: str, claims: list[str]) -> None:
    for claim in claims:
        assert claim in " ".join(text.split())


@pytest.mark.parametrize(("n", "least", "most"), [(1, 0.25, 0.4), (3, 0.6, 0.7), (5, 0.7, 0.8), (10, 0.8, 0.9)])
def test_more_seeds_detect_a_difference_of_one_point_more_often(n: int, least: float, most: float) -> None:
    assert least <= simulation.with_difference(n, 5).higher[:, 0].mean() <= most


def test_normal_seeds_are_hardly_ever_taken_for_failed_runs() -> None:
    for n in (2, 3, 5):
        values = drawn(n, 5, WIDEST, tables=500)
        rows = [cell for table in range(500) for cell in values.measured(table)]
        assert sum(each.spread.failed for each in rows) / len(rows) < 0.002


# The simulation, which computes the rule for all tables at once, against the rule.


@pytest.mark.parametrize("phi", [PRINTED_SPREAD.phi, 1.0, 3.0])
@pytest.mark.parametrize(("n", "statistic", "runs"), [(1, "last", 1), (2, "best", 5), (3, "last", 1), (5, "median", 5)])
def test_the_simulated_rule_equals_the_rule(n: int, statistic: str, runs: int, phi: float) -> None:
    """With the printed spreads as they are; with phi = 3 many rows look failed."""
    truth = Truth(phi, printed_are_draws=False)
    tables = drawn(n, 5, truth, higher=0.7, statistic=statistic, runs=runs, tables=100)
    said = outcome(tables)
    for number in range(100):
        cells = tables.measured(number)
        verdicts = [judge(cell, pooled(cells), 5).verdict for cell in cells]
        assert [_verdict(said, n, number, row) for row in range(5)] == [
            Verdict.TOO_FEW if each == Verdict.CONSISTENT else each for each in verdicts
        ]


def _verdict(said: Outcome, n: int, table: int, row: int) -> Verdict:
    """Return a simulated verdict; here the width of the margin does not matter for one run within it."""
    above, below, equivalent = (bool(each[table, row]) for each in (said.above, said.below, said.equivalent))
    if equivalent:
        within = {(True, False): Verdict.WITHIN_HIGHER, (False, True): Verdict.WITHIN_LOWER}
        return within.get((above, below), Verdict.REPRODUCED)
    several = n > 1
    if above:
        return Verdict.NOT_REPRODUCED if several else Verdict.NOT_CONSISTENT
    if below:
        return Verdict.BETTER if several else Verdict.LOWER
    return Verdict.TOO_FEW


def test_the_printed_spreads_are_drawn_if_they_are_a_sample() -> None:
    known = drawn(1, 1).known
    assert np.mean(known**2) == pytest.approx(PRINTED_SPREAD.phi**2, rel=0.02)
    assert np.std(known) > 0.1
    assert set(drawn(1, 1, WIDEST).known.tolist()) == {PRINTED_SPREAD.phi}
    assert ESTIMATED.phi == PRINTED_SPREAD.phi < WIDEST.phi == 1


# The rule itself.


def test_the_printed_spreads() -> None:
    """By hand: both are 0.16, in units of 0.248 and 0.267 points."""
    assert [each.phi for each in PRINTED_SPREADS] == pytest.approx([0.644, 0.599], abs=1e-3)
    assert PRINTED_SPREAD.phi == pytest.approx(((0.644**2 + 0.599**2) / 2) ** 0.5, abs=1e-3)
    assert PRINTED_SPREAD.degrees == 8


def test_the_numbers_of_one_row() -> None:
    """By hand: 8 + 2 degrees of freedom, two cells, t at 1 - 0.025 / 2 and at 0.95."""
    cells = [measured("22.62", [22.5, 22.7, 22.9]), measured("24.65", [24.6])]
    b = (22.62 * 77.38 / IMAGES) ** 0.5
    squares = 0.16**2 / (6.61 * 93.39 / IMAGES) + 0.16**2 / (7.72 * 92.28 / IMAGES)
    phi = ((4 * squares + 2 * (0.2 / b) ** 2) / 10) ** 0.5
    assert pooled(cells).phi == pytest.approx(phi)
    said = judge(cells[0], pooled(cells), cells=2)
    error = phi * b * (1 / 3 + 1) ** 0.5
    assert said.margin == pytest.approx(2.6338 * error + 0.005, rel=1e-4)
    assert said.at_most == pytest.approx(0.08 + 1.8125 * error + 0.005, rel=1e-4)
    assert said.bound == pytest.approx(b / (23 * 77 / IMAGES) ** 0.5)
    assert said.expected == 0


def test_the_verdict_follows_both_tests() -> None:
    close = [22.5, 22.6, 22.7, 22.8, 22.9]
    assert verdict("22.62", close) == Verdict.REPRODUCED
    assert verdict("22.62", [each + 2 for each in close]) == Verdict.NOT_REPRODUCED
    assert verdict("22.62", [each - 2 for each in close]) == Verdict.BETTER
    assert verdict("22.62", [each + 0.45 for each in close[1:4]]) == Verdict.TOO_FEW


def test_a_small_difference_that_is_real() -> None:
    """With 41 runs each, a difference of 0.6 points is significant, and 1 point is ruled out."""
    values = [23.2 + 0.01 * seed for seed in range(-20, 21)]
    higher, lower = verdict("22.6", values, "mean", 41), verdict("23.8", values, "mean", 41)
    assert (higher, lower) == (Verdict.WITHIN_HIGHER, Verdict.WITHIN_LOWER)
    assert not higher.mismatch
    assert higher.differs
    assert lower.differs


def test_finding_no_difference_is_not_a_reproduction() -> None:
    """Two seeds, 0.6 points higher: within the margin, and 1 point is not ruled out."""
    said = judged("22.62", [23.2, 23.24])
    assert 0.6 < said.margin < said.bound
    assert said.at_most > said.bound
    assert said.verdict == Verdict.TOO_FEW


def test_one_run_is_consistent_or_not() -> None:
    assert verdict("22.62", [23.0]) == Verdict.CONSISTENT
    assert verdict("22.62", [22.62]) == Verdict.CONSISTENT  # never reproduced
    assert verdict("22.62", [25.0]) == Verdict.NOT_CONSISTENT
    assert verdict("4.51", [7.5]) == Verdict.NOT_CONSISTENT  # a replication of DenseNet-BC that blamed randomness
    assert verdict("25.62", [22.62]) == Verdict.LOWER


def test_one_run_with_a_margin_wider_than_the_bound_says_nothing() -> None:
    said = judged("22.62", [22.62], cells=5)
    assert said.margin > said.bound
    assert said.verdict == Verdict.TOO_FEW
    assert judged("22.62", [25.0], cells=5).verdict == Verdict.NOT_CONSISTENT


def test_a_failed_run_hides_only_its_own_row() -> None:
    failed = measured("24.65", [24.6, 24.7, 99.0])
    high = [measured("22.62", [25.5, 25.6, 25.7])] * 4
    assert failed.spread.failed
    assert pooled([failed, *high]) == pooled(high)
    said = [judge(each, pooled([failed, *high]), 5).verdict for each in (failed, *high)]
    assert said == [Verdict.TOO_FEW, *[Verdict.NOT_REPRODUCED] * 4]


def test_the_bound_is_proportional_to_the_binomial_spread() -> None:
    assert measured("23.00", [23.0]).bound == 1
    assert MeasuredError(Cell("23.00"), "last", 1, (23.0,), 40_000).bound == 0.5
    assert measured("6.61", [6.6]).bound == pytest.approx((6.61 * 93.39 / 23 / 77) ** 0.5)


def test_cells_of_one_table_share_only_the_rate_of_false_alarms() -> None:
    one, ten = (judged("22.62", [22.5, 22.7, 22.9], cells=cells) for cells in (1, 10))
    assert ten.margin > one.margin
    assert ten.at_most == one.at_most


def test_seeds_of_other_rows_contribute_to_the_spread() -> None:
    single = measured("22.62", [22.7])
    steady = measured("23.03", [23.0, 23.01, 23.02, 23.03, 23.04])
    assert pooled([single, steady]).degrees == 8 + 4
    assert pooled([single, steady]).phi < pooled([single]).phi == pytest.approx(PRINTED_SPREAD.phi)
    assert combined([Spread(0.5, 1), Spread(1.0, 3)]) == Spread(((0.25 + 3) / 4) ** 0.5, 4)


def test_the_lowest_of_five_is_compared_with_the_lowest_of_any_number() -> None:
    """The lowest of fewer seeds is expected to be higher: here by (1.163 - 0.846) of a run's spread."""
    assert verdict("6.43", [6.4, 6.5, 6.6, 6.7, 6.8], "best", runs=5) == Verdict.REPRODUCED
    assert verdict("6.43", [36.3], "best", runs=5) == Verdict.NOT_CONSISTENT
    assert verdict("6.43", [20.0, 20.1, 20.2, 20.3], "best", runs=5) == Verdict.NOT_REPRODUCED
    assert measured("6.43", [6.5, 6.6, 6.7], "best", runs=5).shift == pytest.approx(1.163 - 0.846, abs=1e-3)
    assert measured("6.43", [6.5, 6.6, 6.7], "last").shift == 0


# Reference values: scipy's distributions.


@pytest.mark.parametrize("n", range(1, 8))
def test_moments_of_the_lowest(n: int) -> None:
    """Integrated over the density of the lowest of n normal draws."""

    def moment(power: int) -> float:
        return integrate.quad(lambda x: x**power * n * stats.norm.pdf(x) * stats.norm.sf(x) ** (n - 1), -12, 12)[0]

    assert moments("best", n) == pytest.approx((moment(1), moment(2) - moment(1) ** 2), abs=1e-6)


@pytest.mark.parametrize("n", [1, 3, 5, 7])
def test_moments_of_the_median_of_an_odd_number(n: int) -> None:
    """The middle draw at the quantile u, which follows a beta distribution."""
    middle = stats.beta((n + 1) / 2, (n + 1) / 2)
    variance = integrate.quad(lambda u: stats.norm.ppf(u) ** 2 * middle.pdf(u), 0, 1)[0]
    assert moments("median", n) == pytest.approx((0, variance), abs=1e-6)


@pytest.mark.parametrize("n", [1501, 1600])
def test_moments_of_the_median_of_many(n: int) -> None:
    """The asymptotic variance of a normal median is pi / 2n."""
    assert moments("median", n) == pytest.approx((0, pi / (2 * n)), rel=1e-2, abs=1e-6)


@pytest.mark.parametrize("n", [2, 4, 6])
def test_moments_of_the_median_of_an_even_number(n: int) -> None:
    """Integrated over the joint density of the two middle draws, x below y."""
    each = n // 2 - 1
    ways = factorial(n) / factorial(each) ** 2

    def density(y: float, x: float) -> float:
        return ways * ndtr(x) ** each * ndtr(-y) ** each * exp(-(x**2 + y**2) / 2) / (2 * pi)

    variance = integrate.dblquad(lambda y, x: ((x + y) / 2) ** 2 * density(y, x), -8, 8, lambda x: x, lambda x: 8)[0]
    assert moments("median", n) == pytest.approx((0, variance), abs=1e-5)


def test_a_mean_has_no_bias_and_the_variance_over_the_number_of_runs() -> None:
    assert moments("mean", 4) == moments("last", 4) == (0, 0.25)


@pytest.mark.parametrize("degrees", [1, 2, 8, 20])
def test_quantiles_are_scipys(degrees: int) -> None:
    assert t_of_equivalence(degrees) == pytest.approx(stats.t(degrees).ppf(0.95))
    for cells in (1, 5, 27):
        assert t_of_margin(degrees, cells) == pytest.approx(stats.t(degrees).isf(0.025 / cells))
    assert most_squares(degrees) == pytest.approx(stats.chi2(degrees).isf(FAILED))


def test_the_best_of_several_runs_is_the_largest_where_more_is_better() -> None:
    of_ap = MeasuredError(Cell("34.0"), "best", 5, (30.0, 35.0), IMAGES, more_is_better=True)
    assert (of_ap.value, measured("8.75", (8.0, 9.0), "best", 5).value) == (35.0, 8.0)
