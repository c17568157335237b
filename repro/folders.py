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
    from platformdirs import user_cache_path

    root = os.environ.get("REPRO_CACHE")
    return Path(root) if root else user_cache_path("repro")


def folders(data: Path | None = None, runs: Path = Path("runs"), results: Path = Path("results")) -> Folders:
    """Return the folders; the data sets' one is $REPRO_DATA, else data/, unless given.

    Raises:
        UserError: a file lies where a folder should be.
    """
    for name, folder in (("--runs", runs), ("--results", results)):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{name} {folder} is no folder")
    return Folders(data or Path(os.environ.get("REPRO_DATA") or "data"), runs, results)
