"""Comparisons as plain data, for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from repro.comparison.explain import off_cells, why
from repro.comparison.join import ComparedRow, Comparison, ErrorCell
from repro.comparison.rule import RULE, t_of_equivalence, t_of_margin
from repro.comparison.summary import Summary
from repro.comparison.times import TimeCell


def table_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data."""
    table = comparison.table
    return {
        "table": table.name,
        "caption": table.caption,
        "source": table.source,
        "flops_convention": table.flops_convention,
        "rule": _rule_json(comparison),
        "rows": [_row_json(comparison, each) for each in comparison.rows],
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


def summary_json(summaries: Sequence[Summary], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return what all tables come to as plain data, with the cells that are off."""
    return {
        "tables": [
            {
                "table": each.table.name,
                "caption": each.table.caption,
                "paper": each.table.paper,
                "counts": each.counted,
                "counts_right": each.right,
                "errors": each.measurable,
                "errors_measured": each.measured,
                "errors_without_recipe": each.without_recipe,
                "verdicts": dict(each.verdicts),
                "off": off_cells(comparison),
            }
            for each, comparison in zip(summaries, comparisons, strict=True)
        ]
    }


def _rule_json(comparison: Comparison) -> dict[str, Any] | None:
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


def _row_json(comparison: Comparison, compared: ComparedRow) -> dict[str, Any]:
    row = compared.row
    return {
        "label": row.label,
        "model": row.model,
        "options": comparison.table.options(row) if row.model else {},
        "recipe": {key: comparison.table.recipe(row, comparison.table.column[key]) for key in compared.errors},
        "published": {key: cell.text for key, cell in row.cells.items()},
        "measured": {
            **{key: cell.exact for key, cell in compared.counts.items()},
            **{key: _error_json(cell) for key, cell in compared.errors.items()},
            **{key: _time_json(cell) for key, cell in compared.times.items()},
        },
        "matches": {key: cell.matches for key, cell in compared.counts.items()},
        "verdict": compared.verdict,
        "why": why(comparison, compared),
    }


def _error_json(cell: ErrorCell) -> dict[str, Any]:
    return {
        "n": cell.n,
        "statistic": cell.statistic,
        "value": cell.value,
        "mean": cell.mean,
        "std": cell.std,
        "seeds": list(cell.seeds),
        "difference": cell.difference,
        "expected": cell.expected,
        "margin": cell.margin,
        "at_most": cell.at_most,
        "bound": cell.bound,
        "best_epoch": cell.best_epoch,
        "precisions": list(cell.precisions),
        "verdict": cell.verdict,
    }


def _time_json(cell: TimeCell) -> dict[str, Any]:
    timing = cell.timing
    return {
        "seconds": cell.seconds,
        "batch": cell.batch,
        "ratio": cell.ratio,
        "published_ratio": cell.published_ratio,
        "reference": cell.reference,
        "how": timing and timing.how,
        "spread": timing and timing.spread,
        "device": timing and timing.device,
        "precision": timing and timing.precision,
        "started": timing and timing.started,
    }
