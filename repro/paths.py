"""The folders that the program reads and writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from tempfile import TemporaryFile

from repro.errors import UserError, unwritten

DEFAULT_RUNS = Path("runs")
"""The folder of the user's runs unless `--runs` names another one."""
DEFAULT_RESULTS = Path("results")
"""The folder of the user's records unless `--results` names another one."""


@dataclass(frozen=True)
class Folders:
    """The folders of a run."""

    data: Path
    """Datasets."""
    runs: Path
    """Checkpoints, a folder per run."""
    results: Path
    """Records of finished runs."""


class FolderUse(Enum):
    """What a command does with the folders of runs and results, and so what is checked of them."""

    READ = auto()
    """Both may be missing, and need not be writable."""
    SHOW_RESULTS = auto()
    """The folder of results must exist unless it is the default."""
    WRITE_RESULTS = auto()
    """The folder of results must be writable."""
    WRITE_RUNS = auto()
    """Both must be writable, since runs are recorded in the results."""


def default_folders() -> Folders:
    """Return the folders of a command without options: $REPRO_DATA, else data/; runs/ and results/."""
    return Folders(Path(os.environ.get("REPRO_DATA") or "data"), DEFAULT_RUNS, DEFAULT_RESULTS)


_DATA: ContextVar[Path | None] = ContextVar("data", default=None)


def data_folder() -> Path:
    """Return the folder of the datasets: `--data` of the running command, else $REPRO_DATA, else data/."""
    return _DATA.get() or default_folders().data


def stated_data(folder: Path) -> str | None:
    """Return the folder of the datasets as a run states it; None if $REPRO_DATA names it."""
    return None if os.environ.get("REPRO_DATA") == str(folder) else str(folder)


@contextmanager
def data_in(folder: Path | None) -> Iterator[None]:
    """Make a folder the one of `--data`; None if the option is not given."""
    token = _DATA.set(folder)
    try:
        yield
    finally:
        _DATA.reset(token)


def cache_folder() -> Path:
    """Return the folder of cached computations: $REPRO_CACHE, else the user's cache folder.

    Without platformdirs, which some GPU machines lack, this is the cache folder that it names on Linux.
    """
    root = os.environ.get("REPRO_CACHE")
    if root:
        return Path(root)
    try:
        from platformdirs import user_cache_path
    except ImportError:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "repro"
    return user_cache_path("repro")


def _check_writable(folder: Path, named: str) -> None:
    """Raise UserError if no file can be made in a folder; nothing is left of the one that is tried."""
    try:
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise unwritten(f"{named} is not writable ({error.strerror})", error, "choose another folder") from error


def checked_folders(
    data: Path | None = None,
    runs: Path | None = None,
    results: Path = DEFAULT_RESULTS,
    use: FolderUse = FolderUse.READ,
) -> Folders:
    """Return the folders of a command, checked before any long work.

    Args:
        data: datasets; default `data_folder()`.
        runs: checkpoints; default runs/.
        results: records of finished runs.
        use: what the command does with runs and results.

    Raises:
        UserError: a folder is a file, cannot be written, or does not exist.
    """
    runs = runs or DEFAULT_RUNS
    writes_runs = use is FolderUse.WRITE_RUNS
    writes_results = writes_runs or use is FolderUse.WRITE_RESULTS
    for name, folder, written in (("--runs", runs, writes_runs), ("--results", results, writes_results)):
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not there.is_dir():
            raise UserError(f"{name} {folder} is not a folder: {there} is a file")
        if written:
            _check_writable(there, f"{name} {folder}")
    if use is FolderUse.SHOW_RESULTS and results != DEFAULT_RESULTS and not results.is_dir():
        raise UserError(f"--results {results} does not exist; repro train creates it with the first record")
    return Folders(data or data_folder(), runs, results)
