"""One line per table: how many counts are right, how many errors are measured, and their verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from repro.comparison.summary import Summary, share, share_measured
from repro.comparison.verdict import Verdict
from repro.report.html.grid import Grid, Heading, Line, Shown
from repro.tables import Table


def overview_grid(summaries: Sequence[Summary]) -> Grid:
    """Return the summary of all tables, with a link to each."""
    verdicts = _verdicts(summaries)
    headings = (
        Heading("Table"),
        Heading("Paper"),
        Heading("Counts right", numeric=True),
        Heading("Errors measured", numeric=True),
        *(Heading(f"{each.mark} {each}", "Errors, by verdict", numeric=True) for each in verdicts),
    )
    lines = tuple(_line(each, verdicts) for each in summaries)
    return Grid("Every table in one line", headings, lines, _total(summaries, verdicts), kind="summary")


def called(table: Table) -> str:
    """Return a table's paper and title in short; one of many papers has its title alone."""
    network, *where = table.paper.split(", ")  # authors and place
    return f"{network}, {table.title}" if len(where) == 2 else table.title


def _verdicts(summaries: Sequence[Summary]) -> list[Verdict]:
    """Return the verdicts that some error of some table got."""
    return [verdict for verdict in Verdict if any(verdict in each.verdicts for each in summaries)]


def _line(summary: Summary, verdicts: Sequence[Verdict]) -> Line:
    table = summary.table
    return Line(
        (
            Shown(table.name, href=f"#{table.name}"),
            Shown(called(table)),
            _share(summary.right, summary.counted),
            _measured([summary]),
            *(_number(summary.verdicts.get(each, 0)) for each in verdicts),
        )
    )


def _total(summaries: Sequence[Summary], verdicts: Sequence[Verdict]) -> Line | None:
    """Return the sums over all tables; None of a single one."""
    if len(summaries) < 2:
        return None
    return Line(
        (
            Shown("All tables"),
            Shown(),
            _share(sum(each.right for each in summaries), sum(each.counted for each in summaries)),
            _measured(summaries),
            *(_number(sum(each.verdicts.get(verdict, 0) for each in summaries)) for verdict in verdicts),
        )
    )


def _share(part: int, whole: int) -> Shown:
    """Return `11/12`, sorted by the share; muted where there is nothing to share."""
    return Shown(share(part, whole), sorted_by=part / whole if whole else "", muted=not part)


def _measured(summaries: Sequence[Summary]) -> Shown:
    """Return of how many errors there are runs; muted where there are none."""
    measured, whole = sum(each.measured for each in summaries), sum(each.measurable for each in summaries)
    return Shown(share_measured(summaries), sorted_by=measured / whole if whole else "", muted=not measured)


def _number(cells: int) -> Shown:
    return Shown(str(cells), sorted_by=cells, muted=not cells)
