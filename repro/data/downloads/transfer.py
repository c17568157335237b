"""One download from one URL, which continues where an earlier one broke off."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError

from repro.atomic import naming
from repro.bars import arriving

TIMEOUT_SECONDS = 20.0
"""Longest wait for the next bytes."""
CHUNK = 1 << 18
PARTIAL, NOTHING_FOLLOWS = 206, 416
"""HTTP statuses: the requested range of the file, and a file that ends where the range begins."""
BUSY = (408, 425, 429)
"""HTTP statuses, besides those from 500, after which the same request may succeed."""
HOPELESS = (socket.gaierror, ssl.SSLCertVerificationError)
"""Errors that stay: a machine without a network knows no host, and nothing makes a wrong certificate right."""


class Broken(Exception):
    """The transfer broke off and can be continued."""


class Refused(Exception):
    """The server does not give the file."""


def transfer(url: str, part: Path, name: str) -> None:
    """Append to `part` what it lacks of a file. If the server ignores HTTP Range, the whole file replaces it.

    Args:
        url: of the file.
        part: the unfinished file, in an existing folder. Its content stays if the transfer breaks off.
        name: of the file, for the progress.

    Raises:
        Broken: the server is busy, or the connection failed or ended early.
        Refused: the server has no such file, or cannot be found.
        OSError: `part` cannot be written.
    """
    there = part.stat().st_size if part.exists() else 0
    with _answer(url, there) as answer:
        if answer is None:
            return
        begin = there if _continues(answer, there) else 0
        following = answer.headers.get("Content-Length")
        total = None if following is None else begin + int(following)
        arrives = arriving(f"downloading {name}", begin, total)
        with naming(part), part.open("r+b" if begin else "wb") as file, arrives as count:
            file.seek(begin)
            for chunk in _chunks(answer):
                file.write(chunk)
                count(len(chunk))
            arrived = file.tell()
            os.fsync(file.fileno())
    if total is not None and arrived < total:
        raise Broken(f"the connection ended after {arrived:,} of {total:,} bytes")


@contextmanager
def _answer(url: str, there: int) -> Iterator[HTTPResponse | None]:
    """Request what follows the first bytes of a file; None if nothing does."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})  # noqa: S310
    try:
        with _network():
            answer = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310
    except _NothingFollows:
        yield None
        return
    with answer:
        yield answer


def _continues(answer: HTTPResponse, there: int) -> bool:
    """Whether an answer begins at the byte that was asked for, and not at the first one."""
    if answer.status != PARTIAL:
        return False
    shown = answer.headers.get("Content-Range", "")
    if not shown.startswith(f"bytes {there}-"):
        raise Refused(f"it sent the range {shown!r} instead of the bytes from {there:,}")
    return True


def _chunks(answer: HTTPResponse) -> Iterator[bytes]:
    while True:
        with _network():
            chunk = answer.read1(CHUNK)
        if not chunk:
            return
        yield chunk


class _NothingFollows(Exception):
    """The file ends where the requested range begins."""


@contextmanager
def _network() -> Iterator[None]:
    """Turn the errors of the network into Broken or Refused; those of the disk, outside of this block, stay."""
    try:
        yield
    except HTTPError as error:
        error.close()
        if error.code == NOTHING_FOLLOWS:
            raise _NothingFollows from None
        temporary = error.code >= 500 or error.code in BUSY
        raise (Broken if temporary else Refused)(f"{error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise (Refused if isinstance(reason, HOPELESS) else Broken)(str(reason) or type(reason).__name__) from error
