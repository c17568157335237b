"""Grids as JSON, with exact figures."""

from __future__ import annotations

from repro.console import json_text
from repro.report.content import Content
from repro.report.grid import Grid


def table_json(content: Content) -> str:
    """Return a table."""
    rows = [line.data for line in content.grid.lines]
    return json_text({**content.data, "rows": rows})


def summary_json(summary: Grid) -> str:
    """Return the summary of tables."""
    return json_text({"tables": [line.data for line in summary.lines]})
