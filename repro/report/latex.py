"""Grids as LaTeX tables, for a document that uses the packages booktabs and, for wide tables, graphicx."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from repro.encoding import visible
from repro.report.content import Content
from repro.report.grid import Grid, Line
from repro.report.notes import Note

WIDTH = 100
"""Number of characters that fit on a line of a page."""
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
MARKS = "✓ and ✗: whether our exact count, rounded to the printed digits, equals the printed one."


def table_latex(content: Content) -> str:
    """Return a table with its legend: why rows may differ, the runs that deviate, and the notes."""
    runs = content.deviating
    deviating = [Note(runs.title, tuple(runs.without_details().paragraphs()))] if runs else []
    lines = [MARKS, *(each.text(" ") for each in (*deviating, *content.beneath()))]
    legend = "\\par ".join(map(escaped, lines))
    return _booktabs(content.grid.fitting(WIDTH), content.title, f"tab:{content.table.name}", legend)


def summary_latex(summary: Grid) -> str:
    """Return the summary of tables."""
    return _booktabs(summary.without_details(), summary.title, "tab:summary")


def _booktabs(grid: Grid, caption: str, label: str, legend: str = "") -> str:
    """Return a floating table; a cell with several lines takes one row per line, so that it stays narrow."""
    lines = [_rows(_cells(grid, line)) for line in grid.lines]
    total = _rows(_cells(grid, grid.total)) if grid.total else []
    columns = "".join("r" if heading.numeric else "l" for heading in grid.headings)
    wide = _width(grid) > WIDTH
    return "\n".join(
        [
            f"% needs \\usepackage{{booktabs{',graphicx' if wide else ''}}}",
            "\\begin{table}[htbp]",
            "\\centering\\scriptsize\\setlength{\\tabcolsep}{3pt}",
            f"\\caption{{{escaped(caption)}}}",
            f"\\label{{{re.sub(r'[^a-zA-Z0-9:._-]', '-', label)}}}",
            *(["\\resizebox{\\linewidth}{!}{%"] if wide else []),
            f"\\begin{{tabular}}{{{columns}}}",
            *("\\toprule", *_rows(grid.heading_lines), "\\midrule", *(row for line in lines for row in line)),
            *(["\\midrule", *total] if total else []),
            *("\\bottomrule", f"\\end{{tabular}}{'}' if wide else ''}"),
            *([f"\\par\\smallskip\\parbox{{\\linewidth}}{{{legend}}}"] if legend else []),
            "\\end{table}\n",
        ]
    )


def _width(grid: Grid) -> int:
    """Return the number of characters of a line, with a space between columns."""
    lines = [*grid.heading_lines, *(_cells(grid, line) for line in grid.lines)]
    widths = ([max(map(len, cell.split("\n"))) for cell in cells] for cells in lines)
    return sum(map(max, zip_longest(*widths, fillvalue=0))) + len(grid.headings) - 1


def _cells(grid: Grid, line: Line) -> list[str]:
    """Return the cells of a line; the figures of a stacked grid are broken into short lines."""
    cells = ["\n".join(cell.lines()) for cell in line.cells]
    narrow = [heading.numeric and not grid.grouped for heading in grid.headings]
    return [_broken(cell) if each else cell for each, cell in zip(narrow, cells, strict=True)]


def _broken(cell: str) -> str:
    return cell.replace(" ± ", "\n± ").replace(", ", ",\n").replace(": ", ":\n")


def _rows(cells: Sequence[str]) -> list[str]:
    """Return a line as the rows that its cells take."""
    parts = [cell.split("\n") for cell in cells]
    height = max(map(len, parts))
    rows = [[part[number] if number < len(part) else "" for part in parts] for number in range(height)]
    return [" & ".join(map(escaped, row)) + r" \\" for row in rows]


def escaped(text: str) -> str:
    """Return a text as LaTeX source, without line ends, since an empty line would end a paragraph."""
    shown = visible(text).replace("\ufffd", "?").replace("\n", " ")
    return re.sub(".", lambda sign: SPELLINGS.get(sign[0], sign[0]), shown)
