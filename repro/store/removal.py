"""Removing runs: their folders, and what the results say about them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from repro.errors import UserError
from repro.locks import Held, delete, holder_of, locked
from repro.paths import Folders
from repro.store.csv_rows import read_with_lines, rewrite
from repro.store.curves import curve_paths, is_curve_of
from repro.store.gates import gates_path
from repro.store.results import RECORD, RUNS, Record, every_record, is_shipped, without_tests
from repro.store.run_folders import CURVE, DESCRIPTION, LOCK, LOCK_SECONDS, run_names
from repro.store.run_names import run_named
from repro.store.writing import locked_results


@dataclass(frozen=True)
class Removal:
    """What removing a run deletes."""

    name: str
    folder: Path | None
    """The run's folder; None if only its record is left."""
    results: Path
    records: tuple[Record, ...]
    """Records of the run in `results`."""
    files: tuple[Path, ...]
    """Its curves and its mean gate weights in `results`."""

    @property
    def size(self) -> int:
        """Bytes in the run's folder."""
        return sum(each.stat().st_size for each in self.folder.rglob("*") if each.is_file()) if self.folder else 0


def removal_of(what: str, folders: Folders) -> Removal:
    """Return what removing a run would delete.

    Args:
        what: run (name, prefix, ID or folder).
        folders: runs and results.

    Raises:
        UserError: there is no such run, another process trains it, or its record is shipped with the program.
    """
    results = folders.results
    records = every_record(results)
    recorded = [each.name for each in records]
    folder = Path(what)
    if folder.is_dir():
        _check_folder(folder)
    elif folder.is_file():
        raise UserError(f"{what} is a file; give the run (name, prefix, ID or folder)")
    else:
        known = dict.fromkeys([*run_names(folders.runs), *recorded])
        folder = folders.runs / run_named(what, known, [folders.runs, results], other="the folder of one")
    name = Path(os.path.abspath(folder)).name  # of a link its own name, which the records have
    if holder_of(folder / LOCK):
        raise UserError(f"another process is training {name}; stop it first, and then remove the run")
    gates = gates_path(results, name)
    files = (*curve_paths(results, name), *([gates] if gates.exists() else []))
    if (files or name in recorded) and is_shipped(results):
        raise UserError(f"the record of {name} in {results} is shipped with the program and is never deleted")
    own = tuple(each for each in records if each.name == name)
    return Removal(name, folder if folder.is_dir() else None, results, own, files)


def _check_folder(folder: Path) -> None:
    """Raise UserError unless a folder is that of a run, so that no other one is ever deleted."""
    if not any((folder / each).is_file() for each in (DESCRIPTION, CURVE)):
        raise UserError(f"{folder} is not the folder of a run: it has neither {DESCRIPTION} nor {CURVE}")


def remove(removal: Removal) -> None:
    """Delete a run's records, curve and gate weights, and then its folder; of a link also the folder that it names.

    Raises:
        UserError: another process has started to train the run.
        OSError: a file could not be deleted; the same command deletes what is left.
    """
    if removal.folder is None:
        _remove_record(removal)
        return
    lock = removal.folder / LOCK
    try:
        with locked(lock, LOCK_SECONDS):
            _remove_record(removal)
            for each in removal.folder.iterdir():
                if not each.name.startswith(LOCK):  # the lock and who holds it
                    shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
            delete(lock)
    except Held as held:
        raise UserError(f"{held} is training {removal.name}; stop it first, and then remove the run") from None
    with suppress(OSError):  # a process that has started the run again keeps the folder
        removal.folder.resolve().rmdir()
        if removal.folder.is_symlink():
            removal.folder.unlink()


def _remove_record(removal: Removal) -> None:
    """Delete the records and the files of a removal, and none that was added after the question."""
    if not removal.records and not removal.files:
        return
    with locked_results(removal.results / RUNS):
        added = [each for each in delete_records(removal.records, removal.results) if each.name == removal.name]
        for file in removal.files:
            if not any(is_curve_of(file, each) for each in added):  # it replaced a curve without a record
                file.unlink(missing_ok=True)


def delete_records(unwanted: Sequence[Record], results: Path) -> list[Record]:
    """Delete the lines of records in `results`/runs.csv, whose lock this process holds; return the records left."""
    deleted = [without_tests(each) for each in unwanted]
    lines = read_with_lines(results / RUNS, Record, RECORD)
    left = [(record, line) for record, line in lines if without_tests(record) not in deleted]
    if deleted:
        rewrite(results / RUNS, [line for _, line in left], Record)
    return [record for record, _ in left]
