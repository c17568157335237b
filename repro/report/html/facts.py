"""What must be known of a table beside its cells: source, conventions, protocol, times, notes."""

from __future__ import annotations

from repro.comparison.join import Comparison
from repro.comparison.verdict import Verdict
from repro.counting.conventions import CONVENTIONS
from repro.report.html.compared import statistic_words
from repro.report.notes import best_epochs, rule, time_lines
from repro.tables import Column


def facts_of(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Return what must be known, each with its lines; what says nothing is left out."""
    table = comparison.table
    facts = {
        "Source": [table.source],
        "FLOPs": [CONVENTIONS[table.flops_convention]] if table.of_kind("flops") else [],
        "Errors": list(dict.fromkeys(_protocol(comparison, column) for column in table.of_kind("error"))),
        "Times": time_lines(comparison),
        "Notes": list(table.notes),
        "Verdicts": rule(comparison)[1:],
        "Extra": [line.replace("Extra, used", "Used", 1) for line in best_epochs(comparison)],
    }
    return [(name, lines) for name, lines in facts.items() if lines]


def _protocol(comparison: Comparison, column: Column) -> str:
    """Return of what a printed error is told, how the test images are shown, and whether it can be measured here."""
    measurable = any(comparison.table.recipe(each.row, column) for each in comparison.rows if column.key in each.errors)
    told = f"{column.label}: {statistic_words(column.statistic, column.runs)}"
    without = "" if measurable else Verdict.NO_RECIPE
    return "; ".join(each for each in (told, column.protocol, without) if each)
