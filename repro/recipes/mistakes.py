"""What would be right where a recipe file is wrong."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args, get_origin

import msgspec

from repro.bounds import number_text, without_none
from repro.recipes.entries import HINTS, Entry
from repro.recipes.recipe import VALUES
from repro.recipes.source import SourceKind
from repro.text import nearest, one_of

KEYS = Entry.__struct_fields__
TEXTS = ("extends", "summary", "paper", "dataset", "place", "covers", "note")
"""The keys of recipes and sources that are strings."""
VALUE_KEYS = ("value", "alternatives")
"""The keys of a value that have its type."""
UNKNOWN = re.compile(r"unknown field `([^`]+)`$")
UNKNOWN_WITHIN = re.compile(r"unknown field `[^`]+` - at `\$\.(\w+)")
PLACE = re.compile(r" - at `\$\.(\w+)(?:\.(\w+))?")


def reasons(error: msgspec.ValidationError, content: Any) -> list[str]:
    """Return why a recipe is refused, a reason for each wrong key, and what would be right where it does not say it.

    Args:
        error: of the conversion of the recipe.
        content: the recipe as it is in the file.
    """
    keys = content if isinstance(content, dict) else {}
    errors = [each for key, value in keys.items() if (each := _error_of(key, value))]
    return [_explained(str(each), content) for each in errors or [error]]


def _error_of(key: str, value: Any) -> msgspec.ValidationError | None:
    """Return what is wrong with one key of a recipe; no key is required, and each is checked alone."""
    try:
        msgspec.convert({key: value}, Entry)
    except msgspec.ValidationError as error:
        return error
    return None


def _explained(reason: str, content: Any) -> str:
    right = _right(reason, content)
    return f"{reason}; {right}" if right else reason


def _right(reason: str, content: Any) -> str:
    """Return what would be right; empty if the reason says it."""
    if unknown := UNKNOWN.search(reason):
        return nearest(unknown[1], KEYS)
    if UNKNOWN_WITHIN.search(reason):
        return "a value has the keys value, source, place, covers, note, also and alternatives"
    place = PLACE.search(reason)
    if place is None:
        return "write [recipes.NAME] above its keys" if not isinstance(content, dict) else ""
    name, key = place.groups()
    if reason.startswith("Expected numbers from 0 to `of`") and "of" not in content[name]:
        return "without `of` they are fractions of the run; add of = 200 if they are epochs of 200"
    if reason.startswith("Invalid enum value"):
        return f"it must be {form_text(HINTS[name]) if key in VALUE_KEYS else one_of([*SourceKind])}"
    if name in VALUES and isinstance(content, dict) and not isinstance(content.get(name), dict):
        return f'write {name} = {{ value = ..., source = "printed" }}, or "code" or "inferred"'
    if "missing required field `source`" in reason or key == "source":
        return f"a source is {one_of([*SourceKind])}"
    if name in TEXTS or key in TEXTS:
        return "write a string in quotes"
    return f"it must be {form_text(HINTS[name])}" if key in VALUE_KEYS else ""


def form_text(hint: Any) -> str:
    """Return in words what a value of a recipe may be."""
    if hint is bool:
        return "true or false"
    if get_origin(hint) is tuple:
        return "a list of numbers"
    if get_origin(hint) is Literal:
        return one_of([each or "empty" for each in get_args(hint)])
    return number_text(without_none(hint))
