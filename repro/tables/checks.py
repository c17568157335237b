"""What is checked of each key of a table file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import MISSING, fields
from enum import StrEnum
from typing import Any, TypeVar

from repro.text import unknown

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E", bound=StrEnum)


class Malformed(Exception):
    """Where a table file is malformed, and how: at least one place with its reason."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.places = [(where, reason)]


def every(items: Iterable[T], read: Callable[[int, T], R]) -> list[R]:
    """Return what is read of each item, with its number 1, 2, ...; Malformed with the places of all that are wrong."""
    found, malformed = list[R](), list[Malformed]()
    for number, item in enumerate(items, 1):
        try:
            found.append(read(number, item))
        except Malformed as error:
            malformed.append(error)
    if malformed:
        first, *others = malformed
        first.places += [place for each in others for place in each.places]
        raise first
    return found


def tables_of(content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Remove a key from the content of a file and return its tables; empty if it is not there."""
    found = content.pop(key, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Malformed("the table", f"{key} is {found!r}, not a list of tables; write [[{key}]]")
    return found


def expect_keys(
    where: str, content: dict[str, Any], kind: type, besides: Collection[str] = (), taken: Collection[str] = ()
) -> None:
    """Refuse missing, unknown and wrongly typed keys.

    Args:
        where: what has the keys, for the message.
        content: keys and values.
        kind: the dataclass whose fields are the known keys.
        besides: fields that are no keys.
        taken: keys that `tables_of` has removed, so that a misspelt one is answered with them.
    """
    allowed = {each.name: each for each in fields(kind) if each.name not in besides}
    for key, value in content.items():
        if key not in allowed:
            raise Malformed(where, unknown("key", key, [*allowed, *taken]))
        fits, wanted = _TYPES[str(allowed[key].type).removesuffix(" | None")]
        if not fits(value):
            raise Malformed(where, f"{key} is {value!r}, {wanted}")
        if isinstance(value, str) and not value.strip():
            raise Malformed(where, f"{key} is empty; write a text, or leave the key out")
    for key, each in allowed.items():
        if key not in content and each.default is MISSING and each.default_factory is MISSING:
            raise Malformed(where, f"key {key!r} is missing")


def expect_one_of(where: str, what: str, value: object, known: Collection[object], listed: str = "") -> None:
    """Refuse a value that is not one of the known ones, which are listed unless `listed` says where they are."""
    if value not in known:
        raise Malformed(where, unknown(what, str(value), [str(each) for each in known if each], listed))


def expect_member(where: str, what: str, value: str, kind: type[E]) -> E:
    """Return the member of an enum that has a value; refuse another value."""
    expect_one_of(where, what, value, [*kind])
    return kind(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


_TYPES: dict[str, tuple[Callable[[object], bool], str]] = {
    **dict.fromkeys(("str", "ColumnKind", "Metric", "Statistic"), (_is_text, "not a string in quotes")),
    "int": (_is_positive, "not a whole number of 1 or more"),
    "bool": (lambda value: isinstance(value, bool), "neither true nor false"),
    "tuple[str, ...]": (
        lambda value: isinstance(value, list) and all(map(_is_text, value)),
        "not a list of strings in quotes",
    ),
    "Protocol": (_is_table, 'not a table such as { views = "ten-crop", averaged = "probabilities" }'),
    "Mapping[str, Cell]": (_is_table, 'not a table such as { error = "22.62" }'),
    "Mapping[str, OptionValue]": (_is_table, "not a table such as { N = 4 }"),
}
"""Whether a value has the type of a field, and what is wrong if it has not, by the annotation of the field."""
