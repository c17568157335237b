"""Small images in npz files and in binary records, which a paper declares."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from repro.data import DATASETS, Dataset, Images
from repro.data.declaration import Arrays, Binary, Declaration
from repro.data.downloads.checksum import checksum
from repro.data.files.places import BROKEN_ARCHIVE, TEST, TRAIN, files_of, record_size
from repro.data.files.stored import Missing
from repro.data.images import fingerprint
from repro.errors import UserError
from repro.memory import host_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray


def load(name: str, root: Path) -> Dataset:
    """Return a declared dataset of npz files or binary records.

    Pixels are (n, channels, size, size) uint8.

    Raises:
        UserError: a file is missing or broken, has images of another shape or labels outside the classes, or the files
            have another checksum than the declared one.
    """
    declaration = DATASETS[name].declaration
    assert declaration
    declared = declaration.content
    assert isinstance(declared, Arrays | Binary)
    train, test = files_of(declared, root)
    digest = _digest(dict.fromkeys([*train, *test]))
    if declared.sha256 not in ("", digest):
        raise declaration.refused(f"sha256 is {declared.sha256}, but that of {_where(train, test)} is {digest}")
    shown, tested = (_split(declaration, files, split) for files, split in ((train, TRAIN), (test, TEST)))
    return Dataset(shown, tested, fingerprint=fingerprint(name, digest))


def _where(train: list[Path], test: list[Path]) -> str:
    return str(train[0]) if train == test else f"the files in {train[0].parent}"


def _digest(files: Iterable[Path]) -> str:
    """Return the SHA-256 of files, one after another."""
    try:
        return checksum("sha256", *files)
    except OSError as error:
        hint = "put it there, or name another folder with --data"
        if isinstance(error, FileNotFoundError):
            raise Missing(Path(error.filename), f"{error.filename} does not exist; {hint}") from None
        raise UserError(f"{error.filename} cannot be read ({error.strerror}); {hint}") from None


def _split(declaration: Declaration, files: Iterable[Path], split: str) -> Images:
    read = _read_records if isinstance(declaration.content, Binary) else _read_arrays
    parts = [read(declaration, each, split) for each in files]
    pixels, labels = (torch.cat(each) for each in zip(*parts, strict=True))
    if not len(labels):
        raise declaration.refused(f"its {split} files have no images")
    return Images(pixels, labels)


def _read_records(declaration: Declaration, file: Path, split: str) -> tuple[Tensor, Tensor]:
    declared = declaration.content
    assert isinstance(declared, Binary)
    content, size = bytearray(file.read_bytes()), record_size(declared)
    if len(content) % size:
        raise declaration.refused(
            f"{file} has {len(content):,} bytes, which is not a multiple of the {size:,} of a record: "
            f"{declared.label_bytes} of labels and {declared.channels} x {declared.size} x {declared.size} of pixels"
        )
    records = torch.frombuffer(content, dtype=torch.uint8).view(-1, size) if content else torch.empty(0, size).byte()
    pixels = records[:, declared.label_bytes :].reshape(-1, declared.channels, declared.size, declared.size)
    return pixels, _checked_labels(declaration, file, "labels", records[:, declared.label_bytes - 1].long())


def _read_arrays(declaration: Declaration, file: Path, split: str) -> tuple[Tensor, Tensor]:
    images, labels = _array(file, f"{split}_images"), _array(file, f"{split}_labels")
    pixels = _as_pixels(declaration, file, f"{split}_images", images)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(pixels):
        raise declaration.refused(
            f"{file}: {split}_labels is {_shape(labels)}; expected one whole number for each of {len(pixels):,} images"
        )
    targets = torch.from_numpy(labels.astype("int64"))
    return pixels, _checked_labels(declaration, file, f"{split}_labels", targets)


def _array(file: Path, name: str) -> NDArray[Any]:
    """Return an array of an npz file; UserError if it is missing or broken, or is a pickled object."""
    import numpy as np

    if not zipfile.is_zipfile(file):
        raise UserError(f"{file} is not an npz file; write it with numpy.savez")
    try:
        with np.load(file, allow_pickle=False) as content:
            if name in content:
                _refuse_larger_than_memory(file, name)
                found = content[name]
                if not isinstance(found, np.ndarray):
                    raise ValueError("it is not an array of NumPy")
                return found
            known = ", ".join(content) or "no arrays"
    except BROKEN_ARCHIVE as error:
        raise UserError(f"{file} is broken: {name} cannot be read ({error}); replace the file") from None
    raise UserError(f"{file} has no array {name}, only {known}; write it with numpy.savez")


def _refuse_larger_than_memory(file: Path, name: str) -> None:
    """Raise UserError for an array that is compressed and needs more memory than the machine has."""
    with zipfile.ZipFile(file) as archive:
        size = archive.getinfo(f"{name}.npy").file_size
    if size > host_memory():
        raise UserError(f"{file}: {name} needs {size:,} bytes, more than the memory of this machine; split the file")


def _as_pixels(declaration: Declaration, file: Path, name: str, images: NDArray[Any]) -> Tensor:
    """Return (N, H, W, C) or grey (N, H, W) as (n, C, H, W); grey images of a dataset in RGB are repeated."""
    declared, shape = declaration.content, images.shape
    sides = (declared.size, declared.size)
    fits = shape[1:3] == sides and (len(shape) == 3 or shape[3:] == (declared.channels,))
    if images.dtype != "uint8" or not fits:
        right = f"(N, {declared.size}, {declared.size}, {declared.channels}) or (N, {declared.size}, {declared.size})"
        raise declaration.refused(f"{file}: {name} is {_shape(images)}, but size and channels need {right} of uint8")
    if len(shape) == 4:
        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return torch.from_numpy(images)[:, None].repeat(1, declared.channels, 1, 1)


def _shape(array: NDArray[Any]) -> str:
    return f"({', '.join(map(str, array.shape))}) of {array.dtype}"


def _checked_labels(declaration: Declaration, file: Path, name: str, labels: Tensor) -> Tensor:
    """Return labels; UserError if one is outside of the classes."""
    classes = declaration.content.number_of_classes
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise declaration.refused(
            f"{file}: {name} has {wrong[0]}, but with classes = {classes} labels are 0 to {classes - 1}"
        )
    return labels
