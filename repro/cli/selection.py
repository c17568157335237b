"""Tables, those of their rows that are shown, and the counts and records that these need."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from repro.comparison.corrections import records_today
from repro.comparison.counts import counts_of, uncounted
from repro.comparison.join import Comparison, compare, spreads_for
from repro.console import note, with_bar
from repro.errors import PackageMissing, UserError
from repro.store.results import Record, curve_of, read_times, result_folders
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


def compared(selections: Sequence[Selection], results: Path) -> list[Comparison]:
    """Return tables joined with our counts, the shipped records, and the records in `results`."""
    places = result_folders(results)
    records, times = records_today(places), read_times(places)
    count_networks(selections)
    lowest, spreads = partial(_lowest_error, places), spreads_for([table for table, _ in selections], records)
    return [
        compare(table, records, times, shown=rows, spread=spread, lowest=lowest)
        for (table, rows), spread in zip(selections, spreads, strict=True)
    ]


def _lowest_error(folders: Sequence[Path], record: Record) -> float | None:
    """Return the lowest test error of a run after any epoch; None if its curve is missing."""
    try:
        curve = curve_of(record, folders)
    except UserError:
        return None  # only additional information: the table is shown without it
    return min((row.test_error for row in curve), default=None)
