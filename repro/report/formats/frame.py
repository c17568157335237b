"""Comparisons and their summary as DataFrames, with exact figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repro.comparison.verdict import Verdict
from repro.frames import Columns, Dtype, frame_of
from repro.report.content import Content
from repro.report.grid import Grid
from repro.tables import Column

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
    printed = tuple(each for each in content.table.columns if content.view.shows(each.key))
    columns = {**PRINTED, **{name: kind for each in printed for name, kind in _columns(each).items()}}
    last = {"verdict": Dtype.TEXT} if content.view.has("verdict") else {}
    return frame_of((_row(line.data, printed) for line in content.grid.lines), columns | last)


def summary_frame(summary: Grid) -> DataFrame:
    """Return the summary of tables, a row for each table; the columns of the verdicts count errors."""
    judged = [each.value for each in Verdict if each.judged]
    lines = ({**line.data, **{each: line.data["verdicts"].get(each, 0) for each in judged}} for line in summary.lines)
    return frame_of(lines, SUMMARY | dict.fromkeys(judged, Dtype.INTEGER))


def _columns(column: Column) -> Columns:
    """Return the columns for a printed column."""
    ours = FIGURES.get(column.kind, {})
    return {f"{column.key}_published": Dtype.TEXT, **{f"{column.key}_{name}": kind for name, kind in ours.items()}}


def _row(data: Mapping[str, Any], columns: tuple[Column, ...]) -> dict[str, Any]:
    row = {**data, "row": data["name"]} | ({"verdict": data["verdict"].value} if "verdict" in data else {})
    for column in columns:
        row[f"{column.key}_published"] = data["published"].get(column.key)
        row |= {f"{column.key}_{name}": figure for name, figure in _figures(data, column).items()}
    return row


def _figures(data: Mapping[str, Any], column: Column) -> dict[str, Any]:
    """Return our figures for a printed column, by the names of their columns."""
    measured = data["measured"].get(column.key)
    if measured is None:
        return {}
    if column.kind not in KEYS:
        return {"ours": measured, "matches": data["matches"][column.key]}
    return {name: measured[KEYS[column.kind].get(name, name)] for name in FIGURES[column.kind]}
