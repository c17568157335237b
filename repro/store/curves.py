"""The curves of runs: a file for each run, and for each further record of the same experiment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from glob import escape
from itertools import count
from math import isclose
from pathlib import Path

from repro.atomic import write_atomically
from repro.errors import UserError
from repro.store.csv_rows import csv_of, header_of, read
from repro.store.results import EpochRow, Record, every_record


def write_curve(history: Iterable[EpochRow], path: Path) -> None:
    """Write a run's curve, one line per epoch."""
    write_atomically(path, csv_of([vars(row) for row in history], header_of(EpochRow)))


def curve_path(folder: Path, run: str) -> Path:
    """Return the path of a run's curve in a folder of results."""
    return folder / "curves" / f"{run}.csv"


def read_curve(path: Path) -> list[EpochRow]:
    """Return a run's curve, epoch by epoch; empty without a file; UserError for an invalid line."""
    return read(path, EpochRow, "an epoch of a curve")


def curve_paths(folder: Path, run: str) -> list[Path]:
    """Return the existing curves of a run: that of its first record, and NAME.2.csv, ... of further ones."""
    first = curve_path(folder, run)
    others = first.parent.glob(f"{escape(run)}.[0-9]*.csv")
    return [*([first] if first.exists() else []), *sorted(others)]


def numbered(first: Path) -> Iterator[Path]:
    """Yield the paths that the curves of a run may have: NAME.csv, which is given, NAME.2.csv, ..."""
    yield first
    yield from (first.with_name(f"{first.stem}.{number}.csv") for number in count(2))


def by_run(folder: Path) -> dict[str, list[Path]]:
    """Return the files of a folder, such as `curves`, by the names of their runs."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.csv"), key=lambda each: (len(each.name), each.name)):
        found.setdefault(re.sub(r"\.\d+$", "", path.stem), []).append(path)
    return found


def new_curve_path(folder: Path, record: Record) -> Path:
    """Return where the curve of a new record is written, beside those of earlier records of the experiment."""
    earlier = [each for each in every_record(folder) if each.id == record.id and each.started != record.started]
    paths = numbered(curve_path(folder, record.name))
    return next(each for each in paths if not (each.exists() and any(is_curve_of(each, other) for other in earlier)))


def is_curve_of(path: Path, record: Record) -> bool:
    """Whether a curve is that of a record: it has its epochs, its error and its losses."""
    with suppress(UserError):
        return _fits(read_curve(path), record)
    return False


def _fits(curve: Sequence[EpochRow], record: Record) -> bool:
    if len(curve) != record.epochs:
        return False
    row = curve[(record.reported_epoch or record.epochs) - 1]
    pairs = ((row.test_error, record.error), (row.finite_test_loss, record.loss), (row.train_loss, record.train_loss))
    return all(map(same_figure, *zip(*pairs, strict=True)))


def same_figure(one: float | None, other: float | None) -> bool:
    """Whether two figures are the same, although a spreadsheet may have cut their last digits."""
    return one == other if one is None or other is None else isclose(one, other, rel_tol=1e-9)


def curve_of(record: Record, folders: Sequence[Path]) -> list[EpochRow]:
    """Return the curve of a record; empty if there is none.

    Args:
        record: of a run; other records of its experiment have curves of their own.
        folders: folders of results; a later folder takes precedence.

    Raises:
        UserError: there are curves of that run but none belongs to the record, or a line is invalid.
    """
    paths = [path for folder in reversed(folders) for path in curve_paths(folder, record.name)]
    for path in paths:
        if _fits(curve := read_curve(path), record):
            return curve
    if paths:
        figures = f"whose error is {record.error:g} and whose training loss is {record.train_loss:g}"
        raise UserError(f"{paths[0]} is not the curve of the run's record, {figures}; remove it")
    return []
