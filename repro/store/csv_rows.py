"""Dataclasses as lines of a CSV file, and back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from repro.atomic import write_atomically
from repro.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
JSON_TYPES = ("Mapping", "Sequence")
"""Prefixes of the types of fields that are stored as JSON."""


def line_of(written: DataclassInstance) -> dict[str, Any]:
    """Return the cells of a line, by column."""
    values = dict(vars(written))
    for each in fields(written):
        if str(each.type).startswith(JSON_TYPES):
            values[each.name] = json.dumps(values[each.name], sort_keys=True, allow_nan=False)
    return values


def columns_of(kind: type[DataclassInstance]) -> list[str]:
    """Return the header of the CSV file for a dataclass."""
    return [each.name for each in fields(kind)]


def csv_of(rows: Sequence[Mapping[str, Any]], header: Sequence[str]) -> bytes:
    """Return the content of a CSV file; missing cells are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def lines_of(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV file as text; none if the file does not exist.

    A header may stand above any line, and equal lines count once: git joins the lines of two branches that way.
    """
    return [line for _, line in _numbered(path)]


def _numbered(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the lines of a CSV file with their numbers in the file."""
    if not path.exists():
        return
    header: list[str] = []
    seen = set[frozenset[tuple[str, str]]]()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            for cells in filter(None, lines):
                if cells[0] == (header or cells)[0]:  # the first column holds names or numbers, never its own name
                    header = cells
                    continue
                if len(cells) > len(header):
                    raise UserError(
                        f"{path}, line {lines.line_num}: more cells than columns; repair or remove the line"
                    )
                line = dict(zip(header, cells, strict=False))
                filled = frozenset((column, cell) for column, cell in line.items() if cell)
                if filled not in seen:
                    seen.add(filled)
                    yield lines.line_num, line
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8 ({error}); repair or remove it") from error


def rewrite(path: Path, lines: Sequence[Mapping[str, Any]], kind: type[DataclassInstance]) -> None:
    """Replace the lines of a file of dataclasses, whose lock is held; columns that the user added stay."""
    header = columns_of(kind)
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
    try:
        present = [each for each in fields(kind) if each.default is MISSING or line.get(each.name)]  # type: ignore[arg-type]
        return kind(**{each.name: _reader(str(each.type))(line[each.name]) for each in present})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{wrong} ({error}); repair or remove the line") from error


def _reader(type_: str) -> Callable[[str], Any]:
    """Return the function that parses a cell for a field's type."""
    if type_.startswith(JSON_TYPES):
        readers = {"Sequence[str]": _words, "Sequence[float]": _numbers, "Sequence[Mapping[str, Any]]": _mappings}
        return readers.get(type_, _mapping)
    return {"int": int, "float": float}.get(type_.removesuffix(" | None"), str)


def _mapping(text: str) -> dict[str, Any]:
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError(f"{text} is not a mapping")
    return content


def _mappings(text: str) -> tuple[dict[str, Any], ...]:
    content = json.loads(text)
    if not (isinstance(content, list) and all(isinstance(each, dict) for each in content)):
        raise ValueError(f"{text} is not a list of mappings")
    return tuple(content)


def _words(text: str) -> list[str]:
    content = json.loads(text)
    if not (isinstance(content, list) and all(isinstance(each, str) for each in content)):
        raise ValueError(f"{text} is not a list of strings")
    return content


def _numbers(text: str) -> list[float]:
    content = json.loads(text)
    if not (isinstance(content, list) and all(type(each) in (int, float) for each in content)):
        raise ValueError(f"{text} is not a list of numbers")
    return content
