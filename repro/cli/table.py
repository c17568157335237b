"""`repro table`: a published table next to what we counted and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from repro.atomic import write_atomically
from repro.cli.options import Data, Epochs, Results, Rows, Runs, choice, completing, runtime_options
from repro.cli.suggestion import after_table, suggest
from repro.cli.train import train_all
from repro.comparison.corrections import records_today
from repro.comparison.counts import uncounted
from repro.comparison.explain import mismatch_lines
from repro.comparison.join import Comparison, compare, pooled_over
from repro.console import note, problem, stdout, with_bar
from repro.counting.cache import counted
from repro.errors import BeingTrained, Diverged, PackageMissing, UserError
from repro.experiment import Experiment
from repro.paths import Folders, folders
from repro.report import SUFFIXES, Report, ReportFormat
from repro.runtime import Runtime
from repro.store.results import Record, append_times, curve_of, read_records, read_times, result_folders
from repro.tables import Row, Table, read_table, table_names
from repro.text import number_of, one_of
from repro.torchrun import process_count

WINDOW_SECONDS = 2.0
"""How long the steps of one row are measured before the next row's turn."""
TIMED = ("device", "precision", "threads")
"""The runtime options that apply to --time."""

Selection = tuple[Table, Sequence[Row]]
"""A table, and those of its rows that are shown."""
Name = Annotated[
    str | None,
    typer.Argument(
        metavar="TABLE",
        help="Table, such as cifar100, or the file of one (default: a summary of all tables); see repro list tables.",
        autocompletion=completing(table_names),
    ),
]
Run = Annotated[bool, typer.Option("--run", help="First train the runs that are missing.")]
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
    typer.Option("--seeds", min=1, metavar="N", help="Seeds to train for each row (default: as many as in the paper)."),
]


