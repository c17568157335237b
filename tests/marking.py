"""Marks of the cases of a test."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
COUNTS_ALL = pytest.mark.xdist_group("counts")
"""Of tests that count every network of the tables, which takes a minute: in one process it is done once."""


def slow_or_nightly(cases: Iterable[T], is_slow: Callable[[T], bool]) -> list[Any]:
    """Return the cases of a test: some run with the slow tests, and those that differ little from them are nightly.

    Args:
        cases: values of the test's argument, or tuples of the values of its arguments.
        is_slow: whether a case runs with the slow tests.
    """
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=pytest.mark.slow if is_slow(case) else pytest.mark.nightly,
        )
        for case in cases
    ]
