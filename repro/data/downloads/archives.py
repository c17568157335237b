"""Archives of datasets, read as streams: regular files of one folder, written under their plain names."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from repro.atomic import naming

LONGEST = 255
"""Bytes of the longest name that file systems take."""


def files_in(archive: tarfile.TarFile, within: str = "") -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the content of each file, in order; folders are skipped.

    Args:
        archive: opened for reading.
        within: the folder of the archive that holds all files; empty if they are in none.

    Raises:
        tarfile.ReadError: a member is a link, a device or a sparse file, which may be larger than the archive, or is in
            another folder, or its name is not plain.
    """
    for member in archive:
        if member.isdir():
            continue
        path = PurePosixPath(member.name)
        regular = member.isreg() and not member.issparse() and path.parent == PurePosixPath(within)
        content = archive.extractfile(member) if regular and _is_plain(path.name) else None
        if content is None:
            raise tarfile.ReadError(f"{member.name[:LONGEST]!r} is not a regular file with a plain name")
        yield path.name, content


def _is_plain(name: str) -> bool:
    return name not in ("", "..") and name.isprintable() and len(name.encode(errors="replace")) <= LONGEST


def unpack(archive: tarfile.TarFile, folder: Path, within: str = "") -> None:
    """Write the files of an archive into a folder; tarfile.ReadError as in `files_in`, or if there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    empty = True
    for name, content in files_in(archive, within):
        empty = False
        with naming(folder / name), (folder / name).open("wb") as file:
            shutil.copyfileobj(content, file)
    if empty:
        raise tarfile.ReadError("it has no files")


def is_filled(folder: Path) -> bool:
    """Whether a folder is there and not empty: an empty one is nothing that was unpacked, and hides no archive."""
    return folder.is_dir() and any(folder.iterdir())
