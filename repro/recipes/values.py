"""The values of a recipe one by one, and where each is from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from repro.recipes.recipe import INFERRED, Recipe, shown

NO_VALUES = ("name", "paper", "origins")


@dataclass(frozen=True)
class Value:
    """One value of a recipe."""

    name: str
    value: Any
    origin: str
    """PRINTED, CODE or INFERRED; empty of what needs no source, such as a table's data set."""
    place: str
    """Where it stands, and what else is to be said of it."""
    inferred: bool
    """Wholly or in part."""

    @property
    def words(self) -> str:
        """The value as it is read: 5e-4 as 0.0005, a list without brackets."""
        return shown(self.value)


def values_of(recipe: Recipe) -> list[Value]:
    """Return what a recipe sets, or says the source of."""
    said = recipe.values().keys() | recipe.origins.keys()
    return [_value(recipe, name) for name in _names(recipe) if name in said]


def unused(recipe: Recipe) -> list[str]:
    """Return what recipes know and this one does not do."""
    said = {each.name for each in values_of(recipe)}
    return [name for name in _names(recipe) if name not in said]


def _names(recipe: Recipe) -> list[str]:
    return [each.name for each in fields(recipe) if each.name not in NO_VALUES]


def _value(recipe: Recipe, name: str) -> Value:
    said = recipe.origins.get(name, "")
    origin = said.partition(":")[0].partition(";")[0]
    return Value(name, getattr(recipe, name), origin, said.removeprefix(origin).lstrip(":; "), INFERRED in said)
