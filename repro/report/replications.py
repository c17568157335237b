"""How replications are shown: what others report for a printed cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from repro.report.grid import Reference, Shown
from repro.tables import Column, Replication, ReplicationSource, Row, Table
from repro.tables.replications import span
from repro.text import number_of


def others_cell(row: Row, column: Column) -> Shown:
    """Return the number of replications of an error and their range."""
    found = row.replications_of(column.key)
    return Shown(span(found), sort_key=len(found)) if found else Shown()


def replication_data(replication: Replication) -> dict[str, Any]:
    """Return a replication as plain data: what its file has, the error in %, and how close its training is."""
    source = msgspec.to_builtins(replication.source)
    del source["values"]
    reported = replication.reported
    return {
        "column": reported.column,
        "value": reported.value,
        "error": float(replication.error),
        "closeness": replication.source.closeness.value,
        **source,
    }


def references(table: Table, row: Row) -> Iterator[Reference]:
    """Yield what others report for a row, column by column, from the lowest to the highest error."""
    columns = table.of_kind("error")
    for column in columns:
        before = f"{column.label}: " if len(columns) > 1 else ""
        for each in sorted(row.replications_of(column.key), key=lambda each: each.error):
            text = f"{before}{each.error} %"
            yield Reference(text, _name(each.source), _href(each.source), _details(each.source))


def _name(source: ReplicationSource) -> str:
    return source.url.removeprefix("https://").removeprefix("github.com/")


def _href(source: ReplicationSource) -> str:
    return f"{source.url}/tree/{source.commit}" if source.commit else source.url


def _details(source: ReplicationSource) -> str:
    """Return commit, place, runs, epoch, closeness and differences in words."""
    unsaid = "" if source.recipe_described else "the source does not describe its training"
    differences = "; ".join(filter(None, (*source.differences, unsaid))) or "none listed"
    parts = (
        f"commit {source.commit[:7]}" if source.commit else "",
        f"{source.place} (seen {source.seen})",
        _runs(source),
        f"epoch: {source.epoch}",
        f"closeness to the paper: {source.closeness} (differences: {differences})",
    )
    return "; ".join(filter(None, parts))


def _runs(source: ReplicationSource) -> str:
    if source.runs == "unknown":
        return "number of runs: unknown"
    return "one run" if source.runs == 1 else f"{source.statistic} of {number_of(source.runs, 'run')}"
