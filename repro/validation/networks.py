"""Findings in the networks of tables: those that cannot be built or counted, and counts that do not match."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from repro.bars import with_bar
from repro.comparison.counts import count_cells, counts_of, subject_of
from repro.errors import PackageMissing, UserError, WrongFiles
from repro.experiment import check_network
from repro.models import is_outside
from repro.tables import Row, Table, asked_rows
from repro.validation.findings import Finding, errors, warning

TableRow = tuple[Table, Row]


def network_findings(tables: Iterable[Table]) -> Iterator[Finding]:
    """Count the networks of tables, which shows progress, and yield what is found; see `asked_rows`."""
    subjects = dict[str, list[TableRow]]()
    for place in ((table, row) for table in tables for row in asked_rows(table) if row.model):
        try:
            subjects.setdefault(repr(subject_of(*place)), []).append(place)
        except WrongFiles as error:
            yield from errors(error.mistakes)
    for places in with_bar(list(subjects.values()), "counting models"):
        for place in places:
            yield from _counted(*place)


def _counted(table: Table, row: Row) -> Iterator[Finding]:
    """Count a network and yield the findings in its row; it is counted once for all rows that have it."""
    try:
        counts_of(table, row)
        _check_trainable(table, row)
    except PackageMissing as error:
        yield warning(table.file, table.where(row), f"not counted: {error}")
    except WrongFiles as error:
        yield from errors(error.mistakes)
    else:
        yield from _mismatches(table, row)


def _mismatches(table: Table, row: Row) -> Iterator[Finding]:
    """Yield the printed counts that differ from ours by the digits that are printed, unless a note names the row."""
    name = table.called(row)
    if any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", note) for note in table.notes):
        return
    for key, cell in count_cells(table, row).items():
        if cell.mismatch:
            reason = f"{key} is printed as {cell.published}, and the network has {cell.shown} ({cell.exact:,})"
            right = f"correct the cell or the options, or explain it in a note that names {name!r}"
            yield warning(table.file, table.where(row), f"{reason}; {right}")


def _check_trainable(table: Table, row: Row) -> None:
    """Refuse a network from outside the package that its recipes cannot train."""
    recipes = {each.recipe: each for each in table.errors([row]) if each.recipe and is_outside(row.model)}
    for each in recipes.values():
        try:
            check_network(each.experiment(0))
        except UserError as error:
            raise table.refused(row, error) from error
