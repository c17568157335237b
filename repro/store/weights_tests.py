"""weights.csv: a line for each test of weights that others published (`repro eval --weights FILE --record`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from repro.bounds import Percent, Positive
from repro.data.inputs.protocol import Protocol
from repro.store.csv_rows import Plain, Time, line_of, read, read_with_lines, rewrite
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
    def outcome(self) -> tuple[object, ...]:
        """What the test found, whatever the machine and the time."""
        return self.error, self.error5 or None, self.images  # earlier versions recorded 0 for five classes or fewer

    @property
    def tested_by(self) -> Protocol:
        """The test protocol."""
        return msgspec.convert(self.protocol, Protocol)


def put_weights_test(test: WeightsTest, results: Path) -> WeightsTest | None:
    """Write a line into `results`/weights.csv; return the earlier test of this key, None if there was none.

    An earlier test with the same outcome stays, and one with another outcome is replaced. The source of either is kept
    if the other has none.
    """
    path = results / WEIGHTS
    with locked_results(path):
        found = read_with_lines(path, WeightsTest, WEIGHTS_TEST)
        tests, lines = [each for each, _ in found], [line for _, line in found]
        places = [place for place, each in enumerate(tests) if each.key == test.key]
        if not places:
            rewrite(path, [*lines, line_of(test)], WeightsTest)
            return None
        earlier = tests[places[-1]]  # the one that readers use
        used, other = (earlier, test) if earlier.outcome == test.outcome else (test, earlier)
        written = replace(used, source=used.source or other.source)
        if written != earlier:
            lines[places[-1]] |= line_of(written)
            rewrite(path, lines, WeightsTest)
    return earlier


def read_weights_tests(folders: Iterable[Path]) -> list[WeightsTest]:
    """Return the tests of all folders without repetitions; UserError for an invalid line."""
    tests = (each for folder in folders for each in _read(folder / WEIGHTS))
    return list({each.key: each for each in tests}.values())


def _read(path: Path) -> list[WeightsTest]:
    return read(path, WeightsTest, WEIGHTS_TEST)
