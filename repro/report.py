"""How comparisons are shown: for people, and as CSV, Markdown, LaTeX and HTML; report_json.py has JSON."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from repro.compare import ComparedRow, Comparison, CountCell, ErrorCell
from repro.recipes import recipe
from repro.report_json import table_json
from repro.times import TimeCell

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType
    from rich.table import Table

OURS = {"params": ["ours"], "flops": ["ours"], "error": ["ours", "Δ"], "time": ["ours"], "context": []}
"""What stands beside a printed cell, by kind of column."""
SIDE_BY_SIDE = 4
"""Columns that leave room for ours beside the printed cells."""
MARK = {True: "✓", False: "✗", None: ""}
FORMATS = ("rich", "csv", "json", "md", "latex", "html")
SUFFIXES = {".csv": "csv", ".json": "json", ".md": "md", ".tex": "latex", ".html": "html"}


def table_rich(comparison: Comparison) -> RenderableType:
    """Return a comparison for a terminal: the table, the runs that deviate, and the notes."""
    from rich.console import Group
    from rich.text import Text

    table = comparison.table
    lines = [f"Source: {table.source}", f"FLOPs: convention {table.flops_convention!r}"]
    lines += [f"Recipe: {name}, {_inferred(name)}" for name in _recipes(comparison)]
    protocols = [column.protocol for column in table.of_kind("error") if column.protocol]
    lines += [f"Test: {protocol}" for protocol in dict.fromkeys(protocols)]
    lines += time_lines(comparison)
    lines += [f"Note: {note}" for note in table.notes]
    parts: list[RenderableType] = [_grid(comparison)]
    if comparison.deviating:
        parts.append(_deviating_grid(comparison))
    return Group(*parts, *(Text(line, style="dim") for line in lines))


def time_lines(comparison: Comparison) -> list[str]:
    """Return what must be known of the times: to which row they are ratios, and how and where ours were measured."""
    table = comparison.table
    cells = [cell for each in comparison.rows for cell in each.times.values()]
    if table.time is None or not cells:
        return []
    lines = [f"{table.time.label}: (ratios) to {cells[0].reference}; they depend on the hardware, so none is judged"]
    ours = next((cell for cell in cells if cell.timing and cell.ratio == 1), None)
    if ours is None or ours.timing is None:
        return [*lines, f"{table.time.label}: ours not measured; repro table {table.name} --time"]
    timing, unit = ours.timing, f"{ours.seconds:.3g} s a step of {ours.batch} images for {ours.reference}"
    where = f"{timing.device}, {timing.precision}, {timing.started[:10]}"
    lines.append(f"{table.time.label}, ours: {timing.how}; {unit}; {where}")
    if not timing.steady:
        busy = f"a row's median window took {timing.spread:.1f} times its fastest, so that the ratios say little"
        lines.append(f"{table.time.label}, ours: measured on a busy machine: {busy}; measure again")
    return lines


def _recipes(comparison: Comparison) -> list[str]:
    """Return the names of the recipes behind a table, once each."""
    table = comparison.table
    names = [table.recipe(each.row, table.column[key]) for each in comparison.rows for key in each.errors]
    return list(dict.fromkeys(name for name in names if name))


def _inferred(name: str) -> str:
    """Return which values of a recipe are not printed in its paper."""
    origins = recipe(name).origins
    inferred = [key for key, origin in origins.items() if origin.startswith("inferred")]
    return f"inferred: {', '.join(inferred)}" if inferred else "every value printed or read in the authors' code"


def _grid(comparison: Comparison) -> RenderableType:
    """Return the table: ours beside the printed cells, or beneath them where there are many columns."""
    from rich.markup import escape

    table = comparison.table
    beneath = len(table.columns) > SIDE_BY_SIDE
    grid = _empty_grid(f"{table.paper}, {table.title}: {table.caption}")
    grid.add_column("Row", min_width=16, overflow="fold")
    for column in table.columns:
        side_by_side = [f"{column.label}\npaper", *(f"\n{each}" for each in OURS[column.kind])]
        headings = [column.label] if beneath else side_by_side
        for heading in headings:
            grid.add_column(heading, justify="right", no_wrap=not beneath)
    grid.add_column("Verdict", min_width=9, overflow="fold")
    for compared in comparison.rows:
        label, cells = escape(compared.row.label), _cells(comparison, compared)
        if beneath and compared.row.model:
            label += "\n[dim]ours[/]"
            shown = ["\n".join([printed, " ".join(ours)]) for printed, *ours in cells]
        elif beneath:
            shown = [printed for printed, *_ in cells]
        else:
            shown = [each for cell in cells for each in cell]
        grid.add_row(label, *shown, _coloured(compared.verdict))
    return grid


def _empty_grid(title: str) -> Table:
    """Return a grid whose lines leave room for figures on a terminal of 80 columns."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    look = {"title_justify": "left", "title_style": "bold", "box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0)}
    return Table(title=escape(title), **look)  # type: ignore[arg-type]


