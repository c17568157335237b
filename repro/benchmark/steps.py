"""How long a training step of each of a table's networks takes, in windows taken in turn, on random images."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product

import torch

from repro.benchmark.random_images import random_data
from repro.benchmark.roofline import synchronise
from repro.benchmark.variants import endless
from repro.data import DATASETS
from repro.errors import RunFailed, UserError
from repro.experiment import Experiment
from repro.recipes import Recipe, recipe
from repro.runtime import Runtime
from repro.store.results import StepTime
from repro.tables import Row, Table
from repro.training.device import prepare
from repro.training.engine import Engine
from repro.training.provenance import machine
from repro.training.tasks.in_memory import Resident

ROUNDS = 5
"""Windows of each row, after one that only warms up."""


@dataclass
class Timed:
    """A row that is measured and the seconds of a step in its windows."""

    row: Row
    experiment: Experiment
    steps: Iterator[int]
    seconds: list[float] = field(default_factory=list)


def measure_steps(
    table: Table,
    runtime: Runtime,
    window_seconds: float,
    progress: Callable[[Sequence[tuple[int, Timed]]], Iterable[tuple[int, Timed]]] = iter,
) -> list[StepTime]:
    """Return how long a step of every row with a printed time takes here: forward, backward and update.

    Each row's own few images stand for all, so that nothing but the network is waited for.

    Args:
        table: the printed one, or some of its rows.
        runtime: device, precision, threads.
        window_seconds: a window takes at least so long, and at least one step.
        progress: wraps the windows, for a bar.

    Raises:
        UserError: no batch is known for a printed time.
        RunFailed: a step needs more memory than the GPU has.
    """
    experiments = [(row, step_experiment(table, row)) for row in table.timed]
    device = prepare(runtime)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    timed = [Timed(row, each, _steps(each, runtime, device)) for row, each in experiments]
    for number, each in progress(list(product(range(ROUNDS + 1), timed))):
        seconds = _window(each, device, window_seconds)
        if number > 0:
            each.seconds.append(seconds)
    made = machine(device)
    together = {
        "measurement": secrets.token_hex(4),
        "table": table.name,
        "precision": runtime.precision,
        "started": started,
        **{name: made[name] for name in ("device", "torch", "version", "commit")},
    }
    return [_step_time(each, together) for each in timed]


def _step_time(timed: Timed, together: dict[str, str]) -> StepTime:
    """Return what the windows of a row tell; `together` is what all rows of a measurement share."""
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
    """Return what a row's step is taken of: its network with its recipe's batch and dropout, or the column's batch.

    The learning rate is 0, so that every step is the same work whatever the random images would teach.

    Raises:
        UserError: no such step can be taken here.
    """
    assert row.model is not None
    assert table.time is not None
    dataset = row.dataset or table.dataset
    if DATASETS[dataset].task.startswith("segmentation:"):
        raise UserError(f"{row.label} segments {dataset}, and the step of a segmentation is not measured here yet")
    named = [table.recipe(row, column) for column in table.of_kind("error") if column.key in row.cells]
    given = next((recipe(name) for name in named if name), None)
    batch = table.time.batch or (given.batch if given else None)
    if batch is None:
        raise UserError(f"{table.name}: neither the column {table.time.key} nor a recipe says the batch of {row.label}")
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
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
    )
    return Experiment(row.model, table.options(row), step, seed=0)


def _steps(experiment: Experiment, runtime: Runtime, device: torch.device) -> Iterator[int]:
    """Yield the images of each step, for ever the same."""
    images = random_data(experiment.dataset, experiment.recipe.batch)
    task = Resident(experiment.recipe, images, runtime, device)
    yield from endless(Engine([experiment], runtime, task, device))


def _window(timed: Timed, device: torch.device, seconds: float) -> float:
    """Return the seconds of a step over one window."""
    steps = 0
    synchronise(device)
    begin = time.perf_counter()
    try:
        while steps == 0 or time.perf_counter() - begin < seconds:
            next(timed.steps)
            steps += 1
            synchronise(device)
    except torch.OutOfMemoryError as error:
        label, batch = timed.row.label, timed.experiment.recipe.batch
        message = f"a step of {batch} images of {label} needs more memory than {device} has; leave it out with --rows"
        raise RunFailed(message) from error
    return (time.perf_counter() - begin) / steps
