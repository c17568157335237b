"""Tables read from tables/*.toml; for a malformed file, the error names file, row and reason."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from repro.counting.conventions import Convention
from repro.data import DATASETS
from repro.data.crops import TEN, Averaged
from repro.errors import UserError
from repro.models import MODELS, OPTIONS
from repro.recipes import RECIPES
from repro.tables.printed import KINDS, METRICS, PERCENT, PRINTED, STATISTICS, Cell, Column, Row, Table
from repro.text import choose


def tables_folder() -> Path:
    """Return the folder of the tables: inside the package when installed from a wheel, else next to it."""
    package = Path(__file__).parents[1]
    inside = package / "shipped" / "tables"
    return inside if inside.is_dir() else package.parent / "tables"


def table_names() -> list[str]:
    """Return the names of the tables."""
    return sorted(path.stem for path in tables_folder().glob("*.toml"))


def read_table(name: str) -> Table:
    """Return the table of this name, in any spelling.

    Raises:
        UserError: there is no such table, or its file is malformed.
    """
    return parse_table(tables_folder() / f"{choose('table', name, table_names())}.toml")


def parse_table(path: Path) -> Table:
    """Return the table of one file; UserError with file, row and reason when it is malformed."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from error
    try:
        return _table(path.stem, content)
    except _Malformed as error:
        raise UserError(f"{path}: {error}") from error


class _Malformed(Exception):
    """Where a table file is malformed, and how."""


def _table(name: str, content: dict[str, Any]) -> Table:
    columns, rows = content.pop("columns", []), content.pop("rows", [])
    _expect_keys("the table", content, Table, besides={"name", "columns", "rows"})
    _expect_one_of("the table", "dataset", content["dataset"], DATASETS)
    _expect_one_of("the table", "flops_convention", content["flops_convention"], [*Convention])
    notes = tuple(content.pop("notes", ()))
    parsed = tuple(_column(index, each, content["dataset"]) for index, each in enumerate(columns, 1))
    if not parsed or not rows:
        raise _Malformed("the table: it needs [[columns]] and [[rows]]")
    keys = {column.key for column in parsed}
    judged = {column.key for column in parsed if column.kind == "error" and column.comparable}
    table = Table(
        name,
        columns=parsed,
        rows=tuple(_row(index, each, keys, judged) for index, each in enumerate(rows, 1)),
        notes=notes,
        **content,
    )
    _check_times(table)
    _check_recipes(table)
    return table


def _check_recipes(table: Table) -> None:
    """Refuse a printed error whose recipe trains on another dataset: its runs would never be found."""
    for each in table.errors():
        if each.recipe and RECIPES[each.recipe].dataset != each.dataset:
            where = f"row {table.rows.index(each.row) + 1} ({each.row.label})"
            raise _Malformed(
                f"{where}: recipe {each.recipe} is for {RECIPES[each.recipe].dataset}, but {each.column.key} is an "
                f"error on {each.dataset}"
            )


def _check_times(table: Table) -> None:
    """Refuse a second column of times, and a reference row without a printed time or a network."""
    if len(table.of_kind("time")) > 1:
        raise _Malformed("the table: two columns are of kind 'time', but a table has at most one")
    if table.time and table.time.reference:
        where = f"column {table.columns.index(table.time) + 1} ({table.time.key})"
        _expect_one_of(where, "reference", table.time.reference, [row.label for row in table.timed()])


def _column(index: int, content: dict[str, Any], dataset: str) -> Column:
    where = f"column {index} ({content.get('key', 'without key')})"
    _expect_keys(where, content, Column)
    _expect_one_of(where, "kind", content["kind"], KINDS)
    if content["kind"] == "error":
        content.setdefault("dataset", dataset)
        _expect_one_of(where, "metric", content.get("metric", "error"), METRICS)
    for key, kind in (("batch", "time"), ("reference", "time"), ("crops", "error"), ("averaged", "error")):
        if key in content and content["kind"] != kind:
            raise _Malformed(f"{where}: {key} belongs to a column of kind {kind!r}, not {content['kind']!r}")
    _expect_known(where, content)
    _check_crops(where, content)
    if content["kind"] == "error" and content.get("comparable", True) and not _is_judged(content):
        raise _Malformed(f"{where}: verdicts need errors in % on a known number of images; set comparable = false")
    return Column(**content)


