"""The summary of tables: how many counts match, how many errors are measured, and their verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from repro.comparison.join import Comparison
from repro.comparison.verdict import Verdict


@dataclass(frozen=True)
class Summary:
    """Tables in numbers of cells. Errors that the papers quote from elsewhere are left out."""

    counts: int
    """Printed counts of registered networks; those that could not be counted here are left out."""
    counts_right: int
    """How many of these match ours."""
    errors: int
    """Printed errors with a recipe."""
    errors_measured: int
    """How many of these have runs that followed the recipe."""
    errors_without_recipe: int
    """Printed errors of registered networks for which no recipe is implemented."""
    verdicts: Mapping[Verdict, int]
    """How many measured errors got each verdict, worst first; verdicts without an error are left out."""


def summarise(comparisons: Iterable[Comparison]) -> Summary:
    """Return the summary of one or several tables."""
    rows = [row for each in comparisons for row in each.rows]
    counts = [cell for row in rows for cell in row.counts.values() if cell.matches is not None]
    printed = [cell for row in rows for cell in row.errors.values()]
    errors = [cell for cell in printed if cell.verdict != Verdict.NO_RECIPE]
    found: Counter[Verdict] = Counter(cell.verdict for cell in errors if cell.verdict.measured)
    return Summary(
        counts=len(counts),
        counts_right=sum(cell.matches is True for cell in counts),
        errors=len(errors),
        errors_measured=sum(found.values()),
        errors_without_recipe=len(printed) - len(errors),
        verdicts={verdict: found[verdict] for verdict in Verdict if found[verdict]},
    )
