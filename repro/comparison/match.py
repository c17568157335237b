"""The runs of a printed row: which they are, and what sets some of them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from repro.experiment import experiment_for
from repro.models import MODELS
from repro.store.results import Record
from repro.tables import Column, Row, Table


def runs_of(table: Table, row: Row, column: Column, records: Sequence[Record]) -> list[Record]:
    """Return the runs of exactly a row's experiment, as the recipe has it today, by seed."""
    recipe = table.recipe(row, column)
    if row.model is None or recipe is None:
        return []
    runs = []
    for record in records:
        if record.faithful and is_of(record, table, row, column):
            experiment = experiment_for(row.model, table.options(row), seed=record.seed, recipe_name=recipe)
            runs += [record] if record.id == experiment.id else []
    return sorted(runs, key=lambda each: each.seed)


def runs_of_row(table: Table, row: Row, records: Sequence[Record]) -> list[Record]:
    """Return the runs behind all of a row's errors, once each."""
    runs = [run for column in table.of_kind("error") for run in runs_of(table, row, column, records)]
    return list({run.id: run for run in runs}.values())


def is_of(record: Record, table: Table, row: Row, column: Column) -> bool:
    """Whether a record is of a row's network, on the column's data set and with its recipe, changed or not."""
    wanted = (row.model, row.dataset or column.dataset, table.recipe(row, column))
    if (record.model, record.dataset, record.recipe) != wanted:
        return False
    # An option that the network has learnt since has its default.
    spec = MODELS[record.model]
    return {**spec.options, **spec.options_on.get(record.dataset, {}), **record.options} == table.options(row)


def belongs(table: Table, record: Record) -> bool:
    """Whether a record is of one of the table's networks, on a data set and with a recipe of the table."""
    columns = table.of_kind("error")
    return any(is_of(record, table, row, column) for row in table.rows if row.model for column in columns)


def apart(runs: Sequence[Record]) -> list[str]:
    """Return how runs were made otherwise than in fp32 by one process, and whether all saw the same images."""
    processes = [f"{run.runtime.get('processes', 1)} processes" for run in runs]
    images = len({run.data for run in runs})
    several = [f"{images} versions of the images"] if images > 1 else []
    return [*reduced(runs), *_unusual(processes, "1 processes", "by"), *several]


def reduced(runs: Sequence[Record]) -> list[str]:
    """Return in which precisions but fp32 runs were trained: `bf16` if all of them, `1 in bf16` if some."""
    return _unusual([run.precision for run in runs], "fp32", "in")


def _unusual(made: Sequence[str], usual: str, preposition: str) -> list[str]:
    """Return the ways, of one for each run, that are not the usual one; behind their number, if not of all runs."""
    return [
        way if number == len(made) else f"{number} {preposition} {way}"
        for way, number in sorted(Counter(made).items())
        if way != usual
    ]
