"""`repro runs`: what is done with the runs on disk."""

from __future__ import annotations

import sys
from shlex import quote
from typing import Annotated

import typer

from repro.cli.options.shared import Results, Runs, command_group
from repro.cli.suggestion import suggest, with_folders
from repro.console import note, print_line, problem
from repro.errors import RunFailed, UserError
from repro.paths import DEFAULT_RESULTS, FolderUse, checked_folders
from repro.runtime import Together
from repro.store.keeping import FoundRecord, delete_others, others_of, records_of
from repro.store.removal import Removal, removal_of, remove
from repro.store.results import RUNS
from repro.text import number_of, size

app = command_group("Delete runs, or keep one of several records of a run.")
RunNames = Annotated[list[str], typer.Argument(metavar="RUN", help="Runs (name or ID, a prefix of either, or folder).")]
Repeated = Annotated[str, typer.Argument(metavar="RUN", help="Run (name or ID, or a prefix of either).")]
Number = Annotated[
    int | None, typer.Option("--record", min=1, metavar="N", help="Number of the record to keep (default: list them).")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")]


@app.command("rm")
def rm(names: RunNames, yes: Yes = False, results: Results = DEFAULT_RESULTS, runs: Runs = None) -> None:
    """Delete runs: their checkpoints, curves and gate weights, and their records in --results."""
    folders = checked_folders(runs=runs, results=results)
    found = [removal_of(name, folders) for name in names]
    removals = list({(each.name, each.folder and each.folder.resolve()): each for each in found}.values())
    if not yes:
        _confirm([_shown(each) for each in removals], number_of(len(removals), "run"))
    for each in removals:
        remove(each)
        note(f"deleted {each.name}")
    suggest(with_folders("repro list runs", folders, "runs"))


@app.command("keep")
def keep(name: Repeated, record: Number = None, yes: Yes = False, results: Results = DEFAULT_RESULTS) -> None:
    """List the records of a run that has several, or keep one of them and delete the others."""
    folders = checked_folders(results=results, use=FolderUse.SHOW_RESULTS)
    found = records_of(name, folders.results)
    run = found[0].record.name
    if record is None:
        for number, each in enumerate(found, 1):
            print_line(_record_line(number, each))
        if len(found) > 1 and not found[1].shipped:
            suggest(with_folders(f"repro runs keep {quote(run)} --record 1", folders, "results"))
        else:
            suggest(with_folders("repro table", folders, "results"))
        return
    others = others_of(found, record)
    if others and not yes:
        _confirm([_record_line(found.index(each) + 1, each) for each in others], number_of(len(others), "record"))
    delete_others(others, found[record - 1])
    note(f"kept record {record} of {run}, and deleted {number_of(len(others), 'other record')}")
    suggest(with_folders("repro table", folders, "results"))


def _record_line(number: int, found: FoundRecord) -> str:
    """Return a record as one line."""
    record = found.record
    trained = "stacked" if record.trained_by.together == Together.STACKED else "alone"
    parts = [record.shown, record.precision, trained, record.started, record.device, record.host]
    parts.append(str(found.folder / RUNS))
    return f"{number}: {', '.join(filter(None, parts))}{' (used)' if number == 1 else ''}"


def _confirm(lines: list[str], what: str) -> None:
    """Name what will be deleted, and ask.

    Raises:
        UserError: there is no terminal to ask on.
        RunFailed: the answer is no.
    """
    if not (sys.stdin and sys.stdin.isatty()):  # closed, it is None
        raise UserError(f"there is no terminal to confirm the deletion of {what}; add --yes")
    for line in lines:
        problem(line)
    if not typer.confirm(f"Delete {what}?", err=True):
        raise RunFailed("nothing was deleted")


def _shown(removal: Removal) -> str:
    """Return a line with everything that the removal of a run deletes."""
    parts = []
    if removal.folder:
        target = f", a link to {removal.folder.resolve()}" if removal.folder.is_symlink() else ""
        parts.append(f"{removal.folder}{target} ({size(removal.size)})")
    if removal.records:
        parts.append(f"{number_of(len(removal.records), 'record')} in {removal.results / RUNS}")
    return f"{removal.name}: {', '.join([*parts, *map(str, removal.files)])}"
