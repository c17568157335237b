"""Grids as Markdown."""

from __future__ import annotations

from repro.report.content import Content
from repro.report.grid import Grid

WIDTH = 100
"""Characters of a line for which a page has room."""


def table_markdown(content: Content) -> str:
    """Return a table, and beneath it why rows may differ, the runs that deviate, and the notes."""
    return _table(content.grid.fitting(WIDTH)) + "".join(f"\n{line}\n" for line in _beneath(content))


def summary_markdown(overview: Grid) -> str:
    """Return the summary of tables."""
    return _table(overview.without_details())


def _beneath(content: Content) -> list[str]:
    reasons = ["\n- ".join([f"{heading}:", *lines]) for heading, lines in content.grid.reasons()]
    deviating = content.deviating
    runs = ["\n- ".join([f"{deviating.title}:", *deviating.without_details().paragraphs()])] if deviating else []
    notes = [f"{note.heading}: {line}" for note in content.notes for line in note.lines]
    return [*reasons, *runs, *notes, *([content.rule] if content.rule else [])]


def _table(grid: Grid) -> str:
    from tabulate import tabulate

    headings = [" ".join(text.split()) for text in grid.heading_lines]
    lines = [[" ".join(cell.lines()).strip() for cell in line.cells] for line in grid.all_lines]
    alignment = ["right" if heading.numeric else "left" for heading in grid.headings]
    return tabulate(lines, headers=headings, tablefmt="github", disable_numparse=True, colalign=alignment) + "\n"
