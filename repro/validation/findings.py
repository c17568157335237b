"""What is found in the files of a paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from repro.errors import Mistake


class Level(StrEnum):
    """How bad a finding is: an `error` stops other commands or training, a `warning` is probably unintended."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or probably unintended."""

    level: Level
    mistake: Mistake

    def __str__(self) -> str:
        return f"{self.level}: {' '.join(str(self.mistake).split())}"

    def to_json(self) -> dict[str, str]:
        """Return the finding as plain data."""
        mistake = self.mistake
        return {
            "level": self.level,
            "file": str(mistake.file),
            "where": mistake.where,
            "message": " ".join(mistake.reason.split()),
        }


def warning(file: Path, where: str, reason: str) -> Finding:
    """Return a finding of what is probably unintended."""
    return Finding(Level.WARNING, Mistake(file, where, reason))


def errors(mistakes: Iterable[Mistake]) -> Iterator[Finding]:
    """Yield mistakes as findings."""
    return (Finding(Level.ERROR, each) for each in mistakes)
