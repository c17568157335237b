"""The plan of some tables: the state of each run, what is left to train, and the seeds that would decide each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from repro.comparison.match import with_runs
from repro.comparison.spread import Spread
from repro.counting.cache import cached_demand, demanded
from repro.counting.count import Subject
from repro.planning.deciding import deciding_seeds
from repro.planning.image_time import ImageTime, Measurements
from repro.planning.needed import complete, needed
from repro.planning.space import Memory, disk_bytes, memory_of
from repro.planning.state import RunStatus, jobs_of, status_of
from repro.store.results import Record
from repro.store.run_state import RunState
from repro.tables import PrintedError, RunsPerRow, Selection, Table
from repro.training.estimate import trained_subject


@dataclass(frozen=True)
class PlannedRun:
    """A run, and what is left of it; this is filled in by `planned`."""

    status: RunStatus
    image_time: ImageTime | None = None
    """None if it is not to be trained, or the number of training images is unknown; so is the next one."""
    seconds: float | None = None
    """Device time that is left."""
    disk: int = 0
    """Bytes of checkpoints that it adds."""
    memory: Memory | None = None


@dataclass(frozen=True)
class ToTrain:
    """The runs that are to be trained now, and what they need together."""

    runs: tuple[PlannedRun, ...]

    @staticmethod
    def among(runs: Iterable[PlannedRun]) -> ToTrain:
        """Return those of some runs that are to be trained now."""
        return ToTrain(tuple(each for each in runs if each.status.state.to_train))

    @property
    def seconds(self) -> float:
        """Device time that is left, without that of runs whose time is unknown."""
        return sum(each.seconds or 0.0 for each in self.runs)

    @property
    def guessed(self) -> float:
        """The part of that time that is guessed from FLOPs."""
        return sum(each.seconds or 0.0 for each in self.runs if each.image_time and each.image_time.basis.guess)

    @property
    def untimed(self) -> int:
        """The number of runs whose time is unknown."""
        return sum(each.seconds is None for each in self.runs)

    @property
    def disk(self) -> int:
        """Bytes of checkpoints that they add."""
        return sum(each.disk for each in self.runs)

    @property
    def memory(self) -> Memory | None:
        """The largest memory that one of them needs; None without a run."""
        return max((each.memory for each in self.runs if each.memory), key=lambda each: each.bytes, default=None)


@dataclass(frozen=True)
class PlannedRow:
    """A printed error with the runs that it needs."""

    table: Table
    error: PrintedError
    runs: tuple[PlannedRun, ...]
    seeds: int | None
    """The least number of seeds that would decide the row; None if no number that was tried does, or without a
    verdict."""
    measured: int
    """The number of seeds that were measured."""

    @property
    def more_seeds(self) -> int:
        """The seeds that would decide the row besides those that were measured; 0 if they do, or are under way."""
        ended = all(each.status.state is RunState.DONE for each in self.runs)
        return max(0, self.seeds - self.measured) if self.seeds and ended else 0

    @property
    def to_train(self) -> ToTrain:
        """The runs that are to be trained now."""
        return ToTrain.among(self.runs)

    def count(self, state: RunState) -> int:
        """Return the number of runs in a state."""
        return sum(each.status.state is state for each in self.runs)


@dataclass(frozen=True)
class Plan:
    """The rows of some tables, on one device."""

    device: str
    rows: tuple[PlannedRow, ...]
    without_recipe: int
    """Number of printed errors that are left out because no recipe is implemented for them."""

    @property
    def to_train(self) -> ToTrain:
        """The runs that are to be trained now."""
        return ToTrain.among(self.runs)

    @property
    def runs(self) -> list[PlannedRun]:
        """All runs, each once: a run may count for several printed errors."""
        return list({each.status.experiment.id: each for row in self.rows for each in row.runs}.values())

    @property
    def states(self) -> Counter[RunState]:
        """The number of runs in each state."""
        return Counter(each.status.state for each in self.runs)


def rows_with_states(
    selections: Sequence[Selection],
    spreads: Sequence[Spread],
    records: Sequence[Record],
    runs: Path,
    per_row: RunsPerRow,
) -> list[PlannedRow]:
    """Return the printed errors of some rows with the states of their runs; nothing is written.

    Args:
        selections: tables, and those of their rows that are planned.
        spreads: the spread between seeds for each table.
        records: the records of all experiments, with their deviations from today's recipes.
        runs: the folder of the runs.
        per_row: the runs of each printed error.

    Raises:
        UserError: all checkpoints of a stopped run are broken, or Slurm does not say which runs are queued.
    """
    experiments = [[needed(error, per_row) for error in each.errors] for each in selections]
    ended = complete(records, chain(*chain(*experiments)), runs)
    recorded, found = {each.id for each in ended}, list[PlannedRow]()
    jobs = jobs_of(records, {each.id for each in records} - recorded, runs)
    for selection, spread, of_errors in zip(selections, spreads, experiments, strict=True):
        errors, cells = with_runs(selection.errors, records), selection.cells
        for each, of_error in zip(errors, of_errors, strict=True):
            states = tuple(PlannedRun(status_of(run, recorded, runs, jobs)) for run in of_error)
            decides = deciding_seeds(each.measured, spread, cells) if each.error.judgeable else None
            found.append(PlannedRow(selection.table, each.error, states, decides, len(each.runs)))
    return found


def without_demand(found: Iterable[PlannedRow]) -> list[Subject]:
    """Return the networks that are to be trained and whose demands are not cached; each takes up to seconds."""
    trained = [run.status.experiment for row in found for run in row.to_train.runs]
    return [
        each
        for each in {repr(each): each for each in map(trained_subject, trained)}.values()
        if not cached_demand(each)
    ]


def planned(found: Sequence[PlannedRow], known: Measurements) -> Plan:
    """Return the plan for some printed errors on a device."""
    rows = tuple(replace(each, runs=_estimated(each, known)) for each in found if each.error.recipe)
    return Plan(known.device, rows, len(found) - len(rows))


def _estimated(row: PlannedRow, known: Measurements) -> tuple[PlannedRun, ...]:
    """Return the runs of a printed error, those that are to be trained with what is left of each."""
    left, seeds = row.to_train.runs, [each.status for each in row.runs]
    at_once = known.seeds_at_once(left[0].status.experiment, len(left)) if left else 1
    return tuple(
        _left_of(each.status, seeds, known, at_once) if each.status.state.to_train else each for each in row.runs
    )


def _left_of(status: RunStatus, seeds: Sequence[RunStatus], known: Measurements, at_once: int) -> PlannedRun:
    """Return a run with the time, the disk space and the memory that it still needs."""
    demand = demanded(trained_subject(status.experiment))
    image_time = known.image_time(status, at_once > 1, seeds) if status.train_images else None
    return PlannedRun(
        status,
        image_time,
        image_time.seconds * status.images_left if image_time else None,
        disk_bytes(status.experiment, demand) if status.state is RunState.MISSING else 0,
        memory_of(status.experiment, demand, known, at_once),
    )
