"""Tables, those of their rows that are shown, and the counts that these need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from repro.comparison.counts import counts_of, uncounted
from repro.comparison.pooling import spreads_for
from repro.comparison.spread import Spread
from repro.console import note
from repro.counting.cache import counted
from repro.counting.in_processes import when_cached
from repro.errors import PackageMissing, UserError
from repro.papers import paper_of
from repro.recipes.library import naming_papers
from repro.store.results import Record
from repro.tables import Selection, Table, asked_rows, read_table, table_as_typed, table_names
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
                f"{naming_papers(f'repro table {table_as_typed(table)}')} runs it"
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


def select_matching(pattern: str) -> list[Selection]:
    """Return those rows of all tables that match a pattern, by table; UserError if no row does."""
    found = [_matching(each, pattern) for each in select_all()]
    if not any(each.rows for each in found):
        raise UserError(f"no row of any table matches {pattern!r}; see repro table NAME")
    return [each for each in found if each.rows]


def _matching(selection: Selection, pattern: str) -> Selection:
    """Return those of the rows that match; none if no row does."""
    like = selection.table.like(pattern)
    rows, left_out = ([each for each in part if each in like] for part in (selection.rows, selection.left_out))
    return replace(selection, rows=rows, left_out=left_out)


def spreads_of(selections: Sequence[Selection], records: Sequence[Record], *, named: bool) -> list[Spread]:
    """Return the spread between seeds that the verdicts of each table use.

    Args:
        selections: the tables with the rows that are shown.
        records: the records of all experiments.
        named: whether the user named the tables: all rows of these count, and of others those that may be shown.
    """
    return spreads_for([each.table if named else _with_asked_rows(each) for each in selections], records)


def _with_asked_rows(selection: Selection) -> Table:
    """Return a table with the rows that are shown, and those that may be."""
    asked = (*selection.rows, *asked_rows(selection.table))
    return replace(selection.table, rows=tuple(row for row in selection.table.rows if row in asked))


def count_networks(selections: Sequence[Selection]) -> None:
    """Count the models that are not counted yet, which takes seconds per model; without fvcore, say that it cannot."""
    found = [(each.table, row, subject) for each in selections for row, subject in uncounted(each)]
    places = list({repr(subject): (table, row, subject) for table, row, subject in found}.values())
    try:
        for number in when_cached(counted, [subject for *_, subject in places], "counting models"):
            table, row, _ = places[number]
            counts_of(table, row)
    except PackageMissing as error:
        note(f"the counts of {number_of(len(places), 'model')} are left out: {error}")
