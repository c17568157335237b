"""The training of groups of runs one after another, each run under the lock of its folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from repro.atomic import remove_unfinished
from repro.errors import BeingTrained, NetworkFailed, OneRunFailed, RunFailed, is_out_of_memory, raise_joined
from repro.experiment import Experiment
from repro.locks import Held, locked
from repro.runtime import Runtime, Together
from repro.store.results import Record
from repro.store.run_folders import LOCK, LOCK_SECONDS
from repro.training.engine.graphs import Graphs
from repro.training.machine import processes
from repro.training.machine.device_memory import release_memory
from repro.training.runs.failures import failing_in_one_line
from repro.training.runs.grouping import Group, in_groups, members
from repro.training.runs.loop import train_engines
from repro.training.runs.memory import too_small
from repro.training.runs.outcome import Outcome
from repro.training.runs.resume import Part, engine_at, grouped_by_progress
from repro.training.runs.session import Session


def train_groups(groups: Sequence[Group], session: Session) -> Outcome:
    """Train one group after another; if runs of one fail, or other processes train them, the others are trained."""
    outcome, left, say = Outcome(), list(groups), session.watcher.say
    while left:
        group = left.pop(0)
        try:
            trained = _train_if_it_fits(group, session)
        except BeingTrained as error:
            outcome.holders.update(error.holders)
            left = [*_without(error.holders, group), *left]
            if left:
                say(f"another process is training {', '.join(error.holders)}; continuing with the next runs")
        except OneRunFailed as error:
            if isinstance(error, NetworkFailed) and len(group) > 1:
                say(f"one of {len(group)} runs trained together failed; training them one at a time")
                left = [*in_groups(group, 1), *left]
                continue
            outcome.failures.append(error)
            if left:
                say(f"failed: {error}; continuing with the next runs")
        else:
            if trained is None:
                left = _fewer_at_once([group, *left], session)
            else:
                outcome.records.update({record.id: record for record in trained})
    return outcome


def _without(names: Collection[str], group: Group) -> list[Group]:
    """Return the group of the other runs, if there are any."""
    stacks = [[each for each in stack if each.name not in names] for stack in group]
    return in_groups([stack for stack in stacks if stack], len(group))


def _fewer_at_once(groups: Sequence[Group], session: Session) -> list[Group]:
    """Return the runs in groups of one stack fewer than the first group, for which the memory is too small."""
    fewer = len(groups[0]) - 1
    session.watcher.say(
        f"the memory of {session.device} is too small for {len(groups[0])} runs at once; training {fewer} at once "
        f"(next time, --at-once {fewer} skips this attempt)"
    )
    return in_groups([stack for group in groups for stack in group], fewer)


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
            return train_engines([partial(engine_at, each, runtime, session, graphs) for each in parts], session)
        return _train_parts(parts, session)


def _train_parts(parts: Sequence[Part], session: Session) -> list[Record]:
    """Train stacked runs that are at different steps, one part after another; if one fails, the others are trained."""
    records, failures = list[Record](), list[OneRunFailed]()
    for part in parts:
        runtime = _alone(len(part[0]), session.runtime)
        try:
            records += train_engines([partial(engine_at, part, runtime, session)], session)
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
