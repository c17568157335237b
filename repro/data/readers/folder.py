"""Datasets of image files, one folder per class: ImageNet-1K (Russakovsky et al., arXiv 1409.0575), parts of it, and
folders that papers declare.

ROOT/imagenet holds train/<wnid>/*.JPEG and val/<wnid>/*.JPEG, or the organisers' flat val/*.JPEG with their
development kit; their archives are unpacked once (`repro.data.files.ilsvrc`). The layouts of Kaggle and of Tiny
ImageNet are read as they are (`repro.data.files.flat`). Classes are the sorted names of the folders, as in torchvision.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from repro.bars import with_bar
from repro.data import DATASETS, check_number
from repro.data.files.class_folders import class_names, refuse_other_classes
from repro.data.files.flat import flat_labels, kaggle_images
from repro.data.files.ilsvrc import archives_in, unpack
from repro.data.files.image_files import ENDINGS, is_image, read
from repro.data.files.left_out import left_out, remark_on, unread
from repro.data.files.misplaced import misplaced
from repro.data.files.places import TRAIN, VAL, folder_of_tests, image_folder_of, is_annotated
from repro.data.files.stored import Missing, Stored, size_of
from repro.data.images import fingerprint
from repro.data.registry import dataset_folder
from repro.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGENET = "imagenet"


@dataclass(frozen=True)
class Files:
    """One split of a dataset on disk. The names are one block of bytes, which worker processes share."""

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
    channels: int = 3
    """1 for grey, 3 for RGB."""
    as_published: bool = False
    """Whether files are read as in `repro.data.files.image_files.read`."""

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        """Return the path of an image."""
        begin = int(self.ends[index - 1]) + 1 if index else 0
        return self.folder / os.fsdecode(self.names[begin : int(self.ends[index])])

    def read(self, index: int) -> Image:
        """Return an image in grey or RGB; UserError as in `repro.data.files.image_files.read`."""
        return read(self.path(index), channels=self.channels, as_published=self.as_published)


@dataclass(frozen=True)
class ImageFolder:
    """A dataset whose splits are listed when first used: a test needs no training images."""

    name: str
    folder: Path
    test_folder: Path
    """The images on which results are reported: val/ of a shipped dataset, test/ or val/ of a declared one."""

    @cached_property
    def train(self) -> Files:
        """The training images."""
        return self._split(self.folder / TRAIN, "train_images")

    @cached_property
    def test(self) -> Files:
        """The images on which results are reported."""
        return self._split(self.test_folder, "test_images")

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the names and sizes of the files in both splits."""
        digest = hashlib.sha256((self.train.digest + self.test.digest).encode()).hexdigest()
        return fingerprint(self.name, digest)

    @cached_property
    def remark(self) -> str:
        """What is said of image files in the folders of the classes that are left out; empty if there are none."""
        parts = (self.train, self.test)
        return remark_on([file for each in parts for file in left_out(each.folder, class_names(each.folder))])

    def _split(self, folder: Path, key: str) -> Files:
        """Return the images in a folder, as many as the `key` of the dataset says."""
        if not folder.is_dir():
            raise UserError(f"{folder} does not exist; {_what_is_expected(self.name, self.folder)}")
        found = class_names(folder)
        if found == (folder.name,):
            raise UserError(f"{folder} has only the folder {folder.name}; move its content up, to {folder}")
        if not (found or is_imagenet(self.name) or is_annotated(folder)):
            raise UserError(f"{folder} has no class folders; {_what_is_expected(self.name, self.folder)}")
        self._refuse_other_classes_than_in_training(folder, found)
        files = list_files(folder, f"listing {self.name}/{folder.name}")
        self._refuse_other_classes_than_in_training(folder, files.classes)  # those of a flat folder
        self._check_numbers(files, key)
        spec = DATASETS[self.name]
        return replace(files, channels=spec.input[0], as_published=spec.as_published)

    def _refuse_other_classes_than_in_training(self, folder: Path, classes: Collection[str]) -> None:
        train = self.folder / TRAIN
        if train.is_dir() and classes and (known := class_names(train)):
            refuse_other_classes(folder, classes, str(train), known)

    def _check_numbers(self, files: Files, key: str) -> None:
        """Refuse other numbers of images and classes than those of the dataset."""
        spec, declaration = DATASETS[self.name], DATASETS[self.name].declaration
        if declaration is None:
            images: int = getattr(spec, key)
            if (len(files.classes), len(files)) != (spec.classes, images):
                raise UserError(
                    f"{files.folder} has {len(files):,} images of {len(files.classes):,} classes; {self.name} has "
                    f"{images:,} of {spec.classes:,}; {_what_to_do(files, images)}"
                )
            return
        check_number(self.name, key, len(files))
        classes = declaration.content.classes
        if not isinstance(classes, int):
            refuse_other_classes(files.folder, files.classes, f"classes in {declaration.file}", classes)
        elif len(files.classes) != classes:
            raise declaration.refused(
                f"classes is {classes}, but {files.folder} has {len(files.classes)} class folders"
            )


