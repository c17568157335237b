"""Records compared with today's recipes: a run whose recipe was corrected later deviates from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from repro.errors import UserError
from repro.experiment import Experiment, experiment_for
from repro.models import is_outside
from repro.recipes import FORMER, RECIPES, recipe
from repro.store.results import Record, read_records


def records_today(folders: Iterable[Path]) -> list[Record]:
    """Return the first record of each experiment in `folders`; UserError if a line is not a record."""
    return [as_of_today(each) for each in read_records(folders)]


def as_of_today(record: Record) -> Record:
    """Return a record with its deviations from today's recipe, which may have been corrected since the run.

    A run whose values the recipe was corrected to does not deviate any more.
    """
    if record.recipe not in RECIPES:
        return record
    try:
        today = _today(record)
    except UserError:  # a network or an option that was removed
        return record
    if today.id == record.id:
        return replace(record, deviations=[])
    if not record.faithful:
        return record
    return replace(record, deviations=_differences(record, today))


def _today(record: Record) -> Experiment:
    """Return the experiment of a record with today's recipe; UserError if there is no such network any more.

    The code of a network from outside the package does not run for that: a record has all its options.
    """
    if is_outside(record.model):
        return Experiment(record.model, record.options, recipe(record.recipe), record.seed)
    return experiment_for(record.model, record.options, seed=record.seed, recipe_name=record.recipe)


def _differences(record: Record, today: Experiment) -> list[str]:
    former = FORMER.get(record.recipe)
    if former and replace(today, recipe=former).id == record.id:
        return former.differences(recipe(record.recipe))
    return [f"another version of {record.recipe}, its dataset or its network"]
