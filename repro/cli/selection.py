"""Tables, those of their rows that are shown, and the counts that these need."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from repro.comparison.counts import uncounted
from repro.console import note, with_bar
from repro.counting.cache import counted
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
    subjects = {repr(each): each for each in chain(*(uncounted(table, rows) for table, rows in selections))}
    try:
        for subject in with_bar(list(subjects.values()), "counting models"):
            counted(subject)
    except PackageMissing as error:
        note(f"the counts of {number_of(len(subjects), 'model')} are left out: {error}")
