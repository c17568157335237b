"""Other values that the inferred values of a recipe may have had, which `repro table --try` trains one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    """Return the first reason why a recipe cannot have one of its alternatives; None if it can have all."""
    for name, values in recipe.alternatives.items():
        if not is_inferred(recipe.sources[name]):
            kind = recipe.sources[name][0].kind.label
            return f"{name}: only an inferred value has alternatives, and this one is {kind}; leave them out"
        if len(set(values)) < len(values):
            return f"{name}: an alternative is given twice; give it once"
    return next(filter(None, (_reason(recipe, each) for each in alternatives_of(recipe))), None)


def _reason(recipe: Recipe, alternative: Alternative) -> str | None:
    """Return why an alternative is not valid."""
    where = f"{alternative.name}: the alternative {alternative.text}"
    if alternative.value == getattr(recipe, alternative.name):
        return f"{where} is the value itself; leave it out"
    changed = alternative.of(recipe)
    if alternative.name == "milestones" and not EFFECTS["milestones"].holds(changed):
        return f"{where} has no effect without {EFFECTS['milestones'].text}"
    reason = contradiction(changed)
    return f"{where} is invalid: {reason}" if reason else None
