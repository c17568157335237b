"""Downloads with a progress bar, mirrors and the published checksum."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from repro.atomic import part_of
from repro.errors import UserError

TIMEOUT_SECONDS = 20
CHUNK = 1 << 18


def fetch_archive(urls: Sequence[str], md5: str, root: Path) -> None:
    """Download a tar archive from the first of `urls` that has it, and unpack it under `root`.

    Raises:
        UserError: no URL gave the file with the published checksum; the message names the folder to fill by hand.
    """
    name = urls[0].rsplit("/", 1)[-1].split("?")[0]
    archive = part_of(root / name)
    if failures := _fetch_from_first(urls, archive, md5):
        raise UserError(
            f"{name} is not under {root} and cannot be downloaded ({failures}); "
            f"unpack it there by hand, or name another folder with --data"
        )
    _unpack(archive, root)


def fetch_file(urls: Sequence[str], md5: str, path: Path) -> None:
    """Download a file from the first of `urls` that has it.

    Raises:
        UserError: no URL gave the file with the published checksum; the message names the folder to put it in.
    """
    if failures := _fetch_from_first(urls, path, md5):
        raise UserError(
            f"{path.name} is not in {path.parent} and cannot be downloaded ({failures}); "
            f"put it there by hand, or name another folder with --data"
        )


def _fetch_from_first(urls: Sequence[str], target: Path, md5: str) -> str:
    """Download from the first URL that has the file; return the reasons if none has it, else an empty string."""
    failures = []
    for url in urls:
        try:
            _fetch(url, target, md5)
            return ""
        except (OSError, ValueError, HTTPException) as error:
            failures.append(f"{url.split('/')[2]}: {getattr(error, 'reason', error)}")
    return "; ".join(failures)


def _unpack(archive: Path, root: Path) -> None:
    """Unpack into a temporary folder, then rename, so that an interruption leaves no partial data set."""
    try:
        with tempfile.TemporaryDirectory(dir=root, prefix=".unpacking-") as beside:
            with tarfile.open(archive) as tar:
                tar.extractall(beside, filter="data")
            for entry in Path(beside).iterdir():
                if not (root / entry.name).exists():  # another process may have been faster
                    entry.replace(root / entry.name)
    finally:
        archive.unlink()


def _fetch(url: str, target: Path, md5: str) -> None:
    """Download from one URL; ValueError if the checksum differs, OSError if the network fails."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from repro.console import stderr

    beside = part_of(target)
    digest = hashlib.md5(usedforsecurity=False)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            target.parent.mkdir(parents=True, exist_ok=True)
            size = int(answer.headers.get("Content-Length") or 0) or None
            with beside.open("wb") as file, Progress(*columns, console=stderr()) as progress:
                task = progress.add_task(target.name, total=size)
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    progress.advance(task, len(chunk))
        if digest.hexdigest() != md5:
            raise ValueError(f"MD5 {digest.hexdigest()} instead of the published {md5}")
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
