"""The time of a training step of each network in a table, in windows taken in turn, on random images."""

from __future__ import annotations

import secrets
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product

import torch

from repro.benchmark import WINDOW_SECONDS
from repro.benchmark.random_images import random_data
from repro.benchmark.variants import in_memory_steps
from repro.benchmark.windows import measure_window
from repro.data import DATASETS
from repro.errors import RunFailed, UserError
from repro.experiment import Experiment, classifies
from repro.recipes import RECIPES, Recipe
from repro.runtime import Runtime
from repro.store.step_times import StepTime
from repro.tables import Row, Selection, Table
from repro.training.machine.device import prepare
from repro.training.machine.provenance import machine
from repro.training.runs.failures import failing_in_one_line

ROUNDS = 5
"""Number of windows per row, after a warm-up window."""


@dataclass
class Timed:
    """A row to measure, and the seconds per step in each window."""

    row: Row
    experiment: Experiment
    steps: Iterator[int]
    seconds: list[float] = field(default_factory=list)


def measure_steps(
    selection: Selection,
    runtime: Runtime,
    progress: Callable[[Sequence[tuple[int, Timed]]], Iterable[tuple[int, Timed]]] = iter,
) -> list[StepTime]:
    """Return the time of a step (forward, backward, update) of every row with a printed time.

    Each row repeats one batch on the device, so that only the network is measured.

    Args:
        selection: the table with the rows to measure; rows without a published time are skipped.
        runtime: device, precision, threads.
        progress: wraps the windows, for a progress bar.

    Raises:
        UserError: the batch size of a printed time is unknown.
        NetworkFailed: the code of a network fails.
        RunFailed: a step needs more memory than the GPU has.
    """
    experiments = [(row, step_experiment(selection.table, row)) for row in selection.timed]
    device = prepare(runtime)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    timed = [Timed(row, each, _steps(each, runtime, device)) for row, each in experiments]
    for number, each in progress(list(product(range(ROUNDS + 1), timed))):
        seconds = _window(each, device)
        if number > 0:
            each.seconds.append(seconds)
    made = machine(device)
    together = {
        "measurement": secrets.token_hex(4),
        "table": selection.table.name,
        "precision": runtime.precision,
        "started": started,
        **{name: made[name] for name in ("device", "torch", "version", "commit")},
    }
    return [_step_time(each, together) for each in timed]


def _step_time(timed: Timed, together: dict[str, str]) -> StepTime:
    """Return a row's result; `together` holds the fields that all rows of a measurement share."""
    experiment = timed.experiment
    return StepTime(
        row=timed.row.label,
        model=experiment.model,
        options=dict(experiment.options),
        dataset=experiment.dataset,
        batch=experiment.recipe.batch,
        seconds=round(statistics.median(timed.seconds), 6),
        fastest=round(min(timed.seconds), 6),
        slowest=round(max(timed.seconds), 6),
        windows=len(timed.seconds),
        threads=torch.get_num_threads(),
        **together,
    )


def step_experiment(table: Table, row: Row) -> Experiment:
    """Return the experiment of a row's step: its network, with batch size and dropout of its recipe.

    A batch size of the table's time column takes precedence. The learning rate is 0, so that every step is the same
    work.

    Raises:
        UserError: such a step cannot be measured yet, or its batch size is unknown.
    """
    assert row.model is not None
    assert table.time is not None
    dataset = table.dataset_of(row)
    if not classifies(dataset):
        raise UserError(f"{row.label} does not classify images, and steps of other networks cannot be measured yet")
    given = next((RECIPES[each.recipe] for each in table.errors([row]) if each.recipe), None)
    batch = table.time.batch or (given.batch if given else None)
    if batch is None:
        raise UserError(
            f"{table.name}: neither the column {table.time.key} nor a recipe gives the batch size of {row.label}; "
            "add batch to the column"
        )
    some = (0.5,) * DATASETS[dataset].input[0]  # the values do not change the speed
    step = Recipe(
        name="step",
        paper=table.paper,
        dataset=dataset,
        epochs=1,
        batch=batch,
        lr=0.0,
        schedule="steps",
        nesterov=True,
        weight_decay=1e-4,
        init="as-built",
        dropout=given.dropout if given else 0.0,
        mean=some,
        std=some,
    )
    return Experiment(row.model, table.options(row), step, seed=0)


def _steps(experiment: Experiment, runtime: Runtime, device: torch.device) -> Iterator[int]:
    """Yield the number of images of each step, all on the same batch."""
    images = random_data(experiment.dataset, experiment.recipe.batch)
    yield from in_memory_steps(experiment, runtime, images, device)


def _window(timed: Timed, device: torch.device) -> float:
    """Return the seconds of a step over one window."""
    try:
        with failing_in_one_line([timed.experiment]):
            return measure_window(timed.steps, device, WINDOW_SECONDS).step_seconds
    except torch.OutOfMemoryError as error:
        label, batch = timed.row.label, timed.experiment.recipe.batch
        message = f"{label} with batch size {batch} needs more memory than {device} has; leave it out with --rows"
        raise RunFailed(message) from error
