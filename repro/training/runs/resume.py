"""Resuming: which checkpoints a session starts from, and whether they fit its experiments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from repro.errors import UserError
from repro.experiment import Experiment, one_of_each
from repro.runtime import Runtime, Together
from repro.text import number_of
from repro.training.checkpoints.checkpoint import Checkpoint, load_before, load_newest, set_aside_newest
from repro.training.engine.engine import Engine
from repro.training.engine.finite import check_finite
from repro.training.engine.graphs import Graphs
from repro.training.engine.optimizer import keeps_state
from repro.training.machine.provenance import changed
from repro.training.progress.watcher import Watcher
from repro.training.runs.record import check_runtime
from repro.training.runs.session import Session
from repro.training.schedule import first_step_of_epoch, phase_of_epoch

DECIDING_SWITCHES = ("channels_last", "compile")
"""The switches with which the bits of a result change on any device."""
Part = tuple[list[Experiment], list[Checkpoint]]
"""Experiments at the same step, with their checkpoints; no checkpoints at step 0."""


def grouped_by_progress(stack: Sequence[Experiment], runs: Path, watcher: Watcher) -> list[Part]:
    """Return the experiments in parts that have tested the same epochs and are at the same step.

    A finished run, which is only recorded, is a part of its own.

    Raises:
        UserError: all checkpoints of an experiment are damaged, or one cannot be used.
    """
    newest = {}
    for experiment in stack:
        folder = runs / experiment.name
        newest[experiment.id], warning = load_newest(folder)
        if warning:
            watcher.say(warning)
            set_aside_newest(folder)
    reached = {key: saved.reached if saved else (0, 0) for key, saved in newest.items()}
    first = min(reached.values())
    parts: dict[tuple[int, int, str], Part] = {}
    for experiment in stack:
        saved = newest[experiment.id]
        finished = saved is not None and saved.finished
        if saved and saved.reached > first and not finished:  # killed between the checkpoints of two seeds
            saved = load_before(runs / experiment.name, first) or saved
        place = *(saved.reached if saved else (0, 0)), experiment.id if finished else ""
        experiments, checkpoints = parts.setdefault(place, ([], []))
        experiments.append(experiment)
        checkpoints += [saved] if saved else []
    return [parts[each] for each in sorted(parts)]


def engine_at(part: Part, runtime: Runtime, session: Session, graphs: Graphs | None = None) -> Engine:
    """Return the engine of the experiments, at the step of their checkpoints.

    Args:
        part: the experiments, with their checkpoints.
        runtime: how they are trained.
        session: of the runs.
        graphs: launch the steps of several engines.

    Raises:
        UserError: a checkpoint is not of this experiment, runtime, dataset or network.
        RunFailed: its weights are NaN or infinite.
    """
    experiments, saved = part
    engine = Engine(experiments, runtime, session.task_of(experiments[0]), session.device, graphs)
    if not saved:
        return engine
    for checkpoint, experiment in zip(saved, experiments, strict=True):
        _check(checkpoint, experiment, engine)
    _warn_of_other_bits(saved, engine, session.watcher)
    try:
        engine.restore(saved)
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise  # an error of the device, not of the checkpoint
    except ValueError as error:
        raise _unusable(experiments[0], str(error)) from error
    except (KeyError, RuntimeError) as error:
        raise UserError(
            f"the checkpoint of {names_of(experiments)} does not match the model; use another --runs folder"
        ) from error
    return engine


def _warn_of_other_bits(saved: Sequence[Checkpoint], engine: Engine, watcher: Watcher) -> None:
    """Warn once per session if something that determines the bits of the result has changed since the last session."""
    other = dict.fromkeys(line for each in saved if not each.finished for line in _other_bits(each, engine))
    if other:
        watcher.say(
            f"warning: {names_of(engine.experiments)} resumes with {', '.join(other)}; its result will not be "
            "bit-identical to that of an uninterrupted run"
        )


def _other_bits(saved: Checkpoint, engine: Engine) -> list[str]:
    """Return what determines the bits of the result and has changed, each as `compile True instead of False`."""
    other = changed(saved.machine, engine.machine)
    switches = ((name, getattr(saved.runtime, name), getattr(engine.runtime, name)) for name in DECIDING_SWITCHES)
    other += [f"{name} {now} instead of {before}" for name, before, now in switches if now != before]
    # A run that was stacked before its last session is recorded as stacked, but as one run at once.
    stacked = saved.runtime.together == Together.STACKED and saved.runtime.at_once != 1
    if stacked != (len(engine.experiments) > 1):
        other.append("the seed alone instead of stacked" if stacked else "the seed stacked instead of alone")
    return other


def _check(saved: Checkpoint, experiment: Experiment, engine: Engine) -> None:
    """Raise UserError for a checkpoint that is not of this experiment on this dataset."""
    if saved.experiment.id != experiment.id:
        raise UserError(f"the folder of {experiment.name} holds a checkpoint of {saved.experiment.name}")
    check_runtime(saved, engine.runtime)
    if saved.data != engine.task.fingerprint:
        raise UserError(
            f"the dataset has changed since the checkpoint of {experiment.name} was written; restore the old files"
        )
    _check_progress(saved, engine)
    if (saved.average is None) != (engine.average is None):
        raise _unusable(experiment, "its moving average is missing, or its recipe has none")
    state = {**saved.network, **(saved.average or {})}
    check_finite(state, f"the checkpoint of {experiment.name}", engine.networks.state_of(0))


def _check_progress(saved: Checkpoint, engine: Engine) -> None:
    """Raise UserError for a progress that the recipe cannot have."""
    recipe, images = engine.recipe, engine.task.images
    first = partial(first_step_of_epoch, recipe, images=images)
    tested = len(saved.history)
    if saved.total not in (0, engine.total_steps):
        raise _unusable(saved.experiment, f"it has {saved.total} steps instead of {engine.total_steps}")
    if tested > recipe.all_epochs or any(row.step != first(row.epoch) for row in saved.history):
        raise _unusable(saved.experiment, "its history has other epochs than the recipe")
    if not first(tested) <= saved.step <= first(tested + 1):
        raise _unusable(saved.experiment, f"step {saved.step} is not in epoch {tested + 1}")
    phase = phase_of_epoch(recipe, tested, images)
    if saved.step > phase.step and keeps_state(phase.recipe) and not saved.optimizer["state"]:
        raise _unusable(saved.experiment, "its momentum is missing")


def _unusable(experiment: Experiment, reason: str) -> UserError:
    return UserError(f"the checkpoint of {experiment.name} is not from this run: {reason}; use another --runs folder")


def names_of(experiments: Sequence[Experiment]) -> str:
    """Return the name of a run, or a short name for several runs."""
    first, *others = (each.name for each in experiments)
    what = "seed" if len(one_of_each(experiments)) == 1 else "run"
    return f"{first} and {number_of(len(others), f'other {what}')}" if others else first