@runtime_options()
def table(
    switches: dict[str, Any],
    name: Name = None,
    run: Run = False,
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
    training_options = {"seeds": seeds, "epochs": epochs, "data": data, "runs": runs, **switches}
    _refuse_without_run(training_options, run, time)
    if name is None and (run or time or rows != "*"):
        raise UserError("--run, --time and --rows require the name of a table; see repro list tables")
    selections = [(each, each.rows) for each in all_tables()] if name is None else [select(name, rows)]
    chosen = format_of(format, output)
    places = folders(data, runs, results, trains=run, measures=time, shows=not (run or time))
    if time:
        check_timed(selections[0])
    if run:
        train_missing(selections[0], seeds, epochs, Runtime(**switches), places)
    if time:
        runtime = Runtime(**{key: value for key, value in switches.items() if key in TIMED})
        measure_times(selections[0], runtime, results)
    comparisons = compared(selections, results)
    show(Report(comparisons, result_folders(results), summary=name is None), chosen, output)
    if check and _report_mismatches(comparisons):
        raise typer.Exit(1)
    if chosen == ReportFormat.RICH and not output:
        suggest(after_table(name, comparisons[0]) if name else "repro table cifar100")


def _refuse_without_run(options: Mapping[str, Any], run: bool, time: bool) -> None:
    """Raise UserError for the first option that was given and would have no effect."""
    for name, value in options.items():
        if value is not None and not run and not (time and name in TIMED):
            raise UserError(f"--{name.replace('_', '-')} requires --run; without it, nothing is trained")


def all_tables() -> list[Table]:
    """Return every table."""
    return [read_table(name) for name in table_names()]


def select(name: str, rows: str) -> Selection:
    """Return a table and the rows that match a label or pattern; UserError if there is none."""
    table = read_table(name)
    return table, table.matching(rows)


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


def missing(selection: Selection, seeds: int | None, epochs: int | None, results: Path) -> list[Experiment]:
    """Return the experiments that some rows still need: for each published error, seeds 0, 1, ... without a record.

    Args:
        selection: a table and some of its rows.
        seeds: number of seeds for each error (default: as many as the paper ran).
        epochs: number of epochs of each run (default: the recipe's).
        results: the folder of the records.
    """
    table, rows = selection
    experiments = [
        each.experiment(seed, epochs)
        for each in table.errors(rows)
        if each.recipe
        for seed in range(seeds or each.runs)
    ]
    return _without_record(list({each.id: each for each in experiments}.values()), results)


def _without_record(experiments: Sequence[Experiment], results: Path) -> list[Experiment]:
    done = {record.id for record in read_records(result_folders(results))}
    return [each for each in experiments if each.id not in done]


def train_missing(
    selection: Selection, seeds: int | None, epochs: int | None, runtime: Runtime, folders: Folders
) -> None:
    """Train the runs that some rows of a table still need; after a stop, finished runs are not repeated.

    Runs that other processes train are tried again at the end, and reported if they are still being trained.

    Raises:
        Diverged: a run diverged; it is raised after all other runs are trained.
    """
    table, rows = selection
    count_networks([selection])  # an error in counting is reported before days of training
    experiments = missing(selection, seeds, epochs, folders.results)
    without = sum(each.recipe is None for each in table.errors(rows))
    omitted = f"; no recipe is implemented for {number_of(without, 'result')}" if without else ""
    note(f"{table.name}: {number_of(len(experiments), 'run')} to train{omitted}")
    diverged: list[str] = []
    held = _train_free(experiments, runtime, folders, diverged, note)
    _train_free(held, runtime, folders, diverged, problem)
    if diverged:
        raise Diverged("; ".join(diverged))


def _train_free(
    experiments: Sequence[Experiment],
    runtime: Runtime,
    folders: Folders,
    diverged: list[str],
    report: Callable[[str], None],
) -> list[Experiment]:
    """Train the experiments that no other process trains or has recorded meanwhile; return those that others train.

    Args:
        experiments: what is trained, the seeds of one experiment together.
        runtime: as for `train_all`, like the next one.
        folders: of the runs.
        diverged: gets a line for what diverges.
        report: called with who trains a run.
    """
    held: list[Experiment] = []
    for _, seeds_of_one in groupby(experiments, key=lambda each: replace(each, seed=0).id):
        free = list(seeds_of_one)
        if process_count() == 1:  # several processes may read different records, but must train the same
            free = _without_record(free, folders.results)
        while free:
            try:
                train_all(free, runtime, folders)
                break
            except BeingTrained as error:
                for name, holder in error.holders.items():
                    report(f"{name} is being trained by {holder}")
                held += [each for each in free if each.name in error.holders]
                free = [each for each in free if each.name not in error.holders]
            except Diverged as error:
                problem(f"failed: {error}")
                diverged.append(str(error))
                break
    return held


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


def compared(selections: Sequence[Selection], results: Path) -> list[Comparison]:
    """Return tables joined with our counts, the shipped records, and the records in `results`."""
    places = result_folders(results)
    records, times = records_today(places), read_times(places)
    count_networks(selections)
    tables = {each.name: each for each in (*all_tables(), *(table for table, _ in selections))}
    spread = pooled_over(list(tables.values()), records)
    lowest = partial(_lowest_error, places)
    return [compare(table, records, times, shown=rows, spread=spread, lowest=lowest) for table, rows in selections]


def count_networks(selections: Sequence[Selection]) -> None:
    """Count the models that are not counted yet, which takes seconds per model; without fvcore, say that it cannot."""
    subjects = {repr(each): each for each in chain(*(uncounted(table, rows) for table, rows in selections))}
    try:
        for subject in with_bar(list(subjects.values()), "counting models"):
            counted(subject)
    except PackageMissing as error:
        note(f"the counts of {number_of(len(subjects), 'model')} are left out: {error}")


def _lowest_error(folders: Sequence[Path], record: Record) -> float | None:
    """Return the lowest test error of a run after any epoch; None if its curve is missing."""
    try:
        curve = curve_of(record, folders)
    except UserError:
        return None  # only additional information: the table is shown without it
    return min((row.test_error for row in curve), default=None)


def show(report: Report, format: ReportFormat, output: Path | None) -> None:
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
