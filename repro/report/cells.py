"""What stands in a cell beside the printed figure, for every form of report."""

from __future__ import annotations

from repro.comparison import ComparedRow, Comparison, ErrorCell
from repro.counts import CountCell
from repro.times import TimeCell

MARK = {True: "✓", False: "✗", None: ""}
OURS = {"params": ["ours"], "flops": ["ours"], "error": ["ours", "Δ"], "time": ["ours"], "context": []}
"""What stands beside a printed cell, by kind of column."""


def row_cells(comparison: Comparison, compared: ComparedRow) -> list[list[str]]:
    """Return a row's cells by column: the printed one, and ours in as many parts as OURS says."""
    cells = []
    for column in comparison.table.columns:
        printed = compared.row.cells.get(column.key)
        ours = []
        if column.kind in ("params", "flops"):
            ours = [show_count(compared.counts.get(column.key))]
        elif column.kind == "error":
            ours = show_error(compared.errors.get(column.key))
        elif column.kind == "time":
            cells.append(show_time(compared.times.get(column.key)))
            continue
        cells.append([printed.text if printed else "", *ours])
    return cells


def show_count(cell: CountCell | None) -> str:
    """Return our count as the paper prints it, with a mark."""
    return f"{cell.shown} {MARK[cell.matches]}".strip() if cell else ""


def show_error(cell: ErrorCell | None) -> list[str]:
    """Return our error with mean, spread and number of seeds, and the difference with what chance allows."""
    if cell is None or cell.value is None or cell.mean is None:
        return ["–" if cell else "", ""]
    digits = max(2, len(cell.published.partition(".")[2]))
    spread = f" ± {cell.std:.{digits}f}" if cell.std is not None else ""
    value = f"{cell.value:.{digits}f}"
    ours = f"{value}{spread}" if cell.statistic == "mean" else f"{value}\nmean {cell.mean:.{digits}f}{spread}"
    reduced = [each for each in cell.precisions if each != "fp32"]
    seeds = ", ".join([f"n = {cell.n}", *reduced])
    if cell.difference is None or cell.margin is None:
        return [f"{ours}\n{seeds}", ""]
    return [f"{ours}\n{seeds}", f"{cell.difference:+.{digits}f}\nof ± {cell.margin:.{digits}f}"]


def show_time(cell: TimeCell | None) -> list[str]:
    """Return the printed time with its ratio, and the ratio of ours; both to the same row."""
    if cell is None:
        return ["", ""]
    return [f"{cell.published} ({cell.published_ratio:.2f})", "–" if cell.ratio is None else f"({cell.ratio:.2f})"]
