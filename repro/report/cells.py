"""What stands in a cell beside the printed figure, for every form of report."""

from __future__ import annotations

from repro.comparison.counts import CountCell
from repro.comparison.join import ComparedRow, Comparison, ErrorCell
from repro.comparison.match import apart
from repro.comparison.times import TimeCell

MARK = {True: "✓", False: "✗", None: ""}
OURS = {"params": ["ours"], "flops": ["ours"], "error": ["ours", "Δ"], "time": ["ours"], "context": []}
"""What stands beside a printed cell, by kind of column."""


def row_cells(comparison: Comparison, compared: ComparedRow) -> list[list[str]]:
    """Return a row's cells by column: the printed one, and ours in as many parts as OURS says.

    Of several errors each has the mark of its own verdict; of one the row has it.
    """
    cells = []
    several = len(comparison.table.of_kind("error")) > 1
    for column in comparison.table.columns:
        printed = compared.row.cells.get(column.key)
        ours = []
        if column.kind in ("params", "flops"):
            ours = [show_count(compared.counts.get(column.key))]
        elif column.kind == "error":
            ours = show_error(compared.errors.get(column.key), mark=several)
        elif column.kind == "time":
            cells.append(show_time(compared.times.get(column.key)))
            continue
        cells.append([printed.text if printed else "", *ours])
    return cells


def with_share(verdict: str, compared: ComparedRow) -> str:
    """Return a row's verdict, shown in some way, with the share of the row's errors that it is on."""
    return f"{verdict} ({compared.share_measured})" if compared.share_measured else verdict


def show_count(cell: CountCell | None) -> str:
    """Return our count as the paper prints it, with a mark."""
    return f"{cell.shown} {MARK[cell.matches]}".strip() if cell else ""


def show_error(cell: ErrorCell | None, *, mark: bool) -> list[str]:
    """Return our error with mean, spread and number of seeds, and the difference with its margin and mark."""
    if cell is None or cell.value is None or cell.mean is None:
        return ["–" if cell else "", ""]
    digits = cell.digits
    spread = f" ± {cell.std:.{digits}f}" if cell.std is not None else ""
    mean = "" if cell.statistic == "mean" else f"\nmean {cell.mean:.{digits}f}"
    ours = f"{cell.value:.{digits}f}{mean}{spread}\n{', '.join([f'n = {cell.n}', *apart(cell.runs)])}"
    beside = [] if cell.margin is None else [f"{cell.difference:+.{digits}f}", f"of {cell.by_chance}"]
    return [ours, "\n".join([*beside, *([cell.verdict.mark] if mark else [])])]


def show_time(cell: TimeCell | None) -> list[str]:
    """Return the printed time with its ratio, and the ratio of ours; both to the same row."""
    if cell is None:
        return ["", ""]
    return [f"{cell.published} ({cell.published_ratio:.2f})", "–" if cell.ratio is None else f"({cell.ratio:.2f})"]
