"""Files of tensors as torch.save writes them, read without executing code in them and without growing in memory."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
import zipfile
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch

from repro.errors import RunFailed, UserError, is_out_of_memory

SAVED = (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)
"""Types of the tensors in a checkpoint: training autocasts, and its weights are in fp32."""


class Damaged(UserError):
    """The content of a file is not what was written."""


OLD_START = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""The number with which the format before version 1.6 begins."""


class Format(StrEnum):
    """What a file is by its first bytes; the value says it in words."""

    ARCHIVE = "an archive of torch.save"
    OLD = "a file that torch.save wrote before version 1.6"
    SAFETENSORS = "a safetensors file"
    POINTER = "a pointer of Git LFS to a file"
    PAGE = "a web page"
    NUMPY = "a file of numpy"
    GZIP = "a file compressed by gzip"
    UNKNOWN = "a file of an unknown format"


ADVICE = {
    **dict.fromkeys((Format.POINTER, Format.PAGE), "download the file itself"),
    Format.NUMPY: "save its arrays as tensors, in a dictionary",
    Format.GZIP: "unpack it with gunzip",
}
"""What to do with files that are intact and have no tensors as torch saves them."""


def format_of(content: bytes) -> Format:
    """Return what a file is."""
    header = int.from_bytes(content[:8], "little")
    if content.startswith(b"PK"):
        first = content[30 : 30 + int.from_bytes(content[26:28], "little")]  # the name of the first entry
        return Format.NUMPY if first.endswith(b".npy") else Format.ARCHIVE
    if content.startswith(b"\x93NUMPY"):
        return Format.NUMPY
    if content.startswith(b"\x1f\x8b"):
        return Format.GZIP
    if content.startswith(OLD_START):
        return Format.OLD
    if content[8:9] == b"{" and content[7 + header : 8 + header] in (b"}", b" "):
        return Format.SAFETENSORS
    if content.startswith(b"version https://git-lfs"):
        return Format.POINTER
    return Format.PAGE if content.lstrip().startswith((b"<!", b"<html")) else Format.UNKNOWN


def read_tensors(path: Path) -> Any:
    """Return the content of a file: tensors on the CPU, and plain values.

    The file is read once, so that an error of the disk is not taken for damage, and a file that is replaced meanwhile
    is read from one of its states.

    Raises:
        UserError: the file is missing, cannot be read, or holds a model.
        Damaged: its checksums fail, torch cannot have written it, or there are other objects among its tensors.
        RunFailed: the memory is too small.
    """
    content = content_of(path)
    _check_format(path, format_of(content))
    try:
        check_archive(content)
        return plain_content(content)
    except zipfile.BadZipFile as error:
        raise Damaged(f"{path} is damaged or not a checkpoint ({error})") from error
    except pickle.UnpicklingError as error:
        if pickled_in(content).whole:
            raise UserError(refusal(path, content)) from error
        raise Damaged(f"{path} is damaged or not a checkpoint (it has other objects than tensors)") from error
    except Exception as error:  # zipfile, torch's reader and its unpickler raise errors of all kinds
        raise_if_out_of_memory(path, error)
        raise Damaged(f"{path} is damaged ({type(error).__name__})") from error


