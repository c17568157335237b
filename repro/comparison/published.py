"""The published rows of a network, next to its counts."""

from __future__ import annotations

from dataclasses import dataclass

from repro.counting.conventions import Convention
from repro.counting.count import Count, Subject
from repro.tables import Cell, ColumnKind, Row, Table, read_table, table_names


@dataclass(frozen=True)
class PublishedCounts:
    """The printed counts of a row, and whether ours equal them; None if the table prints none."""

    table: str
    row: str
    """The label of the row, with what distinguishes it from rows of the same label."""
    params: str | None
    flops: str | None
    params_match: bool | None
    flops_match: bool | None
    """In the convention of the table, which is the next field."""
    flops_convention: Convention


def published_counts(subject: Subject, dataset: str, counts: Count) -> tuple[PublishedCounts, ...]:
    """Return every published row of a network on a dataset."""
    return tuple(
        _published(table, row, counts)
        for table in map(read_table, table_names())
        for row in table.rows
        if (row.model, table.dataset_of(row)) == (subject.model, dataset) and table.options(row) == subject.options
    )


def _published(table: Table, row: Row, counts: Count) -> PublishedCounts:
    params, flops = _cell(table, row, ColumnKind.PARAMS), _cell(table, row, ColumnKind.FLOPS)
    return PublishedCounts(
        table.name,
        table.called(row),
        None if params is None else params.text,
        None if flops is None else flops.text,
        None if params is None else params.matches(counts.params),
        None if flops is None else flops.matches(counts.flops[table.flops_convention]),
        table.flops_convention,
    )


def _cell(table: Table, row: Row, kind: ColumnKind) -> Cell | None:
    """Return a row's cell in the first column of a kind that has one."""
    return next((row.cells[each.key] for each in table.of_kind(kind) if each.key in row.cells), None)
