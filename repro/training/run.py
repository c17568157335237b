"""Runs on disk: found by their experiments, resumed, checkpointed, and recorded at their end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import nn

from repro.atomic import remove_unfinished
from repro.data.protocol import Protocol
from repro.errors import BeingTrained, Diverged, RunFailed, UserError, is_out_of_memory
from repro.experiment import Experiment
from repro.locks import Held, locked
from repro.paths import Folders
from repro.recipes import Recipe, deviations
from repro.runtime import Runtime
from repro.store.results import EpochRow, Record, check_locks, every_record, write_curve
from repro.store.run_folders import CURVE, DIVERGED, LOCK, RECORDED, describe
from repro.training import processes
from repro.training.device import check_deterministic, check_fused, check_memory, prepare
from repro.training.engine import Engine
from repro.training.final_tests import final_protocols, test_finished
from repro.training.gates import write_run_gates
from repro.training.initialise import network_of
from repro.training.memory import too_small, warn_if_short, with_memory_choice
from repro.training.pace import Pace
from repro.training.progress import Course, Watcher
from repro.training.record import recorded, write_record
from repro.training.resume import engine_at, equally_far, names_of
from repro.training.saver import Saver
from repro.training.schedule import images_per_epoch
from repro.training.session import Session
from repro.training.signals import Stopped, StopRequest
from repro.training.stacked import can_be_stacked
from repro.training.tasks.stream import raise_if_a_worker_died
from repro.training.tasks.task import task_for
from repro.training.tensorboard import board, check_log

LOCK_SECONDS = 1.0
"""Wait for a run's lock, which `repro list runs` may hold for a moment."""


def train(experiments: Sequence[Experiment], runtime: Runtime, folders: Folders, watcher: Watcher) -> list[Record]:
    """Train experiments that differ only in the seed to their end, resuming those that were stopped.

    They are trained one after another, or several at once if the runtime says so.

    Returns:
        The records, in the order of the experiments.

    Raises:
        UserError: the data are missing or changed, or a checkpoint is broken.
        BeingTrained: another process trains a run.
        RunFailed: the run cannot continue, for example because the disk is full; the last good state is kept.
        Diverged: a loss became NaN; raised when the other runs have ended. The last good state is kept.
        Stopped: SIGINT, SIGTERM or SIGUSR2; the state is saved.
    """
    check_log(runtime.log)
    every_record(folders.results)  # a file that cannot be extended is reported before the training
    with torch.device("meta"):
        # An impossible network is refused before anything is read or written.
        network = network_of(experiments[0], memory_saved=bool(runtime.save_memory))
    protocols = final_protocols(experiments[0], network)  # before the training, since it may be impossible
    records = _finished(experiments, runtime, folders, watcher, protocols)
    missing = [each for each in experiments if each.id not in records]
    if missing:
        device = prepare(runtime)
        if runtime.fused:
            check_fused(network, experiments[0].recipe)
        check_deterministic(experiments[0].model, network, runtime, device)
        runtime = with_memory_choice(experiments[0], runtime, device, watcher)
        groups = _groups(missing, network, runtime, device, watcher)
        check_memory(network, len(groups[0]), device)
        warn_if_short(groups[0], runtime, device, watcher)
        runtime = runtime.together(len(groups[0]))
        with processes.first_alone():
            task = task_for(experiments[0], folders.data, runtime, device)
        _check_shares(experiments[0].recipe, task.images)
        _warn_of_deviations(experiments[0].recipe, watcher)
        if processes.rank() == 0:
            check_locks(folders.results)
        for record in _train_groups(groups, Session(runtime, task, device, folders, watcher, protocols)):
            records[record.id] = record
    return [records[each.id] for each in experiments]


def _finished(
    experiments: Sequence[Experiment],
    runtime: Runtime,
    folders: Folders,
    watcher: Watcher,
    protocols: Sequence[Protocol],
) -> dict[str, Record]:
    """Return the records of the experiments that are finished and tested by all protocols, by ID."""
    records = {}
    for experiment in experiments:
        if done := recorded(experiment, runtime, folders, protocols):
            watcher.say(f"{experiment.name} is already finished; showing its record")
            records[experiment.id] = done
            _describe([experiment], runtime, folders, RECORDED)
    return records


def _groups(
    experiments: Sequence[Experiment], network: nn.Module, runtime: Runtime, device: torch.device, watcher: Watcher
) -> list[Sequence[Experiment]]:
    """Return the experiments in groups, each of which is trained at once."""
    asked = runtime.side_by_side
    together = len(experiments) > 1 and (device.type == "cuda" if asked is None else asked)
    if together and not can_be_stacked(network):
        watcher.say("The model uses dropout, so seeds are trained one after another.")
        together = False
    if together and experiments[0].recipe.schedule == "plateau":
        watcher.say("The learning rate falls at the plateaus of each seed, so seeds are trained one after another.")
        together = False
    for switch, alone in (("--save-memory", runtime.save_memory), ("--fused", runtime.fused)):
        if together and alone:
            watcher.say(f"{switch} supports one network at a time, so seeds are trained one after another.")
            together = False
    return [experiments] if together else [[each] for each in experiments]


def _train_groups(groups: Sequence[Sequence[Experiment]], session: Session) -> list[Record]:
    """Train one group after another; if one diverges, the others are still trained."""
    records, diverged = [], []
    for group in groups:
        try:
            records += _train_locked(group, session)
        except Diverged as error:
            diverged.append(f"{names_of(group)}: {error}")
            if len(group) == 1:  # seeds trained at once can continue one by one
                _describe(group, session.runtime, session.folders, DIVERGED)
            if group is not groups[-1]:
                session.watcher.say(f"failed: {diverged[-1]}; continuing with the next seed")
    if diverged:
        raise Diverged("; ".join(diverged))
    return records


