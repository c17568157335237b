"""`repro table`: a published table next to what we counted and measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from repro.api.selection import select_all
from repro.api.tables import report_on, view_on
from repro.campaign.alternatives import try_alternatives
from repro.campaign.jobs import jobs_for
from repro.campaign.timing import check_timed, measure_times
from repro.campaign.training import train_missing
from repro.cli.options.cluster import CLUSTER_OPTIONS, cluster_options, resources_of
from repro.cli.options.rows import DeviceName, RowOptions
from repro.cli.options.runtime import runtime_options
from repro.cli.options.shared import Data, Epochs, Results, Rows, Runs, SeedsPerRow, completing
from repro.cli.other_versions import select_noting
from repro.cli.output import Format, Output, format_of, show
from repro.cli.plan import show_plan
from repro.cli.submit import has_runs, list_jobs, submit_missing
from repro.cli.suggestion import after_table, suggest
from repro.comparison.explain import mismatch_lines
from repro.comparison.join import Comparison
from repro.console import note, problem
from repro.errors import UserError, raise_joined
from repro.paths import DEFAULT_RESULTS, DEFAULT_RUNS, Folders, FolderUse
from repro.report import GRID_FORMATS, ReportFormat
from repro.report.view import ALL
from repro.runtime import Runtime
from repro.store.command_text import command_with
from repro.tables import RunsPerRow, Selection, table_as_typed, table_names

TIMED = ("device", "precision", "threads")
"""The runtime options that apply to --time."""

CLUSTER = tuple(f"--{name}" for name in CLUSTER_OPTIONS)
EXCLUSIVE = (
    ("--try", ("--run", "--time", "--check", *CLUSTER)),
    ("--dry-run", ("--time", "--check")),
    ("--device-name", CLUSTER),
    ("--on", ("--time", "--check", "--format", "--output")),
    *((each, ("--columns", "--bare")) for each in ("--try", "--dry-run", "--on")),
)
"""Options, each with those that it excludes."""
OF_ONE_TABLE = ("--run", "--try", "--time", "--rows", "--columns", "--bare")

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="TABLE",
        help="Table, such as cifar100, or the file of one (default: a summary of all tables); see repro list tables.",
        autocompletion=completing(table_names),
    ),
]
Run = Annotated[bool, typer.Option("--run", help="First train the runs that are missing.")]
Try = Annotated[
    bool,
    typer.Option(
        "--try",
        help="Instead of showing the table, train the alternatives that the recipe lists for inferred values, one at a "
        "time, for each row whose error differs.",
    ),
]
Time = Annotated[bool, typer.Option("--time", help="First measure a training step of every row with a published time.")]
Check = Annotated[
    bool, typer.Option("--check", help="List the cells that do not match, and exit with status 1 if there are any.")
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAMES",
        help="Columns to include, such as params,flops,error: keys or labels of the table's columns, others, weights "
        "or verdict (default: all).",
    ),
]
Bare = Annotated[
    bool, typer.Option("--bare", help="Leave out the notes, the reasons for differences, and the runs below the table.")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="With --run: train nothing; show what would be trained, and how long it takes; with --on, the jobs.",
    ),
]


@cluster_options
@runtime_options()
def table(
    switches: dict[str, Any],
    cluster: dict[str, Any],
    name: Name = None,
    run: Run = False,
    dry_run: DryRun = False,
    try_: Try = False,
    time: Time = False,
    rows: Rows = "*",
    columns: Columns = None,
    bare: Bare = False,
    check: Check = False,
    format: Format = None,
    output: Output = None,
    seeds: SeedsPerRow = None,
    epochs: Epochs = None,
    device_name: DeviceName = None,
    data: Data = None,
    results: Results = DEFAULT_RESULTS,
    runs: Runs = None,
) -> None:
    """Show a published table next to our counts and measured errors, or a summary of all tables."""
    _refuse_without_run({"seeds": seeds, "epochs": epochs, "runs": runs, **switches, **cluster}, run or try_, time)
    acted = {"--run": run, "--try": try_, "--time": time, "--dry-run": dry_run, "--check": check}
    viewed = {"--rows": rows != "*", "--columns": columns is not None, "--bare": bare}
    others = {"--format": format, "--output": output, "--device-name": device_name is not None}
    given = [option for option, value in {**acted, **viewed, **others}.items() if value]
    _check_together([*given, *(f"--{each}" for each in cluster)], named=name is not None)
    selections = select_all() if name is None else [select_noting(name, rows, results)]
    per_row = RunsPerRow(seeds, epochs)
    options = RowOptions(
        rows=rows, per_row=per_row, data=data, results=results, runs=runs, switches=switches, device_name=device_name
    )
    if dry_run and not cluster:
        show_plan(selections, options, format_of(format, output, GRID_FORMATS), output, selections[0].table)
        return
    if name and cluster:
        _submit(selections[0], options, cluster, dry_run=dry_run)
        return
    if name and try_:
        _try_alternatives(selections[0], options, format_of(format, output, GRID_FORMATS), output)
        return
    chosen = format_of(format, output)
    words = () if columns is None else columns.split(",")
    use = FolderUse.WRITE_RUNS if run else FolderUse.WRITE_RESULTS if time else FolderUse.SHOW_RESULTS
    folders = options.folders(use)
    view = view_on(selections[0], words, results, bare=bare) if name else ALL
    trained = _train_and_measure(selections[0], options, folders, run=run, time=time)
    report = report_on(selections, results, summary=name is None, view=view, runs=runs or DEFAULT_RUNS)
    show(replace(report, checked=check), chosen, output)
    if check and _report_mismatches(map(view.of_comparison, report.comparisons)):
        raise typer.Exit(1)
    if chosen == ReportFormat.RICH or output:
        _suggest_next(report.comparisons[0], options, named=name is not None, trained=trained)


def _suggest_next(first: Comparison, options: RowOptions, *, named: bool, trained: bool) -> None:
    """Suggest what to do after one table, or after the summary of all: show one of them."""
    if named:
        suggest(after_table(first, options.of_training, trained=trained))
    else:
        suggest(command_with("repro table cifar100", {"results": options.results}))


def _refuse_without_run(options: Mapping[str, Any], trains: bool, time: bool) -> None:
    """Raise UserError for the first option that was given and would have no effect."""
    for name, value in options.items():
        if value is not None and not trains and not (time and name in TIMED):
            measured = "--run, --try or --time" if name in TIMED else "--run or --try"
            needed = "--run" if name in CLUSTER_OPTIONS else measured
            raise UserError(f"--{name.replace('_', '-')} requires {needed}")


def _check_together(given: Collection[str], *, named: bool) -> None:
    """Raise UserError for options that exclude each other, or have no effect without another one or a table's name."""
    if "--dry-run" in given and "--run" not in given:
        raise UserError("--dry-run requires --run: it shows what --run would train")
    if "--device-name" in given and "--dry-run" not in given:
        raise UserError("--device-name requires --run --dry-run; runs are trained on this machine's --device")
    for option, others in EXCLUSIVE:
        for other in others:
            if option in given and other in given:
                raise UserError(f"{option} and {other} exclude each other; leave out one of them")
    if not named and (option := next((each for each in OF_ONE_TABLE if each in given), "")):
        raise UserError(f"{option} requires the name of a table; see repro list tables")


