"""Tables, those of their rows that are shown, and the counts that these need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from repro.bars import with_bar
from repro.comparison.counts import counts_of, uncounted
from repro.console import note
from repro.counting.cache import counted
from repro.counting.in_processes import in_processes
from repro.errors import PackageMissing
from repro.papers import paper_of
from repro.tables import Selection, Table, asked_rows, read_table, table_names
from repro.text import number_of


def select_all() -> list[Selection]:
    """Return every table with its rows; say which are left out because a table's name is needed to run their code."""
    found = [select_asked(each) for each in map(read_table, table_names())]
    for each in found:
        table = each.table
        if each.left_out:
            network = "their networks are" if len(each.left_out) > 1 else "its network is"
            where = paper_of(table.file) or table.file.parent
            note(
                f"{table.name}: {number_of(len(each.left_out), 'row')} left out, since {network} code in {where}; "
                f"repro table {table.name} runs it"
            )
    return [each for each in found if each.rows]


def select_asked(table: Table, model: str | None = None) -> Selection:
    """Return a table where the user named neither it nor its paper; its rows with a network that they named remain."""
    asked = asked_rows(table)
    rows = [row for row in table.rows if row in asked or (model and row.model == model)]
    return Selection(table, rows, [row for row in table.rows if row not in rows])


def select(name: str, rows: str) -> Selection:
    """Return a table and the rows that match a label or pattern; UserError if there is none."""
    table = read_table(name)
    return Selection(table, table.matching(rows))


def pools_of(selections: Sequence[Selection], *, named: bool) -> list[Table]:
    """Return tables with the rows whose runs count in the spread between seeds.

    Args:
        selections: the tables with the rows that are shown.
        named: whether the user named the tables: all rows of these count, and of others those that may be shown.
    """
    if named:
        return [each.table for each in selections]
    return [
        replace(
            each.table, rows=tuple(row for row in each.table.rows if row in each.rows or row in asked_rows(each.table))
        )
        for each in selections
    ]


def count_networks(selections: Sequence[Selection]) -> None:
    """Count the models that are not counted yet, which takes seconds per model; without fvcore, say that it cannot."""
    found = [(each.table, row, subject) for each in selections for row, subject in uncounted(each)]
    places = list({repr(subject): (table, row, subject) for table, row, subject in found}.values())
    try:
        with in_processes(counted, [subject for *_, subject in places]) as waits:
            for wait, (table, row, _) in with_bar(list(zip(waits, places, strict=True)), "counting models"):
                wait()
                counts_of(table, row)
    except PackageMissing as error:
        note(f"the counts of {number_of(len(places), 'model')} are left out: {error}")
