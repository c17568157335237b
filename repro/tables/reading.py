"""The reader of tables: TOML files. For a malformed file, the error names file, row and reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from repro.counting.conventions import Convention
from repro.data import DATASETS
from repro.data.crops import TEN, Averaged
from repro.errors import UserError
from repro.models import MODELS, OPTIONS, find, is_outside
from repro.papers import paper_of
from repro.recipes import RECIPES, current_library
from repro.tables.checks import Malformed, expect_keys, expect_one_of, tables_of
from repro.tables.printed import KINDS, METRICS, PERCENT, PRINTED, STATISTICS, Cell, Column, Row, Table
from repro.text import canonical, choose


def table_names() -> list[str]:
    """Return the names of the tables of the current library."""
    return list(current_library().tables)


def check_tables() -> None:
    """Read every table of the current library that is not shipped; UserError if one is malformed."""
    library = current_library()
    for file in library.tables.values():
        if library.origin(file):
            parse_table(file)


def shipped_tables() -> list[Table]:
    """Return the tables that come with the program."""
    library = current_library()
    return [parse_table(file) for file in library.tables.values() if not library.origin(file)]


def read_table(name: str) -> Table:
    """Return a table of the current library by its name, in any spelling, or the table in a file.

    Raises:
        UserError: there is no such table, its file is malformed, or the library has another table of the file's name.
    """
    tables, path = current_library().tables, Path(name)
    if path.suffix != ".toml" and len(path.parts) <= 1:
        return parse_table(tables[choose("table", name, tables)])
    table = parse_table(path)
    for each in tables.values():
        if canonical(each.stem) == canonical(table.name) and not each.samefile(path):
            raise UserError(f"{path}: {each} already is a table of that name; rename one of them")
    return table


def parse_table(path: Path) -> Table:
    """Return the table of one file; UserError with file, row and reason when it is malformed."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from None
    try:
        return _table(path, content)
    except (Malformed, UserError) as error:
        raise UserError(f"{path}: {error}") from error


def _table(file: Path, content: dict[str, Any]) -> Table:
    paper = paper_of(file) or file.parent
    columns, rows = tables_of(content, "columns"), tables_of(content, "rows")
    expect_keys("the table", content, Table, besides={"name", "columns", "rows", "file"})
    expect_one_of("the table", "dataset", content["dataset"], DATASETS)
    expect_one_of("the table", "flops_convention", content["flops_convention"], [*Convention])
    notes = tuple(content.pop("notes", ()))
    for index, each in enumerate(rows, 1):
        _find_outside(f"row {index} ({each.get('label', 'without label')})", each, paper)
    parsed = tuple(_column(index, each, content["dataset"]) for index, each in enumerate(columns, 1))
    if not parsed or not rows:
        raise Malformed("the table: it needs [[columns]] and [[rows]]")
    keys = {column.key for column in parsed}
    if len(keys) < len(parsed):
        raise Malformed("the table: two columns have the same key")
    judged = {column.key for column in parsed if column.kind == "error" and column.comparable}
    table = Table(
        file.stem,
        columns=parsed,
        rows=tuple(_row(index, each, keys, judged) for index, each in enumerate(rows, 1)),
        notes=notes,
        file=file,
        **content,
    )
    _check_times(table)
    _check_recipes(table)
    return table


def _check_recipes(table: Table) -> None:
    """Refuse a printed error whose recipe cannot train its network, or trains on another dataset."""
    for each in table.errors():
        where = f"row {table.rows.index(each.row) + 1} ({each.row.label})"
        if each.recipe and RECIPES[each.recipe].dataset != each.dataset:
            raise Malformed(
                f"{where}: recipe {each.recipe} is for {RECIPES[each.recipe].dataset}, but {each.column.key} is an "
                f"error on {each.dataset}"
            )
        if each.recipe and not is_outside(each.row.model):
            try:
                each.experiment(0)
            except UserError as error:
                raise Malformed(f"{where}: {error}") from None


