"""Where things lie on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
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
    data: Path | None = None, runs: Path | None = None, results: Path = Path("results"), *, trains: bool = False
) -> Folders:
    """Return the folders; the data sets' one is $REPRO_DATA, else data/, unless given.

    Args:
        data: of the data sets.
        runs: of the checkpoints; runs/ unless given.
        results: of the records.
        trains: runs and results are going to be written, after days perhaps.

    Raises:
        UserError: a file lies where a folder should be, or a folder cannot be written.
    """
    runs = runs or Path("runs")
    for name, folder in (("--runs", runs), ("--results", results)):
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not there.is_dir():
            raise UserError(f"{name} {folder} is no folder: {there} is a file")
        if trains and not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"{name} {folder} cannot be written; choose another folder")
    return Folders(data or Path(os.environ.get("REPRO_DATA") or "data"), runs, results)


def run_names(runs: Path) -> list[str]:
    """Return the names of the runs that have a folder."""
    return sorted(each.name for each in runs.iterdir() if each.is_dir()) if runs.is_dir() else []


def run_named(what: str, known: Iterable[str], where: str) -> str:
    """Return the run that a name or the beginning of an identity means.

    Args:
        what: the name or the beginning.
        known: the names of the runs.
        where: they are, for the message.

    Raises:
        UserError: it means none of them, or several.
    """
    known = list(known)
    found = [name for name in known if name == what or name.rsplit("-", 1)[-1].startswith(what)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{what!r} means {len(found)} runs: {', '.join(found)}")
    hint = f"its runs: {', '.join(known)}" if known else "there are no runs there yet"
    raise UserError(f"{what!r} is no run in {where} and no checkpoint file; {hint}")
