"""`repro plan`, and `repro table NAME --run --dry-run`: what is left to train, how long it takes, and what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from repro.api.plans import plan_of
from repro.api.selection import select_matching
from repro.cli.options.rows import DeviceName, RowOptions
from repro.cli.options.runtime import runtime_options
from repro.cli.options.shared import Data, Results, Rows, Runs, number_of_seeds
from repro.cli.output import Output, format_of, format_option, show
from repro.cli.suggestion import after_plan, suggest
from repro.paths import DEFAULT_RESULTS
from repro.report import GRID_FORMATS, ReportFormat
from repro.report.plan import PlanReport
from repro.tables import RunsPerRow, Selection, Table

Format = Annotated[ReportFormat | None, format_option(GRID_FORMATS)]
Seeds = Annotated[int | None, number_of_seeds("Seeds to train for each row (default: as many as in the paper).")]


@runtime_options("device", "precision", "compile", "graph", "fused", "together", "threads")
def plan(
    switches: dict[str, Any],
    rows: Rows = "*",
    seeds: Seeds = None,
    device_name: DeviceName = None,
    format: Format = None,
    output: Output = None,
    data: Data = None,
    results: Results = DEFAULT_RESULTS,
    runs: Runs = None,
) -> None:
    """Show what all tables still need: runs, device time, disk, memory, and the seeds that would decide each row.

    For one table: repro table NAME --run --dry-run.
    """
    chosen = format_of(format, output, GRID_FORMATS)
    selections = select_matching(rows)
    options = RowOptions(
        rows=rows,
        per_row=RunsPerRow(seeds),
        data=data,
        results=results,
        runs=runs,
        switches=switches,
        device_name=device_name,
    )
    show_plan(selections, options, chosen, output)


def show_plan(
    selections: Sequence[Selection],
    options: RowOptions,
    format: ReportFormat,
    output: Path | None,
    named: Table | None = None,
) -> None:
    """Print the plan for some rows of some tables and the next command, or write it to a file.

    Args:
        selections: the tables with the rows.
        options: those of the command.
        format: one of GRID_FORMATS.
        output: the file.
        named: the table that the user named; None for all tables.

    Raises:
        UserError: as in `plan_of`, or the file cannot be written.
    """
    folders, device = options.folders(), options.device_name
    made = plan_of(selections, options.per_row, options.runtime, folders, device, named=named is not None)
    show(PlanReport(made), format, output)
    if format == ReportFormat.RICH and not output:
        suggest(after_plan(made, options.of_training, named))
