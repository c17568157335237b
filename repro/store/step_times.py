"""Measured times of training steps on disk: times.csv with a line for each row that was timed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from repro.bounds import Positive
from repro.store.csv_rows import Plain, Time, line_of, lines_of, read, rewrite
from repro.store.writing import locked_results

TIMES = "times.csv"
"""The file in a folder of results with its measured times."""
MEASURED_TIME = "a measured time"
"""What its lines are, in error messages."""
Duration = Annotated[float, Meta(gt=0)]


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """The time of a training step of one row's network, measured in turn with the table's other rows."""

    measurement: str
    """Value shared by the rows that were measured together."""
    table: str
    row: str
    """Label of the row."""
    model: str
    options: Mapping[str, Plain]
    dataset: str
    batch: Positive
    """Images per step."""
    seconds: Duration
    """Wall time of a step (forward, backward, update): the median over the windows."""
    fastest: Duration
    slowest: Duration
    windows: Positive
    device: str
    threads: Positive
    precision: str
    torch: str
    version: str
    commit: str
    started: Time
    """Start of the measurement, UTC."""


def append_times(times: Sequence[StepTime], results: Path) -> None:
    """Add a measurement to `results`/times.csv, one line per row; several processes may do so at once."""
    path = results / TIMES
    with locked_results(path):
        rewrite(path, [*lines_of(path), *map(line_of, times)], StepTime)


def read_times(folders: Iterable[Path]) -> list[StepTime]:
    """Return the measured times of all folders; UserError for an invalid line."""
    return [each for folder in folders for each in read(folder / TIMES, StepTime, MEASURED_TIME)]
