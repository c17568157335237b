"""The mean gate weights w_ik of a DenseResNet over the test images, for Figure 4 of its paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from repro.experiment import Experiment
from repro.models import spec_of
from repro.models.dense_resnet import DenseResNet
from repro.recipes import Recipe, deviations
from repro.store.gates import GateRow, gates_path, latest_gates, write_gates
from repro.store.results import EpochRow, read_records, result_folders
from repro.training.engine.engine import Engine
from repro.training.initialise import network_of
from repro.training.machine import processes
from repro.training.machine.device import autocast, placed
from repro.training.progress.watcher import Watcher
from repro.training.schedule import first_step_of_epoch
from repro.training.tasks.classification import Classification
from repro.training.tasks.task import Progress, Task


def write_run_gates(engine: Engine, results: Path, watcher: Watcher) -> None:
    """Write the mean gate weights of an engine's runs into `results`; nothing for networks without gates.

    Those of the first record of an experiment stay, as tables use this record.
    """
    if not spec_of(engine.experiments[0].model).gates:
        return
    firsts = processes.of_first(_of_first_records(engine, results))
    watcher.say("computing mean gate weights on the test images")
    for number, (experiment, epoch_rows) in enumerate(zip(engine.experiments, engine.epoch_rows, strict=True)):
        if path := firsts.get(experiment.id):
            watcher.say(f"{path} is kept: it has the mean gate weights of the first record of {experiment.name}")
            continue
        network = _with_gates(engine, number) if engine.runtime.fused else engine.alone(number)
        rows = measured_gates(network, experiment, engine.task, engine.step, epoch_rows, progress=watcher.testing)
        if processes.rank() == 0:
            write_gates(rows, gates_path(results, experiment.name))


def _of_first_records(engine: Engine, results: Path) -> dict[str, Path]:
    """Return the files with the mean gate weights of earlier records of an engine's experiments, by ID."""
    folders = result_folders(results)
    first = {each.id: each for each in read_records(folders)}
    paths = {each.id: latest_gates(folders, each.name) for each in engine.experiments}
    started = {each.id: run.started for each, run in zip(engine.experiments, engine.run_histories, strict=True)}
    return {id: path for id, path in paths.items() if path and id in first and first[id].started != started[id]}


def _with_gates(engine: Engine, number: int) -> nn.Module:
    """Return a network as its model makes it, with the state of a run whose gates are computed by kernels."""
    network = placed(network_of(engine.experiments[number]), engine.device, replace(engine.runtime, fused=False))
    network.load_state_dict(engine.tested.state_of(number))
    return network


def measured_gates(
    network: nn.Module,
    experiment: Experiment,
    task: Task,
    step: int,
    epoch_rows: Sequence[EpochRow],
    *,
    progress: Progress = iter,
) -> list[GateRow]:
    """Return the mean gate weights of a run, block by block, the nearest feature map first.

    Args:
        network: a network with gates, on the task's device.
        experiment: the run's experiment.
        task: provides the test images.
        step: number of steps that the run has taken.
        epoch_rows: the run's epochs so far.
        progress: wraps the range of the batches.
    """
    assert isinstance(network, DenseResNet)
    assert isinstance(task, Classification)
    epoch, taken, whole = position(experiment.recipe, step, epoch_rows, task.images)
    means, images = mean_gate_weights(network, task, progress)
    return [
        GateRow(
            run=experiment.name,
            deviations=deviations(experiment.recipe),
            step=step,
            epoch=epoch,
            epochs=experiment.recipe.all_epochs,
            step_of_epoch=taken,
            steps_of_epoch=whole,
            images=images,
            block=block,
            distance=distance,
            mean=mean,
        )
        for block, of_block in enumerate(means, 1)
        for distance, mean in enumerate(reversed(of_block), 1)
    ]


def mean_gate_weights(
    network: DenseResNet, task: Classification, progress: Progress = iter
) -> tuple[list[list[float]], int]:
    """Return, per block, the means of w_ik over all test images, the nearest map last, and the number of images.

    Every image counts once, for any batch size and number of processes. The network is left in evaluation mode.
    """
    network.eval()
    sizes = [each.n for each in network.gates]
    sums = torch.zeros(sum(sizes) + 1, dtype=torch.float64, device=task.device)
    for inputs, labels in task.test_batches(progress):
        assert isinstance(inputs, Tensor)
        with autocast(task.device, task.runtime):
            means = network.mean_gate_weights(inputs)
        sums[:-1] += len(labels) * torch.cat(means)
        sums[-1] += len(labels)
    *totals, images = processes.total(sums).tolist()
    found = iter(totals)
    return [[next(found) / images for _ in range(size)] for size in sizes], round(images)


def position(recipe: Recipe, step: int, epoch_rows: Sequence[EpochRow], images: int) -> tuple[int, int, int]:
    """Return the epoch of a run's last step, from 1, the steps taken in it, and its total steps."""
    epoch = len(epoch_rows) + (not epoch_rows or step > epoch_rows[-1].step)
    first, end = (first_step_of_epoch(recipe, each, images) for each in (epoch - 1, epoch))
    return epoch, step - first, end - first
