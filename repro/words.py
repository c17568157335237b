"""Numbers and lists in sentences."""

from collections.abc import Sequence


def number_of(number: int, noun: str) -> str:
    """Return a number before its noun, which takes an s in the plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def one_of(names: Sequence[str]) -> str:
    """Return names, at least one, as a choice: `a, b or c`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
