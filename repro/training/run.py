"""A run on disk: found again by its experiment, gone on with, checkpointed, and recorded when it ends."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from repro.atomic import remove_unfinished
from repro.errors import Diverged, RunFailed, UserError
from repro.experiment import Experiment
from repro.paths import Folders
from repro.recipes import Recipe, deviations
from repro.runtime import Runtime
from repro.store.results import EpochRow, Record, every_record, write_curve
from repro.store.run_folders import CURVE, DIVERGED, LOCK, RECORDED, describe
from repro.training import processes
from repro.training.checkpoint import Checkpoint, load_before, load_newest, set_aside_newest
from repro.training.device import check_memory, prepare
from repro.training.engine import Engine, network_of
from repro.training.gates import write_run_gates
from repro.training.progress import Course, Watcher
from repro.training.record import check_runtime, recorded, write_record
from repro.training.saver import Saver
from repro.training.schedule import images_per_epoch
from repro.training.signals import Stopped, StopRequest
from repro.training.stacked import can_be_stacked
from repro.training.tasks.from_files import raise_if_a_worker_died
from repro.training.tasks.task import Task, task_for
from repro.training.tensorboard import board, check_log


def train(experiments: Sequence[Experiment], runtime: Runtime, folders: Folders, watcher: Watcher) -> list[Record]:
    """Bring experiments that differ in the seed alone to their end, from wherever an earlier sitting left them.

    They are trained one after the other, or side by side where the runtime says so.

    Returns:
        The records, in the order of the experiments.

    Raises:
        UserError: the data are missing or changed, a checkpoint is broken, or another process trains a run.
        RunFailed: the disk is full, say; the last good state is kept.
        Diverged: a loss became NaN; raised when the other runs are over, and the last good state is kept.
        Stopped: SIGINT or SIGTERM; the state is saved.
    """
    check_log(runtime.log)
    every_record(folders.results)  # a file that cannot be added to is told of before the training
    with torch.device("meta"):
        # An impossible network is refused before anything is read or written.
        network = network_of(experiments[0], memory_saved=runtime.save_memory)
    records = {}
    for experiment in experiments:
        if done := recorded(experiment, runtime, folders):
            watcher.say(f"{experiment.name} is finished already; this is its record")
            records[experiment.id] = done
            _describe([experiment], runtime, folders, RECORDED)
    missing = [each for each in experiments if each.id not in records]
    if missing:
        device = prepare(runtime)
        groups = _groups(missing, network, runtime, device, watcher)
        check_memory(network, len(groups[0]), device)
        runtime = runtime.together(len(groups[0]))
        with processes.first_alone():
            task = task_for(experiments[0], folders.data, runtime, device)
        _check_shares(experiments[0].recipe, task.images)
        _warn_of_deviations(experiments[0].recipe, watcher)
        for record in _train_groups(groups, runtime, task, device, folders, watcher):
            records[record.id] = record
    return [records[each.id] for each in experiments]


def _groups(
    experiments: Sequence[Experiment], network: nn.Module, runtime: Runtime, device: torch.device, watcher: Watcher
) -> list[Sequence[Experiment]]:
    """Return what is trained at once, one group after the other."""
    asked = runtime.side_by_side
    together = len(experiments) > 1 and (device.type == "cuda" if asked is None else asked)
    if together and not can_be_stacked(network):
        watcher.say("this network drops out: its seeds are trained one after the other, each with its own chance")
        together = False
    if together and runtime.save_memory:
        watcher.say("--save-memory trains one network at a time: the seeds one after the other")
        together = False
    return [experiments] if together else [[each] for each in experiments]


def _train_groups(
    groups: Sequence[Sequence[Experiment]],
    runtime: Runtime,
    task: Task,
    device: torch.device,
    folders: Folders,
    watcher: Watcher,
) -> list[Record]:
    """Train one group after the other; one that diverges keeps none of the others from its end."""
    records, diverged = [], []
    for group in groups:
        try:
            records += _train_locked(group, runtime, task, device, folders, watcher)
        except Diverged as error:
            diverged.append(f"{_names(group)}: {error}")
            if len(group) == 1:  # of several at once the others can go on one by one
                _describe(group, runtime, folders, DIVERGED)
            if group is not groups[-1]:
                watcher.say(f"failed: {diverged[-1]}; going on with the next seed")
    if diverged:
        raise Diverged("; ".join(diverged))
    return records


def _train_locked(
    group: Sequence[Experiment],
    runtime: Runtime,
    task: Task,
    device: torch.device,
    folders: Folders,
    watcher: Watcher,
) -> list[Record]:
    """Lock the runs' folders and train; those that are not equally far go separate ways."""
    names = ", ".join(each.name for each in group)
    try:
        with ExitStack() as locks:
            for experiment in group:
                folder = folders.runs / experiment.name
                folder.mkdir(parents=True, exist_ok=True)
                if processes.rank() == 0:
                    locks.enter_context(FileLock(folder / LOCK, timeout=1))
                    remove_unfinished(folder)
            with processes.first_alone():
                parts = equally_far(group, folders.runs, watcher)
            records = []
            for part, saved in parts:
                engine = Engine(part, runtime.together(len(part)), task, device)
                records += _train(engine, saved, folders, watcher)
            return records
    except torch.OutOfMemoryError as error:
        raise RunFailed(f"the device's memory is too small for {names}; the last checkpoint is kept") from error
    except RuntimeError as error:
        raise_if_a_worker_died(error)
        raise
    except Timeout as error:
        raise UserError(f"another process is training {names}; wait for it, or choose another --seed") from error


