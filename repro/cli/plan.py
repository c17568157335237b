"""`repro plan`, and `repro table NAME --run --dry-run`: what is left to train, how long it takes, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from repro.api.selection import Selection, pools_of, select_all
from repro.bars import with_bar
from repro.cli.options import Data, Results, Rows, Runs, number_of_seeds
from repro.cli.output import GRID_FORMATS, Output, format_of, format_option, show
from repro.cli.row_options import RowOptions
from repro.cli.runtime_options import runtime_of, runtime_options
from repro.cli.suggestion import suggest, with_folders
from repro.comparison.corrections import records_today
from repro.comparison.join import spreads_for
from repro.console import loading
from repro.counting.cache import demanded
from repro.counting.in_processes import in_processes
from repro.errors import UserError
from repro.paths import DEFAULT_RESULTS, checked_folders
from repro.planning.device import device_called
from repro.planning.image_time import measurements_on
from repro.planning.plan import Plan, needed_runs, planned, without_demand
from repro.report import ReportFormat
from repro.report.plan import PlanReport
from repro.runtime import Runtime
from repro.store.commands import command_with
from repro.store.results import Record, result_folders
from repro.store.step_times import StepTime, read_times
from repro.tables import Row, RunsPerRow, Table

Format = Annotated[ReportFormat | None, format_option(GRID_FORMATS)]
Seeds = Annotated[int | None, number_of_seeds("Seeds to train for each row (default: as many as in the paper).")]
DeviceName = Annotated[
    str | None,
    typer.Option(
        "--device-name",
        metavar="NAME",
        help="Estimate for a device elsewhere, by its name in records, such as H100 (default: this machine's).",
    ),
]


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
    found = [(table, _matching(table, asked, rows)) for table, asked in select_all()]
    selections = [(table, shown) for table, shown in found if shown]
    if not selections:
        raise UserError(f"no row of any table matches {rows!r}; see repro table NAME")
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


def plan_of(selections: Sequence[Selection], options: RowOptions, *, named: bool) -> Plan:
    """Return the plan for some rows of some tables, which the user named or not; only the cache of counts is written.

    Raises:
        UserError: a device is ambiguous or missing, switches exclude each other, or a run's checkpoints are broken.
    """
    folders = checked_folders(None, options.runs, options.results)
    sources = result_folders(options.results)
    records, times, runtime = records_today(sources), read_times(sources), runtime_of(options.switches)
    device = _device(runtime, options.device_name, records, times)
    spreads = spreads_for(pools_of(selections, named=named), records)
    found = needed_runs(selections, spreads, records, folders.runs, options.per_row)
    subjects = without_demand(found)
    with in_processes(demanded, subjects) as waits:
        for wait, subject in with_bar(list(zip(waits, subjects, strict=True)), "computing what training demands"):
            wait()
            demanded(subject)
    return planned(found, measurements_on(device, runtime, records, times))


def show_plan(
    selections: Sequence[Selection],
    options: RowOptions,
    format: ReportFormat,
    output: Path | None,
    named: str | None = None,
) -> None:
    """Print the plan for some rows of some tables and the next command, or write it to a file.

    Args:
        selections: the tables with the rows.
        options: those of the command.
        format: one of GRID_FORMATS.
        output: the file.
        named: the table or its file, as the user gave it; None for all tables.

    Raises:
        UserError: as in `plan_of`, or the file cannot be written.
    """
    made = plan_of(selections, options, named=named is not None)
    show(PlanReport(made), format, output)
    if format == ReportFormat.RICH and not output:
        suggest(after_plan(made, options.of_training, named))


def after_plan(made: Plan, given: Mapping[str, Any], named: str | None) -> str:
    """Return the command that trains the table with the least time left, or shows a table if nothing is to train.

    Args:
        made: the plan.
        given: the options that were given, by name; those that are None or a default are left out.
        named: the table, as for `show_plan`.
    """
    left = dict[str, float]()
    for row in made.rows:
        if row.to_train.runs:
            left[row.table.name] = left.get(row.table.name, 0.0) + row.to_train.seconds
    name = named or min(left, key=lambda each: left[each], default="")
    if left:
        return command_with(f"repro table {quote(name)} --run", given)
    shown = f"repro table {quote(name)}" if name else "repro table"
    results: Path = given["results"]
    return with_folders(shown, checked_folders(results=results), "data", *(["results"] if results.is_dir() else []))


def _matching(table: Table, rows: Sequence[Row], pattern: str) -> Sequence[Row]:
    """Return those of some rows of a table that match; none if no row does."""
    try:
        return [each for each in table.matching(pattern) if each in rows]
    except UserError:
        return ()


def _device(runtime: Runtime, name: str | None, records: Sequence[Record], times: Sequence[StepTime]) -> str:
    """Return the name of the device that is planned for."""
    if name is not None:
        if runtime.device != "auto":
            raise UserError("--device and --device-name exclude each other: this machine's device, or one elsewhere")
        return device_called(name, records, times)
    with loading():
        from repro.training.machine.device import device_name, prepare
    return device_name(prepare(runtime))
