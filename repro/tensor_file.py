"""Files of tensors as torch.save writes them, read without executing code in them and without growing in memory."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from repro.errors import RunFailed, UserError, is_out_of_memory


class Damaged(UserError):
    """The content of a file is not what was written."""


def read_tensors(path: Path) -> Any:
    """Return the content of a file: tensors on the CPU, and plain values.

    The file is read once, so that an error of the disk is not taken for damage, and a file that is replaced meanwhile
    is read from one of its states.

    Raises:
        UserError: the file is missing, cannot be read, or holds other objects.
        Damaged: its checksums fail, or torch cannot have written it.
        RunFailed: the memory is too small.
    """
    content = _bytes(path)
    try:
        _check(content)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except zipfile.BadZipFile as error:
        raise Damaged(f"{path} is damaged or not a checkpoint ({error})") from error
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} has other objects than tensors and is not a checkpoint of repro train") from error
    except Exception as error:  # zipfile, torch's reader and its unpickler raise errors of all kinds
        if isinstance(error, MemoryError) or is_out_of_memory(error):
            raise RunFailed(f"the memory is too small to read {path}") from error
        raise Damaged(f"{path} is damaged ({type(error).__name__})") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); the file may be intact") from error
    except MemoryError as error:
        raise RunFailed(f"the memory is too small to read {path}") from error


def _check(content: bytes) -> None:
    """Raise BadZipFile for an archive with wrong checksums, or one that torch does not write."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        for each in entries:
            plain = each.compress_type == zipfile.ZIP_STORED and each.compress_size == each.file_size
            # Torch does not read an entry that says it is a folder, and uses the memory for its tensor as it is.
            if not plain or each.external_attr:
                raise zipfile.BadZipFile(f"its entry {each.filename!r} is compressed or not a plain file")
        if sum(each.file_size for each in entries) > len(content):
            raise zipfile.BadZipFile("its entries are larger than the file")
        # Python accepts text before and after an archive, where torch may find other entries.
        if content[-22:-18] != b"PK\5\6" or min((each.header_offset for each in entries), default=0):
            raise zipfile.BadZipFile("it is not only an archive")
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"checksum of {damaged}")
