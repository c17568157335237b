"""The files of the ILSVRC 2012 organisers: archives, a flat validation folder, and the development kit's labels."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from repro.bars import open_with_bar
from repro.console import waiting
from repro.data.downloads.archives import is_filled, is_plain
from repro.data.downloads.archives import unpack as write_files
from repro.data.files.synsets import leaves_in
from repro.errors import UserError
from repro.locks import locked

TRAIN_ARCHIVE, VAL_ARCHIVE = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
KIT = "ILSVRC2012_devkit_t12"
TRUTH, META = "data/ILSVRC2012_validation_ground_truth.txt", "data/meta.mat"
KIT_SIZE = 64 << 20
"""Bytes of the unpacked development kit that are read at most."""


def unpack(folder: Path) -> None:
    """Unpack the archives in `folder` that are not unpacked yet into train/<wnid> and val.

    An interruption leaves no partial dataset, and complete classes are not unpacked again.

    Raises:
        UserError: an archive is broken.
    """
    writers = {TRAIN_ARCHIVE: _unpack_classes, VAL_ARCHIVE: _unpack_flat}
    for archive, split in archives_in(folder).items():
        with locked(folder / ".unpacking.lock"):
            if is_filled(folder / split):  # another process was faster
                continue
            beside = _folder_beside(folder, archive, split)
            try:
                with open_with_bar(folder / archive, f"unpacking {archive}") as file:
                    writers[archive](file, beside)
            except (tarfile.TarError, EOFError, ValueError) as error:  # ValueError: of a damaged header
                shutil.rmtree(beside)
                raise UserError(f"{folder / archive} is broken ({error}); replace it") from error
            beside.rename(folder / split)


def _folder_beside(folder: Path, archive: str, split: str) -> Path:
    """Return the folder of what is unpacked of an archive; remove those of other archives that were in its place."""
    about = (folder / archive).stat()
    beside = folder / f".unpacking-{split}-{about.st_size}-{about.st_mtime_ns}"
    for other in folder.glob(f".unpacking-{split}*"):
        if other != beside and other.is_dir():
            shutil.rmtree(other)
    beside.mkdir(exist_ok=True)
    return beside


def archives_in(folder: Path) -> dict[str, str]:
    """Return the archives in a folder that are not unpacked yet, each with the name of its split."""
    splits = {TRAIN_ARCHIVE: "train", VAL_ARCHIVE: "val"}
    return {name: each for name, each in splits.items() if (folder / name).is_file() and not is_filled(folder / each)}


def _unpack_classes(file: IO[bytes], beside: Path) -> None:
    """Unpack an archive of archives, one per class; a class folder gets its final name when it is complete."""
    with tarfile.open(fileobj=file, mode="r:") as outer:
        for member in outer:
            name = Path(member.name)
            regular = member.isreg() and not member.issparse() and name.name == member.name
            if not (regular and name.suffix == ".tar" and is_plain(name.stem)):
                raise tarfile.ReadError(f"{member.name!r} is not the archive of a class")
            if (beside / name.stem).is_dir():
                continue
            part = beside / f".{name.stem}.part"
            with tarfile.open(fileobj=outer.extractfile(member), mode="r:") as inner:
                write_files(inner, part)
            part.rename(beside / name.stem)
    if not is_filled(beside):
        raise tarfile.ReadError("it has no classes")


def _unpack_flat(file: IO[bytes], beside: Path) -> None:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        write_files(archive, beside)


def flat_labels(folder: Path) -> tuple[tuple[str, ...], Callable[[str], int]]:
    """Return the sorted wnids, and a function from a file name in the flat validation folder to its label.

    Raises:
        UserError: the development kit is missing, or is not that of ILSVRC 2012.
    """
    truth, meta = (_of_kit(folder.parent, name) for name in (TRUTH, META))
    try:
        with waiting(f"reading {META} of the development kit", seconds=True):
            leaves = leaves_in(meta)
        classes = tuple(sorted(leaves.values()))
        label = {number: classes.index(wnid) for number, wnid in leaves.items()}
        labels = [label[int(line)] for line in truth.split()]
    except (KeyError, ValueError) as error:
        raise UserError(f"the development kit in {folder.parent} is not that of ILSVRC 2012 ({error})") from error

    def label_of(name: str) -> int:
        """Return the label of a file; files are numbered from 1, as in ILSVRC2012_val_00000001.JPEG."""
        try:
            number = int(Path(name).stem.rsplit("_", 1)[-1])
            return labels[number - 1] if number > 0 else labels[len(labels)]
        except (ValueError, IndexError) as error:
            raise UserError(f"{folder / name} has no label in the development kit; remove the file") from error

    return classes, label_of


def _of_kit(folder: Path, name: str) -> bytes:
    """Return the content of a file in the development kit, unpacked or in its archive."""
    if (folder / KIT / name).is_file():
        return (folder / KIT / name).read_bytes()
    archive = folder / f"{KIT}.tar.gz"
    try:
        with gzip.open(archive) as file:
            content = file.read(KIT_SIZE + 1)
        if len(content) > KIT_SIZE:
            raise UserError(f"{archive} has more than {KIT_SIZE:,} bytes and is not the development kit; replace it")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            member = tar.getmember(f"{KIT}/{name}")
            if member.isreg() and not member.issparse() and (found := tar.extractfile(member)):
                return found.read()
        raise tarfile.ReadError(f"{name} is not a regular file")
    except FileNotFoundError:
        pass
    except (KeyError, ValueError, tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise UserError(f"{archive} is broken or not the development kit ({error})") from error
    raise UserError(
        f"{folder}/val has no class folders, and neither {KIT}.tar.gz nor Kaggle's "
        f"LOC_val_solution.csv, which have the labels, is in {folder}"
    )
