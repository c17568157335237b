"""What others report for the same printed cell, and how their training differs from the paper's; no verdict uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Literal

import msgspec

FAR = 5
"""Points between a reported and a printed error from which on the file must confirm the value."""
FEW = 2
"""The largest number of differences of a replication that is close to the paper's training."""
_DECIMALS = 2
"""The decimals of an error that are shown."""
_COMMIT_LENGTH = 40


class Kind(StrEnum):
    """What a source prints."""

    ERROR = "error"
    ACCURACY = "accuracy"


class Unit(StrEnum):
    """The unit in which a source prints it."""

    PERCENT = "%"
    FRACTION = "fraction"


class RunStatistic(StrEnum):
    """The statistic over its runs that a reported value is."""

    ONE = "one"
    MEAN = "mean"
    MEDIAN = "median"
    BEST = "best"
    UNKNOWN = "unknown"


class Epoch(StrEnum):
    """The epoch after which a network was tested."""

    LAST = "last"
    BEST = "best"
    """The one with the lowest test error."""
    VALIDATION = "validation"
    """The one with the lowest error on images that were held out of the training set."""
    UNKNOWN = "unknown"


class Closeness(StrEnum):
    """How close a replication is to the training of the paper, by the number of differences."""

    SAME = "same"
    CLOSE = "close"
    OTHER = "other"
    UNKNOWN = "unknown"


class Reported(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that a source reports for a printed cell."""

    row: str
    """The label of the row, as `Table.called` returns it."""
    column: str
    value: str
    """As printed."""
    far: bool = False
    """Whether it is right although it is at least FAR points from the printed error."""


class ReplicationSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where values are reported, and what the source says about all of them."""

    url: str
    """A repository or a paper."""
    commit: str | None = None
    """The commit of a repository, in full."""
    place: str
    """The files and their parts, or the table of the paper."""
    seen: date
    kind: Kind
    unit: Unit = Unit.PERCENT
    statistic: RunStatistic
    runs: int | Literal["unknown"]
    epoch: Epoch
    recipe_described: bool
    """Whether the source describes its training, so that what it does not list as a difference is as in the paper."""
    differences: tuple[str, ...]
    """How its training and its network differ from the paper's, as far as the source says it."""
    values: tuple[Reported, ...]

    def __post_init__(self) -> None:
        """Refuse contradictions; msgspec adds where they are."""
        if not self.url.startswith("https://"):
            raise ValueError(f"url is {self.url!r}, but it must begin with https://")
        if self.commit is None and self.url.startswith("https://github.com/"):
            raise ValueError("a repository needs its commit")
        if self.commit is not None and not _is_commit(self.commit):
            raise ValueError(f"commit is {self.commit!r}, not {_COMMIT_LENGTH} hexadecimal digits")
        if not all((self.place, self.values, *self.differences)):
            raise ValueError("place, values and each of the differences must not be empty")
        if self.runs != "unknown" and self.runs < 1:
            raise ValueError(f'runs is {self.runs}, not a whole number of 1 or more or "unknown"')
        if (self.statistic == RunStatistic.ONE) != (self.runs == 1):
            raise ValueError('statistic = "one" and runs = 1 go together')

    @property
    def closeness(self) -> Closeness:
        """SAME without differences, CLOSE with one or two, OTHER with more, UNKNOWN if the training is not described.

        An epoch that is not the last one, or not known, counts as a difference.
        """
        number = len(self.differences) + (self.epoch != Epoch.LAST)
        if number > FEW:
            return Closeness.OTHER
        if not self.recipe_described:
            return Closeness.UNKNOWN
        return Closeness.CLOSE if number else Closeness.SAME


@dataclass(frozen=True)
class Replication:
    """What a source reports for one printed cell."""

    source: ReplicationSource
    reported: Reported

    @property
    def error(self) -> Decimal:
        """The reported error in %, with the digits of the source; shown in the format `f`, as it may be 3E+1."""
        value = Decimal(self.reported.value)
        percent = value.scaleb(2) if self.source.unit == Unit.FRACTION else value
        return 100 - percent if self.source.kind == Kind.ACCURACY else percent

    def for_cell(self, row: str, column: str) -> Replication:
        """Return it as reported for a cell of another table, by the label of its row and its column."""
        return replace(self, reported=msgspec.structs.replace(self.reported, row=row, column=column))


def span(replications: Sequence[Replication]) -> str:
    """Return the number of replications and the range of their errors, as `5: 6.2–7.1`; empty without any."""
    if not replications:
        return ""
    errors = [each.error for each in replications]
    lowest, highest = (f"{each:.{min(_DECIMALS, _decimals(each))}f}" for each in (min(errors), max(errors)))
    return f"{len(errors)}: {lowest if lowest == highest else f'{lowest}–{highest}'}"


def _decimals(error: Decimal) -> int:
    """Return the number of decimals of an error; none for one that is exact to tens only, such as the fraction 0.3."""
    exponent = error.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _is_commit(text: str) -> bool:
    return len(text) == _COMMIT_LENGTH and all(digit in "0123456789abcdef" for digit in text)
