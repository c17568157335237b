"""An experiment as a user types it."""

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
"""Of the runtime, which a command names where they are not as usual."""


def command_of(experiment: Experiment, runtime: Mapping[str, Any], places: Mapping[str, str]) -> str | None:
    """Return the command that trains an experiment; None where no words mean it, say since its recipe has changed.

    Args:
        experiment: what is trained; what its paper does is left unsaid.
        runtime: the values of a Runtime, of which those that are not as usual are said.
        places: the folders that are named, by option.
    """
    options, choices = _options(experiment), _choices(experiment)
    if not _mean(options, choices, experiment):
        return None
    processes = runtime.get("processes", 1)
    program = f"torchrun --nproc-per-node {processes} -m repro" if processes > 1 else "repro"
    seed = {"seed": experiment.seed} if experiment.seed else {}
    words = {**options, **choices, **seed, **_switches(runtime), **places}
    return f"{program} train {experiment.model} {as_typed(words)}".strip()


def _options(experiment: Experiment) -> dict[str, OptionValue]:
    """Return the network's options that are not as usual."""
    usual = resolve_options(experiment.model, {}, experiment.dataset)
    return {name: value for name, value in experiment.options.items() if value != usual[name]}


def _choices(experiment: Experiment) -> dict[str, Any]:
    """Return what else a user says of an experiment."""
    model, dataset, followed = experiment.model, experiment.dataset, experiment.recipe
    choices: dict[str, Any] = {}
    if dataset != MODELS[model].dataset:
        choices["dataset"] = dataset
    if followed.name != default_recipe(model, dataset, bool(experiment.options.get("padded"))):
        choices["recipe"] = followed.name
    if followed.epochs != recipe(followed.name).epochs:
        choices["epochs"] = followed.epochs
    return choices


def _mean(options: Mapping[str, OptionValue], choices: Mapping[str, Any], experiment: Experiment) -> bool:
    """Whether words mean an experiment today."""
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
    given = {name: runtime[name] for name in SWITCHES if runtime.get(name, usual[name]) != usual[name]}
    if not runtime.get("side_by_side") and not runtime.get("channels_last", True):  # several seeds have no choice
        given["channels_last"] = False
    return {name.replace("_", "-"): value for name, value in given.items()}
