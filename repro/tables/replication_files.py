"""The reader of replications: TOML files in the folder `replications` next to the tables, named after their tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from enum import EnumType
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from repro.errors import Mistake, Place, refuse
from repro.papers import toml_files, toml_of
from repro.tables.column import Column, ColumnKind
from repro.tables.printed import Row, Table
from repro.tables.replications import FAR, Replication, ReplicationSource, Reported, Unit
from repro.text import one_of

FOLDER = "replications"
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PLACE = re.compile(r" - at `\$\.sources\[(\d+)\](?:\.values\[(\d+)\])?(?:\.(\w+))?[^`]*`$")


_RIGHT = {
    "seen": "a date such as 2026-11-26, without quotes",
    "runs": 'a whole number of 1 or more, or "unknown"',
    "recipe_described": "true or false",
    "differences": 'a list of texts such as ["3 epochs instead of 2"], or []',
    "value": 'the number in quotes, as it is printed, such as "8.27"',
}
"""What is right for keys whose types msgspec does not say in words, by key."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sources: tuple[ReplicationSource, ...]


def with_replications(table: Table) -> Table:
    """Return a table whose rows have what others report for them.

    Raises:
        WrongFiles: the file of its replications is malformed, or names an unknown row or column; each mistake names
            file, source and reason.
    """
    file = replications_file(table.file)
    if not file.is_file():
        return table
    found: dict[str, list[Replication]] = {table.called(row): [] for row in table.rows}
    mistakes = list[Mistake]()
    for index, source in enumerate(_sources(file), 1):
        for reported in source.values:
            replication = Replication(source, reported)
            if reason := _mistake(table, replication):
                mistakes.append(Place(file, f"source {index} ({source.url})").mistake(reason))
            else:
                found[reported.row].append(replication)
    refuse(mistakes)
    rows = tuple(replace(row, replications=tuple(found[table.called(row)])) for row in table.rows)
    return replace(table, rows=rows)


def replications_file(table: Path) -> Path:
    """Return the file of the replications of a table's file; it may not exist."""
    return table.parent / FOLDER / table.name


def orphans(tables: Iterable[Path]) -> Iterator[Mistake]:
    """Yield a mistake for each file of replications without a table of its name, in the folders of some tables."""
    for folder in sorted({file.parent for file in tables}):
        for file in toml_files(folder / FOLDER):
            if not (folder / file.name).is_file():
                reason = f"there is no table {folder / file.name}; rename the file after its table"
                yield Place(file).mistake(reason)


def _sources(file: Path) -> tuple[ReplicationSource, ...]:
    content = toml_of(file)
    try:
        return msgspec.convert(content, _File).sources
    except msgspec.ValidationError as error:
        raise Place(file).refused(_located(str(error), content)) from None


def _located(reason: str, content: dict[str, Any]) -> str:
    """Return msgspec's reason after the source, the value and the key that it is about, and what would be right."""
    place = _PLACE.search(reason)
    if place is None:
        return f"{reason}; a file of replications has only tables [[sources]]"
    source, value, key = place.groups()
    entry = content["sources"][int(source)]
    url = entry.get("url", "without url") if isinstance(entry, dict) else repr(entry)
    words = [f"source {int(source) + 1} ({url})"]
    words += [f"value {int(value) + 1}"] if value else []
    words += [key] if key else []
    right = _right(reason, Reported if value else ReplicationSource, key)
    return f"{': '.join(words)}: {reason[: place.start()]}{right}"


def _right(reason: str, kind: type[msgspec.Struct], key: str | None) -> str:
    """Return the keys or the values that are known, where msgspec's reason does not say them."""
    if "unknown field" in reason:
        return f"; known: {', '.join(kind.__struct_fields__)}"
    if key in _RIGHT:
        return f"; write {_RIGHT[key]}"
    values = get_type_hints(kind).get(key or "")
    return f"; write {one_of([*values])}" if isinstance(values, EnumType) and "enum value" in reason else ""


def _mistake(table: Table, replication: Replication) -> str:
    """Return why a value cannot be right; empty if it can."""
    reported = replication.reported
    rows = {table.called(row): row for row in table.rows}
    if reported.row not in rows:
        return f"row {reported.row!r} is not in the table; its rows: {' | '.join(rows)}"
    columns = {column.key: column for column in table.of_kind(ColumnKind.ERROR) if column.metric.judged}
    where = f"{reported.row}, {reported.column}"
    if reported.column not in columns:
        return f"{where}: the table has no column {reported.column!r} of errors in %; known: {', '.join(columns)}"
    return _wrong_value(rows[reported.row], columns[reported.column], replication, where)


def _wrong_value(row: Row, column: Column, replication: Replication, where: str) -> str:
    value, most = replication.reported.value, 1 if replication.source.unit == Unit.FRACTION else 100
    if column.key not in row.cells:
        return f"{where}: the table prints nothing in this cell"
    if not _NUMBER.fullmatch(value) or not 0 < Decimal(value) < most:
        return f'{where}: value is {value!r}, not a number in quotes between 0 and {most} such as "8.27" or "0.0827"'
    printed = row.cells[column.key]
    if (abs(replication.error - printed.value) >= FAR) == replication.reported.far:
        return ""
    distance = f"{replication.error:f} % is {abs(replication.error - printed.value):f} points from {printed.text}"
    right = "remove far" if replication.reported.far else "check kind and unit, or confirm it with far = true"
    return f"{where}: {distance}; {right}"
