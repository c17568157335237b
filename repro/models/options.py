"""Options of networks: their values, and how a user types them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from shlex import quote

OptionValue = int | float | bool | str
Shape = tuple[int, int, int]
"""C, H, W of an image."""
OF_MODEL = "model."
"""What `--set` has before the name of an option that a recipe has a value of, too."""
EXPECTED = {bool: "yes or no", int: "a whole number", float: "a number", str: "text"}
"""The types of options in words."""
_SWITCH = {"yes": True, "true": True, "no": False, "false": False}


def of_type(value: OptionValue, kind: type | None) -> OptionValue:
    """Return a value in the type of its option, if a number is all that it needs to be; other values as they are."""
    if kind is not float or type(value) is not int:
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def is_finite(value: OptionValue) -> bool:
    """Whether a value is neither NaN nor infinite, which no file can hold."""
    return not isinstance(value, float) or math.isfinite(value)


def shape_text(shape: Iterable[int]) -> str:
    """Return a shape as it is typed: `3x32x32`."""
    return "x".join(map(str, shape))


def parsed(kind: type | None, text: str) -> OptionValue:
    """Return text as a type, or without one as the first of int, float, bool and str; KeyError, ValueError."""
    if kind is None:
        for each in (int, float, bool):
            try:
                return parsed(each, text)
            except (KeyError, ValueError):
                continue
        return text
    if kind is bool:
        return _SWITCH[text.lower()]
    value: OptionValue = kind(text)
    if not is_finite(value):
        raise ValueError(text)
    return value


def as_typed(options: Mapping[str, OptionValue]) -> str:
    """Return options as typed in a shell."""
    return " ".join(_typed(key, value) for key, value in options.items())


def as_settings(options: Mapping[str, OptionValue], is_value: Callable[[str], bool]) -> str:
    """Return options as typed in a shell for a network from outside the package: with `--set`.

    `is_value` says of a name whether recipes have a value of it, so that the option needs `model.` before it.
    """
    named = {(OF_MODEL if is_value(key) else "") + key: value for key, value in options.items()}
    return " ".join(f"--set {quote(f'{key}={as_text(value)}')}" for key, value in named.items())


def as_text(value: OptionValue) -> str:
    """Return a value as it is typed after `NAME=`."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _typed(key: str, value: OptionValue) -> str:
    if isinstance(value, bool):
        return f"--{key}" if value else f"--no-{key}"
    return f"--{key} {quote(str(value))}"
