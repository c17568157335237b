"""The printed errors of a comparison as a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repro.frames import Dtype, frame_of

if TYPE_CHECKING:
    from pandas import DataFrame

    from repro.comparison.join import ComparedRow, Comparison, ErrorCell

COLUMNS = {
    "table": Dtype.TEXT,
    "row": Dtype.TEXT,
    "column": Dtype.TEXT,
    "model": Dtype.TEXT,
    "options": Dtype.OBJECT,
    "dataset": Dtype.TEXT,
    "recipe": Dtype.TEXT,
    "metric": Dtype.TEXT,
    "published": Dtype.TEXT,
    "statistic": Dtype.TEXT,
    "seeds": Dtype.OBJECT,
    "n": Dtype.INTEGER,
    **dict.fromkeys(
        ("value", "mean", "std", "difference", "expected", "margin", "at_most", "bound", "best_epoch"), Dtype.NUMBER
    ),
    "mark": Dtype.TEXT,
    "verdict": Dtype.TEXT,
}
"""The columns; `value` to `best_epoch` are the fields of an ErrorCell."""


def errors_frame(comparison: Comparison) -> DataFrame:
    """Return a row for each printed error of a comparison."""
    lines = (_line(comparison, row, column, cell) for row in comparison.rows for column, cell in row.errors.items())
    return frame_of(lines, COLUMNS)


def _line(comparison: Comparison, row: ComparedRow, column: str, cell: ErrorCell) -> dict[str, Any]:
    printed = cell.printed
    return {
        **vars(cell),
        "table": comparison.table.name,
        "row": comparison.table.called(row.row),
        "column": column,
        "model": printed.row.model,
        "options": printed.options,
        "dataset": printed.dataset,
        "recipe": printed.recipe,
        "metric": printed.column.metric,
        "published": cell.published,
        "statistic": cell.statistic,
        "seeds": list(cell.seeds),
        "n": cell.n,
        "mark": cell.verdict.mark,
        "verdict": cell.verdict.value,
    }
