"""Printed counts of parameters and FLOPs, and ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from repro.counting.cache import cached_count, counted
from repro.counting.count import Count, Subject
from repro.data import DATASETS
from repro.errors import PackageMissing, UserError
from repro.tables import UNITS, Column, ColumnKind, Row, Selection, Table

UNKNOWN = "–"


@dataclass(frozen=True)
class CountCell:
    """A printed count and ours."""

    published: str | None
    exact: int | None
    """None if it is unknown, because the package that counts is missing; `shown` is then a dash."""
    shown: str
    """Our count with the digits and the unit of the printed one."""
    matches: bool | None
    """None if nothing is printed or our count is unknown."""

    @property
    def mismatch(self) -> bool:
        """Whether our count differs from the printed one."""
        return self.matches is False


def subject_of(table: Table, row: Row) -> Subject:
    """Return what is counted for a row with a network; WrongFiles if it has no such options."""
    spec = DATASETS[table.dataset_of(row)]
    assert row.model
    return Subject(row.model, table.options(row), spec.input, spec.classes)


def counts_of(table: Table, row: Row) -> Count:
    """Return the counts of a row's network, which takes seconds unless they are cached.

    Raises:
        PackageMissing: the package that counts is not installed.
        WrongFiles: the network cannot be built, or does not accept the images of the dataset.
    """
    subject = subject_of(table, row)
    try:
        return counted(subject)
    except PackageMissing:
        raise
    except UserError as error:
        raise table.refused(row, error) from error


def uncounted(selection: Selection) -> Iterator[tuple[Row, Subject]]:
    """Yield the networks of some rows of a table whose counts are not cached."""
    for row in selection.rows:
        if _is_counted(selection.table, row) and not cached_count(subject := subject_of(selection.table, row)):
            yield row, subject


def count_cells(table: Table, row: Row) -> dict[str, CountCell]:
    """Return the counts of a row by column; none for a row without a network."""
    if not _is_counted(table, row):
        return {}
    columns = table.of_kind(ColumnKind.PARAMS, ColumnKind.FLOPS)
    try:
        counts = counts_of(table, row)
    except PackageMissing:
        printed = {column.key: row.cells.get(column.key) for column in columns}
        return {key: CountCell(cell.text if cell else None, None, UNKNOWN, None) for key, cell in printed.items()}
    return {column.key: _count_cell(table, row, column, counts) for column in columns}


def _is_counted(table: Table, row: Row) -> bool:
    """Whether the table has a column for a count of a row's network."""
    return row.model is not None and bool(table.of_kind(ColumnKind.PARAMS, ColumnKind.FLOPS))


def _count_cell(table: Table, row: Row, column: Column, counts: Count) -> CountCell:
    exact = counts.params if column.kind == ColumnKind.PARAMS else counts.flops[table.flops_convention]
    cell = row.cells.get(column.key)
    if cell is None:
        return CountCell(None, exact, abbreviated(exact), None)
    return CountCell(cell.text, exact, cell.like(exact), cell.matches(exact))


def abbreviated(exact: int) -> str:
    """Return a count with three digits and a unit, as papers print them; with more from 1000 of the largest unit on."""
    rounded = float(f"{exact:.3g}")
    unit, scale = next(((unit, scale) for unit, scale in reversed(UNITS.items()) if rounded >= scale), ("", 1))
    figure = exact / scale
    return f"{figure:,.0f}{unit}" if rounded / scale >= 1000 else f"{figure:.3g}{unit}"
