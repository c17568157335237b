"""Numbers and lists in sentences."""

import pytest

from repro.errors import UserError
from repro.text import choose, duration, number_of, one_of, signed


def test_one_is_singular() -> None:
    assert [number_of(each, "step") for each in (0, 1, 64_000)] == ["0 steps", "1 step", "64,000 steps"]


def test_a_choice_ends_with_or() -> None:
    assert [one_of("abc"[:n]) for n in (1, 2, 3)] == ["a", "a or b", "a, b or c"]


def test_a_difference_has_the_sign_that_it_has_when_rounded() -> None:
    assert [signed(each) for each in (-0.0033, -0.0, 0.0, 0.0033)] == ["+0.00"] * 4
    assert [signed(each) for each in (-0.62, 0.62, -0.006)] == ["−0.62", "+0.62", "−0.01"]
    assert [signed(each, 3) for each in (-0.0033, -0.0003)] == ["−0.003", "+0.000"]


def test_of_many_unknown_names_the_first_are_listed() -> None:
    with pytest.raises(UserError, match=r"^unknown network 'zzz'; known: n0, .*, n9 and 90 others$"):
        choose("network", "zzz", [f"n{number}" for number in range(100)])


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(59, "59 s"), (5400, "1.5 h"), (99 * 3600, "99 h"), (1_324_876_000, "42 years"), (100 * 3600, "4.2 days")],
)
def test_long_times_are_in_days_and_years(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
