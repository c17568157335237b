"""What a table on the page is made of, whatever it shows."""

from __future__ import annotations

from dataclasses import dataclass

from repro.comparison.verdict import Verdict


@dataclass(frozen=True)
class Shown:
    """A cell."""

    text: str = ""
    unseen: str = ""
    """What a sign such as a dash says, to those who hear the page."""
    beneath: tuple[str, ...] = ()
    """Smaller lines under the text."""
    matches: bool | None = None
    """Of a count: marked as the printed one or another; None where there is nothing to match."""
    verdict: Verdict | None = None
    """Shown with its mark."""
    sorted_by: float | str | None = None
    """The text unless given; None and no text: below all others."""
    flag: str = ""
    """A word that stands out, such as `inferred`."""
    href: str | None = None
    """A place on the page."""
    muted: bool = False

    @property
    def key(self) -> float | str:
        """What rows are sorted by."""
        return self.text if self.sorted_by is None else self.sorted_by


@dataclass(frozen=True)
class Heading:
    """A column's heading."""

    label: str
    group: str = ""
    """The heading above it, which neighbours share; empty: none."""
    numeric: bool = False
    """Whether its cells are numbers: set to the right, and sorted by value."""

    @property
    def whole(self) -> str:
        """What the column is called where its group is not in sight."""
        return f"{self.group}, {self.label}" if self.group else self.label


@dataclass(frozen=True)
class Line:
    """A row; its first cell is its heading."""

    cells: tuple[Shown, ...]
    why: tuple[str, ...] = ()
    """Lines beneath the row, which stay with it."""
    why_heading: str = ""
    muted: bool = False


@dataclass(frozen=True)
class Grid:
    """A table."""

    caption: str
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    total: Line | None = None
    """A last row that is never sorted."""
    sortable: bool = True
    kind: str = "plain"
    """How it looks: `compared`, `summary`, `runs` or `plain`."""

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The headings of the upper row, each with the number of columns below it; empty: a column without one."""
        groups: list[tuple[str, int]] = []
        for heading in self.headings:
            if heading.group and groups and groups[-1][0] == heading.group:
                groups[-1] = heading.group, groups[-1][1] + 1
            else:
                groups.append((heading.group, 1))
        return groups

    @property
    def grouped(self) -> bool:
        """Whether it has an upper row of headings."""
        return any(heading.group for heading in self.headings)
