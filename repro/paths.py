"""Where things lie on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from repro.errors import UserError


@dataclass(frozen=True)
class Folders:
    """Where a run finds and leaves things."""

    data: Path
    runs: Path
    results: Path


def cache_folder() -> Path:
    """Return where what was computed once is kept: $REPRO_CACHE, else the user's cache folder."""
    root = os.environ.get("REPRO_CACHE")
    if root:
        return Path(root)
    from platformdirs import user_cache_path

    return user_cache_path("repro")


def folders(
    data: Path | None = None,
    runs: Path | None = None,
    results: Path = Path("results"),
    *,
    trains: bool = False,
    measures: bool = False,
    shows: bool = False,
) -> Folders:
    """Return the folders; the data sets' one is $REPRO_DATA, else data/, unless given.

    Args:
        data: of the data sets.
        runs: of the checkpoints; runs/ unless given.
        results: of the records.
        trains: runs and results are going to be written, after days perhaps.
        measures: results are going to be written.
        shows: results are going to be shown, and so must be there, unless nothing was said of them.

    Raises:
        UserError: a file lies where a folder should be, or a folder cannot be written or is not there.
    """
    runs = runs or Path("runs")
    for name, folder, written in (("--runs", runs, trains), ("--results", results, trains or measures)):
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not there.is_dir():
            raise UserError(f"{name} {folder} is no folder: {there} is a file")
        if written and not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"{name} {folder} cannot be written; choose another folder")
    if shows and results != Path("results") and not results.is_dir():
        raise UserError(f"--results {results} is not there; repro train writes records into such a folder")
    return Folders(data or Path(os.environ.get("REPRO_DATA") or "data"), runs, results)
