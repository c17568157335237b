"""The test errors of a finished run by other protocols than the one after every epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from repro.atomic import write_atomically
from repro.data.inputs.protocol import ONE_CROP, Protocol
from repro.store.results import ProtocolTest, Record

FILE = "tests.json"
"""The file in a run's folder with the tests that are finished or stopped."""


class StoppedTest(msgspec.Struct, frozen=True, kw_only=True):
    """A test that was stopped."""

    protocol: Protocol
    files: int
    """The number of images that are tested."""
    sums: tuple[float, float, float]
    """The loss, the top-1 errors and the top-5 errors, each summed over these images."""


class Tests(msgspec.Struct, frozen=True, kw_only=True):
    """The tests of a run's last weights."""

    weights: str = ""
    """The checksum of the weights; empty in older files, whose tests are repeated."""
    finished: tuple[ProtocolTest, ...] = ()
    stopped: StoppedTest | None = None


def read_tests(folder: Path, weights: str) -> Tests:
    """Return the tests in a run's folder; none if they are of other weights or the file is missing or damaged.

    Args:
        folder: of the run.
        weights: the checksum of its last weights.
    """
    try:
        found = msgspec.json.decode((folder / FILE).read_bytes(), type=Tests)
    except (OSError, msgspec.DecodeError):
        return Tests(weights=weights)
    return found if found.weights == weights else Tests(weights=weights)


def write_tests(tests: Tests, folder: Path) -> None:
    """Write the tests into a run's folder."""
    write_atomically(folder / FILE, msgspec.json.encode(tests))


def recorded_tests(record: Record) -> list[ProtocolTest]:
    """Return the tests of a record."""
    return msgspec.convert(list(record.tests), list[ProtocolTest])


def measured(record: Record, metric: str, protocol: Protocol) -> float | None:
    """Return a metric of a run by a protocol; None if the run was not tested so."""
    if protocol == ONE_CROP:
        return getattr(record, metric)
    found = (getattr(each, metric) for each in recorded_tests(record) if each.protocol == protocol)
    return next(found, None)


def is_tested(record: Record, protocols: Iterable[Protocol]) -> bool:
    """Whether a record has the tests by all of these protocols."""
    have = [ONE_CROP, *(each.protocol for each in recorded_tests(record))]
    return all(each in have for each in protocols)


def plain(tests: Sequence[ProtocolTest]) -> tuple[dict[str, object], ...]:
    """Return tests as a record has them."""
    return tuple(msgspec.json.decode(msgspec.json.encode(tests)))  # to_builtins would keep enums
