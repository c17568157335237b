"""What several folders of results have differently, so that they cannot be merged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.text import number_of

SHOWN = 4
"""Maximum number of differing columns in a message."""
WHEN = ("started", "seconds", "sessions")
WHERE = ("device", "host", "driver", "clocks", "peak_bytes", "environment", "processor")
HOW = ("torch", "python", "version", "commit", "runtime", "precision")
UNMEASURED = (*WHEN, *WHERE, *HOW)
"""The columns of records and curves that say when, where and how a run was trained, not what it reached."""


@dataclass(frozen=True)
class Conflict:
    """Two files with different content of one name."""

    name: str
    """What the content is of, in messages."""
    ours: Path
    theirs: Path
    rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
    """The rows that differ, in pairs."""
    unmeasured: Collection[str] = ()
    """The columns that no measured value is in."""

    @property
    def measured(self) -> bool:
        """Whether a measured value differs."""
        return any(key not in self.unmeasured for one, other in self.rows for key in _differing(one, other))

    def __str__(self) -> str:
        one, other = self.rows[0]
        differing = [f"{key} {one[key]} and {other[key]}" for key in _differing(one, other)]
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        return f"{self.name} differs in {self.ours} and {self.theirs}: {', '.join(differing[:SHOWN])}{more}"


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [key for key in one if one[key] != other[key]]


def refuse(conflicts: Sequence[Conflict]) -> None:
    """Raise UserError with the first conflict and the names of the others; nothing without conflicts."""
    if not conflicts:
        return
    first, *others = conflicts
    names = list(dict.fromkeys(each.name for each in others if each.name != first.name))
    more = f"; so do {number_of(len(names), 'other')}: {', '.join(names)}" if names else ""
    equal = "" if any(each.measured for each in conflicts) else "; all measured values are equal"
    remedy = f"{'of each, ' if names else ''}remove one of the two"
    raise UserError(f"{first}{more}{equal}; nothing was merged; {remedy}")
