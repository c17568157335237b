"""Grids as LaTeX tables, for a document in one or two columns that uses the packages booktabs and graphicx."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from textwrap import wrap

from repro.encoding import visible
from repro.report.cells import MATCH
from repro.report.content import Content
from repro.report.grid import Grid, Line, Shown
from repro.report.notes import Note

SIGN, BETWEEN = 4.0, 6.0
"""Widths in points: of a digit of \\scriptsize, and of the space between columns, which is twice \\tabcolsep."""
COLUMN, PAGE = 229.0, 345.0
"""Widths in points: of a column of the class article in two columns, and of its page in one column."""
HEIGHT, LINE = 450.0, 8.5
"""Heights in points: what a page leaves for a table and its legend below the caption, and a line of \\scriptsize."""
SCALED = (
    r"\resizebox*{!}{\ifdim\totalheight>.8\textheight .8\textheight\else\totalheight\fi}{%"
    "\n"
    r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
)
"""The beginning of a box that is scaled down to the width of its place and to most of the height of a page."""
BROKEN = (40, 24, 18, 14, 10)
"""Numbers of characters of a line of a broken cell; the first with which the table fits its place is used."""
SMALLEST = 0.8
"""The scale below which a table is stacked, because its letters would be too small."""
SPELLINGS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "|": r"\textbar{}",
    "[": "{[}",  # at the start of a row, `[` and `*` would be arguments of the row before
    "*": "{*}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "✓": r"$\surd$",
    "✗": r"$\times$",
    "↓": r"$\downarrow$",
    "⇓": r"$\Downarrow$",
    "↗": r"$\nearrow$",
    "↘": r"$\searrow$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "◇": r"$\diamond$",
    "◈": r"$\circledast$",
    "○": r"$\circ$",
    "”": "''",
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "<": "$<$",
    ">": "$>$",
}
"""Characters that LaTeX writes differently; the marks are math symbols that need no package."""
MARKS = Note("✓ and ✗", ("whether our exact count, rounded to the printed digits, equals the printed one",))


def table_latex(content: Content) -> str:
    """Return a table with its legend: why rows may differ, the runs that deviate, and the notes."""
    notes = [*([MARKS] if _has_marks(content.grid) else []), *content.legend()]
    legend = "" if content.view.bare else "\\par ".join(map(_note, notes))
    return _booktabs(content.grid, content.title, f"tab:{content.table.name}", legend)


def _note(note: Note) -> str:
    """Return a note as one paragraph; if it has several lines, each has a bullet."""
    heading, *lines = map(escaped, (note.heading, *note.lines))
    return " $\\bullet$ ".join([f"{heading}:", *lines]) if len(lines) > 1 else f"{heading}: {lines[0]}"


def _has_marks(grid: Grid) -> bool:
    """Return whether a cell says whether our count is the printed one."""
    return any(tag in MATCH.values() for line in grid.lines for cell in line.cells for tag in cell.tags)


def summary_latex(summary: Grid) -> str:
    """Return the summary of tables."""
    return _booktabs(summary.without_details(), summary.title, "tab:summary")


def _booktabs(whole: Grid, caption: str, label: str, legend: str = "") -> str:
    """Return a floating table, over both columns if it is wide, and scaled if it is still larger than its place.

    A cell with several lines takes one row per line, so that it stays narrow.
    """
    grid, label = fitting(whole), re.sub(r"[^a-zA-Z0-9:._-]", "-", label)
    lines = [_rows(_cells(line)) for line in grid.lines]
    total = ["\\midrule", *_rows(_cells(grid.total))] if grid.total else []
    rows = ["\\toprule", *_headings(grid), "\\midrule", *(row for line in lines for row in line), *total]
    alignment = "".join("r" if heading.numeric else "l" for heading in grid.headings)
    floating, width = ("table*", PAGE) if width_of(grid) > COLUMN else ("table", COLUMN)
    fits = LINE * (len(rows) + len(legend) * SIGN / width) <= HEIGHT
    beneath = f"\\par\\smallskip\\parbox{{\\linewidth}}{{\\raggedright {legend}}}"
    after = f"{{\\par\\scriptsize\\raggedright Notes to Table~\\ref{{{label}}}.\\par {legend}\\par}}"
    return "\n".join(
        [
            "% needs \\usepackage{booktabs,graphicx}",
            f"\\begin{{{floating}}}[htbp]",
            "\\centering\\scriptsize\\setlength{\\tabcolsep}{3pt}\\setlength{\\belowcaptionskip}{4pt}",
            f"\\caption{{{escaped(caption)}}}",
            f"\\label{{{label}}}",
            *(SCALED, f"\\begin{{tabular}}{{{alignment}}}", *rows, "\\bottomrule", "\\end{tabular}}}"),
            *([beneath] if legend and fits else []),
            f"\\end{{{floating}}}",
            *([after] if legend and not fits else []),
            "",
        ]
    )


def fitting(grid: Grid) -> Grid:
    """Return the grid, or, if its letters would be too small, a stacked one with lines as short as its place needs."""
    if grid.grouped and width_of(grid) * SMALLEST <= PAGE:
        return grid
    stacked = grid.stacked() if grid.grouped else grid
    narrower = [_broken(stacked, letters) for letters in BROKEN]
    place = COLUMN if width_of(narrower[-1]) <= COLUMN else PAGE / SMALLEST
    return next((each for each in narrower if width_of(each) <= place), narrower[-1])


def _broken(grid: Grid, letters: int) -> Grid:
    """Return a grid whose cells, after the first of a line, are broken into lines of a number of characters."""
    return grid.mapped(lambda line: _broken_line(line, letters))


def _broken_line(line: Line, letters: int) -> Line:
    first, *others = line.cells
    broken = ((part for each in cell.lines() for part in _parts(each, letters)) for cell in others)
    return replace(line, cells=(first, *(Shown(notes=tuple(parts)) for parts in broken)))


def _parts(text: str, letters: int) -> list[str]:
    """Return a line as lines of at most a number of characters, if its words allow, and never broken after a sign."""
    whole = text.replace("± ", "±\xa0").replace(" = ", "\xa0=\xa0")
    return [each.replace("\xa0", " ") for each in wrap(whole, letters, break_long_words=False)]


def width_of(grid: Grid) -> float:
    """Return about how wide a grid is in points."""
    lines = [[each.label for each in grid.headings], *(_cells(line) for line in grid.all_lines)]
    signs = [max(len(part) for cell in column for part in cell.split("\n")) for column in zip(*lines, strict=True)]
    widths = iter([SIGN * each + BETWEEN for each in signs])
    return sum(max(sum(islice(widths, columns)), SIGN * len(label) + BETWEEN) for label, columns in grid.groups)


def _headings(grid: Grid) -> list[str]:
    """Return the headings; an upper one is centred above its columns."""
    upper = [rf"\multicolumn{{{columns}}}{{c}}{{{escaped(label)}}}" for label, columns in grid.groups]
    first = [" & ".join(upper) + r" \\"] if grid.grouped else []
    return [*first, *_rows([each.label for each in grid.headings])]


def _cells(line: Line) -> list[str]:
    return ["\n".join(cell.lines()) for cell in line.cells]


def _rows(cells: Sequence[str]) -> list[str]:
    """Return a line as the rows that its cells take."""
    parts = [cell.split("\n") for cell in cells]
    height = max(map(len, parts))
    rows = [[part[number] if number < len(part) else "" for part in parts] for number in range(height)]
    return [" & ".join(map(escaped, row)) + r" \\" for row in rows]


def escaped(text: str) -> str:
    """Return a text as LaTeX source, without line ends, since an empty line would end a paragraph."""
    shown = visible(text).replace("\ufffd", "?").replace("\n", " ")
    # The hyphens of an option are kept apart, since LaTeX would join them to a dash.
    return re.sub("-+|.", lambda signs: "{}".join(SPELLINGS.get(each, each) for each in signs[0]), shown)
