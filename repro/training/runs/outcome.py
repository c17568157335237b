"""What became of runs that were to be trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from repro.errors import OneRunFailed
from repro.experiment import Experiment
from repro.store.results import Record


@dataclass
class Outcome:
    """The runs that are trained, and those that are not."""

    records: dict[str, Record] = field(default_factory=dict)
    """Those of the runs that are trained, by ID."""
    failures: list[OneRunFailed] = field(default_factory=list)
    """Those of runs that cannot be trained to their end."""
    holders: dict[str, str] = field(default_factory=dict)
    """The processes that train the other runs, by the names of these runs."""

    def retried(self, experiments: Sequence[Experiment], train: Callable[[list[Experiment]], Outcome]) -> Outcome:
        """Return what became of all runs when `train` has trained those of the experiments that were held."""
        again = train([each for each in experiments if each.name in self.holders])
        return Outcome({**self.records, **again.records}, [*self.failures, *again.failures], again.holders)

    def add(self, other: Outcome) -> None:
        """Add what became of other runs."""
        self.records.update(other.records)
        self.failures.extend(other.failures)
        self.holders.update(other.holders)