def equally_far(
    group: Sequence[Experiment], runs: Path, watcher: Watcher
) -> list[tuple[list[Experiment], list[Checkpoint]]]:
    """Return the experiments in parts that are at the same step, each part with its checkpoints (none: at 0)."""
    newest = {}
    for experiment in group:
        folder = runs / experiment.name
        newest[experiment.id], warning = load_newest(folder)
        if warning:
            watcher.say(warning)
            set_aside_newest(folder)
    first = min(saved.step if saved else 0 for saved in newest.values())
    parts: dict[int, tuple[list[Experiment], list[Checkpoint]]] = {}
    for experiment in group:
        saved = newest[experiment.id]
        if saved and saved.step > first:  # what killed the process came between the checkpoints of two seeds
            saved = load_before(runs / experiment.name, first) or saved
        experiments, checkpoints = parts.setdefault(saved.step if saved else 0, ([], []))
        experiments.append(experiment)
        checkpoints += [saved] if saved else []
    return [parts[step] for step in sorted(parts)]


def _train(engine: Engine, saved: Sequence[Checkpoint], folders: Folders, watcher: Watcher) -> list[Record]:
    """Go on from checkpoints, if there are any, to the end; the runs' folders are locked."""
    for each, experiment in zip(saved, engine.experiments, strict=bool(saved)):
        _check(each, experiment, engine)
    if saved:
        try:
            engine.restore(saved)
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            raise  # the device's trouble, not the checkpoint's
        except (KeyError, RuntimeError) as error:
            names = _names(engine.experiments)
            raise UserError(
                f"the checkpoint of {names} is of another form of its network; go on in other --runs"
            ) from error
    _describe(engine.experiments, engine.runtime, folders)
    logged = [folders.runs / each.name for each in engine.experiments] if processes.rank() == 0 else []
    with (
        StopRequest() as stop,
        board(engine.runtime.log, logged, engine.epochs) as curves,
        watcher.run(_course(engine)),
    ):
        saver = Saver(engine, folders.runs)
        while not engine.finished:
            rows = _train_epoch(engine, saver, watcher, stop)
            curves.epoch(rows)
        write_run_gates(engine, folders.results, watcher)
        records = [
            recorded(experiment, engine.runtime, folders)  # by another process, while this one waited for the data
            or write_record(engine, number, folders.results)
            for number, experiment in enumerate(engine.experiments)
        ]
        _describe(engine.experiments, engine.runtime, folders, RECORDED)
    if stop.requested:  # too late for this run, but not for the next one
        raise Stopped(f"{_names(engine.experiments)} finished and recorded", stop.signal)
    return records


