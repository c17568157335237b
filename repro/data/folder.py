"""Data sets of image files, one folder per class: ImageNet-1K (Russakovsky et al., arXiv 1409.0575) and parts of it.

ROOT/imagenet holds train/<wnid>/*.JPEG and val/<wnid>/*.JPEG, or the organisers' flat val/*.JPEG with their
development kit; their archives are unpacked once (repro/data/ilsvrc.py). Classes are the sorted wnids, as in
torchvision.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from repro.console import with_bar
from repro.data import DATASETS
from repro.data.ilsvrc import archives_in, flat_labels, unpack
from repro.data.stored import Missing, Stored, size_of
from repro.errors import UserError

ENDINGS = (".jpeg", ".jpg", ".png")
TRAIN, VAL = "train", "val"


@dataclass(frozen=True)
class Files:
    """One split of a data set on disk. The names are one block of bytes, which worker processes share."""

    folder: Path
    classes: tuple[str, ...]
    names: bytes = field(repr=False)
    """Paths relative to the folder, each followed by a line feed."""
    ends: Tensor = field(repr=False)
    """(n,) int64: positions of the line feeds."""
    labels: Tensor = field(repr=False)
    """(n,) int64."""
    digest: str
    """Hash of the names and sizes of all files."""

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        """Return the path of an image."""
        begin = int(self.ends[index - 1]) + 1 if index else 0
        return self.folder / os.fsdecode(self.names[begin : int(self.ends[index])])


@dataclass(frozen=True)
class ImageFolder:
    """A data set whose splits are listed when first used: a test needs no training images."""

    name: str
    folder: Path

    @cached_property
    def train(self) -> Files:
        """The training images."""
        return self._split(TRAIN, DATASETS[self.name].train_images)

    @cached_property
    def test(self) -> Files:
        """The validation images, on which results are reported."""
        return self._split(VAL, DATASETS[self.name].test_images)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the names and sizes of the files in both splits."""
        digest = hashlib.sha256((self.train.digest + self.test.digest).encode()).hexdigest()
        return f"{self.name}:{digest[:12]}"

    def _split(self, split: str, images: int) -> Files:
        folder = self.folder / split
        if not folder.is_dir():
            raise UserError(f"{folder} does not exist; {_what_is_expected(self.name, self.folder)}")
        files = list_files(folder, f"listing {self.name}/{split}")
        classes = DATASETS[self.name].classes
        if (len(files.classes), len(files)) != (classes, images):
            raise UserError(
                f"{folder} has {len(files):,} images of {len(files.classes):,} classes; {self.name} has "
                f"{images:,} of {classes:,}; restore the missing files"
            )
        return files


def load_imagenet(root: Path) -> ImageFolder:
    """Return ImageNet-1K from `root`, its archives unpacked if needed.

    Raises:
        UserError: the files are missing, and cannot be downloaded without an account.
    """
    folder = _folder(root, "imagenet")
    unpack(folder)
    return _image_folder("imagenet", folder)


def load_tiny_imagenet_10(root: Path) -> ImageFolder:
    """Return ten classes of Tiny ImageNet, 64x64 pixels; UserError if the files are missing."""
    return _image_folder("tiny-imagenet-10", _folder(root, "tiny-imagenet-10"))


def unpack_imagenet(root: Path) -> None:
    """Unpack the organisers' archives if they are in `root`/imagenet; UserError if one is broken."""
    unpack(_folder(root, "imagenet"))


def check(name: str, root: Path) -> Stored:
    """List both splits and compare the numbers of classes and images, without unpacking archives.

    Raises:
        Missing: the data set is not under `root`, or its archives are not unpacked.
        UserError: it has not the right numbers of classes and images, or a split is missing.
    """
    folder = _folder(root, name)
    if archives := archives_in(folder):
        raise Missing(folder, f"{', '.join(archives)} in {folder} must be unpacked once: repro data {name}")
    images = _image_folder(name, folder)
    assert len(images.train)
    assert len(images.test)
    return Stored(folder, size_of(folder))


def is_there(name: str, root: Path) -> bool:
    """Whether both splits of a data set are under `root`, unpacked."""
    folder = _folder(root, name)
    return (folder / TRAIN).is_dir() and (folder / VAL).is_dir()


def list_files(folder: Path, title: str) -> Files:
    """Return the images under `folder`: <class>/*.JPEG, or flat files with labels from the development kit.

    Args:
        folder: the folder of the split.
        title: the title of the progress bar.

    Raises:
        UserError: there are no such files, or no labels.
    """
    names: list[bytes] = []
    labels: list[int] = []
    digest = hashlib.sha256()
    classes, entries = _entries(folder, title)
    for name, label, size in entries:
        digest.update(f"{name}\0{size}\n".encode(errors="surrogateescape"))
        names.append(os.fsencode(name))
        labels.append(label)
    lengths = torch.tensor([len(each) + 1 for each in names], dtype=torch.int64)
    block = b"".join(each + b"\n" for each in names)
    ends = lengths.cumsum(0) - 1
    return Files(folder, classes, block, ends, torch.tensor(labels, dtype=torch.int64), digest.hexdigest())


def _entries(folder: Path, title: str) -> tuple[tuple[str, ...], Iterator[tuple[str, int, int]]]:
    """Return the classes, and name, label and size of each image, in order."""
    classes = tuple(sorted(each.name for each in os.scandir(folder) if each.is_dir() and each.name[0] != "."))
    if not classes:
        classes, label_of = flat_labels(folder)
        return classes, ((each.name, label_of(each.name), each.stat().st_size) for each in _images(folder))
    folders = with_bar(classes, title)
    return classes, (
        (f"{wnid}/{each.name}", label, each.stat().st_size)
        for label, wnid in enumerate(folders)
        for each in _images(folder / wnid)
    )


def _images(folder: Path) -> list[os.DirEntry[str]]:
    found = (each for each in os.scandir(folder) if each.name.lower().endswith(ENDINGS))
    return sorted(found, key=lambda each: each.name)


def _image_folder(name: str, folder: Path) -> ImageFolder:
    if not (folder / VAL).is_dir() and not (folder / TRAIN).is_dir():
        raise Missing(folder, f"{name} is not in {folder}; {_what_is_expected(name, folder)}")
    return ImageFolder(name, folder)


def _folder(root: Path, name: str) -> Path:
    """Return the data set's folder, which is under `root` or is `root` itself."""
    return root if root.name == name and not (root / name).is_dir() else root / name


def _what_is_expected(name: str, folder: Path) -> str:
    where = f"expected: {folder}/train/<wnid>/*.JPEG and {folder}/val/<wnid>/*.JPEG"
    if name == "imagenet":
        return f"{where}, or the ILSVRC2012 archives; it cannot be downloaded without an account at image-net.org"
    return f"{where}; or name another folder with --data"