def _cells(comparison: Comparison, compared: ComparedRow) -> list[list[str]]:
    """Return a row's cells by column: the printed one, and ours in as many parts as OURS says."""
    cells = []
    for column in comparison.table.columns:
        printed = compared.row.cells.get(column.key)
        ours = []
        if column.kind in ("params", "flops"):
            ours = [show_count(compared.counts.get(column.key))]
        elif column.kind == "error":
            ours = show_error(compared.errors.get(column.key))
        elif column.kind == "time":
            cells.append(show_time(compared.times.get(column.key)))
            continue
        cells.append([printed.text if printed else "", *ours])
    return cells


def show_count(cell: CountCell | None) -> str:
    """Return our count as the paper prints it, with a mark."""
    return f"{cell.shown} {MARK[cell.matches]}".strip() if cell else ""


def show_error(cell: ErrorCell | None) -> list[str]:
    """Return our error with spread and number of seeds, and the difference from the printed one."""
    if cell is None or cell.value is None:
        return ["–" if cell else "", ""]
    digits = max(2, len((cell.published or "").partition(".")[2]))
    spread = f" ± {cell.std:.{digits}f}" if cell.std is not None else ""
    reduced = [each for each in cell.precisions if each != "fp32"]
    precision = f", {'/'.join(reduced)}" if reduced else ""
    difference = "" if cell.difference is None else f"{cell.difference:+.{digits}f}"
    return [f"{cell.value:.{digits}f}{spread} (n = {cell.n}{precision})", difference]


def show_time(cell: TimeCell | None) -> list[str]:
    """Return the printed time with its ratio, and the ratio of ours; both to the same row."""
    if cell is None:
        return ["", ""]
    return [f"{cell.published} ({cell.published_ratio:.2f})", "–" if cell.ratio is None else f"({cell.ratio:.2f})"]


def _coloured(verdict: str) -> str:
    colours = {"reproduced": "green", "not reproduced": "red", "lower than printed": "cyan"}
    return f"[{colours[verdict]}]{verdict}[/]" if verdict in colours else verdict


def _deviating_grid(comparison: Comparison) -> RenderableType:
    grid = _empty_grid("Runs that deviate from the recipe (not counted)")
    for heading in ("Run", "Error %", "Deviation (recipe)", "Precision", "Device"):
        grid.add_column(heading, overflow="fold")
    for record in comparison.deviating:
        grid.add_row(record.name, f"{record.error:.2f}", ", ".join(record.deviations), record.precision, record.device)
    return grid


def table_frame(comparison: Comparison) -> pd.DataFrame:
    """Return a comparison as a data frame: one line per row, printed cells as strings."""
    import pandas as pd

    return pd.DataFrame([_record(comparison, each) for each in comparison.rows])


def _record(comparison: Comparison, compared: ComparedRow) -> dict[str, Any]:
    line: dict[str, Any] = {"row": compared.row.label}
    for column in comparison.table.columns:
        key = column.key
        printed = compared.row.cells.get(key)
        line[f"{key} paper"] = printed.text if printed else ""
        if count := compared.counts.get(key):
            line |= {f"{key} ours": count.exact, f"{key} match": MARK[count.matches]}
        elif column.kind == "error":
            line |= _error_record(key, compared.errors.get(key))
        elif column.kind == "time":
            line |= _time_record(key, compared.times.get(key))
    return {**line, "verdict": compared.verdict}


def _error_record(key: str, cell: ErrorCell | None) -> dict[str, Any]:
    return {
        f"{key} ours": _rounded(cell.value) if cell else "",
        f"{key} n": cell.n if cell else "",
        f"{key} std": _rounded(cell.std) if cell else "",
        f"{key} difference": _rounded(cell.difference) if cell else "",
        f"{key} verdict": cell.verdict if cell else "",
    }


def _time_record(key: str, cell: TimeCell | None) -> dict[str, Any]:
    return {
        f"{key} paper ratio": _rounded(cell.published_ratio) if cell else "",
        f"{key} ours s a step": _rounded(cell.seconds) if cell else "",
        f"{key} ours ratio": _rounded(cell.ratio) if cell else "",
        f"{key} device": cell.timing.device if cell and cell.timing else "",
    }


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 4)


def table_text(comparison: Comparison, format: str) -> str:
    """Return a comparison as text in one of FORMATS, ending with a line end."""
    if format == "json":
        return json.dumps(table_json(comparison), indent=2, ensure_ascii=False) + "\n"
    if format == "rich":
        return _plain(table_rich(comparison))
    frame = table_frame(comparison)
    if format == "csv":
        return frame.to_csv(index=False)
    from tabulate import tabulate

    kind = {"md": "github", "latex": "latex_booktabs", "html": "html"}[format]
    return tabulate(frame.to_dict("list"), headers="keys", tablefmt=kind, disable_numparse=True) + "\n"


def _plain(renderable: RenderableType) -> str:
    """Return what a terminal of 160 columns would show, without colours."""
    from rich.console import Console

    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()
