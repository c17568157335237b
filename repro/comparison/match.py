"""Which runs and tests of weights belong to a printed error, and what is unusual about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from repro.comparison.rule import MeasuredError
from repro.data.inputs.protocol import ONE_CROP
from repro.models import spec_of
from repro.runtime import Together
from repro.store.protocol_tests import measured
from repro.store.results import Record
from repro.store.step_times import StepTime
from repro.store.weights_tests import WeightsTest
from repro.tables import PrintedError, Replication, Row, Table


def runs_of(error: PrintedError, records: Sequence[Record]) -> list[Record]:
    """Return the runs of exactly the printed error's experiment, with today's recipe, in the order of their seeds."""
    if error.recipe is None:
        return []
    faithful = (record for record in records if record.faithful and is_of(record, error))
    runs = [record for record in faithful if record.id == error.experiment(record.seed).id]
    return sorted(runs, key=lambda each: each.seed)


def figure_of(run: Record, error: PrintedError) -> float | None:
    """Return a run's figure for a printed error, its metric by the error's protocol; None if it was not tested so."""
    return measured(run, error.column.metric, error.protocol)


def measured_error(error: PrintedError, runs: Sequence[Record]) -> MeasuredError:
    """Return a printed error with the figures of some runs, at least one."""
    values = tuple(value for run in runs if (value := figure_of(run, error)) is not None)
    more = error.column.metric.more_is_better
    return MeasuredError(error.cell, error.statistic, error.runs, values, error.images, more)


@dataclass(frozen=True)
class WithRuns:
    """A printed error and its runs."""

    error: PrintedError
    runs: tuple[Record, ...]
    tested_differently: bool = False
    """Whether there are runs, but none that was tested by the error's protocol."""

    @property
    def measured(self) -> MeasuredError:
        """The printed figure and ours."""
        return measured_error(self.error, self.runs)

    @property
    def judged(self) -> bool:
        """Whether there are runs that get a verdict."""
        return bool(self.runs) and self.error.judgeable


def with_runs(errors: Iterable[PrintedError], records: Sequence[Record]) -> list[WithRuns]:
    """Return printed errors with the runs that followed the recipe and have the column's metric by the protocol."""
    found = [(error, runs_of(error, records)) for error in errors]
    fitting = [tuple(run for run in runs if figure_of(run, error) is not None) for error, runs in found]
    return [
        WithRuns(error, own, tested_differently=bool(runs) and not own and error.protocol != ONE_CROP)
        for (error, runs), own in zip(found, fitting, strict=True)
    ]


def once_each(runs: Iterable[Record]) -> list[Record]:
    """Return runs without repetitions: one run may count for several errors."""
    return list({run.id: run for run in runs}.values())


def is_of(record: Record, error: PrintedError) -> bool:
    """Whether a record has a printed error's network, dataset and recipe; values of the recipe may be changed."""
    wanted = (error.row.model, error.dataset, error.recipe)
    if (record.model, record.dataset, record.recipe) != wanted:
        return False
    return all_options(record) == error.options


def weights_of(error: PrintedError, tests: Sequence[WeightsTest]) -> list[WeightsTest]:
    """Return the tests of weights in the printed error's network, on its images by its protocol; lowest first."""
    own = [each for each in tests if each.model == error.row.model]
    found = (each for each in own if error.is_of_network(each.model, all_options(each), each.dataset, each.tested_by))
    return sorted(found, key=lambda each: each.error)


def replications_for(table: Table, row: Row, reported: Iterable[PrintedError]) -> tuple[Replication, ...]:
    """Return what others report for a row's errors, and for the same results in other tables; each once."""
    theirs = (
        each.for_cell(table.called(row), error.column.key)
        for error, other in product(table.errors([row]), reported)
        if other.table.file != table.file and _same_result(error, other)
        for each in other.replications
    )
    own = set(map(_identity, row.replications))
    further = {_identity(each): each for each in theirs if _identity(each) not in own}
    return (*row.replications, *further.values())


def _same_result(error: PrintedError, other: PrintedError) -> bool:
    """Whether two printed errors are of one recipe, network with all its options, dataset, metric and protocol."""
    same = error.recipe is not None and _result(error) == _result(other)
    return same and error.options == other.options


def _result(error: PrintedError) -> tuple[object, ...]:
    return error.row.model, error.dataset, error.recipe, error.column.metric, error.protocol


def _identity(replication: Replication) -> tuple[object, ...]:
    source = replication.source
    return replication.reported.column, source.url, source.place, replication.error


def all_options(measured: Record | StepTime | WeightsTest) -> dict[str, Any]:
    """Return the options of a measured network; one that was added to the network later has its default."""
    return {**spec_of(measured.model).defaults(measured.dataset), **measured.options}


def conditions(runs: Sequence[Record]) -> list[str]:
    """Return what is unusual about runs: other than fp32, stacked seeds, several processes, several sets of images."""
    together = ["stacked" if run.trained_by.together == Together.STACKED else "alone" for run in runs]
    processes = [f"{run.trained_by.processes} processes" for run in runs]
    images = len({run.data for run in runs})
    several = [f"{images} versions of the images"] if images > 1 else []
    shared = [*_unusual(together, "alone", "trained"), *_unusual(processes, "1 processes", "by")]
    return [*reduced(runs), *shared, *several]


def reduced(runs: Sequence[Record]) -> list[str]:
    """Return the reduced precisions in which runs were trained: `bf16` if all were, `1 in bf16` if one was."""
    return _unusual([run.precision for run in runs], "fp32", "in")


def _unusual(made: Sequence[str], usual: str, preposition: str) -> list[str]:
    """Return the values in `made`, one per run, that are not the usual one, with their number if not all runs."""
    return [
        value if number == len(made) else f"{number} {preposition} {value}"
        for value, number in sorted(Counter(made).items())
        if value != usual
    ]
