"""The runs that a table needs: for each printed error with a recipe, seeds 0, 1, ..."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from repro.experiment import Experiment
from repro.store.results import read_records, result_folders
from repro.tables import PrintedError, Row, Table


def needed(error: PrintedError, seeds: int | None, epochs: int | None) -> list[Experiment]:
    """Return the experiments for a printed error, by seed; none without a recipe.

    Args:
        error: the printed error.
        seeds: number of seeds (default: as many as the paper ran).
        epochs: number of epochs of each run (default: the recipe's).
    """
    if error.recipe is None:
        return []
    return [error.experiment(seed, epochs) for seed in range(seeds or error.runs)]


def missing(
    table: Table, rows: Sequence[Row], seeds: int | None, epochs: int | None, results: Path
) -> list[Experiment]:
    """Return the experiments that some rows of a table need and that have no record, each once.

    Args:
        table: the table.
        rows: the rows.
        seeds: as for `needed`, like the next one.
        epochs: of each run.
        results: the folder of the results, besides the shipped ones.
    """
    experiments = [each for error in table.errors(rows) for each in needed(error, seeds, epochs)]
    return without_record(experiments, results)


def without_record(experiments: Iterable[Experiment], results: Path) -> list[Experiment]:
    """Return the experiments without a record, neither in `results` nor among the shipped ones, each once."""
    once = {each.id: each for each in experiments}
    done = {record.id for record in read_records(result_folders(results))}
    return [each for each in once.values() if each.id not in done]
