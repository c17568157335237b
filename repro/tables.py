"""The papers' tables as data: tables/*.toml, read and checked. Standard library alone.

A table has columns and rows; a row's cells are the printed strings, whose digits are the precision.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from repro.counting.conventions import CONVENTIONS
from repro.data import DATASETS
from repro.data.crops import TEN, Averaged
from repro.errors import UserError
from repro.models import MODELS, OPTIONS, OptionValue, resolve_options
from repro.recipes import RECIPES
from repro.text import choose

KINDS = ("params", "flops", "error", "time", "context")
METRICS = ("error", "error5", "iou", "isbi_pixel", "isbi_rand")
PERCENT = ("error", "error5")
"""The metrics in %, which are judged."""
STATISTICS = ("last", "median", "mean", "best")
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
PRINTED = re.compile(r"(\d+(?:\.\d+)?)([kMG]?)")


@dataclass(frozen=True)
class Cell:
    """A printed number, digits and unit as printed."""

    text: str

    @property
    def value(self) -> Decimal:
        """The printed number without its unit."""
        match = PRINTED.fullmatch(self.text)
        assert match
        return Decimal(match[1])

    @property
    def half_unit(self) -> float:
        """Half a unit of the last printed digit."""
        exponent = self.value.as_tuple().exponent
        assert isinstance(exponent, int)
        return 0.5 * 10.0**exponent

    def matches(self, exact: int) -> bool:
        """Whether an exact count, rounded to the printed digits, is the printed number."""
        match = PRINTED.fullmatch(self.text)
        assert match
        scaled = Decimal(exact) / UNITS[match[2]]
        return scaled.quantize(self.value, ROUND_HALF_UP) == self.value

    def like(self, exact: int) -> str:
        """Return an exact count with the digits and the unit of this cell."""
        match = PRINTED.fullmatch(self.text)
        assert match
        scaled = Decimal(exact) / UNITS[match[2]]
        return f"{scaled.quantize(self.value, ROUND_HALF_UP)}{match[2]}"


@dataclass(frozen=True)
class Column:
    """One printed column, and how its numbers came about."""

    key: str
    label: str
    kind: str
    """One of KINDS: what we put beside the printed cell."""
    metric: str = "error"
    """For errors: one of METRICS, the figure of a record, in % or as a record has it."""
    dataset: str | None = None
    """For errors: the data set; a table's own unless the column says otherwise."""
    recipe: str | None = None
    """For errors: the recipe; a row may have its own."""
    statistic: str = "last"
    """Of the runs behind a printed cell."""
    runs: int | None = None
    """How many runs are behind a printed cell; None where the paper does not say, which is taken as one."""
    protocol: str = ""
    """How the test images are shown to the network."""
    crops: int | None = None
    """For errors: the crops of a test image over which a prediction is averaged; None where nothing is averaged."""
    averaged: Averaged | None = None
    """What is averaged over the crops."""
    comparable: bool = True
    """False where ours are tested on other images than the paper's, so that both are shown and none is judged."""
    batch: int | None = None
    """For times: the images of a step; the recipe's unless given."""
    reference: str | None = None
    """For times: the label of the row whose time is 1.00; the first row with a printed time and a network."""


