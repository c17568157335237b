"""The times of training steps, measured for the rows of a table whose time the paper prints."""

from __future__ import annotations

from pathlib import Path

from repro.bars import with_bar
from repro.console import note
from repro.errors import UserError
from repro.runtime import Runtime
from repro.store.step_times import TIMES, append_times
from repro.store.writing import check_writable
from repro.tables import Selection
from repro.text import number_of


def check_timed(selection: Selection) -> None:
    """Raise UserError if the paper prints no time for any of these rows."""
    if not selection.timed:
        raise UserError(
            f"{selection.table.name} has no published times of these rows; --time is for tables such as wrn-blocks"
        )


def measure_times(selection: Selection, runtime: Runtime, results: Path) -> None:
    """Measure a training step of every row with a published time, in turn, and record it."""
    from repro.benchmark.steps import ROUNDS, measure_steps

    check_writable(results / TIMES)
    what = f"{selection.table.name}: measuring {number_of(len(selection.timed), 'row')} in turn, {ROUNDS + 1} times"
    times = measure_steps(selection, runtime, lambda windows: with_bar(windows, what))
    append_times(times, results)
    note(f"recorded the times in {results / TIMES}")
