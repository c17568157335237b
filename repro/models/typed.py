"""Networks and their options as users type them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from repro.errors import UserError
from repro.models import MODELS, OPTIONS
from repro.models.options import EXPECTED, OptionValue, as_settings, as_text, as_typed, parsed
from repro.models.outside import factory
from repro.models.outside.location import is_outside, outside


def typed_name(name: str) -> str:
    """Return a network's name as a user types it."""
    return outside(name).place if is_outside(name) else name


def typed_options(
    name: str, options: Mapping[str, OptionValue], is_value: Callable[[str], bool] = lambda option: False
) -> str:
    """Return options of a network as typed in a shell.

    Args:
        name: the network.
        options: its options.
        is_value: for a command that follows a recipe, whether recipes have a value of an option's name.
    """
    return as_settings(options, is_value) if is_outside(name) else as_typed(options)


def stated_options(name: str, options: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Return the options that a command must state: for a network from outside the package, all but the defaults."""
    usual = outside(name).defaults if is_outside(name) else {}
    return {key: value for key, value in options.items() if value != usual.get(key)}


def can_be_typed(options: Mapping[str, OptionValue]) -> bool:
    """Whether options of a network from outside the package, as typed, have the same values whatever their types are.

    Text such as `8` or `yes` may be read as a number or a switch: only the network's code knows the types.
    """
    return all(parsed(None, as_text(value).strip()) == value for value in options.values())


def has_option(name: str, option: str, *, named_only: bool = False) -> bool:
    """Whether a network has an option; with `named_only`, not one that only `**kwargs` of its factory takes."""
    if is_outside(name):
        found = factory.factory_of(outside(name))
        return option in found.kinds or (found.open and not named_only)
    return option in MODELS[name].options


def option_names(name: str) -> list[str]:
    """Return the names of the options of a network; its factory may take others."""
    return [*(factory.factory_of(outside(name)).kinds if is_outside(name) else MODELS[name].options)]


def option_of_text(name: str, option: str, text: str) -> OptionValue:
    """Return the value of an option that a user typed; UserError if there is no such option, or of another type."""
    if is_outside(name):
        kind = factory.kind_of(outside(name), option)
    elif option in MODELS[name].options:
        kind = OPTIONS[option][0]
    else:
        has = ", ".join(MODELS[name].options) or "none"
        raise UserError(f"{name} has no option {option}; its options: {has}")
    try:
        return parsed(kind, text)
    except (KeyError, ValueError):
        assert kind
        raise UserError(f"{typed_name(name)}: option {option} must be {EXPECTED[kind]}, not {text!r}") from None
