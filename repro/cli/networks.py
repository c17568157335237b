"""The network of a command and its `--set`: options of the network, and values of the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from repro.errors import UserError
from repro.models import MODELS, OPTIONS, OptionValue, is_outside
from repro.models.typed import has_option, option_of_text, typed_name
from repro.recipes import SETTABLE, find_network
from repro.text import canonical


class Chosen(NamedTuple):
    """A network as a user chose it."""

    name: str
    options: dict[str, OptionValue]
    values: list[str]
    """What replaces values of the recipe, as `NAME=VALUE`."""


def chosen_network(
    typed: str, options: Mapping[str, OptionValue], settings: Sequence[str], *, counting: bool = False
) -> Chosen:
    """Return a network, its options, and the values of the recipe.

    Args:
        typed: the network as a user types it.
        options: those that are options of the command.
        settings: what `--set` gives: options of the network, else values of the recipe.
        counting: whether there is no recipe, so that everything is an option.

    Raises:
        UserError: there is no such network, a name is both an option and a value, or an option is given twice or wrong.
    """
    name = find_network(typed)
    chosen, values = dict(options), list[str]()
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        is_value = not counting and canonical(key) in map(canonical, (*SETTABLE, "dataset"))
        if not counting and not has_option(name, key, besides=is_value):
            values.append(setting)
            continue
        if is_value:
            raise UserError(
                f"{key} is an option of {typed_name(name)} and a value of the recipe; {_instead(name, key)}"
            )
        if not equals:
            raise UserError(f"--set {setting!r} has no value; write NAME=VALUE, such as depth=20")
        if key in chosen:
            raise UserError(f"{key} is given twice; give it once")
        chosen[key] = option_of_text(name, key, text)
    return Chosen(name, chosen, values)


def _instead(name: str, key: str) -> str:
    """Return how to give the option although a recipe has a value of that name."""
    if is_outside(name):
        return "rename the option in its file"
    assert key in MODELS[name].options
    assert key in OPTIONS
    return f"--{key} gives the option"
