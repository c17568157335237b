"""Comparisons and their summary for a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from repro.comparison.explain import reasons
from repro.comparison.join import Comparison
from repro.comparison.summary import Summary, share, share_measured
from repro.comparison.verdict import Verdict
from repro.report.cells import OURS, row_cells, with_share
from repro.report.grid import Fitted, empty_grid, fit
from repro.report.notes import notes

COLOURS = {"good": "green", "bad": "red", "better": "cyan", "unsure": "yellow"}
"""Of verdicts, by tone."""


def table_rich(comparison: Comparison) -> RenderableType:
    """Return a comparison: the table, why rows differ, the runs that deviate, and the notes."""
    parts: list[RenderableType] = [_Grid(comparison)]
    for each in reasons(comparison):
        parts.append(Text("\n  ".join([f"{each.heading}:", *each.lines]) + "\n"))
    if comparison.deviating:
        parts.append(_deviating_grid(comparison))
    return Group(*parts, *(Text(line, style="dim") for line in notes(comparison)))


def summary_rich(summaries: Sequence[Summary]) -> RenderableType:
    """Return what all tables come to, a line each."""
    grid = empty_grid("Counted, measured and reproduced")
    grid.add_column("Table", overflow="fold")
    for heading in ("Counts\nright", "Errors\nmeasured"):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_column("Verdicts on errors", overflow="fold")
    for each in summaries:
        verdicts = ", ".join(f"{number} {_coloured(verdict)}" for verdict, number in each.verdicts.items())
        counts, errors = share(each.right, each.counted), share_measured([each])
        grid.add_row(each.table.name, counts, errors, verdicts)
    right, counted = sum(each.right for each in summaries), sum(each.counted for each in summaries)
    grid.add_section()
    grid.add_row(f"{len(summaries)} tables", share(right, counted), share_measured(summaries), "")
    return Group(
        grid, Text("repro table NAME shows one; repro table --check names the cells that are off", style="dim")
    )


def plain(renderable: RenderableType) -> str:
    """Return what a terminal of 160 columns would show, without colours."""
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()


class _Grid:
    """The table: ours beside the printed cells where the terminal is wide enough, else beneath them."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for form in (_beside, _beneath, _without_verdicts):
            grid = form(self.comparison)
            if fit(grid, options.max_width):
                break
        yield grid


def _beside(comparison: Comparison) -> Table:
    grid = _titled_grid(comparison)
    for column in comparison.table.columns:
        for heading in (f"{column.label}\npaper", *(f"\n{each}" for each in OURS[column.kind])):
            grid.add_column(escape(heading), justify="right", no_wrap=True)
    grid.add_column("Verdict")
    for compared in comparison.rows:
        cells = [each for cell in row_cells(comparison, compared) for each in cell]
        grid.add_row(escape(compared.row.label), *cells, with_share(_coloured(compared.verdict), compared))
    return grid


def _beneath(comparison: Comparison, *, verdicts: bool = True) -> Table:
    grid = _titled_grid(comparison)
    for column in comparison.table.columns:
        grid.add_column(escape(column.label), justify="right")
    if verdicts:
        grid.add_column("Verdict")
    for compared in comparison.rows:
        cells, verdict = row_cells(comparison, compared), with_share(_coloured(compared.verdict), compared)
        beside = [verdict] if verdicts else []
        grid.add_row(escape(compared.row.label), *(printed for printed, *_ in cells), *beside)
        if compared.row.model:
            ours = [_tight("\n".join(part for part in parts if part)) for _, *parts in cells]
            grid.add_row("  ours" if verdicts else f"  ours: {verdict}", *ours, style="dim")
    return grid


def _tight(cell: str) -> str:
    """Return a cell whose figures stay whole where it is broken into lines."""
    return cell.replace("± ", "±").replace(" = ", "=")


def _without_verdicts(comparison: Comparison) -> Table:
    """Return the narrowest grid, whose verdicts stand among the labels."""
    grid = _beneath(comparison, verdicts=False)
    grid.padding = 0
    return grid


def _titled_grid(comparison: Comparison) -> Table:
    """Return a grid with a title and a column for the rows' labels."""
    table = comparison.table
    grid = empty_grid(f"{table.paper}, {table.title}: {table.caption}")
    grid.add_column("Row")
    return grid


def _coloured(verdict: Verdict) -> str:
    return f"[{COLOURS[verdict.tone]}]{verdict}[/]" if verdict.tone in COLOURS else verdict


def _deviating_grid(comparison: Comparison) -> RenderableType:
    grid = empty_grid("Runs that deviate from the recipe (not counted)")
    for heading in ("Run", "Error %", "Deviation (recipe)", "How"):
        grid.add_column(heading, no_wrap=heading == "Run")
    for record in comparison.deviating:
        how = f"{record.precision}, {record.device}"
        grid.add_row(record.name, f"{record.error:.2f}", ", ".join(record.deviations), escape(how))
    return Fitted(grid)
