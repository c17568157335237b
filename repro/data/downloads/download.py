"""Downloads with mirrors, repeated attempts, and the published checksum; an interrupted one is resumed."""

from __future__ import annotations

import shutil
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from repro.bars import open_with_bar
from repro.console import note, waiting
from repro.data.downloads.archives import is_filled, unpack
from repro.data.downloads.checksum import checksum
from repro.data.downloads.transfer import Broken, Refused, transfer
from repro.errors import RunFailed, UserError
from repro.locks import Held, locked

PAUSES = (2.0, 5.0, 10.0)
"""Seconds before each further round through the mirrors that may succeed."""


def fetch_archive(urls: Sequence[str], md5: str, root: Path, folder: str) -> None:
    """Download a tar archive unless it is in `root`, and unpack it there unless its folder is there.

    Args:
        urls: mirrors of the archive.
        md5: its published checksum.
        root: of the datasets.
        folder: the folder that the archive holds.

    Raises:
        RunFailed: no URL gave the published file; the message names the folder to fill by hand.
        UserError: the file that is there is another one.
    """
    name = urls[0].rsplit("/", 1)[-1].split("?")[0]
    with _alone(root, name):
        if is_filled(root / folder):  # another process was faster
            return
        if (root / name).is_file():
            if checksum("md5", root / name) != md5:
                raise UserError(f"{root / name} is not the published archive (MD5 differs); remove it to download it")
            _unpack(root / name, root, name, folder)
            return
        part = root / f"{name}.part"
        if failures := _download(urls, md5, part, name):
            raise RunFailed(
                f"{name} is not under {root} and cannot be downloaded ({failures}); "
                f"unpack it there by hand, or name another folder with --data"
            )
        _unpack(part, root, name, folder)
        part.unlink()


def fetch_file(urls: Sequence[str], md5: str, path: Path) -> None:
    """Download a file unless it is there.

    Raises:
        RunFailed: no URL gave the published file; the message names the folder to put it in.
    """
    with _alone(path.parent, path.name):
        if path.exists():  # another process was faster
            return
        part = path.with_name(f"{path.name}.part")
        if failures := _download(urls, md5, part, path.name):
            raise RunFailed(
                f"{path.name} is not in {path.parent} and cannot be downloaded ({failures}); "
                f"put it there by hand, or name another folder with --data"
            )
        part.replace(path)


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Keep other processes from downloading the same file, also on other machines; wait for one that does."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f".{name}.lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, 0))
        except Held as held:
            with waiting(f"waiting for the download of {name} by {held}"):
                stack.enter_context(locked(lock))
        yield


def _download(urls: Sequence[str], md5: str, part: Path, name: str) -> str:
    """Complete `part` from the first URL that gives the published file.

    Mirrors have the same bytes, so that one continues what another began; the checksum decides.

    Returns:
        The reason of each URL if none gave the file, else an empty text.
    """
    reasons: dict[str, str] = {}
    left = list(urls)
    for pause in (0.0, *PAUSES):
        if pause and left:
            note(f"{name}: {'; '.join(reasons.values())}; trying again in {pause:.0f} s")
            time.sleep(pause)
        for url in tuple(left):
            try:
                _complete(url, md5, part, name)
                return ""
            except (Broken, Refused) as error:
                reasons[url] = f"{url.split('/')[2]}: {error}"
                if isinstance(error, Refused):
                    left.remove(url)
    return "; ".join(reasons.values())


def _complete(url: str, md5: str, part: Path, name: str) -> None:
    """Transfer from one URL for as long as each attempt brings new bytes, and compare the checksum.

    Raises:
        Broken: an attempt brought nothing new.
        Refused: the server has no such file, or another one.
    """
    resumed = _size(part) > 0
    while True:
        before = _size(part)
        try:
            transfer(url, part, name)
        except Broken:
            if _size(part) > before:
                continue
            raise
        found = checksum("md5", part)
        if found == md5:
            return
        part.unlink()
        if not resumed:
            raise Refused(f"MD5 {found} instead of the published {md5}")
        resumed = False  # the part may have been wrong, and not this server's file


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _unpack(archive: Path, root: Path, name: str, folder: str) -> None:
    """Unpack into a temporary folder, then rename, so that an interruption leaves no partial dataset."""
    beside = root / f".unpacking-{name}"
    shutil.rmtree(beside, ignore_errors=True)  # of a killed process: the lock is held
    try:
        with open_with_bar(archive, f"unpacking {name}") as file, tarfile.open(fileobj=file, mode="r|*") as tar:
            unpack(tar, beside, folder)
        beside.rename(root / folder)
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f"{name} is not the expected archive of {folder} ({error}); nothing was unpacked") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
