"""weights.csv: a line for each test of weights that others published (`repro eval --weights FILE --record`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from repro.bounds import Percent, Positive
from repro.data.inputs.protocol import Protocol
from repro.store.csv_rows import Plain, Time, line_of, lines_of, read, rewrite
from repro.store.writing import locked_results

WEIGHTS = "weights.csv"
WEIGHTS_TEST = "a test of weights"
"""What its lines are, in error messages."""


@dataclass(frozen=True, kw_only=True)
class WeightsTest:
    """The test of weights that others published: measured here, though trained elsewhere. No verdict uses it."""

    sha256: str
    """SHA-256 of the file."""
    file: str
    """Name of the file, without its folder."""
    source: str
    """URL where the file is published; empty if the user gave none."""
    model: str
    options: Mapping[str, Plain]
    dataset: str
    protocol: Mapping[str, Any]
    """The test protocol of image files, with the keys of `repro.data.inputs.protocol.Protocol`.

    It is empty for one crop and for whole images.
    """
    normalised_as: str
    """Where the normalisation is from."""
    mean: Sequence[float]
    """What was subtracted from pixels in 0..1, by channel."""
    std: Sequence[float]
    error: Percent
    """Top-1 test error in %."""
    error5: Percent | None = None
    """Top-5 test error in %; None for five classes or fewer."""
    images: Positive
    """Number of test images."""
    device: str
    torch: str
    version: str
    commit: str
    tested: Time
    """Time of the test, UTC."""

    def __post_init__(self) -> None:
        msgspec.convert(self.protocol, Protocol)

    @property
    def key(self) -> tuple[object, ...]:
        """What was tested, and how: two tests of one key repeat each other."""
        options = tuple(sorted(self.options.items()))
        return self.sha256, self.model, options, self.dataset, self.tested_by, tuple(self.mean), tuple(self.std)

    @property
    def tested_by(self) -> Protocol:
        """The test protocol."""
        return msgspec.convert(self.protocol, Protocol)


def append_weights_test(test: WeightsTest, results: Path) -> bool:
    """Add a line to `results`/weights.csv, unless the same test is there; return whether it was added."""
    path = results / WEIGHTS
    with locked_results(path):
        if any(each.key == test.key for each in _read(path)):
            return False
        rewrite(path, [*lines_of(path), line_of(test)], WeightsTest)
    return True


def read_weights_tests(folders: Iterable[Path]) -> list[WeightsTest]:
    """Return the tests of all folders without repetitions; UserError for an invalid line."""
    tests = (each for folder in folders for each in _read(folder / WEIGHTS))
    return list({each.key: each for each in tests}.values())


def _read(path: Path) -> list[WeightsTest]:
    return read(path, WeightsTest, WEIGHTS_TEST)
