"""Archives of datasets, read as streams: regular files of one folder, written under their plain names."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath

from repro.atomic import naming

LONGEST = 255
"""Bytes of the longest name that file systems take."""


def unpack(archive: tarfile.TarFile, folder: Path, within: str = "") -> None:
    """Write the files of an archive into a folder, in order; folders are skipped.

    Args:
        archive: opened for reading.
        folder: where the files are written; it is created if needed.
        within: the folder of the archive that holds all files; empty if they are in none.

    Raises:
        tarfile.ReadError: a member is a link, a device or a sparse file, which may be larger than the archive, or is in
            another folder, or its name is not plain; or there are no files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    empty = True
    for member in archive:
        if member.isdir():
            continue
        path = PurePosixPath(member.name)
        regular = member.isreg() and not member.issparse() and path.parent == PurePosixPath(within)
        content = archive.extractfile(member) if regular and is_plain(path.name) else None
        if content is None:
            raise tarfile.ReadError(f"{member.name[:LONGEST]!r} is not a regular file with a plain name")
        empty = False
        with naming(folder / path.name), (folder / path.name).open("wb") as file:
            shutil.copyfileobj(content, file)
    if empty:
        raise tarfile.ReadError("it has no files")


def is_plain(name: str) -> bool:
    """Whether a file in an archive may have this name."""
    return name not in ("", "..") and name.isprintable() and len(name.encode(errors="replace")) <= LONGEST


def is_filled(folder: Path) -> bool:
    """Whether a folder is there and not empty: an empty one is nothing that was unpacked, and hides no archive."""
    return folder.is_dir() and any(folder.iterdir())
