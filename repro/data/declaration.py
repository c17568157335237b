"""Datasets from outside the package: what the file datasets.toml of a paper declares."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from repro.bounds import Positive, Whole
from repro.errors import Mistake, Place, UserError, WrongFiles, collecting
from repro.papers import toml_of
from repro.text import canonical, number_of, unknown

Names = Annotated[tuple[str, ...], Meta(min_length=2)]
Files = Annotated[tuple[str, ...], Meta(min_length=1)]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
UNTRAINED = ("summary", "path", "train_images", "test_images")
"""Keys that change neither the images nor their labels, and so no run."""
DIGITS = 12
"""Digits of a hash in an experiment."""


class Declared(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind"
):
    """What every declaration has."""

    summary: str
    """What the images show, in one line."""
    path: str
    """A folder or file, relative to the folder of the datasets."""
    classes: Annotated[int, Meta(ge=2)] | Names
    """The number of classes, or their names."""
    size: Positive
    """Height and width in pixels of a network's input."""
    channels: int = 3
    """1 for grey, 3 for RGB."""
    mean: tuple[float, ...] = ()
    """Mean per channel of pixels in 0..1, for recipes that state none; empty: computed on the training set."""
    std: tuple[float, ...] = ()
    """Standard deviation per channel of pixels in 0..1; likewise."""
    train_images: Whole = 0
    """Number of training images; 0: counted where the dataset is."""
    test_images: Whole = 0
    """Number of test images; likewise."""

    @property
    def number_of_classes(self) -> int:
        """The number of classes."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def version(self) -> str:
        """A hash of everything that changes training."""
        content = {key: value for key, value in msgspec.to_builtins(self).items() if key not in UNTRAINED}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:DIGITS]

    def mistake(self) -> str | None:
        """Return what is wrong with values that have the right types; None if nothing is."""
        if not _is_inside(self.path):
            return f"path {self.path!r} must be below the folder of the datasets, relative and without '..'"
        if self.channels not in (1, 3):
            return f"channels is {self.channels}, but must be 1 for grey or 3 for RGB"
        if len(self.mean) != len(self.std) or len(self.mean) not in (0, self.channels):
            return f"mean and std need one number for each of {number_of(self.channels, 'channel')}, or leave out both"
        if not all(each > 0 for each in self.std):
            return "std must be greater than 0"
        if not all(0 <= each <= 1 for each in (*self.mean, *self.std)):
            return "mean and std are of pixels in 0..1; divide those of pixels in 0..255 by 255"
        if not isinstance(self.classes, int) and len({*self.classes}) < len(self.classes):
            return "classes contains a name twice"
        return None


class ImageFiles(Declared, frozen=True, tag="image folder"):
    """PATH/train and PATH/test (or val), each with a folder of images for every class."""


class SegmentationFolder(Declared, frozen=True, tag="segmentation folder"):
    """PATH/train and PATH/test (or val), each with images/ and masks/ of equal names."""

    classes: Annotated[int, Meta(ge=2)] | Names = 2
    channels: int = 1

    def mistake(self) -> str | None:
        """Return what is wrong with the values; masks have two classes."""
        if self.number_of_classes != 2:
            return f"classes is {self.number_of_classes}, but masks have 2: inside and outside"
        return Declared.mistake(self)


class CocoFolder(Declared, frozen=True, tag="coco folder"):
    """PATH/annotations with instances_TRAIN.json and instances_TEST.json, and images in PATH/TRAIN and PATH/TEST."""

    classes: Annotated[int, Meta(ge=1)] | Annotated[tuple[str, ...], Meta(min_length=1)]
    train: str = "train2017"
    """The name of the training part."""
    test: str = "val2017"
    """The name of the test part."""

    def mistake(self) -> str | None:
        """Return what is wrong with the values."""
        if self.channels != 3:
            return f"channels is {self.channels}, but images in COCO's format are read in RGB: 3"
        for each in (self.train, self.test):
            if "/" in each or not _is_inside(each):
                return f"{each!r} must be the name of a folder in path"
        return Declared.mistake(self)


class Arrays(Declared, frozen=True, tag="npz"):
    """One npz file, or a folder with npz files for training and for testing."""

    train: tuple[str, ...] = ()
    """Files in the folder with the arrays train_images and train_labels; empty if PATH is one file with all arrays."""
    test: tuple[str, ...] = ()
    """Files in the folder with the arrays test_images and test_labels; likewise."""
    sha256: str = ""
    """SHA-256 of all files, the training files first, one after another; empty: not checked."""

    def mistake(self) -> str | None:
        """Return what is wrong with the values."""
        if bool(self.train) != bool(self.test):
            return "train and test go together; leave out both if path is one npz file"
        return Declared.mistake(self) or _mistake_of_files((*self.train, *self.test), self.sha256)


class Binary(Declared, frozen=True, tag="CIFAR binary"):
    """A folder with files of records: the bytes of labels, then the planes of pixels, as CIFAR's binary version."""

    train: Files
    """Files in the folder with training images."""
    test: Files
    """Files in the folder with test images."""
    label_bytes: Positive = 1
    """Bytes before the pixels of a record; the last one is the label."""
    sha256: str = ""
    """SHA-256 of all files, the training files first, one after another; empty: not checked."""

    def mistake(self) -> str | None:
        """Return what is wrong with the values."""
        if self.number_of_classes > 256:
            return f"classes is {self.number_of_classes}, but a label is one byte"
        return Declared.mistake(self) or _mistake_of_files((*self.train, *self.test), self.sha256)


