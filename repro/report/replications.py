"""How the evidence of others is shown: what they report for a printed cell, and published weights, tested by us."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from repro.comparison.join import ComparedRow, ErrorCell
from repro.report.grid import Reference, Shown
from repro.report.view import ALL, EVIDENCE, SHOWN_WITH, View
from repro.store.weights_tests import WeightsTest
from repro.tables import Column, ColumnKind, Replication, ReplicationSource, Table
from repro.tables.column import OTHERS, WEIGHTS
from repro.tables.replications import span
from repro.text import number_of


def others_cell(row: ComparedRow, column: Column) -> Shown:
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


def weights_cell(cell: ErrorCell | None) -> Shown:
    """Return the errors of weights that others published: one error, or their number and range."""
    if cell is None or not cell.weights:
        return Shown()
    errors = [cell.rounded(each.error) for each in cell.weights]
    text = errors[0] if len(errors) == 1 else f"{len(errors)}: {errors[0]}–{errors[-1]}"
    return Shown(text, sort_key=cell.weights[0].error)


def weights_data(column: str, test: WeightsTest) -> dict[str, Any]:
    """Return a test of weights as plain data."""
    return {"column": column, **asdict(test)}


def ranges(data: Mapping[str, Any], column: str) -> dict[str, float]:
    """Return the number and the range of the evidence of others on an error, from a row's data; nothing without any."""
    found = dict[str, float]()
    for key in EVIDENCE:
        if errors := [each["error"] for each in data.get(key, ()) if each["column"] == column]:
            figures = {"n": len(errors), "lowest": min(errors), "highest": max(errors)}
            found |= {f"{SHOWN_WITH[key]}_{name}": figure for name, figure in figures.items()}
    return found


def references(table: Table, compared: ComparedRow, view: View = ALL) -> Iterator[Reference]:
    """Yield what others report for a row and their weights, column by column, from the lowest to the highest error."""
    columns = table.of_kind(ColumnKind.ERROR)
    for column in columns:
        before = f"{column.label}: " if len(columns) > 1 else ""
        found = compared.replications_of(column.key) if view.shows_of(OTHERS, column.key) else []
        for each in sorted(found, key=lambda each: each.error):
            text = f"{before}{each.error:f} %"
            yield Reference(text, _name(each.source.url), _href(each.source), _details(each.source))
        cell = compared.errors.get(column.key) if view.shows_of(WEIGHTS, column.key) else None
        for test in cell.weights if cell else ():
            text = f"{before}{test.error:.2f} %, tested here"
            yield Reference(text, _name(test.source) or test.file, _address(test.source), _test_details(test))


def references_heading(row: str, data: Mapping[str, Any]) -> str:
    """Return what stands above the references of a row, from its data, with the number of each kind."""
    words = {"replications": "what others report", "weights": "published weights"}
    found = " and ".join(f"{words[key]} ({len(data[key])})" for key in EVIDENCE if data.get(key))
    return f"{found[0].upper()}{found[1:]} for {row}" if found else ""


def _name(url: str) -> str:
    return url.removeprefix("https://").removeprefix("github.com/")


def _address(source: str) -> str | None:
    """Return the source of weights as an address to follow; a file may have any text there, such as a script."""
    return source if source.startswith(("https://", "http://")) else None


def _test_details(test: WeightsTest) -> str:
    images = f"{test.images:,} images of {test.dataset}"
    shown = f", {test.tested_by}" if test.protocol else ""
    return f"weights {test.file}, SHA-256 {test.sha256}; {images}{shown}; normalised as {test.normalised_as}"


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
