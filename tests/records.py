"""Records that tests write as the end of a training does, and what verdicts make of them."""

from collections.abc import Callable
from pathlib import Path

from repro.comparison.join import Comparison
from repro.store.results import RUNS, Record, put_record
from repro.store.writing import locked_results
from repro.tables import PrintedError


def append_record(record: Record, results: Path) -> None:
    """Add a record to a folder of results."""
    with locked_results(results / RUNS):
        put_record(record, results)


def runs_behind(error: PrintedError, record: Callable[..., Record], *errors: float) -> list[Record]:
    """Return runs by the recipe of a printed error, a seed for each of some test errors."""
    made = [error.experiment(seed) for seed in range(len(errors))]
    return [
        record(
            id=run.id,
            name=run.name,
            model=run.model,
            options=dict(run.options),
            dataset=run.dataset,
            recipe=run.recipe.name,
            seed=run.seed,
            error=found,
        )
        for run, found in zip(made, errors, strict=True)
    ]


def judgements(comparison: Comparison) -> list[tuple[object, ...]]:
    """Return the verdict on each printed error, and the figures that it rests on."""
    cells = (cell for row in comparison.rows for cell in row.errors.values())
    return [(cell.verdict, cell.value, cell.margin, cell.at_most, cell.bound) for cell in cells]
