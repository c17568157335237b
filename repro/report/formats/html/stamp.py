"""The date, the versions and the machine of a page."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from repro import __version__
from repro.commit import commit
from repro.comparison.join import Comparison
from repro.store.results import SEPARATOR


@dataclass(frozen=True)
class Stamp:
    """The only part of a page that changes while the results stay the same."""

    made: datetime
    """The time in UTC."""
    facts: tuple[tuple[str, str], ...]
    """Pairs of name and value."""

    @property
    def text(self) -> str:
        """The date and time as people read them."""
        return f"{self.made.day} {self.made:%B %Y, %H:%M} UTC"


def stamp_of(comparisons: Sequence[Comparison]) -> Stamp:
    """Return the stamp of a page that is made now."""
    runs = [run for each in comparisons for run in (*each.runs, *each.deviating)]
    facts = {
        "repro": __version__,
        "Commit": commit(),
        "Python": platform.python_version(),
        "torch": _version("torch"),
        "Made on": platform.platform(terse=True),
        "Runs on": SEPARATOR.join(sorted({each for run in runs for each in run.device.split(SEPARATOR)})),
    }
    return Stamp(datetime.now(UTC).replace(microsecond=0), tuple((key, text) for key, text in facts.items() if text))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
