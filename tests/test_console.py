"""What is said while a user waits."""

from types import SimpleNamespace

import pytest

from repro import console
from repro.console import time_left, with_bar


def test_without_a_terminal_lines_tell_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console.stderr.cache_clear()  # another test's stream
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(now)))
    assert list(with_bar([*"abcde"], "working")) == [*"abcde"]
    lines = capsys.readouterr().err.splitlines()
    console.stderr.cache_clear()
    assert lines == ["working ...", "working: 1/5  left 0:01:20", "working: 3/5  left 0:00:27"]


def test_nothing_is_said_of_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(with_bar([], "working")) == []
    assert capsys.readouterr().err == ""


def test_the_time_left_is_the_rest_at_the_same_rate() -> None:
    assert time_left(25, 100, 60.0) == "left 0:03:00"
