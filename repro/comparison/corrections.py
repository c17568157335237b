"""Records compared with today's recipes: a run whose recipe was corrected later deviates from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from repro.errors import UserError
from repro.experiment import Experiment, experiment_for
from repro.models import is_outside
from repro.paths import DEFAULT_RUNS
from repro.recipes import RECIPES, Recipe, former_recipes
from repro.recipes.entries import check_values
from repro.store.results import Record, read_records
from repro.store.run_folders import stored_values


def records_today(folders: Iterable[Path], runs: Path = DEFAULT_RUNS) -> list[Record]:
    """Return the first record of each experiment in `folders`; UserError if a line is not a record.

    Args:
        folders: of records.
        runs: as for `as_of_today`.
    """
    return [as_of_today(each, runs) for each in read_records(folders)]


def as_of_today(record: Record, runs: Path = DEFAULT_RUNS) -> Record:
    """Return a record with its deviations from today's recipe, which may have been corrected since the run.

    A run whose values the recipe was corrected to does not deviate any more.

    Args:
        record: what was recorded.
        runs: the folder of the user's runs, whose files say which values a run followed.
    """
    if record.recipe not in RECIPES:
        return record
    try:
        today = _today(record)
    except UserError:  # a network or an option that was removed
        return record
    for followed in chain([today.recipe], _earlier(record, today, runs)):
        if replace(today, recipe=followed).id == record.id:
            return replace(record, deviations=followed.differences(today.recipe))
    if not record.faithful:
        return record
    return replace(record, deviations=[f"another version of {record.recipe}, its dataset or its network"])


def _today(record: Record) -> Experiment:
    """Return the experiment of a record with today's recipe; UserError if there is no such network any more.

    The code of a network from outside the package does not run for that: a record has all its options.
    """
    if is_outside(record.model):
        return Experiment(record.model, record.options, RECIPES[record.recipe], record.seed)
    return experiment_for(record.model, record.options, seed=record.seed, recipe_name=record.recipe)


def _earlier(record: Record, today: Experiment, runs: Path) -> Iterator[Recipe]:
    """Yield other recipes that a run may have followed: the former one of that name, and that in the run's folder."""
    if former := former_recipes().get(record.recipe):
        yield former
    values = stored_values(runs / record.name)
    if values is not None and values.get("dataset") == today.dataset:
        with suppress(UserError):  # a value that no recipe has any more
            check_values(values)
            yield today.recipe.with_values(values)
