"""Records on disk: results/runs.csv, a line per run; curves/ and gates/, a CSV per run; times.csv, of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from repro.atomic import write_atomically
from repro.errors import UserError
from repro.store.csv_rows import columns_of, csv_of, line_of, lines_of, read

SEPARATOR = "; "
"""Between the values of a field of a record that changed from one sitting of its run to another."""


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """What one epoch gave. Errors in %, losses in nats per image, seconds of wall time."""

    epoch: int
    """From 1."""
    step: int
    """Steps since the beginning."""
    lr: float
    """Of the epoch's last step."""
    train_loss: float
    train_error: float
    test_loss: float
    test_error: float
    seconds: float
    test_error5: float | None = None
    """Top-5; None in curves that are older than it."""
    validation_error: float | None = None
    """Of the training images that the recipe leaves out; None where it leaves none out."""
    iou: float | None = None
    """Segmentation, like the next two; as a Record has them."""
    isbi_pixel: float | None = None
    isbi_rand: float | None = None


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """How much one block of a run draws on one of the maps before it, and how far the run was."""

    run: str
    """Its name."""
    deviations: Sequence[str]
    """As a Record has them."""
    step: int
    """Steps since the beginning."""
    epoch: int
    """Of the last step, from 1."""
    epochs: int
    """Of the whole run."""
    step_of_epoch: int
    """Steps taken of that epoch."""
    steps_of_epoch: int
    """Of the whole epoch."""
    images: int
    """Test images."""
    block: int
    """i, from 1."""
    distance: int
    """Of the earlier map: 1 for the nearest, which is the block's own input."""
    mean: float
    """Of w_ik over the images and the channels."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One finished run: what happened, without a judgement."""

    id: str
    """Of the experiment."""
    name: str
    model: str
    options: Mapping[str, Any]
    dataset: str
    recipe: str
    deviations: Sequence[str]
    """What differs from the recipe of that name; empty for a faithful run."""
    seed: int
    epochs: int
    steps: int
    error: float
    """Test error in % after the epoch that the recipe reports: the last one, unless `reported_epoch` says otherwise."""
    loss: float
    train_loss: float
    precision: str
    runtime: Mapping[str, Any]
    """Of the last sitting; precision and processes are those of all."""
    device: str
    """Of each sitting, as the next four: what changed from one to another stands behind SEPARATOR."""
    torch: str
    python: str
    version: str
    commit: str
    started: str
    """UTC."""
    seconds: float
    """Wall time of all sittings together."""
    sittings: int
    """How often the run was begun or gone on with."""
    data: str
    """Fingerprint of the data set's files."""
    iou: float | None = None
    """Segmentation: intersection over union of the test pixels, mean over the classes; a share, not %."""
    isbi_pixel: float | None = None
    """Segmentation: pixel error as the ISBI 2012 challenge defines it, 1 - the largest F-score over thresholds."""
    isbi_rand: float | None = None
    """Segmentation: its Rand error, 1 - the largest foreground-restricted Rand F-score over thresholds."""
    error5: float | None = None
    """Top-5 test error in % after the same epoch; None in records that are older than it."""
    reported_epoch: int | None = None
    """From 1; None in records that are older than it, which report the last one."""

    def __post_init__(self) -> None:
        for error in (self.error, self.error5):
            if error is not None and not 0 <= error <= 100:
                raise ValueError(f"an error of {error} % is impossible")

    @property
    def faithful(self) -> bool:
        """Whether the run did what the recipe says."""
        return not self.deviations


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """How long a training step of one row's network took, measured in turn with the table's other rows."""

    measurement: str
    """Of the rows that were measured together, and of no others."""
    table: str
    row: str
    """Its label."""
    model: str
    options: Mapping[str, Any]
    dataset: str
    batch: int
    """Images of a step."""
    seconds: float
    """Wall time of a step, forward, backward and update: the median over the windows."""
    fastest: float
    slowest: float
    windows: int
    device: str
    threads: int
    precision: str
    torch: str
    version: str
    commit: str
    started: str
    """UTC, of the measurement."""


def append_record(record: Record, results: Path) -> None:
    """Add a line to `results`/runs.csv; lines that two processes add at once are both there."""
    _append(results / "runs.csv", [record])


