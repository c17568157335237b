"""Which runs belong to a printed error, and what is unusual about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from repro.models import spec_of
from repro.store.results import Record, StepTime
from repro.tables import PrintedError


def runs_of(error: PrintedError, records: Sequence[Record]) -> list[Record]:
    """Return the runs of exactly the printed error's experiment, with today's recipe, in the order of their seeds."""
    if error.recipe is None:
        return []
    faithful = (record for record in records if record.faithful and is_of(record, error))
    runs = [record for record in faithful if record.id == error.experiment(record.seed).id]
    return sorted(runs, key=lambda each: each.seed)


def once_each(runs: Iterable[Record]) -> list[Record]:
    """Return runs without repetitions: one run may be behind several errors."""
    return list({run.id: run for run in runs}.values())


def is_of(record: Record, error: PrintedError) -> bool:
    """Whether a record has a printed error's network, dataset and recipe; values of the recipe may be changed."""
    wanted = (error.row.model, error.dataset, error.recipe)
    if (record.model, record.dataset, record.recipe) != wanted:
        return False
    return all_options(record) == error.options


def all_options(measured: Record | StepTime) -> dict[str, Any]:
    """Return the options of a measured network; one that was added to the network later has its default."""
    spec = spec_of(measured.model)
    return {**spec.options, **spec.options_on.get(measured.dataset, {}), **measured.options}


def conditions(runs: Sequence[Record]) -> list[str]:
    """Return what is unusual about runs: other than fp32, several processes, different versions of the images."""
    processes = [f"{run.runtime.get('processes', 1)} processes" for run in runs]
    images = len({run.data for run in runs})
    several = [f"{images} versions of the images"] if images > 1 else []
    return [*reduced(runs), *_unusual(processes, "1 processes", "by"), *several]


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
