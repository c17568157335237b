"""Runs on disk: found by their experiments, resumed, checkpointed, and recorded at their end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from repro.data.inputs.protocol import Protocol
from repro.errors import BeingTrained, UserError, raise_joined
from repro.experiment import Experiment, one_of_each
from repro.models import spec_of
from repro.paths import Folders
from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.store.results import RUNS, Record, every_record
from repro.store.run_folders import describe, run_at
from repro.store.run_state import Ending
from repro.store.writing import check_writable
from repro.torchrun import process_count
from repro.training.initialise import network_without_memory
from repro.training.machine import processes
from repro.training.machine.device import check_deterministic, check_fused, prepare
from repro.training.machine.device_memory import check_fits
from repro.training.progress.tensorboard import check_log
from repro.training.progress.watcher import Watcher
from repro.training.runs.final_tests import final_protocols
from repro.training.runs.group_training import train_groups
from repro.training.runs.grouping import Group, chosen_sharing, groups_of, members
from repro.training.runs.memory import warn_if_short, with_memory_choice
from repro.training.runs.opening import warn_of_deviations, warn_of_images, warn_of_records
from repro.training.runs.outcome import Outcome
from repro.training.runs.record import recorded
from repro.training.runs.session import Session
from repro.training.schedule import images_per_epoch
from repro.training.tasks.kinds import MakeTask, task_for

Choose = Callable[[Sequence[Experiment], Runtime], Runtime]
"""Returns the switches for runs, with those that the user left open."""


def as_asked(experiments: Sequence[Experiment], runtime: Runtime) -> Runtime:
    """Return the switches as the user gave them."""
    return runtime


def train(
    experiments: Sequence[Experiment],
    runtime: Runtime,
    folders: Folders,
    watcher: Watcher,
    choose: Choose = as_asked,
    make_task: MakeTask = task_for,
) -> list[Record]:
    """Train experiments as `train_unheld` does; those that other processes train are tried again at the end.

    The arguments are those of `train_unheld`.

    Returns:
        The records, in the order of the experiments.

    Raises:
        OneRunFailed: of some runs; raised when the others have ended.
        BeingTrained: other processes still train some runs, and none failed; raised when the others have ended.
        UserError, RunFailed, Stopped: as `train_unheld` raises them.
    """

    def attempt(left: Sequence[Experiment]) -> Outcome:
        return train_unheld(left, runtime, folders, watcher, choose, make_task)

    outcome = attempt(experiments)
    if 0 < len(outcome.holders) < len(experiments):
        for failure in outcome.failures:
            watcher.say(f"failed: {failure}")
        outcome = outcome.retried(experiments, attempt)
    still_held = BeingTrained(outcome.holders)
    if outcome.failures and outcome.holders:
        watcher.say(str(still_held))
    raise_joined(outcome.failures)
    if outcome.holders:
        raise still_held
    return [outcome.records[each.id] for each in experiments]


def train_unheld(
    experiments: Sequence[Experiment],
    runtime: Runtime,
    folders: Folders,
    watcher: Watcher,
    choose: Choose = as_asked,
    make_task: MakeTask = task_for,
) -> Outcome:
    """Train experiments that no other process trains to their end, resuming those that were stopped.

    They are trained one after another, or several at once if the runtime says so.

    Args:
        experiments: the runs.
        runtime: how they are trained.
        folders: of data, checkpoints and records.
        watcher: receives the progress.
        choose: returns the switches for the runs that are not finished, those that the user left open included.
        make_task: makes the tasks, one for each recipe.

    Returns:
        The records; the failures of the runs whose loss became NaN (Diverged), or whose network's code failed, and
        whose last checkpoints are kept; and the processes that train the others.

    Raises:
        UserError: the data are missing or changed, or a checkpoint is broken.
        RunFailed: the run cannot continue, for example because the disk is full; the last checkpoints are kept.
        Stopped: a signal of `signals.SIGNALS`; the state is saved.
    """
    check_log(runtime.log)
    every_record(folders.results)  # a file that cannot be extended is reported before the training
    networks = networks_for(experiments, runtime)  # an invalid one is refused before anything is read or written
    protocols = {key: final_protocols(each) for key, each in one_of_each(experiments).items()}
    if process_count() > 1:
        prepare(runtime)  # joins them: all train what the first one finds unfinished, at one moment
    outcome = Outcome(processes.by_first(lambda: _finished(experiments, runtime, folders, watcher, protocols)))
    if missing := [each for each in experiments if each.id not in outcome.records]:
        runtime = choose(missing, runtime)
        session = Session(runtime, prepare(runtime), folders, watcher, protocols, make_task)
        groups, session = _grouped(missing, networks, session)
        _check_tasks(missing, session)
        warn_of_records(missing, folders, watcher)
        gates = ["gates"] if any(spec_of(each.model).gates for each in missing) else []
        processes.by_first(lambda: check_writable(folders.results / RUNS, beside=["curves", *gates]))
        outcome.add(train_groups(groups, session))
    return outcome


def networks_for(experiments: Sequence[Experiment], runtime: Runtime) -> dict[str, nn.Module]:
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
    check_networks(experiments, networks, session.runtime, device)
    runtime = with_memory_choice(experiments, session.runtime, device, watcher)
    runtime = replace(runtime, together=chosen_sharing(experiments, networks, runtime, device, watcher))
    groups = groups_of(experiments, runtime, device)
    for group in groups:
        check_fits([networks[each.shared_id] for each in members(group)], device)
        warn_if_short(members(group), runtime, device, watcher)
    largest = max(len(stack) for group in groups for stack in group)
    return groups, replace(session, runtime=runtime.stacked(largest) if largest > 1 else runtime)


def check_networks(
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
    describe(experiment, found.runtime if found else runtime, folders, ended=Ending.RECORDED, device=device)


def _check_shares(recipe: Recipe, images: int) -> None:
    """Refuse more processes than the smallest batch has pairs of images: BatchNorm needs two images per process."""
    smallest = min(images_per_epoch(each, images) % each.batch or min(each.batch, images) for each in recipe.phases)
    if processes.count() > 1 and smallest < 2 * processes.count():
        raise UserError(
            f"the smallest batch has {smallest} images, too few for {processes.count()} processes; start at most "
            f"{max(1, smallest // 2)}"
        )
