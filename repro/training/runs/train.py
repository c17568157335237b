"""Runs on disk: found by their experiments, resumed, checkpointed, and recorded at their end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from repro.atomic import remove_unfinished
from repro.data.inputs.protocol import Protocol
from repro.errors import (
    BeingTrained,
    NetworkFailed,
    OneRunFailed,
    RunFailed,
    UserError,
    is_out_of_memory,
    raise_joined,
)
from repro.experiment import Experiment, one_of_each
from repro.locks import Held, locked
from repro.paths import Folders
from repro.recipes import Recipe
from repro.runtime import Runtime, Together
from repro.store.results import RUNS, Record, every_record
from repro.store.run_folders import LOCK, LOCK_SECONDS, describe, run_at
from repro.store.run_state import Ending
from repro.store.writing import check_writable
from repro.training.engine.graphs import Graphs
from repro.training.initialise import network_without_memory
from repro.training.machine import processes
from repro.training.machine.device import check_deterministic, check_fused, prepare
from repro.training.machine.device_memory import check_fits, release_memory
from repro.training.progress.tensorboard import check_log
from repro.training.progress.watcher import Watcher
from repro.training.runs.failures import failing_in_one_line
from repro.training.runs.final_tests import final_protocols
from repro.training.runs.grouping import Group, groups_of, in_groups, members, sharing_mode_of
from repro.training.runs.loop import train_engines
from repro.training.runs.memory import too_small, warn_if_short, with_memory_choice
from repro.training.runs.opening import warn_of_deviations, warn_of_images, warn_of_records
from repro.training.runs.record import recorded
from repro.training.runs.resume import Part, engine_at, grouped_by_progress
from repro.training.runs.session import Session
from repro.training.schedule import images_per_epoch
from repro.training.tasks.kinds import MakeTask, task_for


def train(
    experiments: Sequence[Experiment],
    runtime: Runtime,
    folders: Folders,
    watcher: Watcher,
    choose: Callable[[Sequence[Experiment], Runtime], Runtime] = lambda _, runtime: runtime,
    make_task: MakeTask = task_for,
) -> list[Record]:
    """Train experiments to their end, resuming those that were stopped.

    They are trained one after another, or several at once if the runtime says so.

    Args:
        experiments: the runs.
        runtime: how they are trained.
        folders: of data, checkpoints and records.
        watcher: receives the progress.
        choose: returns the switches for the runs that are not finished, those that the user left open included.
        make_task: makes the tasks, one for each recipe.

    Returns:
        The records, in the order of the experiments.

    Raises:
        UserError: the data are missing or changed, or a checkpoint is broken.
        BeingTrained: another process trains a run.
        RunFailed: the run cannot continue, for example because the disk is full; the last checkpoints are kept.
        OneRunFailed: a loss became NaN (Diverged), or the code of a network failed; raised when the other runs have
            ended. The last checkpoints are kept.
        Stopped: a signal of `signals.SIGNALS`; the state is saved.
    """
    check_log(runtime.log)
    every_record(folders.results)  # a file that cannot be extended is reported before the training
    networks = _networks(experiments, runtime)  # an invalid one is refused before anything is read or written
    protocols = {key: final_protocols(each) for key, each in one_of_each(experiments).items()}
    records = _finished(experiments, runtime, folders, watcher, protocols)
    if missing := [each for each in experiments if each.id not in records]:
        runtime = choose(missing, runtime)
        session = Session(runtime, prepare(runtime), folders, watcher, protocols, make_task)
        groups, session = _grouped(missing, networks, session)
        _check_tasks(missing, session)
        warn_of_records(missing, folders, watcher)
        if processes.rank() == 0:
            check_writable(folders.results / RUNS, beside="curves")
        records |= {record.id: record for record in _train_groups(groups, session)}
    return [records[each.id] for each in experiments]


def _networks(experiments: Sequence[Experiment], runtime: Runtime) -> dict[str, nn.Module]:
    """Return the networks of experiments on the meta device, by `shared_id`; UserError for an invalid one."""
    return {
        key: network_without_memory(each, memory_saved=bool(runtime.save_memory)).to("meta")
        for key, each in one_of_each(experiments).items()
    }


def _grouped(
    experiments: Sequence[Experiment], networks: Mapping[str, nn.Module], session: Session
) -> tuple[list[Group], Session]:
    """Return the runs that are trained at once, and the session with the switches that were left open.

    Raises:
        UserError: the switches or the memory of the device exclude a network.
    """
    device, watcher = session.device, session.watcher
    _check_networks(experiments, networks, session.runtime, device)
    runtime = with_memory_choice(experiments, session.runtime, device, watcher)
    runtime = replace(runtime, together=sharing_mode_of(experiments, networks, runtime, device, watcher))
    groups = groups_of(experiments, runtime, device)
    for group in groups:
        check_fits([networks[each.shared_id] for each in members(group)], device)
        warn_if_short(members(group), runtime, device, watcher)
    largest = max(len(stack) for group in groups for stack in group)
    return groups, replace(session, runtime=runtime.stacked(largest) if largest > 1 else runtime)


def _check_networks(
    experiments: Sequence[Experiment], networks: Mapping[str, nn.Module], runtime: Runtime, device: torch.device
) -> None:
    """Raise UserError for networks that the runtime excludes."""
    for key, experiment in one_of_each(experiments).items():
        if runtime.fused:
            check_fused(networks[key], experiment.recipe)
        check_deterministic(experiment.model, networks[key], runtime, device)


def _check_tasks(experiments: Sequence[Experiment], session: Session) -> None:
    """Read the images before anything is written, and warn of runs that will not count."""
    for experiment in one_of_each(experiments).values():
        _check_shares(experiment.recipe, session.task_of(experiment).images)
        warn_of_deviations(experiment.recipe, session.watcher)
    warn_of_images((task for _, task in session.tasks), session.watcher)


def _finished(
    experiments: Sequence[Experiment],
    runtime: Runtime,
    folders: Folders,
    watcher: Watcher,
    protocols: Mapping[str, tuple[Protocol, ...]],
) -> dict[str, Record]:
    """Return the records of the experiments that are finished and tested by all protocols, by ID."""
    records = {}
    for experiment in experiments:
        if done := recorded(experiment, runtime, folders, protocols[experiment.shared_id]):
            watcher.say(f"{experiment.name} is already finished; showing its record")
            records[experiment.id] = done
            _describe_as_recorded(experiment, runtime, folders, done.device)
    return records


def _describe_as_recorded(experiment: Experiment, runtime: Runtime, folders: Folders, device: str) -> None:
    """Complete the description of a finished run, if its last session was killed or its record is in another folder."""
    found = run_at(folders.runs / experiment.name).description
    if found and (found.ended, found.results) == (Ending.RECORDED, str(folders.results)):
        return
    if processes.rank() == 0:
        describe(experiment, found.runtime if found else runtime, folders, ended=Ending.RECORDED, device=device)


def _train_groups(groups: Sequence[Group], session: Session) -> list[Record]:
    """Train one group after another; if the runs of one fail, the others are still trained."""
    records, failures, left = list[Record](), list[OneRunFailed](), list(groups)
    while left:
        group = left.pop(0)
        try:
            trained = _train_if_it_fits(group, session)
        except OneRunFailed as error:
            if isinstance(error, NetworkFailed) and len(group) > 1:
                session.watcher.say(f"one of {len(group)} runs at once failed; training them one by one")
                left = [*in_groups(group, 1), *left]
                continue
            failures.append(error)
            if left:
                session.watcher.say(f"failed: {error}; continuing with the next runs")
            continue
        if trained is None:
            fewer = len(group) - 1
            session.watcher.say(
                f"the memory of {session.device} is too small for {len(group)} runs at once; training {fewer} at once "
                f"(--at-once {fewer} starts with that number)"
            )
            left = in_groups([*group, *(each for one in left for each in one)], fewer)
        else:
            records += trained
    raise_joined(failures)
    return records


def _train_if_it_fits(group: Group, session: Session) -> list[Record] | None:
    """Train the runs of a group; None if the memory of the device is too small for so many branches."""
    try:
        with failing_in_one_line(members(group)):
            return _train_locked(group, session)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(group) == 1:
            on_gpu = session.device.type == "cuda"
            raise RunFailed(too_small(members(group), session.runtime, session.folders.runs, on_gpu=on_gpu)) from error
    release_memory()
    return None


def _train_locked(group: Group, session: Session) -> list[Record]:
    """Lock the folders of a group's runs and train; stacked runs at different steps are trained separately."""
    runs, watcher = session.folders.runs, session.watcher
    with ExitStack() as locks:
        _lock(members(group), runs, locks)
        with processes.first_alone():
            parts = [part for stack in group for part in grouped_by_progress(stack, runs, watcher)]
        if len(group) > 1:
            graphs, runtime = Graphs(shared=True), session.runtime.branched(len(group))
            return train_engines(
                [partial(engine_at, each, runtime, session, graphs) for each in parts], graphs, session
            )
        return _train_parts(parts, session)


def _train_parts(parts: Sequence[Part], session: Session) -> list[Record]:
    """Train stacked runs that are at different steps, one part after another; if one fails, the others are trained."""
    records, failures = list[Record](), list[OneRunFailed]()
    for part in parts:
        runtime = _alone(len(part[0]), session.runtime)
        try:
            records += train_engines([partial(engine_at, part, runtime, session)], None, session)
        except OneRunFailed as error:
            failures.append(error)
    raise_joined(failures)
    return records


def _alone(seeds: int, runtime: Runtime) -> Runtime:
    """Return the switches of one engine: a graph that others could share too launches the steps of a single run."""
    return runtime.branched(1) if runtime.together == Together.BRANCHES else runtime.stacked(seeds)


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


def _check_shares(recipe: Recipe, images: int) -> None:
    """Refuse more processes than the smallest batch has pairs of images: BatchNorm needs two images per process."""
    smallest = min(images_per_epoch(each, images) % each.batch or min(each.batch, images) for each in recipe.phases)
    if processes.count() > 1 and smallest < 2 * processes.count():
        raise UserError(
            f"the smallest batch has {smallest} images, too few for {processes.count()} processes; start at most "
            f"{max(1, smallest // 2)}"
        )
