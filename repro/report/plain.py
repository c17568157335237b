"""Comparisons and their summary as CSV, with every figure in a column of its own, and as Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from repro.comparison.explain import reasons, why
from repro.comparison.join import ComparedRow, Comparison, ErrorCell
from repro.comparison.summary import Summary, share, share_measured
from repro.comparison.times import TimeCell
from repro.comparison.verdict import Verdict
from repro.report.cells import MARK, OURS, row_cells, with_share
from repro.report.notes import deviating, notes

if TYPE_CHECKING:
    import pandas as pd

LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
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
    "○": r"$\circ$",
    "”": "''",
    "–": "--",
    "−": "$-$",
    "Δ": r"$\Delta$",
    "×": r"$\times$",
    "<": "$<$",
    ">": "$>$",
}
"""What LaTeX sets otherwise than it is typed; the marks are words of its mathematics, which needs no package."""


Grid = tuple[list[str], list[list[str]]]
"""Headings and rows; a cell may have several lines."""
WIDTH = 100
"""Characters of a row that a page has room for."""


def table_frame(comparison: Comparison) -> pd.DataFrame:
    """Return a comparison as a data frame: one line per row, printed cells as strings."""
    import pandas as pd

    return pd.DataFrame([_line(comparison, each) for each in comparison.rows])


def csv(comparison: Comparison) -> str:
    """Return a comparison as CSV."""
    return table_frame(comparison).to_csv(index=False)


def markdown(comparison: Comparison) -> str:
    """Return a comparison as Markdown: the table, and beneath it why rows are off, and the notes."""
    headings, rows = _compact(comparison)
    return _github(headings, rows) + "".join(f"\n{line}\n" for line in _beneath_table(comparison, item="\n- "))


def latex(comparison: Comparison) -> str:
    """Return a comparison as a LaTeX table, for a document that uses the package booktabs."""
    table = comparison.table
    headings, rows = _compact(comparison)
    caption = f"{table.paper}, {table.title}: {table.caption}"
    marks = "✓ and ✗: our exact count, rounded as the printed one is, is that one or not."
    legend = "\\par ".join(_escaped(line) for line in [marks, *_beneath_table(comparison, item=" ")])
    return _booktabs(headings, rows, caption, f"tab:{table.name}", left=[0, len(headings) - 1], legend=legend)


def _beneath_table(comparison: Comparison, item: str) -> list[str]:
    """Return what stands beneath: why rows differ, the runs that are not counted, and the notes."""
    explained = [f"{each.heading}:{item}{item.join(each.lines)}" for each in reasons(comparison)]
    return [*explained, *deviating(comparison), *notes(comparison)]


def summary_frame(summaries: Sequence[Summary]) -> pd.DataFrame:
    """Return the summary as a data frame, a line per table."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "table": each.table.name,
                "paper": each.table.paper,
                "counts right": each.right,
                "counts": each.counted,
                "errors measured": each.measured,
                "errors": each.measurable,
                "errors without recipe": each.without_recipe,
                **{verdict.value: each.verdicts.get(verdict, 0) for verdict in Verdict if verdict.judged},
            }
            for each in summaries
        ]
    )


def summary_csv(summaries: Sequence[Summary]) -> str:
    """Return the summary as CSV."""
    return summary_frame(summaries).to_csv(index=False)


def summary_markdown(summaries: Sequence[Summary]) -> str:
    """Return the summary as Markdown."""
    return _github(*_compact_summary(summaries))


def summary_latex(summaries: Sequence[Summary]) -> str:
    """Return the summary as a LaTeX table."""
    headings, rows = _compact_summary(summaries)
    return _booktabs(headings, rows, "Counted, measured and reproduced", "tab:summary", left=[0, 3])


def _compact_summary(summaries: Sequence[Summary]) -> Grid:
    rows = [
        [
            each.table.name,
            share(each.right, each.counted),
            share_measured([each]),
            "\n".join(f"{number} {verdict}" for verdict, number in each.verdicts.items()),
        ]
        for each in summaries
    ]
    return ["Table", "Counts right", "Errors measured", "Verdicts on errors"], rows


def _compact(comparison: Comparison) -> Grid:
    """Return headings and rows for reading: ours beside the printed cells, or beneath them where they are too wide."""
    headings, rows = beside = _beside(comparison)
    widths = [
        max(len(line) for cell in column for line in cell.split("\n")) for column in zip(headings, *rows, strict=True)
    ]
    return beside if sum(widths) <= WIDTH else _beneath(comparison)


