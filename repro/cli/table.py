"""`repro table`: a published table next to what we counted and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from repro.atomic import write_atomically
from repro.cli.alternatives import check_format, try_alternatives
from repro.cli.missing import train_missing
from repro.cli.options import Data, Epochs, Results, Rows, Runs, choice, completing, runtime_options
from repro.cli.selection import Selection, all_tables, compared, select
from repro.cli.submit import cluster_options, resources_of, submit_missing
from repro.cli.suggestion import after_alternatives, after_table, suggest
from repro.comparison.explain import mismatch_lines
from repro.comparison.join import Comparison
from repro.console import note, problem, stdout, with_bar
from repro.errors import Diverged, UserError
from repro.paths import Folders, folders
from repro.report import SUFFIXES, Report, ReportFormat
from repro.report.alternatives import AlternativesReport
from repro.runtime import Runtime
from repro.store.results import append_times, result_folders
from repro.tables import table_names
from repro.text import number_of, one_of

WINDOW_SECONDS = 2.0
"""How long the steps of one row are measured before the next row's turn."""
TIMED = ("device", "precision", "threads")
"""The runtime options that apply to --time."""

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
        help="Instead, train the alternatives that the recipe lists for inferred values, one at a time, for each row "
        "whose error differs.",
    ),
]
Time = Annotated[bool, typer.Option("--time", help="First measure a training step of every row with a published time.")]
Check = Annotated[
    bool, typer.Option("--check", help="List the cells that do not match, and exit with status 1 if there are any.")
]
Format = Annotated[
    ReportFormat | None,
    choice(
        "--format",
        metavar="NAME",
        help=f"Output format: {one_of([*ReportFormat])} (default: by the extension of --output, else rich).",
    ),
]
Output = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write to a file.")]
SeedsPerRow = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        min=1,
        metavar="N",
        help="Seeds to train for each row (default: as many as in the paper; with --try, those of its runs).",
    ),
]


@cluster_options
@runtime_options()
def table(
    switches: dict[str, Any],
    cluster: dict[str, Any],
    name: Name = None,
    run: Run = False,
    try_: Try = False,
    time: Time = False,
    rows: Rows = "*",
    check: Check = False,
    format: Format = None,
    output: Output = None,
    seeds: SeedsPerRow = None,
    epochs: Epochs = None,
    data: Data = None,
    results: Results = Path("results"),
    runs: Runs = None,
) -> None:
    """Show a published table next to our counts and measured errors, or a summary of all tables."""
    training_options = {"seeds": seeds, "epochs": epochs, "data": data, "runs": runs, **switches, **cluster}
    _refuse_without_run(training_options, run or try_, time)
    if name is None and (run or try_ or time or rows != "*"):
        raise UserError("--run, --try, --time and --rows require the name of a table; see repro list tables")
    if try_ and (run or time or check):
        raise UserError("--try excludes --run, --time and --check; give them in a command of their own")
    selections = [(each, each.rows) for each in all_tables()] if name is None else [select(name, rows)]
    chosen = format_of(format, output)
    places = folders(data, runs, results, trains=run or try_, measures=time, shows=not (run or try_ or time))
    if try_:
        _try(name or "", selections[0], seeds, epochs, Runtime(**switches), places, chosen, output)
        return
    if time:
        check_timed(selections[0])
    runtime = Runtime(**switches)
    if use := resources_of(cluster, runtime):
        submit_missing(selections[0], seeds, epochs, runtime, places, use)
        return
    if run:
        train_missing(selections[0], seeds, epochs, runtime, places)
    if time:
        runtime = Runtime(**{key: value for key, value in switches.items() if key in TIMED})
        measure_times(selections[0], runtime, results)
    comparisons = compared(selections, results)
    show(Report(comparisons, result_folders(results), summary=name is None), chosen, output)
    if check and _report_mismatches(comparisons):
        raise typer.Exit(1)
    if chosen == ReportFormat.RICH and not output:
        suggest(after_table(name, comparisons[0]) if name else "repro table cifar100")


def _refuse_without_run(options: Mapping[str, Any], trains: bool, time: bool) -> None:
    """Raise UserError for the first option that was given and would have no effect."""
    for name, value in options.items():
        if value is not None and not trains and not (time and name in TIMED):
            option = name.replace("_", "-")
            raise UserError(f"--{option} requires --run or --try; without them, nothing is trained")


def _try(
    name: str,
    selection: Selection,
    seeds: int | None,
    epochs: int | None,
    runtime: Runtime,
    places: Folders,
    format: ReportFormat,
    output: Path | None,
) -> None:
    """Train the alternatives for some rows of a table, and show what they did; Diverged at the end if some run did."""
    check_format(format)
    report, diverged = try_alternatives(selection, seeds, epochs, runtime, places)
    if report.tried or output or format != ReportFormat.RICH:  # a program reads an empty answer too
        show(report, format, output)
    if diverged:
        raise Diverged("; ".join(diverged))
    if format == ReportFormat.RICH and not output:
        suggest(after_alternatives(name, report.comparison, report.tried))


def format_of(format: ReportFormat | None, output: Path | None) -> ReportFormat:
    """Return the format that was asked for, by name or by the extension of the file.

    Raises:
        UserError: name and extension contradict each other, or the file cannot be written.
    """
    if output is None:
        return format or ReportFormat.RICH
    if output.is_dir() or not output.parent.is_dir():
        raise UserError(f"{output} cannot be written: it is a folder, or its folder does not exist")
    by_ending = SUFFIXES.get(output.suffix.lower())
    if format and by_ending and format != by_ending:
        raise UserError(f"{output} has the extension of {by_ending}, but --format is {format}; leave out one of them")
    if format:
        return format
    if by_ending is None:
        raise UserError(f"{output}: unknown extension (known: {', '.join(SUFFIXES)}); or choose a --format")
    return by_ending


def check_timed(selection: Selection) -> None:
    """Raise UserError if the paper prints no time for any of these rows."""
    table, rows = selection
    if not table.timed(rows):
        raise UserError(f"{table.name} has no published times of these rows; --time is for tables such as wrn-blocks")


def measure_times(selection: Selection, runtime: Runtime, results: Path) -> None:
    """Measure a training step of every row with a published time, in turn, and record it."""
    from repro.benchmark.steps import ROUNDS, measure_steps

    table, rows = selection
    what = f"{table.name}: measuring {number_of(len(table.timed(rows)), 'row')} in turn, {ROUNDS + 1} times"
    times = measure_steps(table, rows, runtime, WINDOW_SECONDS, lambda windows: with_bar(windows, what))
    append_times(times, results)
    note(f"recorded the times in {results / 'times.csv'}")


def show(report: Report | AlternativesReport, format: ReportFormat, output: Path | None) -> None:
    """Print a report, or write it to a file."""
    if output:
        _write(report.text(format), output)
    elif format == ReportFormat.RICH:
        stdout().print(report.rich())
    else:
        print(report.text(format), end="")


def _write(text: str, output: Path) -> None:
    try:
        write_atomically(output, text.encode())
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror})") from error
    note(f"wrote {output}")


def _report_mismatches(comparisons: Sequence[Comparison]) -> bool:
    """List the cells that do not match on stderr; return whether there are any."""
    lines = list(chain(*map(mismatch_lines, comparisons)))
    for line in lines:
        problem(f"mismatch: {line}")
    if not lines:
        note("no mismatch in the cells that were counted or measured")
    return bool(lines)
