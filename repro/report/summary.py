"""The summary of tables as a grid, one line per table: matching counts, measured errors, and verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from repro.comparison.join import Comparison
from repro.comparison.summary import Summary, share, summarise
from repro.comparison.verdict import Verdict
from repro.report.cells import verdict_tag
from repro.report.data import summary_data
from repro.report.grid import DASH, Grid, Heading, Line, Shown
from repro.tables import Table
from repro.text import number_of


def summary_of(comparisons: Sequence[Comparison]) -> Grid:
    """Return the summary of some tables."""
    summaries = [summarise(each) for each in comparisons]
    headings = (
        Heading("Table"),
        Heading("Paper", detail=True),
        Heading("Counts\nmatching", numeric=True),
        Heading("Errors\nmeasured", numeric=True),
        Heading("Errors without\nrecipe", numeric=True),
        Heading("Verdicts on errors"),
    )
    lines = tuple(_line(*each) for each in zip(summaries, comparisons, strict=True))
    total = Line((Shown(f"{len(lines)} tables"), Shown(), *_figures(summaries))) if len(lines) > 1 else None
    return Grid("Summary of the tables", headings, lines, total, kind="summary")


def headline_of(comparisons: Sequence[Comparison]) -> str:
    """Return how many counts match and how many errors are measured in some tables, as a sentence."""
    summaries = [summarise(each) for each in comparisons]
    right, counted = sum(each.right for each in summaries), sum(each.counted for each in summaries)
    measured, errors = sum(each.measured for each in summaries), sum(each.measurable for each in summaries)
    counts = f"{right:,} of {number_of(counted, 'count')} {'matches' if counted == 1 else 'match'}" if counted else ""
    return "; ".join(filter(None, (counts, f"{measured:,} of {number_of(errors, 'error')} measured" if errors else "")))


def short_name(table: Table) -> str:
    """Return a table's paper and title in short; only the title if it has several papers."""
    network, *where = table.paper.split(", ")  # authors and place of publication
    return f"{network}, {table.title}" if len(where) == 2 else table.title


def _line(summary: Summary, comparison: Comparison) -> Line:
    table = summary.table
    name = Shown(table.name, href=f"#{table.name}")
    cells = (name, Shown(short_name(table)), *_figures([summary]))
    return Line(cells, name=table.name, data=summary_data(summary, comparison))


def _figures(summaries: Sequence[Summary]) -> tuple[Shown, ...]:
    """Return the totals over some tables: matching counts, measured errors, and verdicts."""
    right, counted = sum(each.right for each in summaries), sum(each.counted for each in summaries)
    measured, errors = sum(each.measured for each in summaries), sum(each.measurable for each in summaries)
    without = sum(each.without_recipe for each in summaries)
    found: Counter[Verdict] = sum((Counter(each.verdicts) for each in summaries), Counter())
    tags = tuple(verdict_tag(each, f"{found[each]} {each}") for each in Verdict if found[each])
    return (
        Shown(share(right, counted), sort_key=right / counted if counted else "", muted=not right),
        Shown(share(measured, errors), sort_key=measured / errors if errors else "", muted=not measured),
        Shown(f"{without}" if without else DASH, sort_key=without, muted=not without),
        Shown(tags=tags, sort_key=" ".join(tag.text for tag in tags)),
    )
