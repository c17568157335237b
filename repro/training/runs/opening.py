"""What is said when a training begins: what is trained and how, and warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from repro.experiment import Experiment
from repro.models.typed import typed_name, typed_options
from repro.paths import Folders
from repro.recipes import Recipe, deviations
from repro.store.results import read_records, result_folders
from repro.text import number_of
from repro.training.checkpoints.checkpoint import load_newest
from repro.training.engine.engine import Engine
from repro.training.machine import processes
from repro.training.progress.watcher import Watcher
from repro.training.runs.record import own_record
from repro.training.tasks.from_files import FileClassification
from repro.training.tasks.task import Task


def facts_of(engine: Engine, runs: Path) -> str:
    """Return what an engine trains, and how, without the names of its runs.

    Args:
        engine: with its networks.
        runs: the folder of the runs.
    """
    first, seeds = engine.experiments[0], [str(each.seed) for each in engine.experiments]
    network = " ".join(filter(None, (typed_name(first.model), typed_options(first.model, first.options))))
    params = sum(each.numel() for each in engine.networks.parameters()) // len(seeds)
    parts = (
        f"{network} ({number_of(params, 'parameter')}) on {first.dataset}",
        f"recipe {first.recipe.name}",
        number_of(first.recipe.all_epochs, "epoch"),
        f"{'seeds' if len(seeds) > 1 else 'seed'} {' '.join(seeds)}",
        f"{engine.runtime.precision} on {engine.run_histories[0].machine['device']}",
        f"in {runs / first.name if len(seeds) == 1 else runs}",
    )
    return ", ".join(parts)


def warn_of_deviations(recipe: Recipe, watcher: Watcher) -> None:
    """Warn before days of training that the run will not count as a reproduction."""
    if changes := deviations(recipe):
        watcher.say(
            f"warning: this run deviates from {recipe.name} ({', '.join(changes)}) and will not count as a reproduction"
        )


def warn_of_images(tasks: Iterable[Task], watcher: Watcher) -> None:
    """Warn once of each dataset of which image files are left out."""
    folders = {each.data.folder: each.data for each in tasks if isinstance(each, FileClassification)}
    for each in folders.values() if processes.rank() == 0 else ():
        if each.remark:
            watcher.say(f"warning: {each.name}: {each.remark}")


def warn_of_records(experiments: Sequence[Experiment], folders: Folders, watcher: Watcher) -> None:
    """Say that a run will be the second one of its experiment, for example because its checkpoints were removed."""
    known = {each.id: each for each in read_records(result_folders(folders.results))}
    for experiment in experiments:
        first = known.get(experiment.id)
        if first and not _replaces_its_record(experiment, folders):
            watcher.say(
                f"warning: {experiment.name} has a record from {first.started[:10]} ({first.shown}); this "
                "run adds another one, and tables use the first"
            )


def _replaces_its_record(experiment: Experiment, folders: Folders) -> bool:
    """Whether a run is recorded already and only gets a test by another protocol."""
    saved, _ = load_newest(folders.runs / experiment.name)
    return saved is not None and own_record(saved.experiment.id, saved.started, folders.results) is not None
