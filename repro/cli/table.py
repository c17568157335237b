"""`repro table`: what is printed beside what we counted and measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import groupby, product
from pathlib import Path

from repro.atomic import write_atomically
from repro.comparison.counts import uncounted
from repro.comparison.explain import off_cells
from repro.comparison.join import Comparison, compare, pooled_over
from repro.comparison.records import records_today
from repro.console import stderr, stdout, with_bar
from repro.counting.cache import counted
from repro.errors import Diverged, UserError
from repro.experiment import Experiment, experiment_for
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.results import Record, append_times, curve_of, read_records, read_times, result_folders
from repro.tables import Table, read_table, table_names
from repro.text import choose as choose_name
from repro.text import number_of

WINDOW_SECONDS = 2.0
"""Of the steps of one row, before the next row's turn."""


def all_tables() -> list[Table]:
    """Return every table."""
    return [read_table(name) for name in table_names()]


def choose(name: str, rows: str) -> Table:
    """Return the table that `name` spells, with the rows of a label, or else those whose label matches it.

    Capitals and spaces do not count; `*` and `?` stand for any signs and for one.

    Raises:
        UserError: no such table, or no such row.
    """
    table = read_table(name)
    wanted = _plain(rows)
    pattern = wanted if any(sign in rows for sign in "*?[") else f"*{wanted}*"
    exactly = tuple(row for row in table.rows if _plain(row.label) == wanted)
    kept = exactly or tuple(row for row in table.rows if fnmatchcase(_plain(row.label), pattern))
    if not kept:
        raise UserError(
            f"no row of {table.name} matches {rows!r}; its rows: {' | '.join(row.label for row in table.rows)}"
        )
    return replace(table, rows=kept, unselected=tuple(row for row in table.rows if row not in kept))


def _plain(label: str) -> str:
    """Return a label in the form in which `N=4` is found in `DenseResNet-110, N = 4`."""
    return label.lower().replace(" ", "")


def missing(table: Table, seeds: int | None, epochs: int | None, results: Path) -> list[Experiment]:
    """Return the experiments that a table still needs: for each error cell, seeds 0, 1, ... without a record."""
    done = {record.id for record in read_records(result_folders(results))}
    wanted = {each.id: each for each in _experiments(table, seeds, epochs)}
    return [each for each in wanted.values() if each.id not in done]


def _experiments(table: Table, seeds: int | None, epochs: int | None) -> Iterator[Experiment]:
    """Give the experiments behind the error cells, as many seeds as are asked for or as the paper ran."""
    for row, column in product(table.rows, table.of_kind("error")):
        recipe = table.recipe(row, column)
        if row.model and recipe and column.key in row.cells:
            for seed in range(seeds or table.statistic(row, column)[1]):
                yield experiment_for(row.model, table.options(row), seed=seed, recipe_name=recipe, epochs=epochs)


def train_missing(table: Table, seeds: int | None, epochs: int | None, runtime: Runtime, folders: Folders) -> None:
    """Train what a table still needs; going on after a stop repeats nothing.

    Raises:
        Diverged: a loss became NaN; raised when all other runs are over.
    """
    from repro.cli.train import train_all

    count_networks([table])  # what cannot be counted here is told before days of training
    experiments = missing(table, seeds, epochs, folders.results)
    cells = [(row, column) for row, column in product(table.rows, table.of_kind("error")) if column.key in row.cells]
    open_ = sum(row.model is not None and table.recipe(row, column) is None for row, column in cells)
    without = f"; {number_of(open_, 'cell')} without a recipe here" if open_ else ""
    to_train = f"{table.name}: {number_of(len(experiments), 'run')} to train{without}"
    stderr().print(to_train, soft_wrap=True, markup=False)
    diverged = []
    for _, seeds_of_one in groupby(experiments, key=lambda each: replace(each, seed=0).id):
        try:
            train_all(list(seeds_of_one), runtime, folders)
        except Diverged as error:
            stderr().print(f"failed: {error}", soft_wrap=True, markup=False)
            diverged.append(str(error))
    if diverged:
        raise Diverged("; ".join(diverged))


