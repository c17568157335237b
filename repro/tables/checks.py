"""What is checked of each key of a table file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from typing import Any, TypeVar

from repro.bounds import types_of
from repro.counting.conventions import Convention
from repro.data.inputs.protocol import Protocol
from repro.errors import Place
from repro.models import OptionValue
from repro.tables.cell import Cell
from repro.tables.column import ColumnKind, Statistic
from repro.tables.metric import Metric
from repro.text import unknown

E = TypeVar("E", bound=StrEnum)
MOST = 1_000_000
"""The largest whole number in a table."""


def tables_of(place: Place, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Remove a key from the content of a file and return its tables; empty if it is not there."""
    found = content.pop(key, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise place.refused(f"{key} is {found!r}, not a list of tables; write [[{key}]]")
    return found


def expect_keys(
    place: Place, content: dict[str, Any], kind: type, besides: Collection[str] = (), taken: Collection[str] = ()
) -> None:
    """Refuse missing, unknown and wrongly typed keys.

    Args:
        place: what has the keys.
        content: keys and values.
        kind: the dataclass whose fields are the known keys.
        besides: fields that are no keys.
        taken: keys that `tables_of` has removed, so that a misspelt one is answered with them.
    """
    allowed, types = {each.name: each for each in fields(kind) if each.name not in besides}, types_of(kind)
    for key, value in content.items():
        if key not in allowed:
            raise place.refused(unknown("key", key, [*allowed, *taken]))
        fits, wanted = _TYPES[types[key]]
        if not fits(value):
            raise place.refused(f"{key} is {value!r}, {wanted}")
        if isinstance(value, str) and not value.strip():
            raise place.refused(f"{key} is empty; write a text, or leave the key out")
    for key, each in allowed.items():
        if key not in content and each.default is MISSING and each.default_factory is MISSING:
            raise place.refused(f"key {key!r} is missing")


def expect_one_of(place: Place, what: str, value: object, known: Collection[object], listed: str = "") -> None:
    """Refuse a value that is not one of the known ones, which are listed unless `listed` says where they are."""
    if value not in known:
        raise place.refused(unknown(what, str(value), [str(each) for each in known if each], listed))


def expect_member(place: Place, what: str, value: str, kind: type[E]) -> E:
    """Return the member of an enum that has a value; refuse another value."""
    expect_one_of(place, what, value, [*kind])
    return kind(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


_TYPES: dict[Any, tuple[Callable[[object], bool], str]] = {
    **dict.fromkeys((str, ColumnKind, Convention, Metric, Statistic), (_is_text, "not a string in quotes")),
    int: (_is_positive, f"not a whole number from 1 to {MOST:,}"),
    bool: (lambda value: isinstance(value, bool), "neither true nor false"),
    tuple[str, ...]: (
        lambda value: isinstance(value, list) and all(map(_is_text, value)),
        "not a list of strings in quotes",
    ),
    Protocol: (_is_table, 'not a table such as { views = "ten-crop", averaged = "probabilities" }'),
    Mapping[str, Cell]: (_is_table, 'not a table such as { error = "22.62" }'),
    Mapping[str, OptionValue]: (_is_table, "not a table such as { N = 4 }"),
}
"""Whether a value has the type of a field, and what is wrong if it has not, by this type."""
