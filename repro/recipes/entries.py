"""The entries of a recipe file: its keys and the types of their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from itertools import count, takewhile
from typing import Annotated, Any, Generic, TypeVar, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from repro.bounds import without_none
from repro.errors import UserError
from repro.models import OptionValue
from repro.recipes.recipe import VALUES, Recipe
from repro.recipes.source import Source

T = TypeVar("T")
LARGEST = 10_000
"""Largest number of the multiples of `every`."""


class Given(Source, Generic[T], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value with its source."""

    value: T
    also: tuple[Source, ...] = ()
    """Further sources, each for a part of the value."""
    alternatives: tuple[T, ...] = ()
    """Other values that an inferred value may have had, each with a reason in `note`; see `repro table --try`."""

    @property
    def meaning(self) -> Any:
        """The value as a `Recipe` stores it."""
        return self.value

    @property
    def others(self) -> tuple[Any, ...]:
        """The alternatives as a `Recipe` stores them."""
        return self.alternatives

    @property
    def sources(self) -> tuple[Source, ...]:
        """All sources, the main one first."""
        return Source(kind=self.kind, place=self.place, covers=self.covers, note=self.note), *self.also


class GivenNumbers(Given[tuple[float, ...] | UnsetType], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list of numbers with its source, as fractions of a whole if `of` is given: `[149, 224]` of 300 epochs."""

    value: tuple[float, ...] | UnsetType = UNSET
    every: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    """Instead of `value`: the numbers are the multiples of this number below `of`."""
    of: Annotated[float, Meta(gt=0)] = 1
    """The whole; every number is divided by it, those of the alternatives too."""
    alternatives: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        """Require exactly one of the two forms."""
        if (self.value is UNSET) == (self.every is UNSET):
            raise ValueError("Expected either `value` or `every`")
        if self.every is not UNSET and self.of / self.every > LARGEST:
            raise ValueError(f"Expected at most {LARGEST:,} multiples of `every` below `of`")
        if not all(0 <= each <= 1 for numbers in (self.meaning, *self.others) for each in numbers):
            raise ValueError("Expected numbers from 0 to `of`")

    @property
    def meaning(self) -> tuple[float, ...]:
        """The numbers as a `Recipe` stores them."""
        if self.every is not UNSET:
            every = self.every
            return self._parts(takewhile(lambda each: each < self.of, (every * number for number in count(1))))
        return self._parts(self.value or ())

    @property
    def others(self) -> tuple[tuple[float, ...], ...]:
        """The alternatives as a `Recipe` stores them."""
        return tuple(map(self._parts, self.alternatives))

    def _parts(self, numbers: Iterable[float]) -> tuple[float, ...]:
        """Return numbers as fractions of the whole."""
        return tuple(each / self.of for each in numbers)


class About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a recipe besides its values. Omitted keys are inherited from the recipe that it extends."""

    extends: str = ""
    """The recipe, of the program or of any paper that is found, from which this one inherits what it leaves out."""
    abstract: bool = False
    """Whether this is only a base for other recipes."""
    inherited: Source | UnsetType = UNSET
    """The source of every inherited value, in place of the sources that the extended recipe gives."""
    summary: str | UnsetType = UNSET
    """What is trained and where it is described, in one sentence."""
    notes: tuple[str, ...] | UnsetType = UNSET
    """What a reader should know: the error that the paper prints, and why values are as they are."""
    paper: str | UnsetType = UNSET
    dataset: str | UnsetType = UNSET
    default_for: tuple[str, ...] = ()
    """The models that use this recipe by default on its dataset; `*`: every model. Not inherited."""
    default_with: dict[str, OptionValue] = {}
    """Options that the model must have for this default, such as `{ padded = true }`. Not inherited."""


def _given(hint: Any) -> Any:
    """Return the type that holds a value of a recipe whose annotation is `hint`."""
    if hint == tuple[float, ...]:
        return GivenNumbers
    return Given[without_none(hint)]  # type: ignore[misc]


HINTS = get_type_hints(Recipe, include_extras=True)
"""The types of a recipe's fields, with the bounds of their values."""
Entry: type[About] = msgspec.defstruct(  # type: ignore[assignment]
    "Entry",
    [(name, _given(HINTS[name]) | UnsetType, UNSET) for name in VALUES if name != "dataset"],
    bases=(About,),
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)
"""A recipe in a file: the fields of `About`, and the values of `Recipe` under their own names."""


def value_of(name: str, value: Any) -> Any:
    """Return a value as `Recipe` has it, from the form of a file; msgspec.ValidationError if no file may have it."""
    entry = msgspec.convert({name: {"value": value, "source": "inferred"}}, Entry)
    return getattr(entry, name).meaning


def check_values(values: Mapping[str, Any]) -> None:
    """Raise UserError for values of a run that no recipe may have, or if one is missing that has no default."""
    if missing := [
        each.name for each in fields(Recipe) if each.default is MISSING and each.name in {*VALUES} - {*values}
    ]:
        raise UserError(f"its recipe lacks {', '.join(missing)}")
    for name, value in values.items():
        if name not in VALUES:
            raise UserError(f"unknown recipe value {name!r}")
        try:
            msgspec.convert(value, HINTS[name])
        except msgspec.ValidationError as error:
            raise UserError(f"invalid value {value!r} for {name}: {error}") from error


class Document(msgspec.Struct, Generic[T], frozen=True, forbid_unknown_fields=True):
    """A file of recipes by name."""

    recipes: dict[str, T]
