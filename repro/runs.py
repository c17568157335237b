"""The runs that a folder holds: what each trains, how far it is, and the command that goes on with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from repro.errors import UserError
from repro.experiment import Experiment, experiment_for
from repro.files import write_atomically
from repro.folders import run_names
from repro.models import MODELS, OptionValue, as_typed, resolve_options
from repro.recipes import default_recipe, recipe
from repro.results import EpochRow, read_curve
from repro.runtime import Runtime

DESCRIPTION, CURVE = "run.json", "curve.csv"
SWITCHES = ("device", "precision", "compile", "graph", "deterministic", "save_memory", "threads", "workers", "log")
"""Of the runtime, which a command names where they are not as usual."""


@dataclass(frozen=True)
class Run:
    """A run as its folder shows it."""

    name: str
    experiment: Experiment | None
    """None of a run that is older than its description."""
    runtime: Mapping[str, Any]
    """The values of the last sitting's Runtime."""
    last: EpochRow | None
    """The last epoch that is over."""
    trained_now: bool
    """By another process."""

    @property
    def epochs(self) -> int | None:
        """Of the whole run; None where that is not known."""
        return self.experiment.recipe.all_epochs if self.experiment else None

    @property
    def state(self) -> str:
        """Whether it goes on, is over, or waits to be gone on with."""
        if self.trained_now:
            return "being trained"
        if self.experiment is None:
            return "not known"
        return "finished" if self.last and self.last.epoch == self.epochs else "stopped"

    @property
    def command(self) -> str | None:
        """What to type to go on; None where no command means this experiment, say since its recipe has changed."""
        if self.experiment is None or not _can_be_typed(self.experiment):
            return None
        processes = self.runtime.get("processes", 1)
        program = f"torchrun --nproc-per-node {processes} -m repro" if processes > 1 else "repro"
        seed = {"seed": self.experiment.seed} if self.experiment.seed else {}
        words = {**_options(self.experiment), **_choices(self.experiment), **seed, **_switches(self.runtime)}
        return f"{program} train {self.experiment.model} {as_typed(words)}".strip()


def describe(experiment: Experiment, runtime: Runtime, folder: Path) -> None:
    """Write into a run's folder what is trained there and how."""
    content = {"experiment": experiment.to_json(), "runtime": runtime.values()}
    write_atomically(folder / DESCRIPTION, json.dumps(content, indent=2).encode())


def runs_in(folder: Path) -> Iterator[Run]:
    """Give the runs of a folder by name.

    Raises:
        UserError: a curve has a line that is no epoch.
    """
    for name in run_names(folder):
        if not any((folder / name / each).exists() for each in (DESCRIPTION, CURVE)):
            continue  # something else
        experiment, runtime = _described(folder / name)
        curve = read_curve(folder / name / CURVE)
        yield Run(name, experiment, runtime, curve[-1] if curve else None, _is_locked(folder / name / ".lock"))


def _described(folder: Path) -> tuple[Experiment | None, Mapping[str, Any]]:
    try:
        content = json.loads((folder / DESCRIPTION).read_bytes())
        return Experiment.from_json(content["experiment"]), dict(content["runtime"])
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None, {}


def _is_locked(path: Path) -> bool:
    """Whether a process that trains holds the lock of a run's folder."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def _options(experiment: Experiment) -> dict[str, OptionValue]:
    """Return the network's options that are not as usual."""
    usual = resolve_options(experiment.model, {}, experiment.dataset)
    return {name: value for name, value in experiment.options.items() if value != usual[name]}


def _choices(experiment: Experiment) -> dict[str, Any]:
    """Return what else a user says of an experiment; what its paper does is left unsaid."""
    model, dataset, followed = experiment.model, experiment.dataset, experiment.recipe
    choices: dict[str, Any] = {}
    if dataset != MODELS[model].dataset:
        choices["dataset"] = dataset
    if followed.name != default_recipe(model, dataset, bool(experiment.options.get("padded"))):
        choices["recipe"] = followed.name
    if followed.epochs != recipe(followed.name).epochs:
        choices["epochs"] = followed.epochs
    return choices


def _can_be_typed(experiment: Experiment) -> bool:
    """Whether the words that describe an experiment mean it today."""
    options, choices = _options(experiment), _choices(experiment)
    with suppress(UserError):
        typed = experiment_for(
            experiment.model,
            options,
            seed=experiment.seed,
            dataset=choices.get("dataset"),
            recipe_name=choices.get("recipe"),
            epochs=choices.get("epochs"),
        )
        return typed.id == experiment.id
    return False


def _switches(runtime: Mapping[str, Any]) -> dict[str, Any]:
    usual = vars(Runtime())
    return {name.replace("_", "-"): runtime[name] for name in SWITCHES if runtime.get(name, usual[name]) != usual[name]}
