"""The content of a table's file, checked and parsed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from repro.counting.conventions import Convention
from repro.data import DATASETS, DatasetKind, why_unknown
from repro.data.inputs.protocol import ONE_CROP, Protocol
from repro.errors import Mistake, Place, UserError, collecting, refuse
from repro.experiment import PREDICTS
from repro.models import ELSEWHERE, MODELS, OPTIONS, find, is_outside
from repro.models.options import EXPECTED
from repro.papers import paper_of
from repro.paths import data_folder
from repro.recipes import RECIPES, current_library
from repro.tables.cell import PRINTED, UNITS, Cell, repair_of
from repro.tables.checks import expect_keys, expect_member, expect_one_of, tables_of
from repro.tables.column import NOT_PRINTED, Column, ColumnKind, Statistic
from repro.tables.metric import Metric
from repro.tables.printed import PrintedError, Row, Table, where_of
from repro.tables.recipe_checks import check_recipe
from repro.text import canonical, one_of

NAMES = ("key", "label")
"""The keys of a column by either of which `--columns` names it."""
KINDS_OF = {
    **dict.fromkeys(("batch", "reference"), (ColumnKind.TIME,)),
    "protocol": (ColumnKind.ERROR,),
    "remark": (ColumnKind.ERROR, ColumnKind.PARAMS, ColumnKind.FLOPS),
}
"""Keys that only columns of some kinds have."""
KINDS_WITH = {
    Metric.ERROR5: (DatasetKind.IN_MEMORY, DatasetKind.IMAGE_FILES),
    **dict.fromkeys((Metric.IOU, Metric.ISBI_PIXEL, Metric.ISBI_RAND), (DatasetKind.SEGMENTATION,)),
    **dict.fromkeys((Metric.AP, Metric.AP50), (DatasetKind.DETECTION,)),
}
"""The kinds of datasets on which runs measure a metric; the error is measured on all."""


def table_of(file: Path, content: dict[str, Any]) -> Table:
    """Return the table in the content of a file; WrongFiles with everything that is wrong in it."""
    place = Place(file, "the table")
    columns, rows = tables_of(place, content, "columns"), tables_of(place, content, "rows")
    expect_keys(place, content, Table, besides={"name", "columns", "rows", "file"}, taken=("columns", "rows"))
    _expect_dataset(place, content)
    content["flops_convention"] = expect_member(place, "flops_convention", content["flops_convention"], Convention)
    if not columns or not rows:
        raise place.refused("it needs [[columns]] and [[rows]]")
    _check_names(place, columns)
    notes = tuple(content.pop("notes", ()))
    parsed, read = _columns_and_rows(file, columns, rows, content["dataset"])
    table = Table(file.stem, columns=tuple(parsed), rows=tuple(read), notes=notes, file=file, **content)
    _check_labels(table)
    _check_times(place, table)
    mistakes = list[Mistake]()
    for each in table.errors():
        with collecting(mistakes):
            _check_error(table, each)
    refuse(mistakes)
    return table


def _columns_and_rows(
    file: Path, columns: list[dict[str, Any]], rows: list[dict[str, Any]], dataset: str
) -> tuple[list[Column], list[Row]]:
    """Return the columns and the rows; WrongFiles with what is wrong in any of them."""
    kinds = {str(each.get("key")): each.get("kind") for each in columns}
    judged = {
        str(each.get("key"))
        for each in columns
        if each.get("kind") == ColumnKind.ERROR and each.get("comparable", True)
    }
    mistakes, parsed, read = list[Mistake](), list[Column](), list[Row]()
    for index, each in enumerate(columns, 1):
        with collecting(mistakes):
            place = Place(file, f"column {index} ({each.get('key', 'without key')})")
            parsed.append(_column(place, each, dataset))
    for index, each in enumerate(rows, 1):
        with collecting(mistakes):
            place = Place(file, where_of(index, each.get("label", "without label")))
            read.append(_row(place, each, kinds, judged))
    refuse(mistakes)
    return parsed, read


def _check_names(place: Place, columns: list[dict[str, Any]]) -> None:
    """Refuse two columns with the same key or the same label."""
    for name in NAMES:
        given = [str(each[name]) for each in columns if name in each]
        if len({*given}) < len(given):
            raise place.refused(f"two columns have the same {name}; change one of them")


def _check_labels(table: Table) -> None:
    """Refuse a row that nothing distinguishes from an earlier one in its label and context."""
    called = [table.called(row) for row in table.rows]
    for index, name in enumerate(called):
        if name in called[:index]:
            raise table.place(table.rows[index]).refused(
                f"row {called.index(name) + 1} has the same label; add what distinguishes them, or a context column",
            )


def _check_error(table: Table, error: PrintedError) -> None:
    """Refuse a printed error with a protocol, a recipe or a verdict that its own dataset cannot have."""
    place = table.place(error.row)
    if error.row.protocol or error.protocol != ONE_CROP:
        _check_files(place, error.dataset)
    if error.recipe and (reason := _unmeasured(error.column.metric, error.dataset)):
        raise place.refused(f"{reason}; leave out its cell, or its recipe")
    if error.judgeable and (reason := _unjudged(error.column.metric, error.dataset)):
        raise place.refused(reason)
    if error.recipe:
        check_recipe(place, error, RECIPES[error.recipe])


def _check_times(place: Place, table: Table) -> None:
    """Refuse a second column of times, and a reference row without a printed time or a network."""
    if len(table.of_kind(ColumnKind.TIME)) > 1:
        raise place.refused("two columns are of kind 'time', but a table has at most one")
    if table.time and table.time.reference:
        where = Place(place.file, f"column {table.columns.index(table.time) + 1} ({table.time.key})")
        expect_one_of(
            where, "reference", table.time.reference, [row.label for row in table.rows if table.is_timed(row)]
        )


def _column(place: Place, content: dict[str, Any], dataset: str) -> Column:
    expect_keys(place, content, Column)
    content["kind"] = expect_member(place, "kind", content["kind"], ColumnKind)
    if content["kind"] == ColumnKind.ERROR:
        content.setdefault("dataset", dataset)
        content["metric"] = expect_member(place, "metric", content.get("metric", Metric.ERROR), Metric)
    for key, kinds in KINDS_OF.items():
        if key in content and content["kind"] not in kinds:
            wanted = one_of([repr(each.value) for each in kinds])
            raise place.refused(f"{key} belongs to a column of kind {wanted}, not {content['kind'].value!r}")
    for name in NAMES:
        if canonical(content[name]) in NOT_PRINTED:
            meant = f"by which --columns means a column that no paper prints; choose another {name}"
            raise place.refused(f"{name} is {content[name]!r}, {meant}")
    _expect_known(place, content)
    _read_protocol(place, content)
    if "protocol" in content:
        _check_files(place, content["dataset"])
    if content["kind"] == ColumnKind.ERROR:
        _check_errors(place, content)
    return Column(**content)


def _read_protocol(place: Place, content: dict[str, Any]) -> None:
    """Replace the protocol of a column or a row by the parsed one."""
    if "protocol" not in content:
        return
    try:
        content["protocol"] = msgspec.convert(content["protocol"], Protocol)
    except msgspec.ValidationError as error:
        raise place.refused(f"protocol: {error}") from None


def _check_files(place: Place, dataset: str) -> None:
    """Refuse a protocol of images that are shown whole."""
    if DATASETS[dataset].kind is not DatasetKind.IMAGE_FILES:
        raise place.refused(f"protocol is for image files; the images of {dataset} are shown whole")


def _check_errors(place: Place, content: Mapping[str, Any]) -> None:
    """Refuse a column of errors that runs do not measure, or that can have no verdict but is to have one."""
    metric, dataset = content["metric"], content["dataset"]
    if reason := _unmeasured(metric, dataset):
        raise place.refused(f'{reason}; set kind = "context"')
    if content.get("comparable", True) and (reason := _unjudged(metric, dataset)):
        raise place.refused(reason)


def _unmeasured(metric: Metric, dataset: str) -> str:
    """Return why runs do not measure a metric on a dataset; empty if they do."""
    data = DATASETS[dataset]
    if data.kind not in KINDS_WITH.get(metric, DatasetKind):
        return f"{metric} is not measured on {dataset}"
    if data.declaration and metric == Metric.ERROR5 and data.classes <= 5:
        return f"the top-5 error on the {data.classes} classes of {dataset} is always 0 and is not measured"
    return ""


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


def _row(place: Place, content: dict[str, Any], kinds: Mapping[str, object], judged: set[str]) -> Row:
    expect_keys(place, content, Row, besides={"replications"})
    _find_outside(place, content)
    if not is_outside(content.get("model")):
        expect_one_of(place, "model", content.get("model"), [*MODELS, None], ELSEWHERE)
    if content.get("count_only") and ("model" not in content or "recipe" in content):
        raise place.refused("count_only is for a row with a model and without a recipe")
    if content.get("options") and "model" not in content:
        raise place.refused("options belongs to a row with a network; add model")
    _expect_known(place, content)
    for option, value in content.get("options", {}).items():
        if is_outside(content.get("model")):  # whether it has this option is checked when its code has run
            if not isinstance(value, bool | int | float | str):
                raise place.refused(f"option {option} is {value!r}, but it must be a number, text, true or false")
            continue
        expect_one_of(place, "option", option, MODELS[content["model"]].options)
        kind = OPTIONS[option][0]
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
            point = " with a point, such as 2.0" if kind is float else ""
            raise place.refused(f"option {option} is {value!r}, but it must be {EXPECTED[kind]}{point}")
    _read_protocol(place, content)
    cells = content.pop("cells")
    for key, text in cells.items():
        expect_one_of(place, "cell", key, kinds)
        if not isinstance(text, str) or not PRINTED.fullmatch(text):
            raise place.refused(f"cell {key} is {text!r}, not a printed number; {repair_of(text)}")
        if kinds[key] == ColumnKind.ERROR and text[-1] in UNITS:
            raise place.refused(f"cell {key} is {text!r}, but an error has no unit; write the number alone")
        if kinds[key] == ColumnKind.TIME and not Cell(text).value:
            raise place.refused(f"cell {key} is {text!r}, but a time is above 0; leave the cell out")
        if key in judged and not 0 < Cell(text).value < 100:
            reason = "but an error with a verdict is above 0 and below 100 %; correct it, or set comparable = false"
            raise place.refused(f"cell {key} is {text!r}, {reason}")
    return Row(cells={key: Cell(text) for key, text in cells.items()}, **content)


def _find_outside(place: Place, content: dict[str, Any]) -> None:
    """Replace a network from outside the package, which is relative to the paper's folder, by its name."""
    if is_outside(content.get("model")):
        try:
            content["model"] = find(content["model"], [paper_of(place.file) or place.file.parent])
        except UserError as error:
            raise place.refused(f"model: {error}") from None


def _expect_known(place: Place, content: dict[str, Any]) -> None:
    """Refuse unknown datasets, recipes and statistics, recipes that no network can follow, and one beside no_recipe."""
    if "recipe" in content and "no_recipe" in content:
        raise place.refused("recipe and no_recipe exclude each other; leave one of them out")
    if (name := content.get("recipe")) and name not in RECIPES:
        reading = current_library().reading
        if name in reading.abstract:
            raise place.refused(f"recipe {name} is abstract; name one that extends it")
        if name in reading.names:
            raise place.refused(f"recipe {name} has an error; correct it first")
    _expect_dataset(place, content)
    if "recipe" in content:
        expect_one_of(place, "recipe", content["recipe"], RECIPES)
    if "statistic" in content:
        content["statistic"] = expect_member(place, "statistic", content["statistic"], Statistic)


def _expect_dataset(place: Place, content: dict[str, Any]) -> None:
    """Refuse a dataset that is not declared, or wrongly."""
    if "dataset" in content and content["dataset"] not in DATASETS:
        raise place.refused(why_unknown(content["dataset"]))