def _check_crops(where: str, content: dict[str, Any]) -> None:
    """Refuse crops without averaged and vice versa, and values that are not implemented; parse `averaged`."""
    if ("crops" in content) != ("averaged" in content):
        raise _Malformed(f"{where}: crops and averaged go together")
    if "crops" in content:
        _expect_one_of(where, "crops", content["crops"], (TEN,))
        _expect_one_of(where, "averaged", content["averaged"], list(Averaged))
        content["averaged"] = Averaged(content["averaged"])


def _is_judged(content: dict[str, Any]) -> bool:
    return DATASETS[content["dataset"]].test_images > 0 and content.get("metric", "error") in PERCENT


def _row(index: int, content: dict[str, Any], keys: set[str], judged: set[str]) -> Row:
    where = f"row {index} ({content.get('label', 'without label')})"
    _expect_keys(where, content, Row)
    _expect_one_of(where, "model", content.get("model"), [*MODELS, None])
    if content.get("count_only") and ("model" not in content or "recipe" in content):
        raise _Malformed(f"{where}: count_only is for a row with a model and without a recipe")
    _expect_known(where, content)
    for option, value in content.get("options", {}).items():
        _expect_one_of(where, "option", option, MODELS[content["model"]].options if "model" in content else OPTIONS)
        if not isinstance(value, OPTIONS[option][0]) or isinstance(value, bool) != (OPTIONS[option][0] is bool):
            raise _Malformed(f"{where}: option {option} is {value!r}, not of type {OPTIONS[option][0].__name__}")
    cells = content.pop("cells")
    for key, text in cells.items():
        _expect_one_of(where, "cell", key, keys)
        if not isinstance(text, str) or not PRINTED.fullmatch(text):
            raise _Malformed(f'{where}: cell {key} is {text!r}, not a printed number in quotes such as "2.23M"')
        if key in judged and not 0 < Cell(text).value < 100:
            raise _Malformed(f"{where}: cell {key} is {text!r}, but an error in % is between 0 and 100")
    return Row(cells={key: Cell(text) for key, text in cells.items()}, **content)


def _expect_keys(where: str, content: dict[str, Any], kind: type, besides: set[str] | None = None) -> None:
    """Refuse missing, unknown and wrongly typed keys."""
    allowed = {each.name: each for each in fields(kind) if each.name not in (besides or set())}
    for key in content:
        if key not in allowed:
            raise _Malformed(f"{where}: unknown key {key!r}; known: {', '.join(allowed)}")
    for key, each in allowed.items():
        if key not in content and each.default is MISSING and each.default_factory is MISSING:
            raise _Malformed(f"{where}: key {key!r} is missing")
        if key in content and each.type == "str" and not isinstance(content[key], str):
            raise _Malformed(f"{where}: {key} is {content[key]!r}, not a string in quotes")
        if key in content and each.type in ("int", "int | None") and not _is_positive(content[key]):
            raise _Malformed(f"{where}: {key} is {content[key]!r}, not an integer of 1 or more")
        if key in content and each.type == "bool" and not isinstance(content[key], bool):
            raise _Malformed(f"{where}: {key} is {content[key]!r}, neither true nor false")


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _expect_known(where: str, content: dict[str, Any]) -> None:
    """Refuse unknown datasets, recipes and statistics."""
    for key, known in (("dataset", DATASETS), ("recipe", RECIPES), ("statistic", STATISTICS)):
        if key in content:
            _expect_one_of(where, key, content[key], known)


def _expect_one_of(where: str, what: str, value: object, known: Any) -> None:
    if value not in known:
        raise _Malformed(
            f"{where}: {what} {value!r} is unknown; known: {', '.join(str(each) for each in known if each)}"
        )
