"""Grids as CSV: each figure in a column of its own, rounded to four decimals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from repro.comparison.verdict import Verdict
from repro.report.content import Content
from repro.report.grid import Grid
from repro.report.replications import ranges
from repro.report.view import EVIDENCE, View
from repro.store.csv_rows import csv_of
from repro.tables import Column, ColumnKind
from repro.tables.column import OTHERS


def spaced(*keys: str) -> dict[str, str]:
    """Return the names of CSV columns, by the keys of their data: the words of a key with spaces between them."""
    return {key: key.replace("_", " ") for key in keys}


ERROR = {
    "value": "ours",
    **spaced("statistic", "n", "mean", "std", "difference", "expected", "margin", "at_most", "bound"),
    "best_epoch": "best epoch (extra)",
    "verdict": "verdict",
}
"""The CSV columns of an error, by the keys of its figures in the data of a line."""
TIME = {"published_ratio": "paper ratio", "seconds": "ours s a step", "ratio": "ours ratio", "device": "device"}
"""The CSV columns of a time, by the keys of its figures."""
REPLICATIONS = spaced("others_n", "others_lowest", "others_highest")
"""The CSV columns of what others report for an error, by the keys of their number and their range."""
LAST = ("verdict", "why", *EVIDENCE)
"""The CSV columns after those of the printed columns; the evidence of others is JSON."""
MATCHES = {True: "yes", False: "no", None: ""}
"""Whether our exact count, rounded to the printed digits, equals the printed one; in words, which any encoding has."""
FIGURES: Mapping[str, Mapping[str, str]] = {"error": ERROR, "time": TIME}


def table_csv(content: Content) -> str:
    """Return a table, one line per row; printed cells are the printed strings."""
    view = content.view
    names = [name for column in content.table.columns for name in _names(column, view)]
    header = ["row", *names, *(key for key in LAST if view.has(key))]
    return csv_text([_row(line.data, content.table.columns) for line in content.grid.lines], header)


def summary_csv(summary: Grid) -> str:
    """Return the summary of tables, one line per table."""
    names = spaced("table", "paper", "counts_right", "counts", "errors_measured", "errors", "errors_without_recipe")
    judged = [verdict for verdict in Verdict if verdict.judged]
    rows = [
        {
            **{name: line.data[key] for key, name in names.items()},
            **{verdict: line.data["verdicts"].get(verdict, 0) for verdict in judged},
        }
        for line in summary.lines
    ]
    return csv_text(rows, [*names.values(), *judged])


def csv_text(rows: Sequence[Mapping[str, Any]], header: Sequence[str]) -> str:
    """Return rows as CSV with these columns alone; missing cells are empty."""
    return csv_of([{name: row[name] for name in header if name in row} for row in rows], header).decode()


def _names(column: Column, view: View) -> list[str]:
    """Return the names of the CSV columns for a printed column, as far as they are shown."""
    ours = (
        ["ours", "match"]
        if column.kind in (ColumnKind.PARAMS, ColumnKind.FLOPS)
        else FIGURES.get(column.kind, {}).values()
    )
    own = ("paper", *ours) if view.shows(column.key) else ()
    others = REPLICATIONS.values() if column.kind == ColumnKind.ERROR and view.shows_of(OTHERS, column.key) else ()
    return [f"{column.key} {name}" for name in (*own, *others)]


def _row(data: Mapping[str, Any], columns: tuple[Column, ...]) -> dict[str, Any]:
    row = {"row": data["name"], "verdict": data.get("verdict"), "why": "; ".join(data.get("why", ()))}
    for evidence in (each for each in EVIDENCE if data.get(each)):
        row[evidence] = json.dumps(data[evidence], ensure_ascii=False, allow_nan=False)
    for column in columns:
        key, measured = column.key, data["measured"].get(column.key)
        row |= {f"{key} {REPLICATIONS[name]}": each for name, each in ranges(data, key).items() if name in REPLICATIONS}
        row[f"{key} paper"] = data["published"].get(key, "")
        if column.kind in FIGURES and measured:
            row |= {f"{key} {name}": rounded(measured[figure]) for figure, name in FIGURES[column.kind].items()}
        elif measured is not None:
            row |= {f"{key} ours": measured, f"{key} match": MATCHES[data["matches"][key]]}
    return row


def rounded(value: object) -> object:
    """Return a figure with four decimals; other values as they are."""
    return round(value, 4) if isinstance(value, float) else value
