"""A table as every format shows it: a grid of lines of cells. Each format is a small renderer of the grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

DASH = "–"
"""Shown in place of a missing figure."""
Paint = Callable[[str, str], str]
"""A function that returns a text in the colour of a tone."""


@dataclass(frozen=True)
class Tag:
    """A word in a colour: a verdict with its mark, or whether a count matches."""

    text: str
    mark: str = ""
    tone: str = "none"
    """A class in page.css and a colour in the terminal."""
    short: bool = False
    """Whether only the mark is shown, and the text is for screen readers."""


@dataclass(frozen=True)
class Shown:
    """A cell."""

    text: str = ""
    spoken: str = ""
    """What a screen reader reads in place of a text such as a dash."""
    notes: tuple[str, ...] = ()
    """Lines below the text."""
    details: tuple[str, ...] = ()
    """Further lines, which only HTML shows."""
    tags: tuple[Tag, ...] = ()
    sort_key: float | str | None = None
    """The key by which lines are sorted (default: the text); an empty one comes last."""
    href: str | None = None
    """A link to a place on the page."""
    muted: bool = False

    @property
    def empty(self) -> bool:
        """Whether it says nothing: no tag, no line, and at most a dash."""
        return self.text in ("", DASH) and not (self.tags or self.notes or self.details)

    def lines(self, paint: Paint = lambda text, tone: text) -> list[str]:
        """Return the cell as lines of text: the text with its marks, the tags in words, and the notes."""
        marks = [paint(tag.mark, tag.tone) for tag in self.tags if tag.short]
        words = [paint(tag.text, tag.tone) for tag in self.tags if not tag.short]
        first = " ".join(each for each in (paint(self.text, ""), *marks) if each)
        return [each for each in (first, *words, *(paint(note, "") for note in self.notes)) if each]


@dataclass(frozen=True)
class Heading:
    """The heading of a column."""

    label: str
    group: str = ""
    """The heading above, which neighbouring columns share; empty: none."""
    numeric: bool = False
    """Whether its cells are numbers: aligned right, and sorted by value."""
    detail: bool = False
    """Whether only the HTML page shows the column."""
    named: bool = False
    """Whether a stacked grid, whose columns have one heading, names this one in its cells."""

    @property
    def whole(self) -> str:
        """The heading with its group, as one text."""
        return f"{self.group}, {self.label}" if self.group else self.label


@dataclass(frozen=True)
class Reference:
    """An item of a list that the HTML page shows on request."""

    text: str
    name: str
    """The words of the link."""
    href: str | None
    """An address on the web; None if there is none to follow."""
    details: str


@dataclass(frozen=True)
class Line:
    """A line, whose first cell is its heading."""

    cells: tuple[Shown, ...]
    name: str = ""
    """A name that is unique in the grid; the first cell may not be."""
    reasons: tuple[str, ...] = ()
    """Why the line may differ from what is printed."""
    reasons_heading: str = ""
    references: tuple[Reference, ...] = ()
    """What others report and published weights, with their sources."""
    references_heading: str = ""
    muted: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)
    """The line as plain data, with exact figures."""


@dataclass(frozen=True)
class Grid:
    """A table with any content."""

    title: str
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    total: Line | None = None
    """A last line that is never sorted."""
    sortable: bool = True
    kind: str = "plain"
    """How the page shows it: `compared`, `summary`, `runs` or `plain`."""

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The upper headings, each with the number of columns below it; empty: a column without one."""
        groups: list[tuple[str, int]] = []
        for heading in self.headings:
            if heading.group and groups and groups[-1][0] == heading.group:
                groups[-1] = heading.group, groups[-1][1] + 1
            else:
                groups.append((heading.group, 1))
        return groups

    @property
    def grouped(self) -> bool:
        """Whether there are upper headings."""
        return any(heading.group for heading in self.headings)

    @property
    def heading_lines(self) -> list[str]:
        """The headings as text, with the upper heading above the first column of a group."""
        texts, before = [], ""
        for heading in self.headings:
            upper = heading.group if heading.group != before else ""
            texts.append(f"{upper}\n{heading.label}" if self.grouped else heading.label)
            before = heading.group
        return texts

    @property
    def all_lines(self) -> tuple[Line, ...]:
        """The lines and the total."""
        return (*self.lines, self.total) if self.total else self.lines

    def without_details(self) -> Grid:
        """Return the grid without the columns that only the HTML page shows."""
        return self._with([number for number, heading in enumerate(self.headings) if not heading.detail])

    def without_empty_columns(self) -> Grid:
        """Return the grid without the columns, after the first, in which all cells are empty."""
        columns = enumerate(zip(*(line.cells for line in self.all_lines), strict=True))
        return self._with([number for number, cells in columns if number == 0 or not all(each.empty for each in cells)])

    def _with(self, kept: Sequence[int]) -> Grid:
        """Return the grid with some of its columns."""

        def cut(line: Line) -> Line:
            return replace(line, cells=tuple(line.cells[number] for number in kept))

        return replace(self.mapped(cut), headings=tuple(self.headings[number] for number in kept))

    def mapped(self, change: Callable[[Line], Line]) -> Grid:
        """Return the grid with every line changed, and the total too."""
        return replace(self, lines=tuple(map(change, self.lines)), total=self.total and change(self.total))

    def stacked(self) -> Grid:
        """Return a narrower grid, with a column for each group: its first cell, and below it the others."""
        places, start = [], 0
        for _, columns in self.groups:
            places.append(range(start, start + columns))
            start += columns
        headings = tuple(_stacked_heading(self.headings[place[0]]) for place in places)
        lines = tuple(each for line in self.lines for each in _stacked_line(line, self.headings, places))
        return replace(self, headings=headings, lines=lines)

    def reasons(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return headings and reasons why lines may differ from what is printed; equal reasons share a heading."""
        found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for line in self.lines:
            if line.reasons:
                found.setdefault((line.reasons_heading, line.reasons), []).append(line.name)
        return [(f"{heading}: {'; '.join(names)}", reasons) for (heading, reasons), names in found.items()]

    def paragraphs(self) -> list[str]:
        """Return each line as text, for grids that are too wide for a table: `name: heading value; heading value`."""
        texts = []
        for line in self.lines:
            pairs = zip(self.headings[1:], line.cells[1:], strict=True)
            filled = (f"{heading.label} {cell.text}" for heading, cell in pairs if cell.text)
            texts.append(f"{line.cells[0].text}: {'; '.join(filled)}")
        return texts


def _stacked_heading(heading: Heading) -> Heading:
    return replace(heading, label=(heading.group or heading.label).replace(", ", ",\n"), group="")


def _stacked_line(line: Line, headings: Sequence[Heading], places: Sequence[range]) -> list[Line]:
    upper = tuple(_named(line.cells[place[0]], headings[place[0]]) for place in places)
    label = _label_beneath([headings[n] for place in places for n in place[1:] if line.cells[n].lines()])
    cells = [
        cell if heading.label == label else _named(cell, heading)
        for cell, heading in zip(line.cells, headings, strict=True)
    ]
    lower = tuple(_merged([cells[number] for number in place[1:]]) for place in places)
    beneath = Line((Shown(f"  {label}"), *lower[1:]), muted=line.muted)
    return [replace(line, cells=upper), *([beneath] if any(cell.lines() for cell in lower) else [])]


def _label_beneath(filled: Sequence[Heading]) -> str:
    """Return the label of the line with the filled cells below the printed ones: `others` if it has only these."""
    labels = {each.label if each.named else "ours" for each in filled}
    return labels.pop() if len(labels) == 1 else "ours"


def _named(cell: Shown, heading: Heading) -> Shown:
    """Return a cell with the label of its heading in front, if that is shown."""
    return replace(cell, text=f"{heading.label} {cell.text}") if heading.named and cell.text else cell


def _merged(cells: Sequence[Shown]) -> Shown:
    """Return several cells as one, the later ones as notes of the first."""
    if not cells:
        return Shown()
    first, *others = cells
    return replace(first, notes=(*first.notes, *(each for cell in others for each in cell.lines())))
