"""Tables, those of their rows that are shown, and the counts that these need."""

from __future__ import annotations

from collections.abc import Sequence

from repro.comparison.counts import counts_of, uncounted
from repro.console import note, with_bar
from repro.errors import PackageMissing
from repro.tables import Row, Table, read_table, table_names
from repro.text import number_of

Selection = tuple[Table, Sequence[Row]]
"""A table, and those of its rows that are shown."""


def all_tables() -> list[Table]:
    """Return every table."""
    return [read_table(name) for name in table_names()]


def select(name: str, rows: str) -> Selection:
    """Return a table and the rows that match a label or pattern; UserError if there is none."""
    table = read_table(name)
    return table, table.matching(rows)


def count_networks(selections: Sequence[Selection]) -> None:
    """Count the models that are not counted yet, which takes seconds per model; without fvcore, say that it cannot."""
    places = {repr(subject): (table, row) for table, rows in selections for row, subject in uncounted(table, rows)}
    try:
        for table, row in with_bar(list(places.values()), "counting models"):
            counts_of(table, row)
    except PackageMissing as error:
        note(f"the counts of {number_of(len(places), 'model')} are left out: {error}")
