"""The command line that trains an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from repro.errors import UserError
from repro.experiment import Experiment, experiment_for
from repro.models import MODELS, OptionValue, as_typed, resolve_options
from repro.recipes import default_recipe, recipe
from repro.runtime import Runtime

SWITCHES = ("device", "precision", "compile", "graph", "deterministic", "save_memory", "threads", "workers", "log")
"""The fields of Runtime that a command states if they differ from their defaults."""


def command_of(experiment: Experiment, runtime: Mapping[str, Any], places: Mapping[str, str]) -> str | None:
    """Return the command that trains an experiment; None if no command does, for example after a change of its recipe.

    Args:
        experiment: what is trained; defaults are left out.
        runtime: the values of a Runtime; defaults are left out.
        places: the folders to state, by option.
    """
    options, choices = _options(experiment), _choices(experiment)
    if not _describe(options, choices, experiment):
        return None
    processes = runtime.get("processes", 1)
    program = f"torchrun --nproc-per-node {processes} -m repro" if processes > 1 else "repro"
    seed = {"seed": experiment.seed} if experiment.seed else {}
    words = {**options, **choices, **seed, **_switches(runtime), **places}
    return f"{program} train {experiment.model} {as_typed(words)}".strip()


def _options(experiment: Experiment) -> dict[str, OptionValue]:
    """Return the options of the model that differ from their defaults."""
    defaults = resolve_options(experiment.model, {}, experiment.dataset)
    return {name: value for name, value in experiment.options.items() if value != defaults[name]}


def _choices(experiment: Experiment) -> dict[str, Any]:
    """Return the other options of an experiment that differ from their defaults."""
    model, dataset, followed = experiment.model, experiment.dataset, experiment.recipe
    choices: dict[str, Any] = {}
    if dataset != MODELS[model].dataset:
        choices["dataset"] = dataset
    if followed.name != default_recipe(model, dataset, experiment.options):
        choices["recipe"] = followed.name
    if followed.epochs != recipe(followed.name).epochs:
        choices["epochs"] = followed.epochs
    return choices


def _describe(options: Mapping[str, OptionValue], choices: Mapping[str, Any], experiment: Experiment) -> bool:
    """Whether options and choices, as a user types them, give this experiment today."""
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
    defaults = vars(Runtime())
    given = {name: runtime[name] for name in SWITCHES if runtime.get(name, defaults[name]) != defaults[name]}
    if not runtime.get("side_by_side") and not runtime.get("channels_last", True):  # several seeds always use NCHW
        given["channels_last"] = False
    return {name.replace("_", "-"): value for name, value in given.items()}
