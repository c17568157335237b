"""The values of a recipe one by one, with their sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from repro.recipes.recipe import VALUES, Recipe, shown
from repro.recipes.source import Source, SourceKind, is_inferred, sources_text


@dataclass(frozen=True)
class Value:
    """One value of a recipe."""

    name: str
    value: Any
    sources: tuple[Source, ...]
    """The main source first; empty for the dataset, which needs none."""
    alternatives: tuple[Any, ...] = ()
    """Other values that an inferred value may have had."""

    @property
    def text(self) -> str:
        """The value as people read it: 5e-4 as 0.0005, a list without brackets."""
        return shown(self.name, self.value)

    @property
    def alternatives_text(self) -> str:
        """The alternatives as people read them; empty without any."""
        return "; ".join(shown(self.name, each) for each in self.alternatives)

    @property
    def kind(self) -> SourceKind | None:
        """The kind of the main source."""
        return self.sources[0].kind if self.sources else None

    @property
    def detail(self) -> str:
        """The sources as people read them, without the kind of the main one."""
        main, others = self.sources[:1], self.sources[1:]
        return "; ".join(part for part in (*(each.detail for each in main), sources_text(others)) if part)

    def to_json(self) -> dict[str, Any]:
        """Return the value and its sources as plain data, in the form of a recipe file."""
        main, others = self.sources[:1], self.sources[1:]
        also = {"also": list(map(msgspec.to_builtins, others))} if others else {}
        alternatives = {"alternatives": list(self.alternatives)} if self.alternatives else {}
        return {"value": self.value, **(msgspec.to_builtins(main[0]) if main else {}), **also, **alternatives}

    @property
    def inferred(self) -> bool:
        """Whether the value is inferred, wholly or in part."""
        return is_inferred(self.sources)


def values_of(recipe: Recipe) -> list[Value]:
    """Return the values that a recipe gives, including the dataset."""
    given = recipe.values().keys() | recipe.sources.keys()
    return [
        Value(name, getattr(recipe, name), recipe.sources.get(name, ()), recipe.alternatives.get(name, ()))
        for name in VALUES
        if name in given
    ]


def unused(recipe: Recipe) -> list[str]:
    """Return the names of the values that a recipe leaves at their defaults without giving a source."""
    given = {each.name for each in values_of(recipe)}
    return [name for name in VALUES if name not in given]
