"""Values that replace those of a recipe, as users type them: `--set batch=32`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from repro.bounds import kind_of, without_none
from repro.errors import UserError
from repro.models.options import as_text, parsed
from repro.recipes.contradictions import contradiction
from repro.recipes.effects import EFFECTS
from repro.recipes.entries import HINTS, value_of
from repro.recipes.mistakes import form_text
from repro.recipes.recipe import VALUES, Recipe, shown
from repro.text import canonical, choose

SETTABLE = tuple(name for name in VALUES if name != "dataset")
"""The values that can be replaced; a recipe is for one dataset."""
OF_RECIPE = "recipe."
"""What `--set` has before the name of a value that the network has an option of, too."""
NONE = "none"
_TYPED: dict[Any, str] = {bool: "yes or no", tuple[float, ...]: "numbers from 0 to 1, separated by commas"}
"""What a user may type in words, where a recipe file has another form."""


def is_value(name: str) -> bool:
    """Whether recipes have a value of this name, in any spelling."""
    return canonical(name) in map(canonical, (*SETTABLE, "dataset"))


def overridden(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Return a recipe with some values replaced. Another number of epochs changes the length as `with_epochs` does.

    Args:
        recipe: what is changed.
        overrides: such as `batch=32`; the order has no meaning.

    Raises:
        UserError: a name is unknown or given twice, a value is invalid, or values exclude each other.
    """
    values = dict[str, Any]()
    for name, text in map(_split, overrides):
        if name in values:
            raise UserError(f"{name} is given twice; give it once")
        values[name] = _value(recipe, name, text)
    changed = replaced(recipe, values)
    if values.get("milestones") and not EFFECTS["milestones"].holds(changed):
        raise UserError(f"milestones have no effect without {EFFECTS['milestones'].text}")
    if values and (reason := contradiction(changed)):
        raise UserError(f"recipe {recipe.name} with {', '.join(changed.differences(recipe))} is invalid: {reason}")
    return changed


def replaced(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values by name; another number of epochs changes the length as `with_epochs` does."""
    resized = recipe.with_epochs(values["epochs"]) if "epochs" in values else recipe
    if values.get("tune_epochs"):  # although so few epochs would have no tuning
        resized = replace(resized, tune_batch=recipe.tune_batch, tune_lr=recipe.tune_lr)
    return replace(resized, **values)


def overrides_of(changed: Recipe, recipe: Recipe) -> dict[str, str]:
    """Return the values, as typed, that make `changed` of a recipe; those that follow from the epochs are left out."""
    resized = recipe.with_epochs(changed.epochs)
    names = [name for name in SETTABLE if getattr(changed, name) != getattr(resized, name)]
    epochs = ["epochs"] if changed.epochs != recipe.epochs else []
    return {name: as_override(getattr(changed, name)) for name in [*epochs, *names]}


def as_override(value: Any) -> str:
    """Return a value of a recipe as typed after `--set NAME=`, in full precision."""
    if isinstance(value, tuple):
        return ",".join(map(as_override, value))
    return NONE if value is None else as_text(value)


def _split(override: str) -> tuple[str, str]:
    """Return name and text of an override."""
    given, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"--set {override!r} has no value; write NAME=VALUE, such as batch=32")
    if canonical(given.strip()) == "dataset":
        raise UserError("--set cannot change the dataset; use --dataset, and --recipe for a recipe of that dataset")
    return choose("recipe value", given.strip(), SETTABLE), text.strip()


def _value(recipe: Recipe, name: str, text: str) -> Any:
    """Return a value as `Recipe` has it; UserError if no recipe file may have it."""
    hint = HINTS[name]
    if NoneType in get_args(hint):
        if text.lower() == NONE:
            return None
        hint = without_none(hint)
    try:
        return value_of(name, _plain(hint, text))
    except (KeyError, ValueError):  # msgspec's errors are ValueErrors too
        expected, own = _TYPED.get(hint) or form_text(hint), shown(name, getattr(recipe, name))
        raise UserError(f"{name} = {text} is invalid: it must be {expected} (recipe: {own})") from None


def _plain(hint: Any, text: str) -> Any:
    """Return text in the form that a recipe file has; KeyError or ValueError if it has another form."""
    if get_origin(hint) is Literal:
        return {canonical(each): each for each in get_args(hint)}[canonical(text)]
    if get_origin(hint) is tuple:
        return [parsed(float, each) for each in text.split(",")] if text else []
    return parsed(kind_of(hint), text)
