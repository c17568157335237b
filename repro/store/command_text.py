"""Commands as a user types them: with options, and the one that trains an experiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any

from repro.errors import UserError
from repro.experiment import Experiment, experiment_for
from repro.models import OptionValue, as_typed, is_outside, resolve_options, spec_of
from repro.models.outside.location import is_current, outside
from repro.models.typed import can_be_typed, stated_options, typed_name, typed_options
from repro.paths import default_folders
from repro.recipes import RECIPES, current_library, default_recipe, overridden, overrides_of
from repro.recipes.overrides import OF_RECIPE, is_value
from repro.runtime import Runtime, Together
from repro.tables.lookup import papers_with_protocols

SWITCHES = (
    "device", "precision", "compile", "graph", "fused", "deterministic", "save_memory", "threads", "workers", "log",
)  # fmt: skip
"""The fields of Runtime that a command states if they differ from their defaults and are not off."""


def command_with(command: str, given: Mapping[str, Any]) -> str:
    """Return a command with options by name; those that are None or the default are left out."""
    usual = {"rows": "*", **vars(default_folders())}
    words = [
        as_typed({key.replace("_", "-"): f"{value:g}" if isinstance(value, float) else value})
        for key, values in given.items()
        for value in (values if isinstance(values, list) else [values])
        if value not in (None, usual.get(key))
    ]
    return " ".join([command, *words])


def needed_papers(experiment: Experiment) -> tuple[Path, ...]:
    """Return the folders that a command which trains an experiment must name with `--papers`.

    They have its recipe, or print its errors by other protocols than one crop; this runs the code of its network.
    """
    return current_library().needed_by(experiment.recipe) or papers_with_protocols(experiment)


def command_of(
    experiment: Experiment, runtime: Runtime, folder_options: Mapping[str, str], papers: Iterable[Path]
) -> str | None:
    """Return the command that trains an experiment; None if no command does, for example if its model has changed.

    Args:
        experiment: what is trained; defaults are left out.
        runtime: how it is trained; defaults are left out.
        folder_options: the folders to state, by option.
        papers: the folders to name with `--papers`.
    """
    options, choices = _options(experiment), _choices(experiment)
    overrides = overrides_of(experiment.recipe, RECIPES[experiment.recipe.name])
    if not _still_give(options, choices, overrides, experiment):
        return None
    epochs = {"epochs": overrides.pop("epochs")} if "epochs" in overrides else {}
    changes = [f"--set {quote(f'{_named(name, experiment.model)}={text}')}" for name, text in overrides.items()]
    program = f"torchrun --nproc-per-node {runtime.processes} -m repro" if runtime.processes > 1 else "repro"
    seed = {"seed": experiment.seed} if experiment.seed else {}
    chosen, others = {**choices, **epochs}, {**seed, **_switches(runtime), **folder_options}
    network = [quote(typed_name(experiment.model)), typed_options(experiment.model, options, is_value)]
    words = [program, "train", *network, as_typed(chosen), *changes, as_typed(others)]
    words += [as_typed({"papers": str(each)}) for each in papers]
    return " ".join(word for word in words if word)


def _named(value: str, model: str) -> str:
    """Return the name of a recipe's value after `--set`.

    It is marked as the recipe's if the network has an option of that name. A network from outside the package may have
    one that no run records, such as `dropout=None`, and its code does not run for that.
    """
    return f"{OF_RECIPE}{value}" if is_outside(model) or value in spec_of(model).options else value


def _options(experiment: Experiment) -> dict[str, OptionValue]:
    """Return the options of the model that differ from their defaults."""
    if is_outside(experiment.model):
        return stated_options(experiment.model, experiment.options)
    defaults = resolve_options(experiment.model, {}, experiment.dataset)
    return {name: value for name, value in experiment.options.items() if value != defaults[name]}


def _choices(experiment: Experiment) -> dict[str, Any]:
    """Return the other options of an experiment that differ from their defaults."""
    model, dataset, followed = experiment.model, experiment.dataset, experiment.recipe
    choices: dict[str, Any] = {}
    if dataset != spec_of(model).dataset:
        choices["dataset"] = dataset
    if followed.name != default_recipe(model, dataset, experiment.options):
        choices["recipe"] = followed.name
    return choices


def _still_give(
    options: Mapping[str, OptionValue],
    choices: Mapping[str, Any],
    overrides: Mapping[str, str],
    experiment: Experiment,
) -> bool:
    """Whether options, choices and overrides, as a user types them, give this experiment today."""
    settings = [f"{name}={text}" for name, text in overrides.items()]
    with suppress(UserError):
        if is_outside(experiment.model):  # without running its code
            changed = overridden(RECIPES[experiment.recipe.name], settings)
            current = is_current(outside(experiment.model)) and can_be_typed(options)
            return current and changed == experiment.recipe
        typed = experiment_for(
            experiment.model,
            options,
            seed=experiment.seed,
            dataset=choices.get("dataset"),
            recipe_name=choices.get("recipe"),
            overrides=settings,
        )
        return typed.id == experiment.id
    return False


def _switches(runtime: Runtime) -> dict[str, Any]:
    usual, chosen = Runtime().values(), runtime.values()
    given = {name: chosen[name] for name in SWITCHES if chosen[name] != usual[name] and chosen[name] is not False}
    if runtime.together != Together.STACKED and not runtime.channels_last:  # stacked seeds are always in NCHW
        given["channels_last"] = False
    return {name.replace("_", "-"): value for name, value in given.items()}