def _train_locked(group: Sequence[Experiment], session: Session) -> list[Record]:
    """Lock the runs' folders and train; runs at different steps are trained separately."""
    names = ", ".join(each.name for each in group)
    runs = session.folders.runs
    try:
        with ExitStack() as locks:
            _lock(group, runs, locks)
            with processes.first_alone():
                parts = equally_far(group, runs, session.watcher)
            records = []
            for part in parts:
                records += _train(engine_at(part, session), session)
            return records
    except RuntimeError as error:
        if is_out_of_memory(error):
            on_gpu = session.device.type == "cuda"
            raise RunFailed(too_small(names, group, session.runtime, on_gpu=on_gpu)) from error
        raise_if_a_worker_died(error)
        raise


def _lock(group: Sequence[Experiment], runs: Path, locks: ExitStack) -> None:
    """Lock the runs' folders; BeingTrained, in all processes, if some are locked."""
    holders = {}
    for experiment in group if processes.rank() == 0 else ():
        folder = runs / experiment.name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            locks.enter_context(locked(folder / LOCK, LOCK_SECONDS))
            remove_unfinished(folder)
        except Held as held:
            holders[experiment.name] = str(held)
    if holders := processes.of_first(holders):
        raise BeingTrained(holders)


def _train(engine: Engine, session: Session) -> list[Record]:
    """Train runs to their end and record them; their folders are locked."""
    folders, watcher = session.folders, session.watcher
    _describe(engine.experiments, engine.runtime, folders)
    logged = [folders.runs / each.name for each in engine.experiments] if processes.rank() == 0 else []
    with (
        StopRequest() as stop,
        board(engine.runtime.log, logged, engine.epochs) as curves,
        watcher.run(_course(engine)),
    ):
        saver, pace = Saver(engine, folders.runs), Pace(engine, watcher)
        while not engine.finished:
            rows = _train_epoch(engine, saver, pace, stop)
            curves.epoch(rows)
        write_run_gates(engine, folders.results, watcher)
        tests = test_finished(engine, session, stop)
        records = [
            # by another process, while this one waited for the data
            recorded(experiment, engine.runtime, folders, session.protocols)
            or write_record(engine, number, tests[number], folders.results)
            for number, experiment in enumerate(engine.experiments)
        ]
        _describe(engine.experiments, engine.runtime, folders, RECORDED)
    if stop.requested:  # this run has ended, but the next one must not start
        raise Stopped(f"{names_of(engine.experiments)} finished and recorded", stop.signal)
    return records


def _describe(experiments: Sequence[Experiment], runtime: Runtime, folders: Folders, ended: str | None = None) -> None:
    """Let the first process write descriptions of the runs into their folders."""
    if processes.rank() == 0:
        folders.results.mkdir(parents=True, exist_ok=True)  # `repro table` may read this folder meanwhile
        for experiment in experiments:
            describe(experiment, runtime, folders, ended)


CONTINUE, SAVE, STOP = range(3)


def _train_epoch(engine: Engine, saver: Saver, pace: Pace, stop: StopRequest) -> list[EpochRow]:
    """Train the rest of an epoch, with checkpoints at intervals, at its end, and on a stop."""
    watcher = pace.watcher
    for step in pace.timed(engine.steps()):
        watcher.step(step, engine.lr)
        wish = STOP if stop.requested else SAVE if saver.older_than(engine.runtime.checkpoint_seconds) else CONTINUE
        if processes.count() > 1:
            agree = step % processes.AGREE_EVERY == 0
            wish = processes.greatest(wish, engine.device) if agree else CONTINUE
        if wish != CONTINUE:
            # A diverged state must not replace a good checkpoint; at the end of an epoch the engine checks for it.
            engine.check_loss()
            engine.check_weights()
            saver.save()
        if wish == STOP:
            where = f"epoch {engine.epochs + 1}, step {engine.steps_of_epoch} of {engine.steps_per_epoch}"
            raise Stopped(f"saved at {where}", processes.greatest(stop.signal, engine.device))
    rows = engine.end_epoch(watcher.testing)
    saver.end_epoch()
    if processes.rank() == 0:
        for experiment, history in zip(engine.experiments, engine.histories, strict=True):
            write_curve(history, saver.runs / experiment.name / CURVE)
    watcher.epoch(rows, engine.recipe.all_epochs)
    return rows


def _check_shares(recipe: Recipe, images: int) -> None:
    """Refuse more processes than the smallest batch has pairs of images: BatchNorm needs two images per process."""
    smallest = min(images_per_epoch(each, images) % each.batch or min(each.batch, images) for each in recipe.phases)
    if processes.count() > 1 and smallest < 2 * processes.count():
        raise UserError(f"the smallest batch has {smallest} images, too few for {processes.count()} processes")


def _warn_of_deviations(recipe: Recipe, watcher: Watcher) -> None:
    """Warn before days of training that the run will not count as a reproduction."""
    if changes := deviations(recipe):
        watcher.say(
            f"warning: this run deviates from {recipe.name} ({', '.join(changes)}) and will not count as a reproduction"
        )


def _course(engine: Engine) -> Course:
    """Return the facts about a run that a watcher needs."""
    return Course(
        name=names_of(engine.experiments),
        recipe=engine.recipe,
        images=engine.task.images,
        runs=len(engine.experiments),
        step=engine.step,
        last=[history[-1] for history in engine.histories if history],
    )
