"""A run on disk: found again by its experiment, gone on with, checkpointed, and recorded when it ends."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from repro.data import DATASETS
from repro.errors import RunFailed, UserError
from repro.experiment import Experiment
from repro.folders import Folders
from repro.recipes import deviations
from repro.results import Record, append_record, read_records, write_curve
from repro.runtime import Runtime
from repro.training.checkpoint import Checkpoint, load_newest, save, set_aside_newest
from repro.training.device import prepare
from repro.training.engine import Engine, network_of
from repro.training.progress import Watcher
from repro.training.schedule import total_steps
from repro.training.stop import Stopped, StopRequest
from repro.training.streamed import raise_if_a_worker_died
from repro.training.task import task_for


def train(experiment: Experiment, runtime: Runtime, folders: Folders, watcher: Watcher) -> Record:
    """Bring an experiment to its end, from wherever an earlier sitting left it, and return its record.

    Raises:
        UserError: the data are missing or changed, a checkpoint is broken, or another process trains this run.
        RunFailed: the loss became NaN, or the disk is full; the last good state is kept.
        Stopped: SIGINT or SIGTERM; the state is saved.
    """
    with torch.device("meta"):
        network_of(experiment)  # an impossible network is refused before anything is read or written
    folder = folders.runs / experiment.name
    saved = load_newest(folder)[0] if folder.is_dir() else None
    _check_precision(saved, runtime)
    if done := _finished(saved, folders.results):
        watcher.say(f"{experiment.name} is finished already; this is its record")
        return done
    device = prepare(runtime)
    task = task_for(experiment, folders.data, runtime, device)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            return _train(Engine(experiment, runtime, task, device), folder, folders.results, watcher)
    except torch.OutOfMemoryError as error:
        raise RunFailed(
            f"the device's memory is too small for {experiment.name}; the last checkpoint is kept"
        ) from error
    except RuntimeError as error:
        raise_if_a_worker_died(error)
        raise
    except Timeout as error:
        raise UserError(
            f"another process is training {experiment.name}; wait for it, or choose another --seed"
        ) from error


def _train(engine: Engine, folder: Path, results: Path, watcher: Watcher) -> Record:
    """Go on from the newest whole checkpoint, if there is one, to the end; the run's folder is locked."""
    saved, warning = load_newest(folder)
    if warning:
        watcher.say(warning)
        set_aside_newest(folder)
    if saved:
        _check(saved, engine, folder)
        engine.restore(saved)
    name = engine.experiment.name
    with StopRequest() as stop, watcher.run(name, engine.step, engine.total_steps, engine.history):
        while not engine.finished:
            _train_epoch(engine, folder, watcher, stop)
            write_curve(engine.history, folder / "curve.csv")
        record = _finished(saved, results)  # by another process, while this one waited for the data
        if record is None:
            record = _record(engine)
            write_curve(engine.history, results / "curves" / f"{name}.csv")
            append_record(record, results)
    if stop.requested:  # too late for this run, but not for the next one
        raise Stopped(f"{name} is finished and recorded", stop.signal)
    return record


def _train_epoch(engine: Engine, folder: Path, watcher: Watcher, stop: StopRequest) -> None:
    """Train one epoch or what is left of it, saving now and then, at its end, and when asked to stop."""
    last_saved = time.monotonic()
    for step in engine.steps():
        watcher.step(step)
        if stop.requested:
            _save(engine, folder)
            where = f"epoch {len(engine.history) + 1}, step {engine.steps_of_epoch} of {engine.steps_per_epoch}"
            raise Stopped(f"saved at {where}", stop.signal)
        if time.monotonic() - last_saved > engine.runtime.checkpoint_seconds:
            _save(engine, folder)
            last_saved = time.monotonic()
    row = engine.end_epoch()
    _save(engine, folder)
    watcher.epoch(row, engine.recipe.epochs)


def _save(engine: Engine, folder: Path) -> None:
    """Write a checkpoint, unless the loss is no number: such a state must not push out a good one."""
    engine.check_loss()
    try:
        save(engine.checkpoint(), folder)
    except (OSError, RuntimeError) as error:
        raise RunFailed(
            f"the checkpoint could not be written to {folder} ({error}); the last good one is kept"
        ) from error


def _check(saved: Checkpoint, engine: Engine, folder: Path) -> None:
    """Refuse a checkpoint that is not of this experiment on these data."""
    if saved.experiment.id != engine.experiment.id:
        raise UserError(f"{folder} holds a checkpoint of {saved.experiment.name}, not of {engine.experiment.name}")
    _check_precision(saved, engine.runtime)
    if saved.data != engine.task.fingerprint:
        raise UserError(f"the data set changed since the checkpoint in {folder} was written; put the old files back")


def _check_precision(saved: Checkpoint | None, runtime: Runtime) -> None:
    """Refuse to go on in another precision: a run is recorded with one."""
    if saved and saved.runtime.precision != runtime.precision:
        begun = saved.runtime.precision
        raise UserError(
            f"{saved.experiment.name} was begun in {begun}; go on with --precision {begun}, or in other --runs"
        )


def _finished(saved: Checkpoint | None, results: Path) -> Record | None:
    """Return the record of a run whose checkpoint is its last one."""
    last = saved.history[-1] if saved and saved.history else None
    if saved is None or last is None:
        return None
    steps = total_steps(saved.experiment.recipe, DATASETS[saved.experiment.dataset].train_images)
    if not saved.step == last.step == steps:
        return None
    return next((each for each in read_records([results]) if each.id == saved.experiment.id), None)


def _record(engine: Engine) -> Record:
    """Return what happened."""
    experiment, last = engine.experiment, engine.history[-1]
    return Record(
        id=experiment.id,
        name=experiment.name,
        model=experiment.model,
        options=dict(experiment.options),
        dataset=experiment.dataset,
        recipe=experiment.recipe.name,
        deviations=deviations(experiment.recipe),
        seed=experiment.seed,
        epochs=last.epoch,
        steps=last.step,
        error=last.test_error,
        error5=last.test_error5,
        loss=last.test_loss,
        train_loss=last.train_loss,
        precision=engine.runtime.precision,
        runtime=engine.runtime.values(),
        **engine.machine,
        started=engine.started,
        seconds=round(engine.seconds, 3),
        sittings=engine.sittings,
        data=engine.task.fingerprint,
    )