def append_times(times: Sequence[StepTime], results: Path) -> None:
    """Add a measurement to `results`/times.csv, one line per row; nothing that another process adds is lost."""
    _append(results / "times.csv", times)


def _append(path: Path, added: Sequence[Record] | Sequence[StepTime]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = list(vars(added[0]))
    with FileLock(path.with_name(f".{path.stem}.lock")):
        lines = lines_of(path)
        own = [each for each in lines[0] if each not in header] if lines else []  # columns of the user's own
        write_atomically(path, csv_of([*lines, *(line_of(each) for each in added)], [*header, *own]))


def write_curve(history: Iterable[EpochRow], path: Path) -> None:
    """Write a run's curve, one line per epoch."""
    write_atomically(path, csv_of([vars(row) for row in history], columns_of(EpochRow)))


def curve_path(folder: Path, run: str) -> Path:
    """Return where the curve of a run of that name lies in a folder of results."""
    return folder / "curves" / f"{run}.csv"


def read_curve(path: Path) -> list[EpochRow]:
    """Return a run's curve, epoch by epoch; none where there is no file; UserError with a line that is no epoch."""
    return read(path, EpochRow, "an epoch of a curve")


def curve_of(record: Record, folders: Sequence[Path]) -> list[EpochRow]:
    """Return the curve of a run; none where there is none.

    Args:
        record: of the run; two runs of one experiment have curves of one name.
        folders: of results; of several that fit, that of a later folder counts.

    Raises:
        UserError: there are curves of that name and none is that of the record, or one has a line that is no epoch.
    """
    paths = [path for folder in reversed(folders) if (path := curve_path(folder, record.name)).exists()]
    for path in paths:
        curve = read_curve(path)
        reported = record.reported_epoch or record.epochs
        if len(curve) == record.epochs and curve[reported - 1].test_error == record.error:
            return curve
    if paths:
        raise UserError(f"{paths[0]} is not the curve of the run's record, whose error is {record.error:g}; remove it")
    return []


def latest(folders: Sequence[Path], where: Callable[[Path, str], Path], run: str) -> Path | None:
    """Return the file of a run, a curve's or the gates'; that of a later folder stands for that of an earlier one."""
    return next((path for folder in reversed(folders) if (path := where(folder, run)).exists()), None)


def write_gates(rows: Sequence[GateRow], path: Path) -> None:
    """Write the mean gate weights of a run."""
    write_atomically(path, csv_of([line_of(row) for row in rows], columns_of(GateRow)))


def gates_path(folder: Path, run: str) -> Path:
    """Return where the mean gate weights of a run of that name lie in a folder of results."""
    return folder / "gates" / f"{run}.csv"


def read_gates(path: Path) -> list[GateRow]:
    """Return the mean gate weights of a run; none where there is no file; UserError with a line that is none."""
    return read(path, GateRow, "a mean gate weight")


def read_records(folders: Iterable[Path]) -> list[Record]:
    """Return the records of all `folders`, each experiment's latest, in the order of first appearance.

    Raises:
        UserError: a line that is no record.
    """
    latest: dict[str, Record] = {}
    for record in (each for folder in folders for each in every_record(folder)):
        known = latest.get(record.id)
        if known is None or record.started >= known.started:
            latest[record.id] = record
    return list(latest.values())


def every_record(folder: Path) -> list[Record]:
    """Return all records of a folder, of one experiment perhaps several; UserError with a line that is none."""
    return read(folder / "runs.csv", Record, "a record of a run")


def read_times(folders: Iterable[Path]) -> list[StepTime]:
    """Return the measured times of all `folders`; UserError with a line that is none."""
    return [each for folder in folders for each in read(folder / "times.csv", StepTime, "a measured time")]


def shipped_results() -> Path:
    """Return the folder of the results that come with the program."""
    package = Path(__file__).parents[1]
    inside = package / "shipped" / "results"
    return inside if inside.is_dir() else package.parent / "results"


def result_folders(own: Path) -> list[Path]:
    """Return the shipped results and the user's own, once if they are the same."""
    shipped = shipped_results()
    return [own] if own.resolve() == shipped.resolve() else [shipped, own]
