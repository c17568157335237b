"""The printed errors of a network in all tables, and the tables that print them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from repro.data import DATASETS, DatasetKind
from repro.data.inputs.protocol import ONE_CROP, Protocol
from repro.experiment import Experiment
from repro.models import OptionValue
from repro.recipes import current_library
from repro.tables.printed import PrintedError, Table
from repro.tables.reading import parse_table, read_table, table_names
from repro.tables.replication_files import replications_file


def errors_of(model: str) -> Iterator[PrintedError]:
    """Yield the printed errors of a network with any options, in all tables of the current library."""
    for table in map(read_table, table_names()):
        yield from _errors_in(table, model)


def tables_with(model: str, options: Mapping[str, OptionValue], recipe: str) -> Iterator[Table]:
    """Yield the tables of the current library with a printed error of a network, all its options and a recipe."""
    for table in map(read_table, table_names()):
        if any(each.recipe == recipe and each.options == dict(options) for each in _errors_in(table, model)):
            yield table


def reported_errors() -> list[PrintedError]:
    """Return the printed errors of the current library for which others report values; this runs no code of papers."""
    files = (file for file in current_library().tables.values() if replications_file(file).is_file())
    return [each for table in map(parse_table, files) for each in table.errors() if each.replications]


def protocols_of(experiment: Experiment) -> list[Protocol]:
    """Return the protocols of the printed errors that an experiment is for, each once, in the order of the tables."""
    return list(dict.fromkeys(each.protocol for each in _errors_for(experiment)))


def papers_with_protocols(experiment: Experiment) -> tuple[Path, ...]:
    """Return the folders of `--papers` whose tables print errors of an experiment by other protocols than one crop."""
    named = [each for each in current_library().papers if each.named]
    if not named:
        return ()
    files = {each.table.file for each in _errors_for(experiment) if each.protocol != ONE_CROP}
    return tuple(each.named for each in named if each.named and not files.isdisjoint(each.tables))


def _errors_for(experiment: Experiment) -> Iterator[PrintedError]:
    """Yield the printed errors that an experiment is for; none for images that are shown whole, without a protocol."""
    if DATASETS[experiment.dataset].kind is DatasetKind.IMAGE_FILES:
        trained = (experiment.dataset, experiment.recipe.name)
        for each in errors_of(experiment.model):
            if (each.dataset, each.recipe) == trained and each.options == dict(experiment.options):
                yield each


def _errors_in(table: Table, model: str) -> list[PrintedError]:
    return table.errors([row for row in table.rows if row.model == model])
