"""What became of runs that were to be trained."""

from __future__ import annotations

from dataclasses import dataclass, field

from repro.errors import OneRunFailed
from repro.store.results import Record


@dataclass(frozen=True)
class Outcome:
    """The runs that are trained, and those that are not."""

    records: dict[str, Record] = field(default_factory=dict)
    """Those of the runs that are trained, by ID."""
    failures: list[OneRunFailed] = field(default_factory=list)
    """Those of runs that cannot be trained to their end."""
    holders: dict[str, str] = field(default_factory=dict)
    """The processes that train the other runs, by the names of these runs."""

    def add(self, other: Outcome) -> None:
        """Add what became of other runs, or of held ones that were tried again after `holders` was cleared."""
        self.records.update(other.records)
        self.failures.extend(other.failures)
        self.holders.update(other.holders)
