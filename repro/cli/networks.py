"""What a command is about: its network and `--set`, which are options of the network and values of the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from repro.errors import UserError
from repro.experiment import Experiment, experiment_for
from repro.models import OptionValue
from repro.models.options import OF_MODEL
from repro.models.typed import has_option, option_names, option_of_text, typed_name
from repro.recipes.overrides import OF_RECIPE, SETTABLE, is_value
from repro.tables.names import dataset_called, network_called, recipe_called
from repro.text import unknown


class Chosen(NamedTuple):
    """A network as a user chose it."""

    name: str
    options: dict[str, OptionValue]
    values: list[str]
    """What replaces values of the recipe, as `NAME=VALUE`."""


def chosen_network(
    typed: str, options: Mapping[str, OptionValue], settings: Sequence[str], *, without_recipe: bool = False
) -> Chosen:
    """Return a network, its options, and the values of the recipe.

    Args:
        typed: the network as a user types it.
        options: those that are options of the command.
        settings: what `--set` gives: options of the network, else values of the recipe. `model.` or `recipe.` before a
            name says which of the two it is.
        without_recipe: whether there is no recipe, so that everything is an option.

    Raises:
        UserError: there is no such network, a name is both an option and a value, or an option is given twice or wrong.
    """
    network = network_called(typed)
    name = network.name
    chosen, values = dict(options), list[str]()
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        option = _option(name, key, without_recipe=without_recipe)
        if option is None:
            _expect_value(name, key)
            values.append(setting.strip().removeprefix(OF_RECIPE))
            continue
        if not equals:
            raise UserError(f"--set {setting!r} has no value; write NAME=VALUE, such as depth=20")
        if option in chosen:
            raise UserError(f"{option} is given twice; give it once")
        chosen[option] = option_of_text(name, option, text)
    return Chosen(name, network.with_options(typed, chosen), values)


def chosen_experiment(
    typed: str,
    options: Mapping[str, OptionValue],
    settings: Sequence[str],
    *,
    dataset: str | None,
    recipe: str | None,
    epochs: int | None = None,
) -> Experiment:
    """Return what a user chose to train, with seed 0.

    Args:
        typed: the network, as for `chosen_network`, like the next two.
        options: those that are options of the command.
        settings: what `--set` gives.
        dataset: its name (default: that of the recipe or, without one, that of the row with this label).
        recipe: its name (default: that of the row with this label, or that of the network).
        epochs: their number (default: the recipe's).

    Raises:
        UserError: as in `chosen_network` and `experiment_for`.
    """
    name, chosen, values = chosen_network(typed, options, settings)
    followed = recipe or recipe_called(typed, dataset)
    where = dataset if dataset or followed else dataset_called(typed)
    return experiment_for(name, chosen, seed=0, dataset=where, recipe_name=followed, epochs=epochs, overrides=values)


def _expect_value(name: str, key: str) -> None:
    """Refuse what `--set` names if it is no value of a recipe: it may be a misspelt option of the network."""
    if not key.startswith(OF_RECIPE) and not is_value(key):
        options = option_names(name)
        has = f"{typed_name(name)} has the options {', '.join(options)}" if options else f"{typed_name(name)} has none"
        listed = f"{has}, and recipes have the values {', '.join(SETTABLE)}"
        raise UserError(unknown("option or recipe value", key, [*options, *SETTABLE], listed))


def _option(name: str, key: str, *, without_recipe: bool) -> str | None:
    """Return the option of a network that `--set` means by a name; None if it means a value of the recipe."""
    if key.startswith(OF_MODEL):
        return key.removeprefix(OF_MODEL)
    if key.startswith(OF_RECIPE):
        if without_recipe:
            raise UserError(f"--set {key} has no effect: nothing is trained here, so there is no recipe; leave it out")
        return None
    named_so = not without_recipe and is_value(key)
    if not without_recipe and not has_option(name, key, named_only=named_so):
        return None
    if named_so:
        raise UserError(
            f"{key} is an option of {typed_name(name)} and a value of the recipe; write --set {OF_MODEL}{key}=VALUE "
            f"for the option, or --set {OF_RECIPE}{key}=VALUE for the value"
        )
    return key
