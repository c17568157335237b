"""What is on disk of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from repro.console import waiting
from repro.errors import UserError


@dataclass(frozen=True)
class Stored:
    """The files of a dataset that were found complete."""

    folder: Path | None
    """A folder or a single file; None if a package holds the images."""
    size: int
    """Bytes of its files."""
    remark: str = ""
    """What is probably unintended, and what to do about it; empty if nothing is."""


class Missing(UserError):
    """A dataset is not there, or not completely."""

    def __init__(self, folder: Path, what: str = "") -> None:
        """`what` says which part of the dataset is missing, or what to do; the folder alone if empty."""
        super().__init__(what or f"{folder} does not exist")
        self.folder = folder


def size_of(folder: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    if folder.is_file():
        return folder.stat().st_size
    with waiting(f"measuring {folder}"):
        return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
