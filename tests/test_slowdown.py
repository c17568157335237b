"""A run that became far slower than at its own start says once what helps."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from watching import Silent, engine_of, train_one

from repro.experiment import Experiment
from repro.paths import Folders
from repro.runtime import Runtime
from repro.training.runs import slowdown as module
from repro.training.runs.slowdown import SlowdownNotice

Make = Callable[..., Experiment]
pytestmark = pytest.mark.usefixtures("small_digits")


def lines_said(pace: SlowdownNotice, monkeypatch: pytest.MonkeyPatch, *seconds: float) -> list[str]:
    """Let steps take some seconds, with an hour between any two, and return what is said."""
    now = 0.0
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)

    def steps() -> object:
        nonlocal now
        for number, each in enumerate(seconds):
            now += each
            yield number

    for _ in pace.timed(steps()):  # type: ignore[arg-type]
        now += 3600
    assert isinstance(pace.watcher, Silent)
    return pace.watcher.said


FIRST, USUAL = (100.0,), (1.0,) * 10


def test_a_run_that_is_far_slower_than_at_its_start_says_so_once(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_said(
        SlowdownNotice(engine_of(tiny()), Silent()), monkeypatch, *FIRST, *USUAL, *(2.0,) * 30, *(5.0,) * 50
    )
    helps = "stop it and resume it with --threads 1, or run fewer other processes on this CPU"
    assert lines == [f"the run is 5 times slower than at its start; {helps}"]


def test_a_short_pause_or_a_slow_first_step_is_no_slow_run(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_said(SlowdownNotice(engine_of(tiny()), Silent()), monkeypatch, *FIRST, *USUAL, 30.0, *USUAL * 20) == []


def test_one_thread_is_not_advised_to_a_run_with_one_thread(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(tiny())
    engine.runtime = replace(engine.runtime, threads=1)
    (line,) = lines_said(SlowdownNotice(engine, Silent()), monkeypatch, *FIRST, *USUAL, *(60.0,) * 3)
    assert line == "the run is 60 times slower than at its start; run fewer other processes on this CPU"


def test_a_training_is_timed(tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("START_SECONDS", "WINDOW_SECONDS", "FACTOR"):
        monkeypatch.setattr(module, name, 0.0)
    watcher = Silent()
    train_one(tiny(), Runtime(device="cpu"), folders, watcher)
    assert sum("slower than at its start" in each for each in watcher.said) == 1
