"""Comparisons and their summary as DataFrames, with exact figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repro.comparison.verdict import Verdict
from repro.frames import Columns, Dtype, frame_of
from repro.report.content import Content
from repro.report.grid import Grid
from repro.report.replications import ranges
from repro.report.view import View
from repro.tables import Column, ColumnKind
from repro.tables.column import OTHERS, WEIGHTS

if TYPE_CHECKING:
    from pandas import DataFrame

PRINTED = {"row": Dtype.TEXT, "model": Dtype.TEXT, "options": Dtype.OBJECT}
"""The first columns of a table; `verdict` is the last one."""
ERROR = {
    "ours": Dtype.NUMBER,
    "statistic": Dtype.TEXT,
    "n": Dtype.INTEGER,
    "std": Dtype.NUMBER,
    "difference": Dtype.NUMBER,
    "margin": Dtype.NUMBER,
    "verdict": Dtype.TEXT,
}
FIGURES: Mapping[str, Columns] = {
    "params": {"ours": Dtype.INTEGER, "matches": Dtype.FLAG},
    "flops": {"ours": Dtype.INTEGER, "matches": Dtype.FLAG},
    "error": ERROR,
    "time": {"published_ratio": Dtype.NUMBER, "ours": Dtype.NUMBER, "ours_ratio": Dtype.NUMBER, "device": Dtype.TEXT},
}
"""The columns with our figures, by the kind of a printed column; each begins with the key of the printed column."""
RANGE = {"n": Dtype.INTEGER, "lowest": Dtype.NUMBER, "highest": Dtype.NUMBER}
"""The number and the range of the evidence of others on a printed error."""
EVIDENCE: Mapping[str, Columns] = {
    of: {f"{of}_{name}": kind for name, kind in RANGE.items()} for of in (OTHERS, WEIGHTS)
}
"""The columns with the evidence of others, by what is chosen; each begins with the key of a printed error."""
KEYS = {"error": {"ours": "value"}, "time": {"ours": "seconds", "ours_ratio": "ratio"}}
"""The keys of our figures in the data of a line, where they differ."""
SUMMARY = {
    "table": Dtype.TEXT,
    "paper": Dtype.TEXT,
    "caption": Dtype.TEXT,
    "counts": Dtype.INTEGER,
    "counts_right": Dtype.INTEGER,
    "errors": Dtype.INTEGER,
    "errors_measured": Dtype.INTEGER,
    "errors_without_recipe": Dtype.INTEGER,
}
"""The first columns of the summary; a column for each verdict follows."""


def table_frame(content: Content) -> DataFrame:
    """Return a table, a row for each printed row; printed cells are the printed strings."""
    view, printed = content.view, content.table.columns
    columns = {**PRINTED, **{name: kind for each in printed for name, kind in _columns(each, view).items()}}
    last = {"verdict": Dtype.TEXT} if view.has("verdict") else {}
    return frame_of((_row(line.data, printed) for line in content.grid.lines), columns | last)


def summary_frame(summary: Grid) -> DataFrame:
    """Return the summary of tables, a row for each table; the columns of the verdicts count errors."""
    judged = [each.value for each in Verdict if each.judged]
    lines = ({**line.data, **{each: line.data["verdicts"].get(each, 0) for each in judged}} for line in summary.lines)
    return frame_of(lines, SUMMARY | dict.fromkeys(judged, Dtype.INTEGER))


def _columns(column: Column, view: View) -> Columns:
    """Return the columns for a printed column, as far as they are shown."""
    own = {"published": Dtype.TEXT, **FIGURES.get(column.kind, {})} if view.shows(column.key) else {}
    of_error = EVIDENCE if column.kind == ColumnKind.ERROR else {}
    evidence = (names for of, names in of_error.items() if view.shows_of(of, column.key))
    return {f"{column.key}_{name}": kind for names in (own, *evidence) for name, kind in names.items()}


def _row(data: Mapping[str, Any], columns: tuple[Column, ...]) -> dict[str, Any]:
    row = {**data, "row": data["name"]} | ({"verdict": data["verdict"].value} if data.get("verdict") else {})
    for column in columns:
        row[f"{column.key}_published"] = data["published"].get(column.key)
        figures = {**_figures(data, column), **ranges(data, column.key)}
        row |= {f"{column.key}_{name}": figure for name, figure in figures.items()}
    return row


def _figures(data: Mapping[str, Any], column: Column) -> dict[str, Any]:
    """Return our figures for a printed column, by the names of their columns."""
    measured = data["measured"].get(column.key)
    if measured is None:
        return {}
    if column.kind not in KEYS:
        return {"ours": measured, "matches": data["matches"][column.key]}
    return {name: measured[KEYS[column.kind].get(name, name)] for name in FIGURES[column.kind]}
