"""The cells of a comparison: printed figures next to ours."""

from __future__ import annotations

from repro.comparison.counts import CountCell
from repro.comparison.join import ComparedRow, ErrorCell
from repro.comparison.match import conditions
from repro.comparison.times import TimeCell
from repro.comparison.verdict import Verdict
from repro.data.inputs.protocol import ONE_CROP
from repro.report.grid import DASH, Shown, Tag
from repro.tables import Column, Statistic

MATCH = {True: Tag("as printed", "✓", "good", short=True), False: Tag("not as printed", "✗", "bad", short=True)}
"""The tag by whether our exact count, rounded to the printed digits, equals the printed one."""


def verdict_tag(verdict: Verdict, text: str = "") -> Tag:
    """Return a verdict as a tag with its mark and colour; `text` replaces its words."""
    return Tag(text or verdict.value, verdict.mark, verdict.tone)


def verdict_cell(row: ComparedRow) -> Shown:
    """Return the verdict on a row, with the number of errors behind it unless all are measured; empty without one."""
    if row.verdict is None:
        return Shown()
    share = row.share_measured
    return Shown(tags=(verdict_tag(row.verdict),), notes=(f"on {share} errors",) if share else (), sort_key=row.verdict)


def printed_cell(row: ComparedRow, column: Column) -> Shown:
    """Return a printed cell: an error with its statistic if it is not the column's, a time with its ratio."""
    cell = row.row.cells.get(column.key)
    if cell is None:
        return Shown()
    if time := row.times.get(column.key):
        return Shown(f"{time.published} ({time.published_ratio:.2f})", sort_key=time.published_ratio)
    return Shown(cell.text, details=_own_statistic(row.errors.get(column.key)), sort_key=cell.number)


def _own_statistic(error: ErrorCell | None) -> tuple[str, ...]:
    if error is None:
        return ()
    printed, column, runs = error.printed, error.printed.column, error.printed.printed_runs
    if (printed.statistic, runs) == (column.statistic or Statistic.LAST, column.runs):
        return ()
    if runs is None:
        return (f"{printed.statistic}, number of runs not printed",)
    return ("one run" if runs == 1 else f"{printed.statistic} of {runs}",)


def count_cell(cell: CountCell | None) -> Shown:
    """Return our count as the paper would print it, with a mark, and the exact one as a detail."""
    if cell is None:
        return Shown()
    if cell.exact is None:
        return Shown(cell.shown, spoken="not counted", sort_key="", muted=True)
    tags = () if cell.matches is None else (MATCH[cell.matches],)
    return Shown(cell.shown, details=(f"{cell.exact:,}",), tags=tags, sort_key=cell.exact)


def error_cell(cell: ErrorCell | None, *, alone: bool) -> Shown:
    """Return our error with its spread and number of seeds.

    Args:
        cell: the printed error and ours.
        alone: whether difference and verdict have columns of their own, because the table has one column of errors.
    """
    if cell is None:
        return Shown()
    if cell.value is None:
        return Shown(DASH, notes=_other_protocol(cell), spoken=cell.verdict, sort_key="", muted=True)
    text, notes = _figure_and_spread(cell)
    if alone:
        return Shown(text, notes=notes, sort_key=cell.value)
    distance = difference_cell(cell)
    return Shown(
        text,
        notes=(*notes, *([f"{distance.text}, {distance.notes[0]}"] if distance.text else [])),
        details=(cell.verdict,),
        tags=(Tag("", cell.verdict.mark, cell.verdict.tone, short=True),),
        sort_key=cell.value,
    )


def _other_protocol(cell: ErrorCell) -> tuple[str, ...]:
    """Return how our runs and the paper's were tested, if the protocols differ."""
    if cell.verdict is not Verdict.OTHER_PROTOCOL:
        return ()
    return f"tested with {ONE_CROP.short}", f"printed with {cell.printed.protocol.short}"


def _figure_and_spread(cell: ErrorCell) -> tuple[str, tuple[str, ...]]:
    """Return our figure and the lines below it: the number of seeds, and the mean if the figure is not the mean."""
    assert cell.value is not None
    assert cell.mean is not None
    seeds = ", ".join([f"n = {cell.n}", *conditions(cell.runs)])
    spread = "" if cell.std is None else f" ± {cell.rounded(cell.std)}"
    if cell.statistic == Statistic.MEAN or cell.n == 1:
        return f"{cell.rounded(cell.value)}{spread}", (seeds,)
    return cell.rounded(cell.value), (f"{cell.statistic}, {seeds}", f"mean {cell.rounded(cell.mean)}{spread}")


def difference_cell(cell: ErrorCell | None) -> Shown:
    """Return our error minus the printed one, with the margin that randomness explains."""
    if cell is None or cell.difference is None or cell.margin is None:
        return Shown()
    return Shown(cell.signed(cell.difference), notes=(cell.margin_text,), sort_key=cell.difference)


def time_cell(cell: TimeCell | None) -> Shown:
    """Return the ratio of our time to that of the reference row."""
    if cell is None:
        return Shown()
    if cell.ratio is None:
        return Shown(DASH, spoken=Verdict.NOT_MEASURED, sort_key="", muted=True)
    return Shown(f"({cell.ratio:.2f})", sort_key=cell.ratio)
