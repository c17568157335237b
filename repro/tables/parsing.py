"""The content of a table's file, checked and parsed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from repro.counting.conventions import Convention
from repro.data import DATASETS, DatasetKind, why_unknown
from repro.data.inputs.protocol import ONE_CROP, Protocol
from repro.errors import UserError, WrongFiles
from repro.experiment import PREDICTS
from repro.models import ELSEWHERE, MODELS, OPTIONS, check_layers, find, is_outside
from repro.models.options import EXPECTED
from repro.papers import paper_of
from repro.paths import data_folder
from repro.recipes import RECIPES, Recipe, current_library
from repro.recipes.alternatives import alternatives_of
from repro.tables.cell import PRINTED, UNITS, Cell, repair_of
from repro.tables.checks import Malformed, every, expect_keys, expect_member, expect_one_of, tables_of
from repro.tables.column import Column, ColumnKind, Statistic
from repro.tables.metric import Metric
from repro.tables.printed import PrintedError, Row, Table, where_of

KIND_OF = dict.fromkeys(("batch", "reference"), ColumnKind.TIME) | dict.fromkeys(
    ("protocol", "remark"), ColumnKind.ERROR
)
"""Keys that only columns of one kind have."""


def table_of(file: Path, content: dict[str, Any]) -> Table:
    """Return the table in the content of a file; Malformed with everything that is wrong in it."""
    paper = paper_of(file) or file.parent
    columns, rows = tables_of(content, "columns"), tables_of(content, "rows")
    expect_keys("the table", content, Table, besides={"name", "columns", "rows", "file"}, taken=("columns", "rows"))
    _expect_dataset("the table", content)
    expect_one_of("the table", "flops_convention", content["flops_convention"], [*Convention])
    if not columns or not rows:
        raise Malformed("the table", "it needs [[columns]] and [[rows]]")
    keys = [str(each["key"]) for each in columns if "key" in each]
    if len({*keys}) < len(keys):
        raise Malformed("the table", "two columns have the same key")
    notes = tuple(content.pop("notes", ()))
    parsed, read = _columns_and_rows(columns, rows, content["dataset"], paper)
    table = Table(file.stem, columns=tuple(parsed), rows=tuple(read), notes=notes, file=file, **content)
    _check_labels(table)
    _check_times(table)
    every(table.errors(), lambda _, each: _check_error(table, each))
    return table


def _columns_and_rows(
    columns: list[dict[str, Any]], rows: list[dict[str, Any]], dataset: str, paper: Path
) -> tuple[list[Column], list[Row]]:
    """Return the columns and the rows; Malformed with what is wrong in any of them."""
    kinds = {str(each.get("key")): each.get("kind") for each in columns}
    judged = {
        str(each.get("key"))
        for each in columns
        if each.get("kind") == ColumnKind.ERROR and each.get("comparable", True)
    }
    parts: list[Callable[[], list[Any]]] = [
        lambda: every(columns, lambda index, each: _column(index, each, dataset)),
        lambda: every(rows, lambda index, each: _row(index, each, kinds, judged, paper)),
    ]
    parsed, read = every(parts, lambda _, part: part())
    return parsed, read


def _check_labels(table: Table) -> None:
    """Refuse a row that nothing distinguishes from an earlier one in its label and context."""
    called = [table.called(row) for row in table.rows]
    for index, name in enumerate(called):
        if name in called[:index]:
            raise Malformed(
                table.where(table.rows[index]),
                f"row {called.index(name) + 1} has the same label; add what distinguishes them, or a context column",
            )


def _check_error(table: Table, error: PrintedError) -> None:
    """Refuse a printed error with a protocol, a recipe or a verdict that its own dataset cannot have."""
    where = table.where(error.row)
    if error.row.protocol or error.protocol != ONE_CROP:
        _check_files(where, error.dataset)
    if error.judgeable and (reason := _unjudged(error.column.metric, error.dataset)):
        raise Malformed(where, reason)
    if error.recipe:
        _check_recipe(where, error, RECIPES[error.recipe])


def _check_recipe(where: str, error: PrintedError, recipe: Recipe) -> None:
    """Refuse a printed error whose recipe cannot train its network, or trains on another dataset."""
    if recipe.dataset != error.dataset:
        raise Malformed(
            where,
            f"recipe {error.recipe} is for {recipe.dataset}, but {error.column.key} is an error on {error.dataset}",
        )
    assert error.row.model
    try:
        if is_outside(error.row.model):  # its options are checked when its code has run
            check_layers(error.row.model, recipe.dropout, recipe.auxiliary)
        else:
            error.experiment(0)
    except WrongFiles as wrong:  # of the options
        raise Malformed(where, wrong.mistakes[0].reason) from None
    except UserError as wrong:
        raise Malformed(where, str(wrong)) from None
    for each in alternatives_of(recipe):
        changed = each.of(recipe)
        try:
            check_layers(error.row.model, changed.dropout, changed.auxiliary)
        except UserError as wrong:
            raise Malformed(where, f"the alternative {each.override} of recipe {error.recipe}: {wrong}") from None


def _check_times(table: Table) -> None:
    """Refuse a second column of times, and a reference row without a printed time or a network."""
    if len(table.of_kind(ColumnKind.TIME)) > 1:
        raise Malformed("the table", "two columns are of kind 'time', but a table has at most one")
    if table.time and table.time.reference:
        where = f"column {table.columns.index(table.time) + 1} ({table.time.key})"
        expect_one_of(
            where, "reference", table.time.reference, [row.label for row in table.rows if table.is_timed(row)]
        )


def _column(index: int, content: dict[str, Any], dataset: str) -> Column:
    where = f"column {index} ({content.get('key', 'without key')})"
    expect_keys(where, content, Column)
    content["kind"] = expect_member(where, "kind", content["kind"], ColumnKind)
    if content["kind"] == ColumnKind.ERROR:
        content.setdefault("dataset", dataset)
        content["metric"] = expect_member(where, "metric", content.get("metric", Metric.ERROR), Metric)
    for key, kind in KIND_OF.items():
        if key in content and content["kind"] != kind:
            raise Malformed(where, f"{key} belongs to a column of kind {kind.value!r}, not {content['kind'].value!r}")
    _expect_known(where, content)
    _read_protocol(where, content)
    if "protocol" in content:
        _check_files(where, content["dataset"])
    if content["kind"] == ColumnKind.ERROR:
        _check_errors(where, content)
    return Column(**content)


def _read_protocol(where: str, content: dict[str, Any]) -> None:
    """Replace the protocol of a column or a row by the parsed one."""
    if "protocol" not in content:
        return
    try:
        content["protocol"] = msgspec.convert(content["protocol"], Protocol)
    except msgspec.ValidationError as error:
        raise Malformed(where, f"protocol: {error}") from None


def _check_files(where: str, dataset: str) -> None:
    """Refuse a protocol of images that are shown whole."""
    if DATASETS[dataset].kind is not DatasetKind.IMAGE_FILES:
        raise Malformed(where, f"protocol is for image files; the images of {dataset} are shown whole")


def _check_errors(where: str, content: Mapping[str, Any]) -> None:
    """Refuse a column of errors that runs do not measure, or that can have no verdict but is to have one."""
    metric, data = content["metric"], DATASETS[content["dataset"]]
    if data.declaration and metric == Metric.ERROR5 and data.classes <= 5:
        reason = (
            f"the top-5 error on the {data.classes} classes of {content['dataset']} is always 0 and is not measured"
        )
        raise Malformed(where, f'{reason}; set kind = "context"')
    if content.get("comparable", True) and (reason := _unjudged(metric, content["dataset"])):
        raise Malformed(where, reason)


def _unjudged(metric: Metric, dataset: str) -> str:
    """Return why errors can have no verdict, and what to do; empty if they can have one."""
    needed, data = "verdicts need errors in % on a known number of images", DATASETS[dataset]
    if not metric.judged:
        return f"{needed}, and {metric} is not such an error; set comparable = false"
    if data.kind in PREDICTS:
        return f"{needed}, and a network on {dataset} {PREDICTS[data.kind]}; set comparable = false"
    if data.test_images:
        return ""
    assert data.declaration
    return (
        f"verdicts need the number of test images, and no test images of {dataset} are in {data_folder()}; "
        "put them there, name their folder with $REPRO_DATA (or --data where the command has it), or "
        f"declare test_images in {data.declaration.file}"
    )


def _row(index: int, content: dict[str, Any], kinds: Mapping[str, object], judged: set[str], paper: Path) -> Row:
    where = where_of(index, content.get("label", "without label"))
    expect_keys(where, content, Row, besides={"replications"})
    _find_outside(where, content, paper)
    if not is_outside(content.get("model")):
        expect_one_of(where, "model", content.get("model"), [*MODELS, None], ELSEWHERE)
    if content.get("count_only") and ("model" not in content or "recipe" in content):
        raise Malformed(where, "count_only is for a row with a model and without a recipe")
    if content.get("options") and "model" not in content:
        raise Malformed(where, "options belongs to a row with a network; add model")
    _expect_known(where, content)
    for option, value in content.get("options", {}).items():
        if is_outside(content.get("model")):  # whether it has this option is checked when its code has run
            if not isinstance(value, bool | int | float | str):
                raise Malformed(where, f"option {option} is {value!r}, but it must be a number, text, true or false")
            continue
        expect_one_of(where, "option", option, MODELS[content["model"]].options)
        kind = OPTIONS[option][0]
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
            point = " with a point, such as 2.0" if kind is float else ""
            raise Malformed(where, f"option {option} is {value!r}, but it must be {EXPECTED[kind]}{point}")
    _read_protocol(where, content)
    cells = content.pop("cells")
    for key, text in cells.items():
        expect_one_of(where, "cell", key, kinds)
        if not isinstance(text, str) or not PRINTED.fullmatch(text):
            raise Malformed(where, f"cell {key} is {text!r}, not a printed number; {repair_of(text)}")
        if kinds[key] == ColumnKind.ERROR and text[-1] in UNITS:
            raise Malformed(where, f"cell {key} is {text!r}, but an error has no unit; write the number alone")
        if kinds[key] == ColumnKind.TIME and not Cell(text).value:
            raise Malformed(where, f"cell {key} is {text!r}, but a time is above 0; leave the cell out")
        if key in judged and not 0 < Cell(text).value < 100:
            reason = "but an error with a verdict is above 0 and below 100 %; correct it, or set comparable = false"
            raise Malformed(where, f"cell {key} is {text!r}, {reason}")
    return Row(cells={key: Cell(text) for key, text in cells.items()}, **content)


def _find_outside(where: str, content: dict[str, Any], paper: Path) -> None:
    """Replace a network from outside the package, which is relative to the paper's folder, by its name."""
    if is_outside(content.get("model")):
        try:
            content["model"] = find(content["model"], [paper])
        except UserError as error:
            raise Malformed(where, f"model: {error}") from None


def _expect_known(where: str, content: dict[str, Any]) -> None:
    """Refuse unknown datasets, recipes and statistics, recipes that no network can follow, and one beside no_recipe."""
    if "recipe" in content and "no_recipe" in content:
        raise Malformed(where, "recipe and no_recipe exclude each other; leave one of them out")
    if (name := content.get("recipe")) and name not in RECIPES:
        reading = current_library().reading
        if name in reading.abstract:
            raise Malformed(where, f"recipe {name} is abstract; name one that extends it")
        if name in reading.names:
            raise Malformed(where, f"recipe {name} has an error; correct it first")
    _expect_dataset(where, content)
    if "recipe" in content:
        expect_one_of(where, "recipe", content["recipe"], RECIPES)
    if "statistic" in content:
        content["statistic"] = expect_member(where, "statistic", content["statistic"], Statistic)


def _expect_dataset(where: str, content: dict[str, Any]) -> None:
    """Refuse a dataset that is not declared, or wrongly."""
    if "dataset" in content and content["dataset"] not in DATASETS:
        raise Malformed(where, why_unknown(content["dataset"]))
