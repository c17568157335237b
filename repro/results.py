"""Records on disk: results/runs.csv, one line per run, and results/curves/, one CSV per run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from repro.errors import UserError
from repro.files import write_atomically


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
    device: str
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

    @property
    def faithful(self) -> bool:
        """Whether the run did what the recipe says."""
        return not self.deviations


_JSON_FIELDS = ("options", "deviations", "runtime")
_HEADER = [each.name for each in fields(Record)]
_KINDS: dict[str, Callable[[str], int | float]] = {"int": int, "float": float}
_NUMBERS = {each.name: _KINDS[str(each.type)] for each in fields(Record) if each.type in _KINDS}
_OPTIONAL = {
    each.name: _KINDS[str(each.type).removesuffix(" | None")] for each in fields(Record) if each.default is None
}


def append_record(record: Record, results: Path) -> None:
    """Add a line to `results`/runs.csv; lines that two processes add at once are both there."""
    results.mkdir(parents=True, exist_ok=True)
    path = results / "runs.csv"
    line = {each: getattr(record, each) for each in _HEADER}
    line.update({each: json.dumps(line[each], sort_keys=True) for each in _JSON_FIELDS})
    with FileLock(results / ".runs.lock"):
        lines = _lines(path)
        added = [each for each in lines[0] if each not in _HEADER] if lines else []  # columns of the user's own
        write_atomically(path, _csv([*lines, line], [*_HEADER, *added]))


def write_curve(history: Iterable[EpochRow], path: Path) -> None:
    """Write a run's curve, one line per epoch."""
    header = [each.name for each in fields(EpochRow)]
    write_atomically(path, _csv([vars(row) for row in history], header))


def read_records(folders: Iterable[Path]) -> list[Record]:
    """Return the records of all `folders`, each experiment's latest, in the order of first appearance.

    Raises:
        UserError: a line that is no record.
    """
    latest: dict[str, Record] = {}
    for folder in folders:
        path = folder / "runs.csv"
        if path.exists():
            for record in _read(path):
                known = latest.get(record.id)
                if known is None or record.started >= known.started:
                    latest[record.id] = record
    return list(latest.values())


def shipped_results() -> Path:
    """Return the folder of the results that come with the program."""
    package = Path(__file__).parent
    inside = package / "results"
    return inside if inside.is_dir() else package.parent / "results"


def result_folders(own: Path) -> list[Path]:
    """Return the shipped results and the user's own, once if they are the same."""
    shipped = shipped_results()
    return [own] if own.resolve() == shipped.resolve() else [shipped, own]


def _csv(rows: Sequence[Mapping[str, Any]], header: Sequence[str]) -> bytes:
    """Return a CSV file; what a row lacks is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _lines(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV file as they are; of a file that is not there, none."""
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file in UTF-8 ({error}); mend or remove it") from error


def _read(path: Path) -> list[Record]:
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(_lines(path), 2)]


def _parse(line: Mapping[str, str], where: str) -> Record:
    try:
        values: dict[str, Any] = {key: line[key] for key in _HEADER if key not in _OPTIONAL}
        values.update({key: json.loads(line[key]) for key in _JSON_FIELDS})
        values.update({key: kind(line[key]) for key, kind in _NUMBERS.items()})
        values.update({key: kind(line[key]) for key, kind in _OPTIONAL.items() if line.get(key)})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: not a record of a run ({error}); mend or remove the line") from error
    return Record(**values)