@dataclass(frozen=True)
class Row:
    """One printed line: a network, its options, and the printed cells by column."""

    label: str
    cells: Mapping[str, Cell]
    model: str | None = None
    """None for a row that the paper quotes from elsewhere."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    dataset: str | None = None
    """Where it differs from the table's and the column's; likewise the next three."""
    recipe: str | None = None
    statistic: str | None = None
    runs: int | None = None
    count_only: bool = False
    """True where none of the columns' recipes is behind the row's errors, such as quoted ones: the network is counted
    and the errors are not measured."""


@dataclass(frozen=True)
class Table:
    """One printed table."""

    name: str
    title: str
    caption: str
    paper: str
    source: str
    dataset: str
    flops_convention: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    unselected: tuple[Row, ...] = ()
    """Rows that are not to be shown; they are judged with the others."""

    @cached_property
    def column(self) -> Mapping[str, Column]:
        """The columns by key."""
        return {column.key: column for column in self.columns}

    def of_kind(self, kind: str) -> list[Column]:
        """Return the columns of one kind."""
        return [column for column in self.columns if column.kind == kind]

    def called(self, row: Row) -> str:
        """Return a row's label, with what tells it from rows of the same label."""
        if [each.label for each in (*self.rows, *self.unselected)].count(row.label) == 1:
            return row.label
        context = [f"{c.label} {row.cells[c.key].text}" for c in self.of_kind("context") if c.key in row.cells]
        return ", ".join([row.label, *context])

    @property
    def time(self) -> Column | None:
        """The column of times, if the table prints them."""
        return next(iter(self.of_kind("time")), None)

    @property
    def timed(self) -> list[Row]:
        """The rows with a printed time and a network."""
        return [row for row in self.rows if self.time and row.model and self.time.key in row.cells]

    @property
    def reference(self) -> Row | None:
        """The row to whose time the others' are ratios; of a selection without it, the first row with a time."""
        named = [row for row in self.timed if self.time and row.label == self.time.reference]
        return next(iter([*named, *self.timed]), None)

    def options(self, row: Row) -> dict[str, OptionValue]:
        """Return every option of a row's network, defaults included."""
        assert row.model
        return resolve_options(row.model, row.options, row.dataset or self.dataset)

    def recipe(self, row: Row, column: Column) -> str | None:
        """Return the name of the recipe behind a cell of errors, if there is one here."""
        return None if row.count_only else row.recipe or column.recipe

    def statistic(self, row: Row, column: Column) -> tuple[str, int]:
        """Return the statistic behind a cell of errors, and of how many runs it is."""
        return row.statistic or column.statistic, row.runs or column.runs or 1


def tables_folder() -> Path:
    """Return the folder of the tables: inside the package when installed from a wheel, else beside it."""
    package = Path(__file__).parent
    inside = package / "shipped" / "tables"
    return inside if inside.is_dir() else package.parent / "tables"


def table_names() -> list[str]:
    """Return the names of the tables."""
    return sorted(path.stem for path in tables_folder().glob("*.toml"))


def read_table(name: str) -> Table:
    """Return the table that `name` spells.

    Raises:
        UserError: no such table, with the nearest name; or a malformed file, with file, row and reason.
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
    """Where in a table file something is wrong, and what."""


def _table(name: str, content: dict[str, Any]) -> Table:
    columns, rows = content.pop("columns", []), content.pop("rows", [])
    _expect_keys("the table", content, Table, besides={"name", "columns", "rows", "unselected"})
    _expect_one_of("the table", "dataset", content["dataset"], DATASETS)
    _expect_one_of("the table", "flops_convention", content["flops_convention"], CONVENTIONS)
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
    return table


def _check_times(table: Table) -> None:
    """Refuse a second column of times, and ratios to a row that has no printed time or no network."""
    if len(table.of_kind("time")) > 1:
        raise _Malformed("the table: two columns are of kind 'time', and one at most is compared")
    if table.time and table.time.reference:
        where = f"column {table.columns.index(table.time) + 1} ({table.time.key})"
        _expect_one_of(where, "reference", table.time.reference, [row.label for row in table.timed])


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
        raise _Malformed(f"{where}: only errors in % on a known number of images are judged; say comparable = false")
    return Column(**content)


def _check_crops(where: str, content: dict[str, Any]) -> None:
    """Refuse one of crops and averaged without the other, and values that no test here has; parse `averaged`."""
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
            raise _Malformed(f"{where}: cell {key} is {text!r}, and an error that is judged lies between 0 and 100 %")
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
    """Refuse recipes and statistics that there are not."""
    for key, known in (("dataset", DATASETS), ("recipe", RECIPES), ("statistic", STATISTICS)):
        if key in content:
            _expect_one_of(where, key, content[key], known)


def _expect_one_of(where: str, what: str, value: object, known: Any) -> None:
    if value not in known:
        raise _Malformed(
            f"{where}: {what} {value!r} is unknown; known: {', '.join(str(each) for each in known if each)}"
        )