def _beside(comparison: Comparison) -> Grid:
    columns = comparison.table.columns
    parts = [part for each in columns for part in (f"{each.label}\npaper", *(f"\n{ours}" for ours in OURS[each.kind]))]
    rows = [
        [
            each.row.label,
            *(part for cell in row_cells(comparison, each) for part in cell),
            with_share(each.verdict, each),
        ]
        for each in comparison.rows
    ]
    return ["Row", *parts, "Verdict"], rows


def _beneath(comparison: Comparison) -> Grid:
    headings = ["Row", *(each.label.replace(", ", ",\n") for each in comparison.table.columns), "Verdict"]
    rows = []
    for compared in comparison.rows:
        cells = row_cells(comparison, compared)
        rows.append([compared.row.label, *(printed for printed, *_ in cells), with_share(compared.verdict, compared)])
        if compared.row.model:
            ours = ("\n".join(part for part in parts if part).replace(" ± ", "\n± ") for _, *parts in cells)
            rows.append(["ours", *ours, ""])
    return headings, rows


def _github(headings: list[str], rows: list[list[str]]) -> str:
    from tabulate import tabulate

    headings, *lines = [[" ".join(cell.split()) for cell in row] for row in (headings, *rows)]
    return tabulate(lines, headers=headings, tablefmt="github", disable_numparse=True) + "\n"


def _booktabs(
    headings: list[str], rows: list[list[str]], caption: str, label: str, *, left: list[int], legend: str = ""
) -> str:
    """Return a floating table; cells of several lines take as many rows, so that it stays narrow."""
    body = [_latex_line(line) for row in rows for line in _stacked(row)]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}[htbp]",
            "\\centering\\scriptsize\\setlength{\\tabcolsep}{3pt}",
            f"\\caption{{{_escaped(caption)}}}",
            f"\\label{{{label}}}",
            f"\\begin{{tabular}}{{{''.join('l' if number in left else 'r' for number in range(len(headings)))}}}",
            *("\\toprule", *map(_latex_line, _stacked(headings)), "\\midrule", *body, "\\bottomrule"),
            "\\end{tabular}",
            *([f"\\par\\smallskip\\parbox{{\\linewidth}}{{{legend}}}"] if legend else []),
            "\\end{table}\n",
        ]
    )


def _latex_line(cells: list[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _stacked(row: list[str]) -> list[list[str]]:
    """Return a row as the lines that its cells take."""
    parts = [cell.split("\n") for cell in row]
    height = max(map(len, parts))
    return [[part[number] if number < len(part) else "" for part in parts] for number in range(height)]


def _escaped(text: str) -> str:
    return re.sub(".", lambda sign: LATEX.get(sign[0], sign[0]), text)


def _line(comparison: Comparison, compared: ComparedRow) -> dict[str, Any]:
    line: dict[str, Any] = {"row": compared.row.label}
    for column in comparison.table.columns:
        key = column.key
        printed = compared.row.cells.get(key)
        line[f"{key} paper"] = printed.text if printed else ""
        if count := compared.counts.get(key):
            line |= {f"{key} ours": count.exact, f"{key} match": MARK[count.matches]}
        elif column.kind == "error":
            line |= _figures(key, compared.errors.get(key))
        elif column.kind == "time":
            line |= _ratios(key, compared.times.get(key))
    return {**line, "verdict": compared.verdict, "why": "; ".join(why(comparison, compared))}


def _figures(key: str, cell: ErrorCell | None) -> Mapping[str, Any]:
    return {
        f"{key} ours": _rounded(cell.value) if cell else "",
        f"{key} statistic": cell.statistic if cell else "",
        f"{key} n": cell.n if cell else "",
        f"{key} mean": _rounded(cell.mean) if cell else "",
        f"{key} std": _rounded(cell.std) if cell else "",
        f"{key} difference": _rounded(cell.difference) if cell else "",
        f"{key} expected": _rounded(cell.expected) if cell else "",
        f"{key} margin": _rounded(cell.margin) if cell else "",
        f"{key} at most": _rounded(cell.at_most) if cell else "",
        f"{key} bound": _rounded(cell.bound) if cell else "",
        f"{key} best epoch (extra)": _rounded(cell.best_epoch) if cell else "",
        f"{key} verdict": cell.verdict if cell else "",
    }


def _ratios(key: str, cell: TimeCell | None) -> Mapping[str, Any]:
    return {
        f"{key} paper ratio": _rounded(cell.published_ratio) if cell else "",
        f"{key} ours s a step": _rounded(cell.seconds) if cell else "",
        f"{key} ours ratio": _rounded(cell.ratio) if cell else "",
        f"{key} device": cell.timing.device if cell and cell.timing else "",
    }


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 4)