def _submit(selection: Selection, options: RowOptions, cluster: Mapping[str, Any], *, dry_run: bool) -> None:
    """Submit the missing runs as jobs, or list the jobs; UserError if they are refused."""
    runtime, folders = options.runtime, options.folders(FolderUse.WRITE_RUNS)
    jobs = jobs_for(selection, options.per_row, runtime, folders, resources_of(cluster, runtime))
    if not has_runs(jobs, folders):
        return
    if dry_run:
        command = f"repro table {table_as_typed(selection.table)} --run"
        list_jobs(jobs, command_with(command, {**options.of_training, **cluster}))
    else:
        submit_missing(jobs, folders)


def _try_alternatives(selection: Selection, options: RowOptions, format: ReportFormat, output: Path | None) -> None:
    """Train the alternatives, show what they did, and suggest the next command; OneRunFailed if one failed."""
    runtime, folders = options.runtime, options.folders(FolderUse.WRITE_RUNS)
    report, failures = try_alternatives(selection, options.per_row, runtime, folders)
    if report.tried or output or format != ReportFormat.RICH:  # a program reads an empty answer too
        show(report, format, output)
    raise_joined(failures)
    if format == ReportFormat.RICH and not output:
        if report.tried:  # the recipe has the reasons for its alternatives
            suggest(f"repro list recipes {quote(report.tried[0].trial.recipe.name)}")
        else:
            suggest(after_table(report.comparison, options.of_training))


def _train_and_measure(selection: Selection, options: RowOptions, folders: Folders, *, run: bool, time: bool) -> bool:
    """Train the missing runs and measure times, as far as asked for; return whether no run is left to train."""
    if time:
        check_timed(selection)
    trained = not run or train_missing(selection, options.per_row, options.runtime, folders)
    if time:
        limited = {name: value for name, value in options.switches.items() if name in TIMED}
        measure_times(selection, Runtime(**limited), options.results)
    return trained


def _report_mismatches(comparisons: Iterable[Comparison]) -> bool:
    """List the shown cells that do not match on stderr; return whether there are any."""
    lines = list(chain(*map(mismatch_lines, comparisons)))
    for line in lines:
        problem(f"mismatch: {line}")
    if not lines:
        note("no mismatch in the cells that were counted or measured")
    return bool(lines)