def load(name: str, root: Path) -> ImageFolder:
    """Return a folder of image files, ImageNet's archives unpacked if needed.

    Raises:
        UserError: the files are missing, or an archive is broken.
    """
    fetch(name, root)
    folder = _folder(name, root)
    test = _test_folder(name, folder)
    if not (folder / TRAIN).is_dir() and not test.is_dir():
        declared = DATASETS[name].declared
        where = misplaced(root, declared.path if declared else folder.name, (TRAIN,)) or _what_is_expected(name, folder)
        raise Missing(folder, f"{name} is not in {folder}; {where}")
    return ImageFolder(name, folder, test)


def fetch(name: str, root: Path) -> None:
    """Unpack the organisers' archives of ImageNet if they are there; UserError if one is broken."""
    if is_imagenet(name):
        unpack(_folder(name, root))


def check(name: str, root: Path) -> Stored:
    """List both splits and compare the numbers of classes and images, without unpacking archives.

    Raises:
        Missing: the dataset is not under `root`, or its archives are not unpacked.
        UserError: it has not the right numbers of classes and images, or a split is missing.
    """
    folder = _folder(name, root)
    if archives := archives_in(folder):
        raise Missing(folder, f"{', '.join(archives)} in {folder} must be unpacked once: repro data {name}")
    images = load(name, root)
    assert len(images.train)
    assert len(images.test)
    return Stored(folder, size_of(folder), images.remark)


def is_imagenet(name: str) -> bool:
    """Whether a dataset has the files of ImageNet-1K."""
    return IMAGENET in (name, DATASETS[name].folder)


def is_there(name: str, root: Path) -> bool:
    """Whether both splits of a dataset are under `root`, unpacked."""
    folder = _folder(name, root)
    return (folder / TRAIN).is_dir() and _test_folder(name, folder).is_dir()


def list_files(folder: Path, title: str) -> Files:
    """Return the images under `folder`: <class>/*.JPEG, <class>/images/*.JPEG, or flat files with labels beside them.

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
    classes = class_names(folder)
    if not classes:
        place, classes, label_of = flat_labels(folder)
        begin = _begin(folder, place)
        return classes, ((begin + each.name, label_of(each.name), _size(each)) for each in _images(place))
    folders = with_bar(classes, title)
    return classes, (
        (begin + each.name, label, _size(each))
        for label, place in enumerate(image_folder_of(folder / wnid) for wnid in folders)
        for begin in [_begin(folder, place)]
        for each in _images(place)
    )


def _begin(folder: Path, place: Path) -> str:
    """Return what the paths of the images in `place` begin with, relative to the folder of the split."""
    return "".join(f"{part}/" for part in place.relative_to(folder).parts)


def _size(file: os.DirEntry[str]) -> int:
    """Return the bytes of a file; UserError for a link to a file that is gone, an empty file and a folder."""
    try:
        found = file.stat()
    except OSError as error:
        raise UserError(f"{file.path} cannot be read: {error.strerror}; restore the file") from None
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        raise UserError(f"{file.path} is {'empty' if file.is_file() else 'not a file'}; restore the file")
    return found.st_size


def _images(folder: Path) -> list[os.DirEntry[str]]:
    found = sorted((each for each in os.scandir(folder) if is_image(each.name)), key=lambda each: each.name)
    if not found:
        for each in sorted(each.path for each in os.scandir(folder) if each.is_dir()):
            if any(map(is_image, os.listdir(each))):
                raise UserError(f"{folder} has its images one folder too deep, in {each}; move them to {folder}")
        raise UserError(f"{folder} has no images ({', '.join(ENDINGS)}); add some, or remove the folder")
    return found


def _what_to_do(files: Files, images: int) -> str:
    """Return what to do about files that are not as many images as they should be."""
    if len(files) <= images:
        folders = [each for name in files.classes if (each := files.folder / name).is_dir()]
        first = next((file for each in folders for file in unread(each)), None)
        return f"{first} is in a format that is not read; convert it to PNG" if first else "restore the missing files"
    sizes = files.labels.bincount(minlength=len(files.classes))
    usual, largest = int(sizes.median()), int(sizes.argmax())
    others = torch.cat([sizes[:largest], sizes[largest + 1 :]])
    where = f": {files.classes[largest]} has {int(sizes[largest]):,}, and each other class {usual:,}"
    return f"remove those that are too many{where if bool((others == usual).all()) else ''}"


def _folder(name: str, root: Path) -> Path:
    """Return the dataset's folder, which is under `root` or is `root` itself."""
    folder = dataset_folder(name, root)
    return kaggle_images(folder) if is_imagenet(name) else folder


def _test_folder(name: str, folder: Path) -> Path:
    """Return the folder of the test images; ImageNet also has a test/, whose labels are not published."""
    return folder_of_tests(folder) if DATASETS[name].declared else folder / VAL


def _what_is_expected(name: str, folder: Path) -> str:
    if DATASETS[name].declared:
        expected = f"{folder}/train/CLASS/*.png and {folder}/test/CLASS/*.png, or {', '.join(ENDINGS)}"
        return f"expected: {expected}; or name the folder of the datasets with --data"
    where = f"expected: {folder}/train/<wnid>/*.JPEG and {folder}/val/<wnid>/*.JPEG"
    if is_imagenet(name):
        others = "the ILSVRC2012 archives, or Kaggle's ILSVRC/ and LOC_val_solution.csv"
        return f"{where}, or {others}; it cannot be downloaded without an account at image-net.org"
    return f"{where}, or Tiny ImageNet's own folders; or name another folder with --data"
