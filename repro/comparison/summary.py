"""The summary of a table: how many counts match, how many errors are measured, and their verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from repro.comparison.join import Comparison
from repro.comparison.verdict import Verdict
from repro.tables import Table

NOTHING = "–"


@dataclass(frozen=True)
class Summary:
    """A table in numbers of cells. Errors that the paper quotes from elsewhere are left out."""

    table: Table
    counted: int
    """Printed counts of registered networks; those that could not be counted here are left out."""
    right: int
    """How many of these match ours."""
    measurable: int
    """Printed errors with a recipe."""
    measured: int
    """How many of these have runs that followed the recipe."""
    without_recipe: int
    """Printed errors of registered networks for which no recipe is implemented."""
    verdicts: Mapping[Verdict, int]
    """How many measured errors got each verdict, worst first; verdicts without an error are left out."""


def summarise(comparison: Comparison) -> Summary:
    """Return the summary of a comparison."""
    counts = [cell for row in comparison.rows for cell in row.counts.values() if cell.matches is not None]
    printed = [cell for row in comparison.rows for cell in row.errors.values()]
    errors = [cell for cell in printed if cell.verdict != Verdict.NO_RECIPE]
    found: Counter[Verdict] = Counter(cell.verdict for cell in errors if cell.verdict.measured)
    return Summary(
        comparison.table,
        counted=len(counts),
        right=sum(cell.matches is True for cell in counts),
        measurable=len(errors),
        measured=sum(found.values()),
        without_recipe=len(printed) - len(errors),
        verdicts={verdict: found[verdict] for verdict in Verdict if found[verdict]},
    )


def share(part: int, whole: int) -> str:
    """Return `11/12`; a dash if the whole is 0."""
    return f"{part}/{whole}" if whole else NOTHING
