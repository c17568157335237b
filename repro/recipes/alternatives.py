"""Other values that the inferred values of a recipe may have had, which `repro table --try` trains one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from repro.recipes.contradictions import contradiction
from repro.recipes.effects import EFFECTS
from repro.recipes.overrides import as_override, replaced
from repro.recipes.recipe import VALUES, Recipe, shown
from repro.recipes.source import is_inferred


@dataclass(frozen=True)
class Alternative:
    """Another value that an inferred value of a recipe may have had."""

    name: str
    value: Any

    @property
    def text(self) -> str:
        """The alternative as people read it."""
        return shown(self.name, self.value)

    @property
    def override(self) -> str:
        """What `--set` is given to train with it."""
        return f"{self.name}={as_override(self.value)}"

    def of(self, recipe: Recipe) -> Recipe:
        """Return the recipe with the alternative instead of its own value."""
        return replaced(recipe, {self.name: self.value})


def alternatives_of(recipe: Recipe) -> Iterator[Alternative]:
    """Yield the alternatives of a recipe, in the order of its values."""
    for name in VALUES:
        for value in recipe.alternatives.get(name, ()):
            yield Alternative(name, value)


def wrong_alternative(recipe: Recipe) -> str | None:
    """Return the first reason why a recipe cannot have an alternative that it states; None if it can have all."""
    stated = {name: values for name, values in recipe.alternatives.items() if name in recipe.stated}
    for name, values in stated.items():
        if not is_inferred(recipe.sources[name]):
            kind = recipe.sources[name][0].kind.label
            return f"{name}: only an inferred value has alternatives, and this one is {kind}; leave them out"
        if len(set(values)) < len(values):
            return f"{name}: an alternative is given twice; give it once"
    found = (_reason(recipe, each) for each in alternatives_of(recipe) if each.name in stated)
    return next(filter(None, found), None)


def without_wrong_alternatives(recipe: Recipe) -> Recipe:
    """Return a recipe without the alternatives that it cannot have, which it inherits from a recipe that can."""
    fitting = [each for each in alternatives_of(recipe) if not _reason(recipe, each)]
    names = dict.fromkeys(each.name for each in fitting)
    kept = {name: tuple(each.value for each in fitting if each.name == name) for name in names}
    return replace(recipe, alternatives=kept)


def _reason(recipe: Recipe, alternative: Alternative) -> str | None:
    """Return why an alternative is not valid or has no effect."""
    where = f"{alternative.name}: the alternative {alternative.text}"
    if alternative.value == getattr(recipe, alternative.name):
        return f"{where} is the value itself; leave it out"
    changed = alternative.of(recipe)
    need = EFFECTS.get(alternative.name)
    if need and not need.holds(changed):
        return f"{where} has no effect without {need.text}"
    reason = contradiction(changed)
    return f"{where} is invalid: {reason}" if reason else None
