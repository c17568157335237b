"""Grids as Markdown."""

from __future__ import annotations

import re

from repro.encoding import visible
from repro.report.content import Content
from repro.report.grid import Grid
from repro.report.notes import Note

SPECIAL = re.compile(r"[\\`*\[]|(?<!\w)_|_(?!\w)")
"""Characters that may begin or end something else than text; `_` within a word does not."""
ENTITIES = re.compile(r"[~$|]|<(?=[a-zA-Z/!?])|&(?=#?\w+;)")
"""Those that some readers of Markdown show with a backslash if they have one, so they are written as entities."""
WIDTH = 100
"""Number of characters that fit on a line of a page."""


def table_markdown(content: Content) -> str:
    """Return a table, and below it why rows may differ, the runs that deviate, and the notes."""
    return _table(_fitting(content.grid)) + "".join(f"\n{_note(each)}\n" for each in content.legend())


def summary_markdown(summary: Grid) -> str:
    """Return the summary of tables."""
    return _table(summary.without_details())


def _note(note: Note) -> str:
    """Return a note; a list begins after an empty line, without which some readers of Markdown show one paragraph."""
    heading, *lines = map(escaped, (note.heading, *note.lines))
    return f"{heading}: {lines[0]}" if len(lines) == 1 else "\n- ".join([f"{heading}:\n", *lines])


def _fitting(grid: Grid) -> Grid:
    """Return the grid if its columns take at most WIDTH characters, else the stacked grid."""
    texts = [grid.heading_lines, *(["\n".join(cell.lines()) for cell in line.cells] for line in grid.lines)]
    widths = [max(len(line) for text in column for line in text.split("\n")) for column in zip(*texts, strict=True)]
    return grid if sum(widths) <= WIDTH else grid.stacked()


def _table(grid: Grid) -> str:
    from tabulate import tabulate

    headings = [escaped(text) for text in grid.heading_lines]
    lines = [[escaped("; ".join(cell.lines())) for cell in line.cells] for line in grid.all_lines]
    alignment = ["right" if heading.numeric else "left" for heading in grid.headings]
    return tabulate(lines, headers=headings, tablefmt="pipe", disable_numparse=True, colalign=alignment) + "\n"


def escaped(text: str) -> str:
    """Return a text as Markdown that shows it, on one line."""
    shown = SPECIAL.sub(r"\\\g<0>", " ".join(visible(text).split()))
    return ENTITIES.sub(lambda sign: f"&#{ord(sign[0])};", shown)
