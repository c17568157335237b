"""What is shown of a table, in every format: built once from a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from repro.comparison.join import ComparedRow, Comparison
from repro.comparison.rule import RULE
from repro.comparison.verdict import Verdict
from repro.report.cells import count_cell, difference_cell, error_cell, printed_cell, time_cell, verdict_cell
from repro.report.data import row_data, table_data
from repro.report.grid import Grid, Heading, Line, Shown
from repro.report.notes import Note, notes_of
from repro.report.replications import others_cell, references, references_heading, weights_cell
from repro.report.runs import deviating_grid, runs_grid
from repro.report.view import ALL, View
from repro.tables import Column, ColumnKind, Row, Table
from repro.tables.column import OTHERS, WEIGHTS


@dataclass(frozen=True)
class Content:
    """A printed table next to our figures, the notes below it, and the runs."""

    table: Table
    grid: Grid
    notes: tuple[Note, ...]
    rule: str
    """The rule of the verdicts; empty without verdicts."""
    runs: Grid | None
    deviating: Grid | None
    data: Mapping[str, Any]
    """The facts about the table as a whole, as plain data."""
    view: View = ALL

    def beneath(self) -> list[Note]:
        """Return what text formats show below the table: why rows may differ, the notes, and the rule."""
        reasons = [Note(heading, lines) for heading, lines in self.grid.reasons()]
        return [*reasons, *self.notes, *([Note("Rule", (self.rule,))] if self.rule else [])]

    def legend(self) -> list[Note]:
        """Return the runs that deviate, in words, and what is shown below the table."""
        runs = self.deviating
        deviating = [Note(runs.title, tuple(runs.without_details().paragraphs()))] if runs else []
        return [*deviating, *self.beneath()]

    @property
    def title(self) -> str:
        """The paper, the table and what it shows."""
        return f"{self.table.paper}, {self.table.title}: {self.table.caption}"


def content_of(comparison: Comparison, view: View = ALL) -> Content:
    """Return what is shown of a comparison."""
    shown = view.of_comparison(comparison)
    return Content(
        comparison.table,
        _grid(comparison, shown, view),
        () if view.bare else notes_of(comparison, view),
        RULE if shown.spread and not view.bare else "",
        None if view.bare else runs_grid(shown),
        None if view.bare else deviating_grid(shown),
        view.of_data(table_data(shown)),
        view,
    )


def _grid(comparison: Comparison, shown: Comparison, view: View) -> Grid:
    """Return the table: the printed cells next to ours, and a verdict for every row.

    Args:
        comparison: of all cells.
        shown: of the cells whose differences have reasons.
        view: what is shown.
    """
    columns = comparison.table.columns
    parts = [part for column in columns for part in _parts(comparison, column, view)]
    parts += [_Part(Heading("Verdict"), verdict_cell)] if view.shows_verdict(comparison.table) else []
    headings = (Heading("Row"), *(part.heading for part in parts))
    rows = zip(comparison.rows, shown.rows, strict=True)
    lines = tuple(_line(comparison, parts, row, own, view) for row, own in rows)
    return Grid(comparison.table.caption, headings, lines, kind="compared")


def _line(comparison: Comparison, parts: list[_Part], row: ComparedRow, shown: ComparedRow, view: View) -> Line:
    """Return a row; `shown` has only the cells whose differences have reasons."""
    error_differs = any(cell.differs for cell in shown.errors.values())
    data = view.of_data(row_data(comparison, row, shown))
    return Line(
        (Shown(_label(comparison.table, row.row, view)), *(part.show(row) for part in parts)),
        name=comparison.table.called(row.row),
        reasons=tuple(data.get("why", ())),
        reasons_heading="Possible reasons for the difference" if error_differs else "Count mismatch",
        references=() if view.bare else tuple(references(comparison.table, row, view)),
        references_heading=references_heading(comparison.table.called(row.row), data),
        muted=row.row.quoted,
        data=data,
    )


def _label(table: Table, row: Row, view: View) -> str:
    """Return the label of a row, with what distinguishes it unless columns show that."""
    shown = all(view.shows(each.key) for each in table.of_kind(ColumnKind.CONTEXT))
    return row.label if shown else table.called(row)


@dataclass(frozen=True)
class _Part:
    """A column of the grid: its heading, and how it shows a row."""

    heading: Heading
    show: Callable[[ComparedRow], Shown]


def _parts(comparison: Comparison, column: Column, view: View) -> list[_Part]:
    """Return the grid's columns for a printed column: the printed cells and, where there are any, ours and others'."""
    others = _others(comparison, column, view)
    if not view.shows(column.key):
        return others
    further = [*_ours(comparison, column), *others]
    heading = Heading("paper", column.label, numeric=True) if further else Heading(column.label, numeric=True)
    return [_Part(heading, lambda row: printed_cell(row, column)), *further]


def _ours(comparison: Comparison, column: Column) -> list[_Part]:
    heading = Heading("ours", column.label, numeric=True)
    if column.kind in (ColumnKind.PARAMS, ColumnKind.FLOPS):
        return [_Part(heading, lambda row: count_cell(row.counts.get(column.key)))]
    if column.kind == ColumnKind.TIME:
        return [_Part(heading, lambda row: time_cell(row.times.get(column.key)))]
    return _our_errors(comparison, column, heading) if column.kind == ColumnKind.ERROR else []


def _our_errors(comparison: Comparison, column: Column, heading: Heading) -> list[_Part]:
    """Return our errors, if there is a recipe, and the differences, if the table has only one error column."""
    alone = len(comparison.table.of_kind(ColumnKind.ERROR)) == 1
    cells = [row.errors[column.key] for row in comparison.rows if column.key in row.errors]
    if all(cell.verdict == Verdict.NO_RECIPE for cell in cells):
        return []
    ours = _Part(heading, lambda row: error_cell(row.errors.get(column.key), alone=alone))
    if not alone or all(cell.difference is None for cell in cells):
        return [ours]
    difference = Heading("difference", column.label, numeric=True, named=True)
    return [ours, _Part(difference, lambda row: difference_cell(row.errors.get(column.key)))]


def _others(comparison: Comparison, column: Column, view: View) -> list[_Part]:
    """Return what others report for the printed cells, and the errors of published weights, where there are any."""
    parts = []
    if view.shows_of(OTHERS, column.key) and any(row.replications_of(column.key) for row in comparison.rows):
        parts.append(
            _Part(Heading("others", column.label, numeric=True, named=True), lambda row: others_cell(row, column))
        )
    tests = [cell.weights for row in comparison.rows for key, cell in row.errors.items() if key == column.key]
    if view.shows_of(WEIGHTS, column.key) and any(tests):
        weights = Heading("weights", column.label, numeric=True, named=True)
        parts.append(_Part(weights, lambda row: weights_cell(row.errors.get(column.key))))
    return parts
