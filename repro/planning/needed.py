"""The runs that a table needs: for each printed error with a recipe, seeds 0, 1, ..."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from repro.experiment import Experiment
from repro.store.results import read_records, result_folders
from repro.tables import AS_PUBLISHED, PrintedError, RunsPerRow, Selection


def needed(error: PrintedError, per_row: RunsPerRow = AS_PUBLISHED) -> list[Experiment]:
    """Return the experiments for a printed error, by seed; none without a recipe."""
    if error.recipe is None:
        return []
    return [error.experiment(seed, per_row.epochs) for seed in range(per_row.seeds or error.runs)]


def missing(selection: Selection, results: Path, per_row: RunsPerRow = AS_PUBLISHED) -> list[Experiment]:
    """Return the experiments that some rows of a table need and that have no record, each once.

    `results` is the folder of the results, besides the shipped ones.
    """
    experiments = [each for error in selection.errors for each in needed(error, per_row)]
    return without_record(experiments, results)


def without_record(experiments: Iterable[Experiment], results: Path) -> list[Experiment]:
    """Return the experiments without a record, neither in `results` nor among the shipped ones, each once."""
    once = {each.id: each for each in experiments}
    done = {record.id for record in read_records(result_folders(results))}
    return [each for each in once.values() if each.id not in done]
