"""Dataclasses as lines of a CSV file, and back."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime
from functools import cache
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta

from repro.atomic import write_atomically
from repro.bounds import LARGEST, kind_of, number_text, types_of
from repro.errors import UserError

if TYPE_CHECKING:
    from _csv import Reader

    from _typeshed import DataclassInstance

T = TypeVar("T")
Plain = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)] | float | bool | str
"""A plain value within JSON, such as an option of a network."""
TIME = Meta(title="a time such as 2026-01-31T12:00:00+00:00")
Time = Annotated[str, TIME]
LISTED = {str: "strings", float: "numbers"}
"""What lists may hold, in words."""
DELIMITERS = ",;\t"
RENAMED = {"sittings": "sessions"}
"""Columns of older files, and keys of older checkpoints, with their names today."""
SEPARATOR_LINE = ["sep=", ""]
"""A line such as `sep=;` above the header, with which a spreadsheet says what separates the columns."""
SHOWN = 60
"""Maximum number of characters of a cell in a message."""


def line_of(written: DataclassInstance) -> dict[str, Any]:
    """Return the cells of a line, by column."""
    values = dict(vars(written))
    for name, hint in types_of(type(written)).items():
        if _is_json(hint):
            values[name] = json.dumps(values[name], sort_keys=True, allow_nan=False)
    return values


def header_of(kind: type[DataclassInstance]) -> list[str]:
    """Return the header of the CSV file for a dataclass."""
    return [each.name for each in fields(kind)]


def csv_of(rows: Sequence[Mapping[str, Any]], header: Sequence[str]) -> bytes:
    """Return the content of a CSV file; missing cells are empty, and so are NaN and infinite numbers."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if _is_endless(cell) else cell for name, cell in row.items()} for row in rows)
    return text.getvalue().encode()


def _is_endless(cell: object) -> bool:
    return isinstance(cell, float) and not math.isfinite(cell)


def lines_of(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV file as text; none if the file does not exist.

    A header may stand above any line, and equal lines count once: git joins the lines of two branches that way. A
    spreadsheet may have saved the file: with a byte order mark, semicolons or tabs, and empty cells at the end.
    """
    return [line for _, line in _numbered(path)]


def _numbered(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the lines of a CSV file with their numbers in the file."""
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = _delimiter(file.readline())
            file.seek(0)
            yield from _lines(csv.reader(file, delimiter=delimiter), path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8 ({error}); save it again as CSV in UTF-8") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; the file may be intact") from error


def _delimiter(header: str) -> str:
    """Return what separates the columns of a header."""
    return max(DELIMITERS, key=header.count)


def _lines(lines: Reader, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the lines below each header, once, with their numbers; UserError for a cell without a named column."""
    header: list[str] = []
    seen = set[frozenset[tuple[str, str]]]()
    for cells in lines:
        if not any(cells) or cells == SEPARATOR_LINE:
            continue
        if not header or (cells[0] and cells[0] == header[0]):  # the first column never holds its own name
            header = _header(cells, f"{path}, line {lines.line_num}")
            continue
        if any(cells[len(header) :]):
            raise UserError(f"{path}, line {lines.line_num}: more cells than columns; repair or remove the line")
        line = dict(zip_longest(header, cells[: len(header)], fillvalue=""))
        if line.pop("", ""):
            raise UserError(
                f"{path}, line {lines.line_num}: a cell in a column without a name; name or remove the column"
            )
        filled = frozenset((column, cell) for column, cell in line.items() if cell)
        if filled not in seen:
            seen.add(filled)
            yield lines.line_num, line


def _header(cells: Sequence[str], where: str) -> list[str]:
    """Return today's names of the columns, without empty ones at the end; UserError if two columns have one name."""
    named = cells[: len(cells) - len(list(takewhile(lambda each: not each, reversed(cells))))]
    header = [RENAMED.get(each, each) for each in named]
    if twice := [name for name, number in Counter(header).items() if name and number > 1]:
        raise UserError(f"{where}: the column {twice[0]!r} appears twice; rename or remove one of them")
    return header


def rewrite(path: Path, lines: Sequence[Mapping[str, Any]], kind: type[DataclassInstance]) -> None:
    """Replace the lines of a file of dataclasses, whose lock is held; columns that the user added stay."""
    header = header_of(kind)
    own = dict.fromkeys(column for line in lines for column in line if column not in header)
    write_atomically(path, csv_of(lines, [*header, *own]))


def read(path: Path, kind: type[T], what: str) -> list[T]:
    """Return the lines of a file as dataclasses; none if the file does not exist.

    Args:
        path: the CSV file.
        kind: the dataclass.
        what: a line's name in error messages, such as "a record of a run".

    Raises:
        UserError: the file is not a CSV file, or a line does not fit the dataclass.
    """
    return [row for row, _ in read_with_lines(path, kind, what)]


def read_with_lines(path: Path, kind: type[T], what: str) -> list[tuple[T, dict[str, str]]]:
    """Return the lines of a file as dataclasses, each with its line as text; arguments and errors as in `read`."""
    return [(_parse(line, kind, f"{path}, line {number}: not {what}"), line) for number, line in _numbered(path)]


def _parse(line: Mapping[str, str], kind: type[T], wrong: str) -> T:
    """Return a line as a dataclass; a field with a default may be empty or missing in older files."""
    hints = types_of(kind)  # type: ignore[arg-type]  # mypy does not know that classes of T are hashable
    needed = [each.name for each in fields(kind) if each.default is MISSING]  # type: ignore[arg-type]
    present = [name for name in hints if name in needed or line.get(name)]
    try:
        if missing := [name for name in needed if name not in line]:
            raise ValueError(f"the header has no column {', '.join(missing)}")
        return kind(**{name: _value(name, hints[name], line[name]) for name in present})
    except (ValueError, TypeError, UserError) as error:
        raise UserError(f"{wrong} ({error}); repair or remove the line") from error


@cache
def _value(name: str, hint: Any, text: str) -> Any:
    """Return the value of a cell; ValueError if it does not have its column's type or bounds."""
    as_json = _is_json(hint)
    try:
        value = msgspec.convert(msgspec.json.decode(text) if as_json else text, hint, strict=as_json)
        if _is_endless(value) or (TIME in get_args(hint) and not _is_time(text)):
            raise ValueError(text)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors too
        shown = f"{text[:SHOWN]}{'...' if len(text) > SHOWN else ''}" if text else "an empty cell"
        raise ValueError(f"{name}: {shown} is not {_expected(hint)}") from None
    return value


def _is_time(text: str) -> bool:
    """Whether text is a time with a zone, in this century; ValueError if it is no time."""
    time = datetime.fromisoformat(text)
    return time.tzinfo is not None and 2000 <= time.year < 2100


def _is_json(hint: Any) -> bool:
    return issubclass(get_origin(hint) or object, (Mapping, Sequence))


def _expected(hint: Any) -> str:
    """Return in words what a cell may be."""
    if kind_of(hint) in (int, float):
        return number_text(hint)
    if not _is_json(hint):
        return next(each.title for each in get_args(hint)[1:])
    first, *others = get_args(hint)
    if issubclass(get_origin(hint), Mapping):
        return f"a mapping{'' if others[0] is Any else ' of plain values'}"
    return f"a list of {'mappings' if get_origin(first) is Mapping else LISTED[first]}"