def _check_times(table: Table) -> None:
    """Refuse a second column of times, and a reference row without a printed time or a network."""
    if len(table.of_kind("time")) > 1:
        raise Malformed("the table: two columns are of kind 'time', but a table has at most one")
    if table.time and table.time.reference:
        where = f"column {table.columns.index(table.time) + 1} ({table.time.key})"
        expect_one_of(where, "reference", table.time.reference, [row.label for row in table.timed()])


def _column(index: int, content: dict[str, Any], dataset: str) -> Column:
    where = f"column {index} ({content.get('key', 'without key')})"
    expect_keys(where, content, Column)
    expect_one_of(where, "kind", content["kind"], KINDS)
    if content["kind"] == "error":
        content.setdefault("dataset", dataset)
        expect_one_of(where, "metric", content.get("metric", "error"), METRICS)
    for key, kind in (("batch", "time"), ("reference", "time"), ("crops", "error"), ("averaged", "error")):
        if key in content and content["kind"] != kind:
            raise Malformed(f"{where}: {key} belongs to a column of kind {kind!r}, not {content['kind']!r}")
    _expect_known(where, content)
    _check_crops(where, content)
    if content["kind"] == "error" and content.get("comparable", True) and not _is_judged(content):
        raise Malformed(f"{where}: verdicts need errors in % on a known number of images; set comparable = false")
    return Column(**content)


def _check_crops(where: str, content: dict[str, Any]) -> None:
    """Refuse crops without averaged and vice versa, and values that are not implemented; parse `averaged`."""
    if ("crops" in content) != ("averaged" in content):
        raise Malformed(f"{where}: crops and averaged go together")
    if "crops" in content:
        expect_one_of(where, "crops", content["crops"], (TEN,))
        expect_one_of(where, "averaged", content["averaged"], list(Averaged))
        content["averaged"] = Averaged(content["averaged"])


def _is_judged(content: dict[str, Any]) -> bool:
    return DATASETS[content["dataset"]].test_images > 0 and content.get("metric", "error") in PERCENT


def _row(index: int, content: dict[str, Any], keys: set[str], judged: set[str]) -> Row:
    where = f"row {index} ({content.get('label', 'without label')})"
    expect_keys(where, content, Row)
    if not is_outside(content.get("model")):
        expect_one_of(where, "model", content.get("model"), [*MODELS, None])
    if content.get("count_only") and ("model" not in content or "recipe" in content):
        raise Malformed(f"{where}: count_only is for a row with a model and without a recipe")
    _expect_known(where, content)
    for option, value in content.get("options", {}).items():
        if is_outside(content.get("model")):  # its options are checked when its code has run
            continue
        expect_one_of(where, "option", option, MODELS[content["model"]].options if "model" in content else OPTIONS)
        if not isinstance(value, OPTIONS[option][0]) or isinstance(value, bool) != (OPTIONS[option][0] is bool):
            raise Malformed(f"{where}: option {option} is {value!r}, not of type {OPTIONS[option][0].__name__}")
    cells = content.pop("cells")
    for key, text in cells.items():
        expect_one_of(where, "cell", key, keys)
        if not isinstance(text, str) or not PRINTED.fullmatch(text):
            raise Malformed(f'{where}: cell {key} is {text!r}, not a printed number in quotes such as "2.23M"')
        if key in judged and not 0 < Cell(text).value < 100:
            raise Malformed(f"{where}: cell {key} is {text!r}, but an error in % is between 0 and 100")
    return Row(cells={key: Cell(text) for key, text in cells.items()}, **content)


def _find_outside(where: str, content: dict[str, Any], paper: Path) -> None:
    """Replace a network from outside the package, which is relative to the paper's folder, by its name."""
    if isinstance(content.get("model"), str) and is_outside(content["model"]):
        try:
            content["model"] = find(content["model"], [paper])
        except UserError as error:
            raise Malformed(f"{where}: model: {error}") from None


def _expect_known(where: str, content: dict[str, Any]) -> None:
    """Refuse unknown datasets, recipes and statistics."""
    for key, known in (("dataset", DATASETS), ("recipe", RECIPES), ("statistic", STATISTICS)):
        if key in content:
            expect_one_of(where, key, content[key], known)