def check_timed(table: Table) -> None:
    """Refuse a table that prints no time of a network."""
    if not table.timed:
        raise UserError(f"{table.name} prints no time of a network; --time is for tables that do, such as wrn-blocks")


def measure_times(table: Table, runtime: Runtime, results: Path) -> None:
    """Measure a training step of every row with a printed time, in turn, and write what was measured."""
    from repro.benchmark.steps import ROUNDS, measure_steps

    what = f"{table.name}: measuring {len(table.timed)} rows in turn, {ROUNDS + 1} times"
    append_times(measure_steps(table, runtime, WINDOW_SECONDS, lambda windows: with_bar(windows, what)), results)
    stderr().print(f"measured times are in {results / 'times.csv'}", soft_wrap=True, markup=False)


def format_of(format: str | None, output: Path | None) -> str:
    """Return the format that is asked for, by name or by the ending of the file.

    Raises:
        UserError: there is no such format, the two are not the same, or the file cannot be written.
    """
    from repro import report

    if output and (output.is_dir() or not output.parent.is_dir()):
        raise UserError(f"{output} cannot be written: it is a folder, or its folder does not exist")
    by_name = choose_name("format", format or "rich", report.FORMATS)
    by_ending = report.SUFFIXES.get(output.suffix.lower()) if output else None
    if format and by_ending and by_name != by_ending:
        raise UserError(f"{output} is {by_ending} by its ending, and --format says {by_name}; leave out one of them")
    if format or output is None:
        return by_name
    if by_ending is None:
        endings = ", ".join(report.SUFFIXES)
        raise UserError(f"{output}: its ending names no format ({endings}); or say --format")
    return by_ending


def show(
    tables: Sequence[Table], results: Path, format: str | None, output: Path | None, *, summary: bool
) -> list[str]:
    """Show one table or the summary of several, or write it to a file; return a line for every cell that is off."""
    from repro import report

    chosen = format_of(format, output)
    comparisons = compared(tables, results)
    shown = report.Report(comparisons, result_folders(results), summary=summary)
    if output:
        _write(shown.text(chosen), output)
    elif chosen == "rich":
        stdout().print(shown.rich())
    else:
        print(shown.text(chosen), end="")
    return [line for comparison in comparisons for line in off_cells(comparison)]


def tell_off(off: Sequence[str]) -> bool:
    """Name the cells that are off on stderr; return whether there are any."""
    for line in off:
        stderr().print(f"off: {line}", soft_wrap=True, markup=False)
    if not off:
        stderr().print("no cell that was counted or measured is off")
    return bool(off)


def compared(tables: Sequence[Table], results: Path) -> list[Comparison]:
    """Return the tables joined with our counts, with the shipped records and with those under `results`."""
    folders = result_folders(results)
    records, times = records_today(folders), read_times(folders)
    count_networks(tables)
    spread, lowest = pooled_over(all_tables(), records), partial(_lowest_error, folders)
    return [compare(table, records, times, spread=spread, lowest=lowest) for table in tables]


def count_networks(tables: Sequence[Table]) -> None:
    """Count the networks of some tables that are not counted yet, which takes seconds each."""
    for subject in with_bar(uncounted(tables), "counting networks"):
        counted(subject)


def _lowest_error(folders: Sequence[Path], record: Record) -> float | None:
    """Return the lowest test error of a run after any epoch; None without its curve."""
    try:
        curve = curve_of(record, folders)
    except UserError:
        return None  # an extra, which holds up no table
    return min((row.test_error for row in curve), default=None)


def _write(text: str, output: Path) -> None:
    try:
        write_atomically(output, text.encode())
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror})") from error
    stderr().print(f"written to {output}", soft_wrap=True, markup=False)
