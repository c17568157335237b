"""The printed errors of a network in all tables, and the tables that print them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from repro.data import DATASETS, DatasetKind
from repro.data.inputs.protocol import Protocol
from repro.experiment import Experiment
from repro.models import OptionValue
from repro.tables.printed import PrintedError, Table
from repro.tables.reading import read_table, table_names


def errors_of(model: str) -> Iterator[PrintedError]:
    """Yield the printed errors of a network with any options, in all tables of the current library."""
    for table in map(read_table, table_names()):
        yield from _errors_in(table, model)


def tables_with(model: str, options: Mapping[str, OptionValue], recipe: str) -> Iterator[Table]:
    """Yield the tables of the current library with a printed error of a network, all its options and a recipe."""
    for table in map(read_table, table_names()):
        if any(each.recipe == recipe and each.options == dict(options) for each in _errors_in(table, model)):
            yield table


def protocols_of(experiment: Experiment) -> list[Protocol]:
    """Return the protocols of the printed errors that an experiment is for, each once, in the order of the tables.

    There are none for images that are shown whole.
    """
    if DATASETS[experiment.dataset].kind is not DatasetKind.IMAGE_FILES:
        return []
    found = (each for each in errors_of(experiment.model) if each.dataset == experiment.dataset)
    of_recipe = (each for each in found if each.recipe == experiment.recipe.name)
    return list(dict.fromkeys(each.protocol for each in of_recipe if each.options == dict(experiment.options)))


def _errors_in(table: Table, model: str) -> list[PrintedError]:
    return table.errors([row for row in table.rows if row.model == model])