KINDS: dict[str, type[Declared]] = {
    str(each.__struct_config__.tag): each for each in (ImageFiles, Arrays, Binary, SegmentationFolder, CocoFolder)
}


class Declaration(NamedTuple):
    """A dataset that a file declares."""

    file: Path
    name: str
    content: Declared

    def refused(self, reason: str) -> WrongFiles:
        """Return the error of files that do not fit the declaration."""
        return Place(self.file, f"dataset {self.name}").refused(reason)


class Declarations(NamedTuple):
    """What files declare, although some of it may be wrong."""

    datasets: dict[str, Declaration]
    """Those that are right, by name."""
    mistakes: tuple[Mistake, ...]
    wrong: frozenset[str]
    """The names of those that are left out."""


def survey_datasets(files: Iterable[Path], shipped: Collection[str]) -> Declarations:
    """Return the datasets that TOML files declare, and the mistakes for which others are left out.

    A mistake is a file that cannot be read or is not valid TOML, a key that is missing, unknown or has a wrong value,
    and a name that differs from an earlier one at most in case, `-` and `_`. It names file, dataset and reason.

    Args:
        files: each declares datasets.
        shipped: the names of the program's own datasets.
    """
    own = {canonical(name): name for name in shipped}
    found, mistakes, names = dict[str, Declaration](), list[Mistake](), set[str]()
    for file in files:
        with collecting(mistakes):
            for name, given in _read(file).items():
                names.add(name)
                try:
                    _refuse_second(name, own, found)
                    found[canonical(name)] = Declaration(file, name, _declared(name, given))
                except UserError as error:
                    mistakes.append(Place(file, f"dataset {name}").mistake(str(error)))
    right = {each.name: each for each in found.values()}
    return Declarations(right, tuple(mistakes), frozenset(names - right.keys()))


def _read(file: Path) -> dict[str, Any]:
    """Return the content of a file by the names of its datasets."""
    content = toml_of(file)
    datasets = content.pop("datasets", None)
    if content or not isinstance(datasets, dict):
        raise Place(file).refused("write only tables such as [datasets.flowers]")
    return datasets


def _refuse_second(name: str, own: Mapping[str, str], found: Mapping[str, Declaration]) -> None:
    """Refuse a name that another dataset has, in any spelling; UserError with the reason."""
    key = canonical(name)
    if key in own:
        raise UserError(f"the dataset {own[key]} comes with the program; choose another name")
    if key in found:
        raise UserError(f"{found[key].file} already has a dataset of that name; rename one of them")


def _declared(name: str, given: Any) -> Declared:
    """Return what is declared of a dataset; UserError with the reason if it is wrong."""
    if not NAME.fullmatch(name):
        raise UserError("its name may have letters, digits, '-', '_' and '.', and begins with a letter or digit")
    if not isinstance(given, dict):
        raise UserError(f"it is {given!r}, not a table; write [datasets.{name}]")
    if "kind" not in given:
        raise UserError(f"key 'kind' is missing; known: {', '.join(KINDS)}")
    kind = str(given["kind"])
    if kind not in KINDS:
        raise UserError(unknown("kind", kind, KINDS))
    keys = KINDS[kind].__struct_fields__
    for key in given:
        if key not in (*keys, "kind"):
            raise UserError(unknown("key", key, keys))
    try:
        made = msgspec.convert(given, KINDS[kind])
    except msgspec.ValidationError as error:
        raise UserError(str(error)) from None
    if reason := made.mistake():
        raise UserError(reason)
    return made


def _mistake_of_files(files: Collection[str], sha256: str) -> str | None:
    for each in files:
        if not _is_inside(each):
            return f"file {each!r} must be in the folder of path, relative and without '..'"
    if sha256 and not re.fullmatch("[0-9a-f]{64}", sha256):
        return f"sha256 {sha256!r} must have 64 digits in 0-9 and a-f, as sha256sum prints"
    return None


def _is_inside(path: str) -> bool:
    """Whether a path is relative and cannot leave the folder that it is relative to."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path
