"""Tables for a terminal that cut no word if the terminal is wide enough."""

from __future__ import annotations

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from repro.encoding import legible


class Fitted:
    """The first of several tables that fits without cutting a word; else the last one without padding, or as text.

    The title is above it as text, since a narrow table would break its own one into many lines.
    """

    def __init__(self, *tables: Table, title: str = "") -> None:
        self.tables, self.title = tables, title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(self.title, style="bold")
        for table in self.tables:
            if fit(table, options.max_width, console.encoding):
                yield table
                return
        last = self.tables[-1]
        last.padding = 0
        yield last if fit(last, options.max_width, console.encoding) else _paragraphs(self.tables[0])


def _paragraphs(table: Table) -> Group:
    """Return the rows of a table as paragraphs: the first cell, and below it the others with their headings.

    The footer of a column, which no table shows, is its heading with its group.
    """
    headings = [" ".join(str(column.footer or column.header).split()) for column in table.columns]
    parts = list[RenderableType]()
    for first, *others in zip(*(column.cells for column in table.columns), strict=True):
        pairs = (f"{heading}: {cell}" for heading, cell in zip(headings[1:], others, strict=True) if cell)
        parts += [first, Padding("; ".join(" ".join(each.split()) for each in pairs), (0, 0, 0, 4))]
    return Group(*parts)


def empty_grid() -> Table:
    """Return a table without rows, with little padding so that figures fit on a terminal of 80 columns."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def fit(table: Table, width: int, encoding: str) -> bool:
    """Set the widths of the columns so that no word is cut in an encoding; return whether the table then fits."""
    cells = [
        [legible(Text.from_markup(str(cell)).plain, encoding) for cell in (each.header, *each.cells)]
        for each in table.columns
    ]
    most = [max(len(line) for cell in column for line in cell.split("\n")) for column in cells]
    words = [max(len(word) for cell in column for word in (cell.split() or [""])) for column in cells]
    least = [high if column.no_wrap else low for column, low, high in zip(table.columns, words, most, strict=True)]
    spare = width - (1 + table.padding[1]) * len(cells) - 1 - sum(least)  # without the box and the padding
    wanted = [high - low for low, high in zip(least, most, strict=True)]
    edges = 0, len(cells) - 1  # labels and verdicts, which are words, are wrapped before figures
    for number, column in sorted(enumerate(table.columns), key=lambda each: (each[0] in edges, wanted[each[0]])):
        more = max(0, min(spare, wanted[number]))
        column.width, spare = least[number] + more, spare - more
    return spare >= 0
