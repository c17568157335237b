"""Marks of the cases of a test."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


def slow_or_nightly(cases: Iterable[T], is_slow: Callable[[T], bool]) -> list[Any]:
    """Return the cases of a test: some run with the slow tests, and those that differ little from them are nightly."""
    return [pytest.param(case, marks=pytest.mark.slow if is_slow(case) else pytest.mark.nightly) for case in cases]
