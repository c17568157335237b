"""Findings in tables: what the verdicts lack, rows that are the same, and tables without a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from repro.tables import ColumnKind, PrintedError, Row, Statistic, Table
from repro.validation.findings import Finding, warning


def table_findings(table: Table) -> Iterator[Finding]:
    """Yield the findings in a table that could be read."""
    if not any(row.model for row in table.rows):
        yield warning(table.file, "the table", "no row has a model, so nothing is compared; add one to a row")
    for row, twin in _twins(table):
        reason = f"the same network, options, recipe and cells as {table.where(twin)}; remove one of them"
        yield warning(table.file, table.where(row), reason)
    columns = dict[str, list[str]]()
    for column in table.of_kind(ColumnKind.ERROR):
        cells = [each for each in table.errors() if each.column is column]
        for what, lacking in _lacking(cells).items():
            if lacking:
                rows = ", ".join(table.called(each.row) for each in lacking)
                reason = f"{'all rows' if len(lacking) == len(cells) else rows}: {what}"
                columns.setdefault(reason, []).append(f"{table.columns.index(column) + 1} ({column.key})")
    for reason, lacking_columns in columns.items():
        several = "s" if len(lacking_columns) > 1 else ""
        yield warning(table.file, f"column{several} {', '.join(lacking_columns)}", reason)


def _lacking(cells: list[PrintedError]) -> dict[str, list[PrintedError]]:
    """Return the printed errors that lack something for a verdict, by what they lack."""
    judged = [each for each in cells if each.judgeable]
    return {
        "no recipe is given, so there is no verdict; add recipe": [
            each for each in cells if each.recipe is None and not each.row.no_recipe
        ],
        f"no statistic is given, so {Statistic.LAST} is assumed; add statistic": [
            each for each in judged if not (each.row.statistic or each.column.statistic)
        ],
        "the number of the paper's runs is not given, so 1 is assumed; add runs": [
            each for each in judged if not (each.row.runs or each.column.runs)
        ],
        (
            f"statistic {Statistic.LAST} means a single run, but runs is above 1; "
            "choose mean, median or best, or set runs = 1"
        ): [each for each in judged if each.statistic == Statistic.LAST and each.runs > 1],
    }


def _twins(table: Table) -> Iterator[tuple[Row, Row]]:
    """Yield each row that differs from an earlier one at most in its label and replications, with the earlier one."""
    for index, row in enumerate(table.rows):
        for earlier in table.rows[:index]:
            if row.model and replace(row, label=earlier.label, replications=earlier.replications) == earlier:
                yield row, earlier
                break
