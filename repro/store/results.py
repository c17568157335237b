"""The records of runs, a line each in runs.csv, and the metrics of an epoch, a line each in the curve of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from repro.bounds import Amount, Percent, Positive, Whole
from repro.data.inputs.protocol import Protocol
from repro.package import shipped_folder
from repro.runtime import Runtime, switches_today
from repro.store.csv_rows import Plain, Time, line_of, lines_of, read, rewrite

RUNS = "runs.csv"
"""The file in a folder of results with its records."""
RECORD = "a record of a run"
"""What its lines are, in error messages."""
SEPARATOR = "; "
"""Stands between the values of a record's field that changed between sessions of the run."""
CPU = "CPU"
"""How the name of a device in a record begins if it is no GPU."""
Id = Annotated[str, Meta(pattern=r"^[0-9A-Za-z]+$", title="an ID of letters and digits")]
RunName = Annotated[str, Meta(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]{0,254}$", title="the name of a run")]
"""It is the name of files, too."""
Share = Annotated[float, Meta(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """The metrics of one epoch: errors in %, losses in nats per image, wall time in seconds."""

    epoch: Positive
    """Number of the epoch, from 1."""
    step: Whole
    """Steps of the run up to the end of this epoch."""
    lr: Amount
    """Learning rate of the epoch's last step."""
    train_loss: float
    train_error: Percent | None = None
    """None for a detection, like the next one."""
    test_loss: float | None = None
    test_error: Percent
    seconds: Amount
    test_error5: Percent | None = None
    """Top-5 error; None for five classes or fewer, and in curves older than this field."""
    validation_error: Percent | None = None
    """Error on the validation images; None if the recipe trains on all images."""
    iou: Share | None = None
    """Segmentation only, like the next two; see Record."""
    isbi_pixel: float | None = None
    isbi_rand: float | None = None
    ap: Percent | None = None
    """Detection only, like the next one; see Record."""
    ap50: Percent | None = None

    @property
    def finite_test_loss(self) -> float | None:
        """The test loss; None if there is none, or it is infinite."""
        return self.test_loss if math.isfinite(self.test_loss or 0) else None

    @property
    def monitored_error(self) -> float:
        """The error by which plateaus are found: on the validation images if there are any, else on the test set."""
        return self.test_error if self.validation_error is None else self.validation_error


class ProtocolTest(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of a test by one protocol, as in Record."""

    protocol: Protocol
    error: Percent
    error5: Percent | None
    loss: float | None
    """None if it is not finite."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One finished run: measurements without a verdict."""

    id: Id
    """ID of the experiment."""
    name: RunName
    """Name of the run: network, dataset, seed and ID."""
    model: str
    """Network, as in `repro list models`, or one from outside the package."""
    options: Mapping[str, Plain]
    """Options of the network."""
    dataset: str
    """What was trained on and tested."""
    recipe: str
    """The recipe that was followed, as far as `deviations` does not say otherwise."""
    deviations: Sequence[str]
    """Values that differ from the recipe of that name; empty for a faithful run."""
    seed: Whole
    """Seed of weights, order and augmentation."""
    epochs: Positive
    """Epochs that were trained."""
    steps: Positive
    """Steps that were trained."""
    error: Percent
    """Test error in % after the epoch that the recipe reports, see `reported_epoch`; for a detection 100 - AP."""
    loss: float | None = None
    """Test loss in nats per image; None for a detection."""
    train_loss: float
    """Training loss in nats per image, mean over the reported epoch."""
    precision: str
    """Precision of convolutions and matrix products: `fp32`, `tf32` or `bf16`."""
    runtime: Mapping[str, Any]
    """Runtime of the last session; precision and processes are the same in all sessions. `together` says how the
    run shared the device in any session."""
    device: str
    """Device of all sessions; if it changed, with `; ` between them, like the next four."""
    torch: str
    """Version of PyTorch."""
    python: str
    """Version of Python."""
    version: str
    """Version of this program."""
    commit: str
    """Commit of this program, with `+` after it if files were changed."""
    started: Time
    """Start of the first session, UTC."""
    seconds: Amount
    """Wall time of all sessions together, in seconds; runs that were trained at once share it."""
    sessions: Positive
    """Number of sessions: one, and one more for each time the run was resumed."""
    data: str
    """Fingerprint of the dataset's files."""
    iou: Share | None = None
    """Segmentation: intersection over union of the test pixels, mean over the classes, from 0 to 1."""
    isbi_pixel: float | None = None
    """Segmentation: pixel error of the ISBI 2012 challenge, 1 - the largest F-score over thresholds."""
    isbi_rand: float | None = None
    """Segmentation: Rand error of the challenge, 1 - the largest foreground-restricted Rand F-score."""
    error5: Percent | None = None
    """Top-5 test error in % after the same epoch; None for five classes or fewer, and in records before this field."""
    reported_epoch: Positive | None = None
    """Epoch whose test error is reported, from 1; None in older records, which report the last one."""
    driver: str | None = None
    """Version of the GPU's driver in all sessions, like `device`; None on a CPU or if unknown, like the next two."""
    clocks: str | None = None
    """The GPU's SM clock at the start of each session and the highest possible one, as `1755 of 1980 MHz`."""
    peak_bytes: Whole | None = None
    """Peak of the memory allocated on the GPU by all seeds that were trained at once, in the first process."""
    network: str | None = None
    """SHA-256 of the file, or version of the package, of a network from outside the package."""
    host: str | None = None
    """Name of the machine of all sessions, like `device`; None in older records, like the next one."""
    environment: str | None = None
    """Hash of the installed distributions with their versions, in all sessions, like `device`."""
    tests: tuple[Mapping[str, Any], ...] = ()
    """Test errors by other protocols than one crop."""
    ap: Percent | None = None
    """Detection: average precision in % over the overlaps 0.50, 0.55, ..., 0.95, the metric of COCO; more is better."""
    ap50: Percent | None = None
    """Detection: average precision in % at an overlap of 0.50."""
    processor: str | None = None
    """On a CPU, what determines the bits of a result besides the threads in `device`: the exact processor, its
    instructions that torch and oneDNN use, and the variables that restrict these; of all sessions, like `device`; None
    in older records."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "runtime", switches_today(self.runtime))
        if (self.reported_epoch or 1) > self.epochs:
            raise ValueError(f"epoch {self.reported_epoch} of {self.epochs} is invalid")
        Runtime.from_values(self.runtime, ignore_unknown=True)
        msgspec.convert(self.tests, tuple[ProtocolTest, ...])

    @property
    def trained_by(self) -> Runtime:
        """The runtime, without what only later versions have."""
        return Runtime.from_values(self.runtime, ignore_unknown=True)

    @property
    def faithful(self) -> bool:
        """Whether the run followed its recipe."""
        return not self.deviations

    @property
    def shown(self) -> str:
        """The test error as people read it beside other records; for a detection AP."""
        return f"{self.error:.2f} %" if self.ap is None else f"AP {self.ap:.2f} %"


def ap_of(error: float) -> float:
    """Return the AP of a detection, in %, from what stands for its error."""
    return 100 - error


def error_text(error: float, detection: bool) -> str:
    """Return a test error in %, as people read it; for a detection AP."""
    return f"test AP {ap_of(error):.2f} %" if detection else f"test error {error:.2f} %"


def error5_text(error5: float | None, digits: int = 2) -> str:
    """Return a top-5 error in % as it follows a test error; empty if there is none."""
    return "" if error5 is None else f", top-5 {error5:.{digits}f} %"


def put_record(record: Record, results: Path) -> None:
    """Write the line of a run into `results`/runs.csv, whose lock this process holds.

    It takes the place of an earlier line of the run and keeps the cells of the user's own columns: readers use the
    first record of an experiment. Without an earlier line it is added at the end.
    """
    lines: list[dict[str, Any]] = [*lines_of(results / RUNS)]
    earlier = [line for line in lines if (line.get("id"), line.get("started")) == (record.id, record.started)]
    place = lines.index(earlier[0]) if earlier else len(lines)
    kept = [line for line in lines if line not in earlier]
    kept.insert(place, {**(earlier[0] if earlier else {}), **line_of(record)})
    rewrite(results / RUNS, kept, Record)


def read_records(folders: Iterable[Path]) -> list[Record]:
    """Return the records of all folders, the first one of each experiment; UserError if a line is not a record.

    A later record never silently replaces an earlier one: see `repeated_records`.
    """
    first: dict[str, Record] = {}
    for record in records_in(folders):
        first.setdefault(record.id, record)
    return list(first.values())


def repeated_records(folders: Iterable[Path]) -> dict[str, list[Record]]:
    """Return the different records of each experiment that has several, by its ID; UserError as in `read_records`."""
    found: dict[str, list[Record]] = {}
    for record in records_in(folders):
        found.setdefault(record.id, []).append(record)
    return {id: records for id, records in found.items() if len(records) > 1}


def every_record(folder: Path) -> list[Record]:
    """Return all records of a folder, also several of one experiment; UserError for an invalid line."""
    return records_in([folder])


def records_in(folders: Iterable[Path]) -> list[Record]:
    """Return all records of some folders, also several of one experiment; UserError for an invalid line.

    Lines that differ only in their tests, as two folders or two branches of a repository may have, are one record.
    """
    records: list[Record] = []
    places: dict[tuple[str, str], list[int]] = {}
    for record in (each for folder in folders for each in read(folder / RUNS, Record, RECORD)):
        of_run = places.setdefault((record.id, record.started), [])
        equal = [place for place in of_run if without_tests(records[place]) == without_tests(record)]
        if equal:
            records[equal[0]] = with_further_tests(records[equal[0]], record.tests)
        else:
            of_run.append(len(records))
            records.append(record)
    return records


def without_tests(record: Record) -> dict[str, Any]:
    """Return what the lines of one record share, also in other folders: they may differ only in their tests."""
    return {**vars(record), "tests": ()}


def with_further_tests(record: Record, tests: Sequence[Mapping[str, Any]]) -> Record:
    """Return a record with tests of the same weights, as far as it has none by their protocols."""
    have = [each["protocol"] for each in record.tests]
    return replace(record, tests=(*record.tests, *(each for each in tests if each["protocol"] not in have)))


def shipped_results() -> Path:
    """Return the folder of the results that are shipped with the program."""
    return shipped_folder("results")


def is_shipped(results: Path) -> bool:
    """Whether a folder is that of the shipped results, whose records are never deleted."""
    return results.resolve() == shipped_results().resolve()


def result_folders(own: Path) -> list[Path]:
    """Return the folders of the shipped results and of the user's results; one folder if they are the same."""
    return [own] if is_shipped(own) else [shipped_results(), own]


def is_cpu(device: str) -> bool:
    """Whether the device of a record, or the first of several, is a CPU."""
    return device.startswith(CPU)
