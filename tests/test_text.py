"""Numbers and lists in sentences."""

from repro.text import number_of, one_of


def test_one_is_singular() -> None:
    assert [number_of(each, "step") for each in (0, 1, 64_000)] == ["0 steps", "1 step", "64,000 steps"]


def test_a_choice_ends_with_or() -> None:
    assert [one_of("abc"[:n]) for n in (1, 2, 3)] == ["a", "a or b", "a, b or c"]
