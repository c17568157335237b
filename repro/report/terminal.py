"""Grids for a terminal."""

from __future__ import annotations

import io

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from repro.report.content import Content
from repro.report.fitted import Fitted, empty_grid
from repro.report.grid import Grid, Line, Shown

COLOURS = {"good": "green", "bad": "red", "better": "cyan", "unsure": "yellow"}
"""By tone."""


def table_rich(content: Content) -> RenderableType:
    """Return a table, why rows may differ, the runs that deviate, and the notes."""
    parts: list[RenderableType] = [_fitted_table(content)]
    parts += [Text("\n  ".join([f"{heading}:", *lines]) + "\n") for heading, lines in content.grid.reasons()]
    if content.deviating:
        deviating = content.deviating.without_details()
        parts.append(Fitted(_to_rich(deviating, content.deviating.title)))
    notes = [f"{note.heading}: {line}" for note in content.notes for line in note.lines]
    return Group(*parts, *(Text(line, style="dim") for line in (*notes, content.rule) if line))


def summary_rich(overview: Grid) -> RenderableType:
    """Return the summary of tables, a line each."""
    hint = "repro table NAME shows one table; repro table --check names the mismatches"
    return Group(Fitted(_to_rich(overview.without_details(), overview.title)), Text(hint, style="dim"))


def plain(renderable: RenderableType) -> str:
    """Return what a terminal of 160 columns would show, without colours."""
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()


def _fitted_table(content: Content) -> Fitted:
    """Return the table: ours beside the printed cells where the terminal is wide enough, else beneath them."""
    stacked = content.grid.stacked()
    narrow = _to_rich(_without_last(stacked), content.title, tight=True)
    narrow.padding = 0
    beside = _to_rich(content.grid, content.title, whole=True)
    return Fitted(beside, _to_rich(stacked, content.title, tight=True), narrow)


def _without_last(stacked: Grid) -> Grid:
    """Return a stacked grid without its last column, whose words stand in the first one."""
    lines: list[Line] = []
    for line in stacked.lines:
        *cells, last = line.cells
        if not last.lines() and lines:  # beneath another line, whose verdict it takes
            before = lines[-1]
            label, *others = before.cells
            verdict = Shown(cells[0].text, tags=label.tags, notes=label.notes)
            lines[-1] = Line((Shown(label.text), *others), muted=before.muted)
            lines.append(Line((verdict, *cells[1:]), muted=line.muted))
        else:
            lines.append(Line((Shown(cells[0].text, tags=last.tags, notes=last.notes), *cells[1:]), muted=line.muted))
    return Grid(stacked.title, stacked.headings[:-1], tuple(lines))


def _to_rich(grid: Grid, title: str, *, whole: bool = False, tight: bool = False) -> Table:
    """Return a grid as a table of rich.

    Args:
        grid: what is shown.
        title: above it.
        whole: whether figures are kept on one line.
        tight: whether the parts of a figure are joined, so that it stays whole where a cell is broken into lines.
    """
    table = empty_grid(title)
    for heading, text in zip(grid.headings, grid.heading_lines, strict=True):
        justify: JustifyMethod = "right" if heading.numeric else "left"
        table.add_column(escape(text), justify=justify, no_wrap=whole and heading.numeric, overflow="fold")
    for line in grid.all_lines:
        if line is grid.total:
            table.add_section()
        cells = ["\n".join(cell.lines(_painted)) for cell in line.cells]
        table.add_row(*(_tight(cell) if tight else cell for cell in cells), style="dim" if line.muted else None)
    return table


def _painted(text: str, tone: str) -> str:
    return f"[{COLOURS[tone]}]{escape(text)}[/]" if text and tone in COLOURS else escape(text)


def _tight(cell: str) -> str:
    return cell.replace("± ", "±").replace(" = ", "=")
