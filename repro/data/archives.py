"""Archives of data sets, read member by member: only regular files with plain names are ever written."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO


def files_in(archive: tarfile.TarFile) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """Yield the relative path and the content of each file, in order; folders are passed over.

    Raises:
        tarfile.ReadError: a member is a link or a device, or its path is absolute or leaves the folder.
    """
    for member in archive:
        if member.isdir():
            continue
        path = PurePosixPath(member.name)
        content = archive.extractfile(member) if member.isreg() else None
        if content is None or not path.parts or path.is_absolute() or ".." in path.parts or "\0" in member.name:
            raise tarfile.ReadError(f"{member.name!r} is not a regular file with a plain name")
        yield path, content


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the files of an archive below a folder; tarfile.ReadError as in `files_in`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files_in(archive):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)