def plain_content(content: bytes) -> Any:
    """Return what the bytes of torch.save hold; torch's UnpicklingError, without its warning, for other objects."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def save_tensors(content: Any, file: BinaryIO) -> None:
    """Write tensors and plain values to an open file.

    Raises:
        OSError: it could not be written, for example because the disk is full; torch raises an error of its own then.
    """
    disk: Any = _Disk(file)  # torch needs no more of a file
    try:
        torch.save(content, disk)
    except RuntimeError as error:
        raise disk.error or error from None


class _Disk:
    """An open file that keeps the error at which a write failed."""

    def __init__(self, file: BinaryIO) -> None:
        self.flush, self._write = file.flush, file.write
        self.error: OSError | None = None

    def write(self, content: bytes) -> int:
        """Write bytes, as a file does."""
        try:
            return self._write(content)
        except OSError as error:
            self.error = error
            raise


def _check_format(path: Path, found: Format) -> None:
    """Raise UserError for a file of another known format, which is not damaged."""
    if found in (Format.OLD, Format.SAFETENSORS):
        raise UserError(
            f"{path} is {found}, not a checkpoint of repro train; if it has weights, test them: repro eval MODEL "
            f"--weights {path}"
        )
    if found in ADVICE:
        test = ", and test them: repro eval MODEL --weights FILE" if found is Format.NUMPY else ""
        raise UserError(f"{path} is {found}, not a checkpoint of repro train; {ADVICE[found]}{test}")


def content_of(path: Path) -> bytes:
    """Return the bytes of a file; UserError if it cannot be read, RunFailed if the memory is too small."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); the file may be intact") from error
    except MemoryError as error:
        raise RunFailed(f"the memory is too small to read {path}") from error


def raise_if_out_of_memory(path: Path, error: Exception) -> None:
    """Raise RunFailed if a file could not be read because the memory is full."""
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        raise RunFailed(f"the memory is too small to read {path}") from error


class Pickled(NamedTuple):
    """What a file of torch.save would import when it is unpickled."""

    needs: str
    """A class or function, as `nets.Net`, rather one from outside torch; empty if none is found."""
    whole: bool
    """Whether the file holds one object of a class, such as a model, and not a dictionary."""


def pickled_in(content: bytes) -> Pickled:
    """Return what a file would import; nothing of it is executed."""
    names, text, first = list[str](), list[str](), ""
    for operation, argument, _ in _operations(content):
        if operation in ("SHORT_BINUNICODE", "BINUNICODE", "UNICODE"):
            text.append(argument)
        elif operation in ("GLOBAL", "STACK_GLOBAL"):
            names.append(argument.replace(" ", ".") if operation == "GLOBAL" else ".".join(text[-2:]))
        first = first or (operation if operation not in ("PROTO", "FRAME") else "")
    needed = [each for each in names if not HARMLESS.match(each)]
    whole = first != "EMPTY_DICT" and names[:1] != ["collections.OrderedDict"]
    return Pickled(min(needed, key=lambda name: (name.startswith("torch."), name), default=""), whole and bool(needed))


HARMLESS = re.compile(
    r"(__builtin__|builtins|collections|_codecs|copyreg?|torch\.(_utils|_tensor|storage))\.|torch\.\w+$"
)
"""Names that plain tensors and dictionaries need too."""


def _operations(content: bytes) -> list[tuple[str, Any, Any]]:
    """Return the operations of the pickle that has a file's object; none if it is broken."""
    stream = io.BytesIO(content)
    try:
        if format_of(content) is Format.ARCHIVE:
            with zipfile.ZipFile(stream) as archive:
                stream = io.BytesIO(archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl"))))
        else:
            for _ in range(BEFORE_OBJECT):
                list(pickletools.genops(stream))
        return [(operation.name, argument, place) for operation, argument, place in pickletools.genops(stream)]
    except Exception:  # the readers raise errors of all kinds for a broken file
        return []


BEFORE_OBJECT = 3
"""Pickles before the object in the format before version 1.6: a number, the version and the machine's types."""


def refusal(path: Path, content: bytes) -> str:
    """Return why a file that needs other objects than tensors is not read, and what to do."""
    needs, whole = pickled_in(content)
    nothing = "nothing is unpickled here, since that could run code"
    if whole:
        convert = f"torch.save(torch.load({str(path)!r}, weights_only=False).state_dict(), 'weights.pth')"
        return (
            f"{path} holds a pickled model, not weights: it needs the object {needs}, and {nothing}; if you trust it, "
            f"save its weights in Python: {convert}"
        )
    what = f"needs the object {needs}" if needs else "is broken or needs objects other than tensors"
    return f"{path} {what}, and {nothing}; save only model.state_dict()"


def check_archive(content: bytes) -> None:
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
