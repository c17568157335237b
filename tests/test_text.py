"""Numbers and lists in sentences."""

from repro.text import number_of, one_of, signed


def test_one_is_singular() -> None:
    assert [number_of(each, "step") for each in (0, 1, 64_000)] == ["0 steps", "1 step", "64,000 steps"]


def test_a_choice_ends_with_or() -> None:
    assert [one_of("abc"[:n]) for n in (1, 2, 3)] == ["a", "a or b", "a, b or c"]


def test_a_difference_has_the_sign_that_it_has_when_rounded() -> None:
    assert [signed(each) for each in (-0.0033, -0.0, 0.0, 0.0033)] == ["+0.00"] * 4
    assert [signed(each) for each in (-0.62, 0.62, -0.006)] == ["−0.62", "+0.62", "−0.01"]
    assert [signed(each, 3) for each in (-0.0033, -0.0003)] == ["−0.003", "+0.000"]
