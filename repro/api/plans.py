"""What tables still need, as `repro plan` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import ValidationError, convert

from repro.api.library import Papers, check_text, path_argument, plain, shown_results, text_argument, using_for
from repro.api.selection import select, select_matching, spreads_of
from repro.bounds import OneToBillion, UpToThousand, number_text
from repro.comparison.corrections import records_today
from repro.console import loading, note
from repro.counting.cache import demanded
from repro.counting.in_processes import when_cached
from repro.errors import UserError
from repro.paths import Folders, checked_folders
from repro.planning.device import device_called
from repro.planning.image_time import measurements_on
from repro.planning.plan import Plan, planned, rows_with_states, without_demand
from repro.report.plan import PlanReport
from repro.runtime import Runtime
from repro.store.results import Record, result_folders
from repro.store.step_times import StepTime, read_times
from repro.tables import RunsPerRow, Selection


def plan(
    name: str | Path | None = None,
    *,
    rows: str = "*",
    seeds: int | None = None,
    epochs: int | None = None,
    device_name: str | None = None,
    results: str | Path = "results",
    runs: str | Path = "runs",
    papers: Papers = (),
) -> PlanReport:
    """Return what a table still needs, or all tables: runs, device time, disk, memory, and seeds that would decide.

    `text(format)` gives it as `rich`, `csv` or `json`, and `to_frame()` a row for each printed error.

    Args:
        name: a table, such as `cifar100`, or the file of one (default: all tables).
        rows: the rows to include: a part of the label, or a pattern with `*` and `?`.
        seeds: the number of seeds of each row (default: as many as in the paper).
        epochs: of each run (default: the recipe's).
        device_name: the device to plan for, by its name in records, such as `H100` (default: this machine's).
        results: the folder of your records; the shipped ones are always included.
        runs: the folder of your runs.
        papers: one or several folders of papers, besides those that are found.

    Raises:
        UserError: there is no such table, row or folder, the name of the device fits several, or a file is wrong.
    """
    check_text(device_name=device_name)
    with using_for(name, papers):
        pattern = text_argument("rows", rows)
        selections = select_matching(pattern) if name is None else [select(str(name), pattern)]
        folders = checked_folders(None, path_argument("runs", runs), shown_results(results))
        per_row = RunsPerRow(_checked("seeds", seeds, UpToThousand), _checked("epochs", epochs, OneToBillion))
        return PlanReport(plan_of(selections, per_row, Runtime(), folders, device_name, named=name is not None))


def plan_of(
    selections: Sequence[Selection],
    per_row: RunsPerRow,
    runtime: Runtime,
    folders: Folders,
    device_name: str | None = None,
    *,
    named: bool,
) -> Plan:
    """Return the plan for some rows of some tables; only the cache of counts is written.

    Args:
        selections: the tables with the rows.
        per_row: the runs of each printed error.
        runtime: how the runs are trained.
        folders: of the runs and results.
        device_name: the device that is planned for, if it is elsewhere.
        named: whether the user named the tables, so that the code of all their networks may run.

    Raises:
        UserError: a device is ambiguous or missing, switches exclude each other, or a run's checkpoints are broken.
    """
    sources = result_folders(folders.results)
    records, times = records_today(sources, folders.runs), read_times(sources)
    device = _device(runtime, device_name, records, times)
    spreads = spreads_of(selections, records, named=named)
    rows = rows_with_states(selections, spreads, records, folders.runs, per_row)
    subjects = without_demand(rows)
    for number in when_cached(demanded, subjects, "computing what training demands"):
        demanded(subjects[number])
    return planned(rows, measurements_on(device, runtime, records, times))


def _checked(name: str, value: int | None, kind: Any) -> int | None:
    """Return an argument that is a number of a kind, or None; UserError if it is something else."""
    try:
        return None if value is None else convert(plain(value), kind)
    except ValidationError as error:
        raise UserError(f"{name}={value!r} is invalid; give {number_text(kind)}") from error


def _device(runtime: Runtime, name: str | None, records: Sequence[Record], times: Sequence[StepTime]) -> str:
    """Return the name of the device that is planned for."""
    if name is not None:
        if runtime.device != "auto":
            raise UserError("--device and --device-name exclude each other: this machine's device, or one elsewhere")
        found = device_called(name, records, times)
        if found not in {*(each.device for each in records), *(each.device for each in times)}:
            note(f"nothing was measured on a device called {found}, so all of its times are guessed")
        return found
    with loading():
        from repro.training.machine.device import checked_device, device_name
    return device_name(checked_device(runtime), runtime.threads)
