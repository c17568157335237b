"""The summary of tables as a grid, one line per table: matching counts, measured errors, and verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from repro.comparison.join import Comparison
from repro.comparison.summary import summarise
from repro.report.cells import verdict_tag
from repro.report.data import summary_data
from repro.report.grid import DASH, Grid, Heading, Line, Shown
from repro.tables import Table
from repro.text import number_of


def summary_of(comparisons: Sequence[Comparison]) -> Grid:
    """Return the summary of some tables."""
    headings = (
        Heading("Table"),
        Heading("Paper", detail=True),
        Heading("Counts\nmatching", numeric=True),
        Heading("Errors\nmeasured", numeric=True),
        Heading("Errors without\nrecipe", numeric=True),
        Heading("Verdicts on errors"),
    )
    lines = tuple(map(_line, comparisons))
    total = Line((Shown(f"{len(lines)} tables"), Shown(), *_figures(comparisons))) if len(lines) > 1 else None
    return Grid("Summary of the tables", headings, lines, total, kind="summary")


def headline_of(comparisons: Sequence[Comparison]) -> str:
    """Return how many counts match and how many errors are measured in some tables, as a sentence."""
    found = summarise(comparisons)
    match = "matches" if found.counts == 1 else "match"
    parts = (
        f"{found.counts_right:,} of {number_of(found.counts, 'count')} {match}" if found.counts else "",
        f"{found.errors_measured:,} of {number_of(found.errors, 'error')} measured" if found.errors else "",
    )
    return "; ".join(filter(None, parts))


def short_name(table: Table) -> str:
    """Return a table's paper and title in short; only the title if it has several papers."""
    network, *where = table.paper.split(", ")  # authors and place of publication
    return f"{network}, {table.title}" if len(where) == 2 else table.title


def _line(comparison: Comparison) -> Line:
    table = comparison.table
    name = Shown(table.name, href=f"#{table.name}")
    cells = (name, Shown(short_name(table)), *_figures([comparison]))
    return Line(cells, name=table.name, data=summary_data(comparison))


def _figures(comparisons: Sequence[Comparison]) -> tuple[Shown, ...]:
    """Return the figures of some tables: matching counts, measured errors, and verdicts."""
    found = summarise(comparisons)
    without = found.errors_without_recipe
    tags = tuple(verdict_tag(each, f"{number} {each}") for each, number in found.verdicts.items())
    return (
        _share(found.counts_right, found.counts),
        _share(found.errors_measured, found.errors),
        Shown(f"{without}" if without else DASH, sort_key=without, muted=not without),
        Shown(tags=tags, sort_key=" ".join(tag.text for tag in tags)),
    )


def _share(part: int, whole: int) -> Shown:
    """Return `11/12`; a dash if the whole is 0."""
    return Shown(f"{part}/{whole}" if whole else DASH, sort_key=part / whole if whole else "", muted=not part)
