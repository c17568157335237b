"""Records that tests write as the end of a training does, and what verdicts make of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from repro.comparison.join import Comparison
from repro.data.inputs.protocol import Averaged, Protocol, Views
from repro.experiment import Experiment
from repro.recipes import deviations
from repro.store.csv_rows import line_of, lines_of, rewrite
from repro.store.protocol_tests import plain
from repro.store.results import RUNS, ProtocolTest, Record, put_record
from repro.store.writing import locked_results
from repro.tables import PrintedError


def append_record(record: Record, results: Path) -> None:
    """Add a record to a folder of results."""
    with locked_results(results / RUNS):
        put_record(record, results)


def append_line_with_test(record: Record, results: Path) -> None:
    """Add a line of a record with a test of its own, as another branch of a repository does."""
    ten = Protocol(views=Views.TEN_CROP, averaged=Averaged.OUTPUTS)
    tests = plain([ProtocolTest(protocol=ten, error=22.0, error5=6.0, loss=1.0)])
    rewrite(results / RUNS, [*lines_of(results / RUNS), line_of(replace(record, tests=tests))], Record)


def record_of(record: Callable[..., Record], experiment: Experiment, **facts: object) -> Record:
    """Return a record of an experiment, with the given facts besides those that the experiment tells."""
    told = {
        "id": experiment.id,
        "name": experiment.name,
        "model": experiment.model,
        "options": dict(experiment.options),
        "dataset": experiment.dataset,
        "recipe": experiment.recipe.name,
        "seed": experiment.seed,
        "deviations": deviations(experiment.recipe),
    }
    return record(**{**told, **facts})


def runs_behind(error: PrintedError, record: Callable[..., Record], *errors: float) -> list[Record]:
    """Return runs by the recipe of a printed error, a seed for each of some test errors."""
    return [record_of(record, error.experiment(seed), error=found) for seed, found in enumerate(errors)]


def judgements(comparison: Comparison) -> list[tuple[object, ...]]:
    """Return the verdict on each printed error, and the figures that it rests on."""
    cells = (cell for row in comparison.rows for cell in row.errors.values())
    return [(cell.verdict, cell.value, cell.margin, cell.at_most, cell.bound) for cell in cells]
