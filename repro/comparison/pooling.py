"""The spread between seeds, pooled over tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from repro.comparison.match import with_runs
from repro.comparison.rule import MeasuredError, pooled
from repro.comparison.spread import Spread
from repro.store.results import Record
from repro.tables import Table, shipped_tables


def spreads_for(tables: Sequence[Table], records: Sequence[Record]) -> list[Spread]:
    """Return the spread between seeds that the verdicts of each table use, pooled over the shipped tables and itself.

    The runs of a user's table say nothing about the spread of the shipped ones.
    """
    shipped = {each.name: each for each in shipped_tables()}
    pools = {each.name: {**shipped, each.name: each} for each in tables}
    common = pooled_over([*shipped.values()], records) if any(each == shipped for each in pools.values()) else None
    return [common if common and pool == shipped else pooled_over([*pool.values()], records) for pool in pools.values()]


def pooled_over(tables: Iterable[Table], records: Sequence[Record]) -> Spread:
    """Return the spread between seeds, from the printed spreads and all tables' rows; each run counts once.

    Of errors that share runs, the one with most runs counts.
    """
    seen, rows = set[str](), list[MeasuredError]()
    found = chain(*(with_runs(table.errors(), records) for table in tables))
    for each in sorted(found, key=lambda each: len(each.runs), reverse=True):
        ids = {run.id for run in each.runs}
        if each.judged and seen.isdisjoint(ids):
            rows.append(each.measured)
            seen |= ids
    return pooled(rows)
