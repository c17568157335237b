"""The runs that a table needs: for each printed error with a recipe, seeds 0, 1, ..."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from repro.errors import UserError
from repro.experiment import Experiment
from repro.paths import Folders
from repro.planning.state import newest_checkpoint
from repro.store.protocol_tests import is_tested
from repro.store.results import Record, read_records, result_folders
from repro.tables import PrintedError, RunsPerRow, Selection
from repro.tables.lookup import protocols_of


def needed(error: PrintedError, per_row: RunsPerRow) -> list[Experiment]:
    """Return the experiments for a printed error, by seed; none without a recipe."""
    if error.recipe is None:
        return []
    return [error.experiment(seed, per_row.epochs) for seed in range(per_row.seeds or error.runs)]


def missing(selection: Selection, folders: Folders, per_row: RunsPerRow) -> list[Experiment]:
    """Return the experiments that some rows of a table need and that are not complete, each once.

    The shipped results are read besides those of `folders`.
    """
    experiments = [each for error in selection.errors for each in needed(error, per_row)]
    return incomplete(experiments, folders)


def incomplete(experiments: Iterable[Experiment], folders: Folders) -> list[Experiment]:
    """Return the experiments without a complete record, neither in `folders` nor among the shipped ones, each once."""
    once = {each.id: each for each in experiments}
    records = read_records(result_folders(folders.results))
    done = {each.id for each in complete(records, once.values(), folders.runs)}
    return [each for each in once.values() if each.id not in done]


def complete(records: Iterable[Record], experiments: Iterable[Experiment], runs: Path) -> list[Record]:
    """Return the records without those of experiments that are still to be tested.

    These lack a test by the protocol of a printed error, and their last weights, which it needs, are in `runs`.
    """
    wanted = {each.id: each for each in experiments}
    return [each for each in records if each.id not in wanted or not _is_to_be_tested(each, wanted[each.id], runs)]


def _is_to_be_tested(record: Record, experiment: Experiment, runs: Path) -> bool:
    folder = runs / experiment.name
    if not any(folder.glob("*.pt")) or is_tested(record, protocols_of(experiment)):
        return False
    with suppress(UserError):  # weights that cannot be read are not tested
        saved = newest_checkpoint(folder)
        return saved is not None and saved.started == record.started
    return False
