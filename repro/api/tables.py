"""Printed tables joined with our counts and runs: as `repro table` shows them, and as objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from repro.api.library import Papers, path_argument, shown_results, text_argument, using_for
from repro.api.selection import count_networks, select, select_all, spreads_of
from repro.comparison.corrections import records_today
from repro.comparison.join import Comparison
from repro.comparison.join import compare as joined
from repro.errors import UserError
from repro.paths import DEFAULT_RUNS
from repro.report import Report
from repro.report.view import ALL, View, check_evidence, view_of
from repro.store.curves import curve_of
from repro.store.results import Record, repeated_records, result_folders
from repro.store.step_times import read_times
from repro.store.weights_tests import read_weights_tests
from repro.tables import Selection
from repro.tables.column import OTHERS, WEIGHTS
from repro.tables.lookup import reported_errors


def table(
    name: str | Path | None = None,
    *,
    rows: str = "*",
    columns: Sequence[str] = (),
    bare: bool = False,
    results: str | Path = "results",
    papers: Papers = (),
) -> Report:
    """Return a printed table next to our counts and measured errors, as `repro table` shows it.

    A notebook shows it as HTML and a terminal as text; `to_frame()` returns a row for each printed row, and
    `text(format)` any of the formats of `repro table`.

    Args:
        name: a table, such as `cifar100`, or the file of one (default: the summary of all tables).
        rows: the rows to include: a part of the label, or a pattern with `*` and `?`.
        columns: the columns to include: keys or labels of printed columns, `others`, `weights` and `verdict`; also as
            text, such as `params,error`.
        bare: whether to leave out the notes, the reasons for differences, and the runs.
        results: the folder of your records; the shipped ones are always included.
        papers: one or several folders of papers, besides those that are found.

    Raises:
        UserError: there is no such table, row, column or folder, or a file is wrong.
    """
    chosen = _columns(columns)
    with using_for(name, papers):
        if name is None and (rows != "*" or chosen or bare):
            raise UserError("rows, columns and bare require the name of a table; see repro.list_tables()")
        selections = select_all() if name is None else [_selected(name, rows)]
        folder = shown_results(results)
        view = ALL if name is None else view_on(selections[0], chosen, folder, bare=bare)
        return report_on(selections, folder, summary=name is None, view=view)


def _columns(given: object) -> list[str]:
    """Return the columns that a user gave, as text or one by one; UserError if they are neither."""
    if isinstance(given, str):
        return given.split(",")
    if not isinstance(given, Iterable):
        raise UserError(f"columns must be text or a list of texts, not {type(given).__name__}")
    return [text_argument("columns", each) for each in given]


def compare(name: str | Path, *, rows: str = "*", results: str | Path = "results", papers: Papers = ()) -> Comparison:
    """Return the comparison of a printed table with our counts and runs: the verdicts, as objects.

    Each of `comparison.rows` has `row`, `verdict`, and `counts`, `errors` and `times` by the key of a column;
    `to_frame()` returns a row for each printed error. The rows that are compared share the rate of false alarms, so
    select them before you see their runs.

    Args:
        name: a table, such as `cifar100`, or the file of one.
        rows: the rows to compare: a part of the label, or a pattern with `*` and `?`.
        results: the folder of your records; the shipped ones are always included.
        papers: one or several folders of papers, besides those that are found.

    Raises:
        UserError: there is no such table, row or folder, or a file is wrong.
    """
    with using_for(name, papers):
        return compared([_selected(name, rows)], shown_results(results))[0]


def _selected(name: str | Path, rows: str) -> Selection:
    return select(str(path_argument("name", name)), text_argument("rows", rows))


def view_on(selection: Selection, columns: Sequence[str], results: Path, *, bare: bool) -> View:
    """Return the view of some columns of a table; UserError if there is no such column, or nothing in any of them."""
    view = view_of(selection.table, columns, bare=bare)
    if view.columns & {OTHERS, WEIGHTS}:
        check_evidence(selection, view, read_weights_tests(result_folders(results)), reported_errors())
    return view


def report_on(
    selections: Sequence[Selection], results: Path, *, summary: bool, view: View = ALL, runs: Path = DEFAULT_RUNS
) -> Report:
    """Return the report on some tables, with the shipped records and those in `results`."""
    comparisons = compared(selections, results, runs, named=not summary)
    return Report(comparisons, result_folders(results), summary=summary, view=view)


def compared(
    selections: Sequence[Selection], results: Path, runs: Path = DEFAULT_RUNS, *, named: bool = True
) -> list[Comparison]:
    """Return tables joined with our counts, the shipped records, and the records in `results`.

    Args:
        selections: the tables with the rows that are shown.
        results: the folder of the user's records.
        runs: that of the user's runs.
        named: whether the user named the tables, so that the code of all their networks may run.
    """
    places = result_folders(results)
    records, times, weights = records_today(places, runs), read_times(places), read_weights_tests(places)
    count_networks(selections)
    repeated = repeated_records(places)
    reported = reported_errors()
    lowest, spreads = partial(_lowest_error, places), spreads_of(selections, records, named=named)
    return [
        joined(
            each.table,
            records,
            times,
            weights,
            reported,
            shown=each.rows,
            left_out=each.left_out,
            spread=spread,
            lowest=lowest,
            repeated=repeated,
            results=results,
        )
        for each, spread in zip(selections, spreads, strict=True)
    ]


def _lowest_error(folders: Sequence[Path], record: Record) -> float | None:
    """Return the lowest test error of a run after any epoch; None if its curve is missing."""
    try:
        curve = curve_of(record, folders)
    except UserError:
        return None  # only additional information: the table is shown without it
    return min((row.test_error for row in curve), default=None)
