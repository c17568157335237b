"""Comparisons and their summary for a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from repro.compare import BETTER, CONSISTENT, NOT_CONSISTENT, NOT_REPRODUCED, REPRODUCED
from repro.comparison import Comparison
from repro.differences import why
from repro.report.cells import OURS, SIDE_BY_SIDE, row_cells
from repro.report.notes import notes
from repro.summary import Summary

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

COLOURS = {
    REPRODUCED: "green",
    CONSISTENT: "green",
    NOT_REPRODUCED: "red",
    NOT_CONSISTENT: "red",
    BETTER: "cyan",
}


def table_rich(comparison: Comparison) -> RenderableType:
    """Return a comparison: the table, why rows are off, the runs that deviate, and the notes."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_grid(comparison)]
    for compared in comparison.rows:
        if lines := why(comparison, compared):
            parts.append(Text("\n  ".join([f"Why {compared.row.label} may differ:", *lines]) + "\n"))
    if comparison.deviating:
        parts.append(_deviating_grid(comparison))
    return Group(*parts, *(Text(line, style="dim") for line in notes(comparison)))


def summary_rich(summaries: Sequence[Summary]) -> RenderableType:
    """Return what all tables come to, a line each."""
    from rich.console import Group
    from rich.text import Text

    grid = _empty_grid("Counted, measured and reproduced")
    grid.add_column("Table", overflow="fold")
    for heading in ("Counts\nright", "Errors\nmeasured"):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_column("Verdicts on errors", overflow="fold")
    for each in summaries:
        verdicts = ", ".join(f"{number} {_coloured(verdict)}" for verdict, number in each.verdicts.items())
        grid.add_row(each.table.name, f"{each.right}/{each.counted}", f"{each.measured}/{each.measurable}", verdicts)
    right, counted = sum(each.right for each in summaries), sum(each.counted for each in summaries)
    measured, measurable = sum(each.measured for each in summaries), sum(each.measurable for each in summaries)
    grid.add_section()
    grid.add_row(f"{len(summaries)} tables", f"{right}/{counted}", f"{measured}/{measurable}", "")
    return Group(
        grid, Text("repro table NAME shows one; repro table --check names the cells that are off", style="dim")
    )


def plain(renderable: RenderableType) -> str:
    """Return what a terminal of 160 columns would show, without colours."""
    from rich.console import Console

    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()


def _grid(comparison: Comparison) -> RenderableType:
    """Return the table: ours beside the printed cells, or beneath them where there are many columns."""
    from rich.markup import escape

    table = comparison.table
    beneath = len(table.columns) > SIDE_BY_SIDE
    grid = _empty_grid(f"{table.paper}, {table.title}: {table.caption}")
    grid.add_column("Row", min_width=14, overflow="fold")
    for column in table.columns:
        side_by_side = [f"{column.label}\npaper", *(f"\n{each}" for each in OURS[column.kind])]
        headings = [column.label] if beneath else side_by_side
        for heading in headings:
            grid.add_column(heading, justify="right", no_wrap=not beneath)
    grid.add_column("Verdict", min_width=9, overflow="fold")
    for compared in comparison.rows:
        label, cells = escape(compared.row.label), row_cells(comparison, compared)
        if beneath and compared.row.model:
            label += "\n[dim]ours[/]"
            shown = ["\n".join([printed, *ours]) for printed, *ours in cells]
        elif beneath:
            shown = [printed for printed, *_ in cells]
        else:
            shown = [each for cell in cells for each in cell]
        grid.add_row(label, *shown, _coloured(compared.verdict))
    return grid


def _empty_grid(title: str) -> Table:
    """Return a grid whose lines leave room for figures on a terminal of 80 columns."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    look = {"title_justify": "left", "title_style": "bold", "box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0)}
    return Table(title=escape(title), **look)  # type: ignore[arg-type]


def _coloured(verdict: str) -> str:
    return f"[{COLOURS[verdict]}]{verdict}[/]" if verdict in COLOURS else verdict


def _deviating_grid(comparison: Comparison) -> RenderableType:
    grid = _empty_grid("Runs that deviate from the recipe (not counted)")
    for heading in ("Run", "Error %", "Deviation (recipe)", "Precision", "Device"):
        grid.add_column(heading, overflow="fold")
    for record in comparison.deviating:
        grid.add_row(record.name, f"{record.error:.2f}", ", ".join(record.deviations), record.precision, record.device)
    return grid
