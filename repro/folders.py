"""Where things lie on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from repro.errors import UserError

SHOWN_RUNS = 10
"""That a message names at most."""


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
        UserError: a file lies where a folder should be, or a folder cannot be written, or records are read from a
            folder that is not there.
    """
    runs = runs or Path("runs")
    for name, folder in (("--runs", runs), ("--results", results)):
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not there.is_dir():
            raise UserError(f"{name} {folder} is no folder: {there} is a file")
        if trains and not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"{name} {folder} cannot be written; choose another folder")
    if not trains and results != Path("results") and not results.is_dir():
        raise UserError(f"--results {results} is not there; it is the folder that repro train wrote runs.csv to")
    return Folders(data or Path(os.environ.get("REPRO_DATA") or "data"), runs, results)


def run_names(runs: Path) -> list[str]:
    """Return the names of the runs that have a folder."""
    return sorted(each.name for each in runs.iterdir() if each.is_dir()) if runs.is_dir() else []


def run_named(what: str, known: Iterable[str], where: str) -> str:
    """Return the run that is meant by its name, the beginning of its name or that of its identity.

    Args:
        what: the name, or a beginning; `resnet20` is the beginning of a name, and `resnet2` is none.
        known: the names of the runs.
        where: they are, for the message.

    Raises:
        UserError: it means none of them, or several.
    """
    known, wanted = list(known), what.lower()
    begins = [name for name in known if name.lower().startswith(f"{wanted}-") or _identity(name).startswith(wanted)]
    found = [name for name in known if name.lower() == wanted] or begins
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{what!r} means {len(found)} runs: {', '.join(found)}")
    raise UserError(f"{what!r} is no run in {where} and no checkpoint file; {_hint(wanted, known)}")


def _identity(name: str) -> str:
    return name.rsplit("-", 1)[-1]


def _hint(wanted: str, known: Sequence[str]) -> str:
    """Return which runs may be meant: the nearest in spelling, else all, the first ones of many."""
    if near := get_close_matches(wanted, known, n=3, cutoff=0.7):
        return f"did you mean {' or '.join(near)}?"
    if not known:
        return "there are no runs there yet"
    others = len(known) - SHOWN_RUNS
    return f"its runs: {', '.join(known[:SHOWN_RUNS])}{f' and {others} others' if others > 0 else ''}"
