"""Grids for a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from repro.encoding import visible
from repro.report.content import Content
from repro.report.formats.fitted import Fitted, empty_grid
from repro.report.grid import Grid, Line, Shown, Tag
from repro.report.notes import Note

COLOURS = {"good": "green", "bad": "red", "better": "cyan", "unsure": "yellow"}
"""The colour of each tone."""


def table_rich(content: Content) -> RenderableType:
    """Return a table, why rows may differ, the runs that deviate, and the notes."""
    parts: list[RenderableType] = [_fitted_table(content)]
    if content.deviating:
        parts.append(grid_rich(content.deviating))
    return Group(*parts, *(each for note in content.beneath() for each in _note(note)))


def _note(note: Note) -> list[RenderableType]:
    """Return a note; several lines are indented under its heading."""
    if len(note.lines) == 1:
        return [Text(f"{note.heading}: {note.lines[0]}", style="dim")]
    items = (Padding(Text(line, style="dim"), (0, 0, 0, 2), expand=False) for line in note.lines)
    return [Text(f"{note.heading}:", style="dim"), *items]


def summary_rich(summary: Grid, *, checked: bool = False) -> RenderableType:
    """Return the summary of tables, one line per table.

    Args:
        summary: the tables.
        checked: whether the mismatches are listed too.
    """
    hint = f"repro table NAME shows one table{'' if checked else '; repro table --check lists the mismatches'}"
    return Group(grid_rich(summary), Text(hint, style="dim"))


def grid_rich(grid: Grid) -> RenderableType:
    """Return any grid with its title."""
    return Fitted(_to_rich(grid.without_details()), title=grid.title)


def count_rich(grid: Grid, notes: Sequence[Note], modules: Grid | None) -> RenderableType:
    """Return the counts of a network, what was counted, and the counts of its modules."""
    parts: list[RenderableType] = [Fitted(_to_rich(grid, whole=True))]
    parts += [part for note in notes for part in _note(note)]
    return Group(*parts, *([Fitted(_to_rich(modules, whole=True))] if modules else []))


def plain(renderable: RenderableType, width: int = 160) -> str:
    """Return what a terminal of some columns would show, without colours."""
    console = Console(width=width, file=io.StringIO(), record=True, force_jupyter=False)  # else a notebook shows it
    console.print(renderable)
    return visible(console.export_text())


def _fitted_table(content: Content) -> Fitted:
    """Return the table: ours next to the printed cells if the terminal is wide enough, else below them."""
    judged = content.view.shows_verdict(content.table)
    stacked = _with_short_verdicts(content.grid.stacked()) if judged else content.grid.stacked()
    narrow = _to_rich(_without_last(stacked) if judged else stacked, tight=True)
    narrow.padding = 0
    beside = _to_rich(content.grid, whole=True)
    return Fitted(beside, _to_rich(stacked, tight=True), narrow, title=content.title)


def _with_short_verdicts(stacked: Grid) -> Grid:
    """Return a stacked grid with one word for the verdict of a row that the paper quotes, so that it takes one line."""

    def short(cell: Shown) -> Shown:
        return replace(cell, tags=tuple(replace(tag, text=tag.text.split()[0]) for tag in cell.tags))

    lines = [
        replace(line, cells=(*line.cells[:-1], short(line.cells[-1]))) if line.muted else line for line in stacked.lines
    ]
    return replace(stacked, lines=tuple(lines))


def _without_last(stacked: Grid) -> Grid:
    """Return a stacked grid without the column of verdicts; they move into the labels of our lines."""
    lines: list[Line] = []
    verdict: tuple[Tag, ...] = ()
    for line in stacked.lines:
        first, *cells, last = line.cells
        ours = Shown(f"{first.text}:", tags=tuple(replace(tag, mark=tag.text, short=True) for tag in verdict))
        beneath = verdict and not (line.name or line.muted)
        lines.append(replace(line, cells=(ours if beneath else first, *cells)))
        verdict = last.tags
    return replace(stacked, headings=stacked.headings[:-1], lines=tuple(lines))


def _to_rich(grid: Grid, *, whole: bool = False, tight: bool = False) -> Table:
    """Return a grid as a rich table.

    Args:
        grid: what is shown.
        whole: whether figures are kept on one line.
        tight: whether the parts of a figure are joined, so that it stays whole where a cell is broken into lines.
    """
    table = empty_grid()
    for heading, text in zip(grid.headings, grid.heading_lines, strict=True):
        justify: JustifyMethod = "right" if heading.numeric else "left"
        table.add_column(
            escape(text), escape(heading.whole), justify=justify, no_wrap=whole and heading.numeric, overflow="fold"
        )
    for line in grid.all_lines:
        if line is grid.total:
            table.add_section()
        cells = ["\n".join(cell.lines(_painted)) for cell in line.cells]
        if tight:
            cells = [_tight(cell) if each.numeric else cell for each, cell in zip(grid.headings, cells, strict=True)]
        table.add_row(*cells, style="dim" if line.muted else None)
    return table


def _painted(text: str, tone: str) -> str:
    return f"[{COLOURS[tone]}]{escape(text)}[/]" if text and tone in COLOURS else escape(text)


def _tight(cell: str) -> str:
    return cell.replace("± ", "±").replace(" = ", "=")
