"""A comparison as a table of the page: what is printed beside ours, column by column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from repro.comparison.counts import CountCell
from repro.comparison.explain import COUNTED_OTHERWISE, has_error_differing, why
from repro.comparison.join import ComparedRow, Comparison, ErrorCell
from repro.comparison.match import apart
from repro.comparison.times import TimeCell
from repro.comparison.verdict import Verdict
from repro.report.html.grid import Grid, Heading, Line, Shown
from repro.tables import UNITS, Cell, Column


@dataclass(frozen=True)
class Part:
    """What one column of the page shows of a printed column."""

    heading: Heading
    show: Callable[[ComparedRow], Shown]


def compared_grid(comparison: Comparison) -> Grid:
    """Return a table with the printed cells beside ours, a verdict for every row, and why a row differs."""
    parts = [part for column in comparison.table.columns for part in _parts(comparison, column)]
    headings = (Heading("Row"), *(part.heading for part in parts), Heading("Verdict"))
    lines = tuple(
        Line(
            (Shown(row.row.label), *(part.show(row) for part in parts), _verdict(row)),
            why=tuple(why(comparison, row)),
            why_heading="Why it may differ" if has_error_differing(row) else COUNTED_OTHERWISE,
            muted=row.row.model is None,
        )
        for row in comparison.rows
    )
    return Grid(comparison.table.caption, headings, lines, kind="compared")


def _verdict(row: ComparedRow) -> Shown:
    share = row.share_measured
    return Shown(verdict=row.verdict, beneath=(f"on {share} errors",) if share else ())


def _parts(comparison: Comparison, column: Column) -> list[Part]:
    """Return what is shown of a column; a column of differences only where there is one."""
    printed = Part(Heading("paper", column.label, numeric=True), lambda row: _printed(comparison, row, column))
    if column.kind in ("params", "flops"):
        return [printed, _ours(column, lambda row: count_shown(row.counts.get(column.key)))]
    if column.kind == "time":
        return [
            Part(printed.heading, lambda row: _printed_time(row.times.get(column.key))),
            _ours(column, lambda row: _time(row.times.get(column.key))),
        ]
    if column.kind == "error":
        return [printed, *_error_parts(comparison, column)]
    return [Part(Heading(column.label, numeric=True), printed.show)]


def _ours(column: Column, show: Callable[[ComparedRow], Shown]) -> Part:
    return Part(Heading("ours", column.label, numeric=True), show)


def _error_parts(comparison: Comparison, column: Column) -> list[Part]:
    """Return what stands beside the printed errors: nothing where no recipe for them is here.

    Difference and verdict have columns of their own where the table has one column of errors.
    """
    alone = len(comparison.table.of_kind("error")) == 1
    cells = [row.errors[column.key] for row in comparison.rows if column.key in row.errors]
    if all(cell.verdict == Verdict.NO_RECIPE for cell in cells):
        return []
    ours = _ours(column, lambda row: error_shown(row.errors.get(column.key), alone))
    if not alone or all(cell.difference is None for cell in cells):
        return [ours]
    heading = Heading("difference", column.label, numeric=True)
    return [ours, Part(heading, lambda row: difference_shown(row.errors.get(column.key)))]


def _printed(comparison: Comparison, compared: ComparedRow, column: Column) -> Shown:
    """Return a printed cell, and of an error the statistic where it is not the column's."""
    row = compared.row
    cell = row.cells.get(column.key)
    if cell is None:
        return Shown()
    statistic, runs = comparison.table.statistic(row, column)
    other = column.kind == "error" and row.model and (statistic, runs) != (column.statistic, column.runs or 1)
    return Shown(cell.text, beneath=(statistic_words(statistic, runs),) if other else (), sorted_by=_number(cell))


def _number(cell: Cell) -> float:
    """Return a printed number with its unit."""
    unit = cell.text[-1] if cell.text[-1] in UNITS else ""
    return float(cell.value) * UNITS[unit]


def statistic_words(statistic: str, runs: int | None) -> str:
    """Return of what a printed error is told, such as `median of 5 runs`."""
    if runs is None:
        return "of how many runs is not printed, taken as one"
    if runs == 1:
        return "one run"
    return f"{statistic} of {runs} runs"


def count_shown(cell: CountCell | None) -> Shown:
    """Return our exact count with a mark, and as the paper would print it where it is another."""
    if cell is None:
        return Shown()
    other = (cell.shown,) if cell.matches is False else ()
    return Shown(f"{cell.exact:,}", beneath=other, matches=cell.matches, sorted_by=cell.exact)


def error_shown(cell: ErrorCell | None, alone: bool) -> Shown:
    """Return our error with its spread and number of seeds; also difference and verdict where it is not alone."""
    if cell is None:
        return Shown()
    if cell.value is None:
        return Shown("–", unseen=cell.verdict, sorted_by="", muted=True)
    return Shown(
        f"{cell.value:.{cell.digits}f}",
        beneath=(*_spread(cell), *([] if alone else _distance(cell))),
        verdict=None if alone else cell.verdict,
        sorted_by=cell.value,
    )


def _spread(cell: ErrorCell) -> list[str]:
    """Return what is said beneath our error."""
    digits, seeds = cell.digits, ", ".join([f"n = {cell.n}", *apart(cell.runs)])
    if cell.mean is None or cell.std is None:
        return [seeds]
    if cell.statistic == "mean":
        return [f"mean ± {cell.std:.{digits}f}, {seeds}"]
    return [cell.statistic, f"mean {cell.mean:.{digits}f} ± {cell.std:.{digits}f}, {seeds}"]


def _distance(cell: ErrorCell) -> list[str]:
    """Return in one line how far ours is from the printed error, and how far it may be by chance."""
    if cell.difference is None or cell.margin is None:
        return []
    return [f"{signed(cell.difference, cell.digits)}, by chance {cell.by_chance}"]


def signed(value: float, digits: int) -> str:
    """Return a difference with its sign, a minus as long as the plus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def difference_shown(cell: ErrorCell | None) -> Shown:
    """Return ours minus the printed error, and how far it may be off by chance."""
    if cell is None or cell.difference is None:
        return Shown()
    chance = (f"by chance {cell.by_chance}",) if cell.by_chance else ()
    return Shown(signed(cell.difference, cell.digits), beneath=chance, sorted_by=cell.difference)


def _printed_time(cell: TimeCell | None) -> Shown:
    if cell is None:
        return Shown()
    return Shown(f"{cell.published} ({cell.published_ratio:.2f})", sorted_by=cell.published_ratio)


def _time(cell: TimeCell | None) -> Shown:
    if cell is None:
        return Shown()
    if cell.ratio is None:
        return Shown("–", unseen=Verdict.NOT_MEASURED, sorted_by="", muted=True)
    return Shown(f"({cell.ratio:.2f})", sorted_by=cell.ratio)
