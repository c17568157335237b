"""What a table comes to: how much of it is counted right, measured and reproduced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from repro.comparison.join import Comparison
from repro.comparison.verdict import Verdict
from repro.tables import Table

NOTHING = "–"


@dataclass(frozen=True)
class Summary:
    """A table in numbers of cells. Rows that the paper quotes from elsewhere have none."""

    table: Table
    counted: int
    """Printed counts of networks that are here."""
    right: int
    """Of these, how many ours equal."""
    measurable: int
    """Printed errors with a network and a recipe here."""
    measured: int
    """Of these, how many have runs that followed the recipe."""
    without_recipe: int
    """Printed errors with a network but no recipe here."""
    verdicts: Mapping[Verdict, int]
    """How many errors got each verdict, worst first; verdicts on none, and errors that are not measured, left out."""


def summarise(comparison: Comparison) -> Summary:
    """Return what a comparison comes to."""
    counts = [cell for row in comparison.rows for cell in row.counts.values() if cell.matches is not None]
    printed = [cell for row in comparison.rows for cell in row.errors.values()]
    errors = [cell for cell in printed if cell.verdict != Verdict.NO_RECIPE]
    found: Counter[Verdict] = Counter(cell.verdict for cell in errors if cell.verdict != Verdict.NOT_MEASURED)
    return Summary(
        comparison.table,
        counted=len(counts),
        right=sum(cell.matches is True for cell in counts),
        measurable=len(errors),
        measured=sum(found.values()),
        without_recipe=len(printed) - len(errors),
        verdicts={verdict: found[verdict] for verdict in Verdict if found[verdict]},
    )


def share_measured(summaries: Sequence[Summary]) -> str:
    """Return of how many errors some tables have runs, as `2/5, 3 without recipe`."""
    measured = share(sum(each.measured for each in summaries), sum(each.measurable for each in summaries))
    without = sum(each.without_recipe for each in summaries)
    if not without:
        return measured
    return f"{without} without recipe" if measured == NOTHING else f"{measured}, {without} without recipe"


def share(part: int, whole: int) -> str:
    """Return `11/12`; a dash where there is nothing to count or to measure."""
    return f"{part}/{whole}" if whole else NOTHING
