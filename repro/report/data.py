"""Comparisons and their summary as plain data, with exact figures, from which JSON and CSV are made."""

from __future__ import annotations

from typing import Any

from repro.comparison.explain import mismatch_lines, reasons
from repro.comparison.join import ComparedRow, Comparison, ErrorCell
from repro.comparison.match import conditions
from repro.comparison.rule import RULE, t_of_equivalence, t_of_margin
from repro.comparison.summary import summarise
from repro.comparison.times import TimeCell
from repro.report.replications import replication_data, weights_data


def table_data(comparison: Comparison) -> dict[str, Any]:
    """Return the facts about a table as a whole, without its rows."""
    table = comparison.table
    return {
        "table": table.name,
        "caption": table.caption,
        "source": table.source,
        "flops_convention": table.flops_convention,
        "rule": _rule_data(comparison),
        "repeated": [
            {"name": used.name, "seed": used.seed, "error": used.error, "unused": [each.error for each in others]}
            for used, *others in comparison.repeated
        ],
        "deviating": [
            {
                "name": each.name,
                "model": each.model,
                "options": each.options,
                "seed": each.seed,
                "error": each.error,
                "deviations": list(each.deviations),
            }
            for each in comparison.deviating
        ],
    }


def summary_data(comparison: Comparison) -> dict[str, Any]:
    """Return the summary of a table, with its mismatches."""
    return {
        "table": comparison.table.name,
        "caption": comparison.table.caption,
        "paper": comparison.table.paper,
        **vars(summarise([comparison])),
        "off": mismatch_lines(comparison),
    }


def _rule_data(comparison: Comparison) -> dict[str, Any] | None:
    spread, cells = comparison.spread, comparison.cells
    if spread is None:
        return None
    return {
        "text": RULE,
        "phi": spread.phi,
        "degrees": spread.degrees,
        "cells": cells,
        "t": t_of_margin(spread.degrees, cells),
        "t_equivalence": t_of_equivalence(spread.degrees),
    }


def row_data(comparison: Comparison, compared: ComparedRow, shown: ComparedRow) -> dict[str, Any]:
    """Return a row: what is printed and what was counted and measured, by column.

    Args:
        comparison: the table.
        compared: the row.
        shown: the row with only the cells whose differences have reasons.
    """
    row = compared.row
    return {
        "label": row.label,
        "name": comparison.table.called(row),
        "model": row.model,
        "options": comparison.table.options(row) if row.model else {},
        "recipe": {key: cell.printed.recipe for key, cell in compared.errors.items()},
        "published": {key: cell.text for key, cell in row.cells.items()},
        "measured": {
            **{key: cell.exact for key, cell in compared.counts.items()},
            **{key: _error_data(cell) for key, cell in compared.errors.items()},
            **{key: _time_data(cell) for key, cell in compared.times.items()},
        },
        "matches": {key: cell.matches for key, cell in compared.counts.items()},
        "replications": [replication_data(each) for each in compared.replications],
        "weights": [weights_data(key, each) for key, cell in compared.errors.items() for each in cell.weights],
        "verdict": compared.verdict,
        "why": reasons(comparison, shown),
    }


def _error_data(cell: ErrorCell) -> dict[str, Any]:
    compared = ("difference", "expected", "margin", "at_most", "bound", "best_epoch")
    return {
        **{key: getattr(cell, key) for key in ("n", "statistic", "value", "mean", "std")},
        "seeds": list(cell.seeds),
        **{key: getattr(cell, key) for key in compared},
        "precisions": list(cell.precisions),
        "conditions": conditions(cell.runs),
        "verdict": cell.verdict,
    }


def _time_data(cell: TimeCell) -> dict[str, Any]:
    figures = ("seconds", "batch", "ratio", "published_ratio", "reference")
    of_timing = ("how", "spread", "device", "precision", "started")
    return {
        **{key: getattr(cell, key) for key in figures},
        **{key: cell.timing and getattr(cell.timing, key) for key in of_timing},
    }
