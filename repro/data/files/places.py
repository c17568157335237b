"""Where the files of a declared dataset are, and how many images they have, without reading these."""

from __future__ import annotations

import os
import tokenize
import zipfile
import zlib
from functools import partial
from pathlib import Path

from repro.bounds import LARGEST
from repro.data.declaration import Arrays, Binary, CocoFolder, Declared, ImageFiles
from repro.data.files.annotations import read_annotations
from repro.data.files.image_files import is_image
from repro.errors import UserError

TRAIN, TEST, VAL = "train", "test", "val"
IMAGES, MASKS = "images", "masks"
ANNOTATIONS = "val_annotations.txt"
"""The file with the classes of the images in val/images/, in Tiny ImageNet's own layout."""
FOREIGN = ("@eaDir", "__MACOSX")
"""Folders that a Synology NAS and macOS add."""
BROKEN_ARCHIVE = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error),
    *(SyntaxError, TypeError, tokenize.TokenError),  # of a damaged header, which NumPy parses as Python
)
"""What zipfile and NumPy raise for an npz file that is broken, encrypted or claims to be larger than the memory."""


def folder_of_tests(folder: Path, part: str = "") -> Path:
    """Return the folder of the test images: test/, else val/; the first one that has the folder `part`.

    The images in Tiny ImageNet's test/ have no labels, so its val/ is taken.
    """
    if is_annotated(folder / VAL):
        return folder / VAL
    return next((folder / name for name in (TEST, VAL) if (folder / name / part).is_dir()), folder / TEST)


def is_annotated(split: Path) -> bool:
    """Whether a split has Tiny ImageNet's own layout: all images in one folder, and a file with their classes."""
    return (split / ANNOTATIONS).is_file() and (split / IMAGES).is_dir()


def image_folder_of(folder: Path) -> Path:
    """Return the folder with the images of a class: its own, or images/ in it as in Tiny ImageNet's own layout."""
    return folder / IMAGES if (folder / IMAGES).is_dir() else folder


def classes_in(folder: Path) -> list[str]:
    """Return the names of the folders in a folder of images that are classes."""
    found = (each.name for each in os.scandir(folder) if each.is_dir())
    return [name for name in found if name[0] != "." and name not in FOREIGN]


def place_of(root: Path, path: str) -> Path:
    """Return a file or folder under `root`; `root` itself if it already is the folder of that name."""
    return root if root.name == path and not (root / path).exists() else root / path


def annotations_of(folder: Path, part: str) -> Path:
    """Return the file with the objects of a part of a folder in COCO's format."""
    return folder / "annotations" / f"instances_{part}.json"


def files_of(declared: Arrays | Binary, root: Path) -> tuple[list[Path], list[Path]]:
    """Return the files with training images and those with test images, which may be the same one."""
    place = place_of(root, declared.path)
    if not declared.train:
        return [place], [place]
    return [place / each for each in declared.train], [place / each for each in declared.test]


def record_size(declared: Binary) -> int:
    """Return the bytes of a record: labels and pixels."""
    return declared.label_bytes + declared.channels * declared.size**2


def count(declared: Declared, root: Path) -> tuple[int, int]:
    """Return the numbers of training and test images; 0 for those that are missing or broken, as a loader reports."""
    if isinstance(declared, Arrays | Binary):
        train, test = files_of(declared, root)
        in_train, in_test = (partial(_in_file, declared, split=split) for split in (TRAIN, TEST))
        return sum(map(in_train, train)), sum(map(in_test, test))
    folder = place_of(root, declared.path)
    if isinstance(declared, CocoFolder):
        return _annotated(folder, declared.train, trained=True), _annotated(folder, declared.test, trained=False)
    if isinstance(declared, ImageFiles):
        return _in_classes(folder / TRAIN), _in_classes(folder_of_tests(folder))
    return _in_images(folder / TRAIN), _in_images(folder_of_tests(folder, IMAGES))


def _in_file(declared: Arrays | Binary, file: Path, split: str) -> int:
    if isinstance(declared, Binary):
        return file.stat().st_size // record_size(declared) if file.is_file() else 0
    try:
        return _in_archive(file, f"{split}_labels.npy")
    except BROKEN_ARCHIVE:
        return 0


def _in_archive(file: Path, name: str) -> int:
    """Return the length of an array in an npz file, from its header."""
    from numpy.lib import format

    with zipfile.ZipFile(file) as archive, archive.open(name) as array:
        first = format.read_magic(array) == (1, 0)
        shape, _, _ = (format.read_array_header_1_0 if first else format.read_array_header_2_0)(array)
        return shape[0] if shape and 0 < shape[0] <= LARGEST else 0


def _annotated(folder: Path, part: str, *, trained: bool) -> int:
    """Return the number of annotated images, or of those with objects to train on."""
    try:
        read = read_annotations(annotations_of(folder, part), folder / part)
    except UserError:
        return 0
    return len(read.trained_on if trained else read.scenes)


def _in_classes(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    if is_annotated(folder):
        return _images(folder / IMAGES)
    return sum(_images(image_folder_of(folder / each)) for each in classes_in(folder))


def _in_images(folder: Path) -> int:
    return _images(folder / IMAGES) if (folder / IMAGES).is_dir() else 0


def _images(folder: Path | str) -> int:
    return sum(is_image(each.name) for each in os.scandir(folder))
