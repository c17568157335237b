"""The mean gate weights of runs on disk: gates/ in a folder of results has a file per run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.atomic import write_atomically
from repro.bounds import Positive, Whole
from repro.store.csv_rows import csv_of, header_of, line_of, read
from repro.store.results import RunName


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """The mean gate weight of one earlier feature map in one block of a run, and the progress of the run."""

    run: RunName
    """Name of the run."""
    deviations: Sequence[str]
    """The run's deviations from its recipe, as in Record."""
    step: Whole
    """Steps of the run so far."""
    epoch: Positive
    """Epoch of the last step, from 1."""
    epochs: Positive
    """Epochs of the whole run."""
    step_of_epoch: Whole
    """Steps taken in the epoch so far."""
    steps_of_epoch: Positive
    """Steps of the whole epoch."""
    images: Positive
    """Number of test images."""
    block: Positive
    """Block i, from 1."""
    distance: Positive
    """Distance of the earlier map: 1 for the nearest, which is the block's own input."""
    mean: float
    """Mean of w_ik over images and channels."""


def write_gates(rows: Sequence[GateRow], path: Path) -> None:
    """Write the mean gate weights of a run."""
    write_atomically(path, csv_of([line_of(row) for row in rows], header_of(GateRow)))


def gates_path(folder: Path, run: str) -> Path:
    """Return the path of a run's mean gate weights in a folder of results."""
    return folder / "gates" / f"{run}.csv"


def latest_gates(folders: Sequence[Path], run: str) -> Path | None:
    """Return the existing path of a run's mean gate weights; a later folder of results takes precedence."""
    return next((path for folder in reversed(folders) if (path := gates_path(folder, run)).exists()), None)


def read_gates(path: Path) -> list[GateRow]:
    """Return a run's mean gate weights; empty without a file; UserError for an invalid line."""
    return read(path, GateRow, "a mean gate weight")