def _describe(experiments: Sequence[Experiment], runtime: Runtime, folders: Folders, ended: str | None = None) -> None:
    """Let the first process write what the folders of some runs hold."""
    if processes.rank() == 0:
        folders.results.mkdir(parents=True, exist_ok=True)  # a table of the records may be looked at meanwhile
        for experiment in experiments:
            describe(experiment, runtime, folders, ended)


GO_ON, SAVE, STOP = range(3)


def _train_epoch(engine: Engine, saver: Saver, watcher: Watcher, stop: StopRequest) -> list[EpochRow]:
    """Train one epoch or what is left of it, saving now and then, at its end, and when asked to stop."""
    for step in engine.steps():
        watcher.step(step, engine.lr)
        wish = STOP if stop.requested else SAVE if saver.older_than(engine.runtime.checkpoint_seconds) else GO_ON
        if processes.count() > 1:
            meet = step % processes.AGREE_EVERY == 0
            wish = processes.greatest(wish, engine.device) if meet else GO_ON
        if wish != GO_ON:
            # What is no number must not push out a good checkpoint; after an epoch the engine looks by itself.
            engine.check_loss()
            engine.check_weights()
            saver.save()
        if wish == STOP:
            where = f"epoch {engine.epochs + 1}, step {engine.steps_of_epoch} of {engine.steps_per_epoch}"
            raise Stopped(f"saved at {where}", stop.signal or signal.SIGTERM)
    rows = engine.end_epoch(watcher.testing)
    saver.end_epoch()
    if processes.rank() == 0:
        for experiment, history in zip(engine.experiments, engine.histories, strict=True):
            write_curve(history, saver.runs / experiment.name / CURVE)
    watcher.epoch(rows, engine.recipe.all_epochs)
    return rows


def _check(saved: Checkpoint, experiment: Experiment, engine: Engine) -> None:
    """Refuse a checkpoint that is not of this experiment on these data."""
    if saved.experiment.id != experiment.id:
        raise UserError(f"the folder of {experiment.name} holds a checkpoint of {saved.experiment.name}")
    check_runtime(saved, engine.runtime)
    if saved.data != engine.task.fingerprint:
        raise UserError(
            f"the data set changed since the checkpoint of {experiment.name} was written; put the old files back"
        )


def _check_shares(recipe: Recipe, images: int) -> None:
    """Refuse more processes than the smallest batch has pairs of images for: BatchNorm needs two."""
    smallest = min(images_per_epoch(each, images) % each.batch or min(each.batch, images) for each in recipe.phases)
    if processes.count() > 1 and smallest < 2 * processes.count():
        raise UserError(f"the smallest batch has {smallest} images, too few for {processes.count()} processes")


def _warn_of_deviations(recipe: Recipe, watcher: Watcher) -> None:
    """Say before days of training that they will not count."""
    if changes := deviations(recipe):
        watcher.say(
            f"warning: this run deviates from {recipe.name} ({', '.join(changes)}) and will not count as a reproduction"
        )


def _course(engine: Engine) -> Course:
    """Return what a watcher is told of a run."""
    return Course(
        name=_names(engine.experiments),
        recipe=engine.recipe,
        images=engine.task.images,
        runs=len(engine.experiments),
        step=engine.step,
        last=[history[-1] for history in engine.histories if history],
    )


def _names(experiments: Sequence[Experiment]) -> str:
    """Return the name of a run, or of several."""
    first, *others = (each.name for each in experiments)
    return f"{first} and {len(others)} other seeds" if others else first
