"""Folders in COCO's format (Lin et al., arXiv 1405.0312): image files and the boxes of the objects in them.

A folder has annotations/instances_train2017.json and instances_val2017.json, and the images in train2017/ and val2017/;
a declared dataset may name its two parts differently.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from repro.data import DATASETS, check_number
from repro.data.declaration import CocoFolder
from repro.data.files.annotations import Annotations, Scene, read_annotations
from repro.data.files.misplaced import misplaced
from repro.data.files.places import annotations_of
from repro.data.files.stored import Missing, Stored, size_of
from repro.data.images import fingerprint
from repro.data.registry import dataset_folder, dataset_path
from repro.errors import UserError

PARTS = ("train2017", "val2017")
"""The parts of COCO that are trained on and tested; the labels of its test images are not published."""


@dataclass(frozen=True)
class DetectionPart:
    """One part of a dataset: image files in a folder, and their objects."""

    folder: Path
    scenes: tuple[Scene, ...]
    digest: str
    """Hash of the annotation file, and of the names and sizes of the images."""

    def __len__(self) -> int:
        return len(self.scenes)


@dataclass(frozen=True)
class DetectionFolder:
    """A dataset whose two parts are read when first used."""

    name: str
    folder: Path
    parts: Sequence[str]
    """The names of the training and of the test part."""
    _classes: dict[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)
    """The names of the classes of the part that was read first."""

    @cached_property
    def train(self) -> DetectionPart:
        """The training images with objects to train on."""
        read = self._read(self.parts[0])
        return self._part(self.parts[0], read.trained_on, "train_images")

    @cached_property
    def test(self) -> DetectionPart:
        """All test images."""
        read = self._read(self.parts[1])
        if not any(not each.crowd for scene in read.scenes for each in scene.objects):
            raise UserError(f"{annotations_of(self.folder, self.parts[1])} has no objects, so nothing can be tested")
        return self._part(self.parts[1], read.scenes, "test_images")

    @cached_property
    def fingerprint(self) -> str:
        """Hash of both annotation files, and of the names and sizes of all images."""
        digest = hashlib.sha256((self.train.digest + self.test.digest).encode()).hexdigest()
        return fingerprint(self.name, digest)

    def _read(self, part: str) -> Annotations:
        """Return the annotations of a part, with the classes that the dataset has."""
        spec, path = DATASETS[self.name], annotations_of(self.folder, part)
        read = read_annotations(path, self.folder / part, as_published=spec.as_published)
        if len(read.classes) != spec.classes:
            raise UserError(f"{path} has {len(read.classes)} categories, and {self.name} has {spec.classes} classes")
        declared = spec.declared.classes if spec.declared else spec.classes
        if isinstance(declared, int):
            self._same_classes(path, read.classes)
        elif declared != read.classes:
            raise UserError(f"{path} has the categories {', '.join(read.classes)}, not {', '.join(declared)}")
        return read

    def _same_classes(self, path: Path, classes: tuple[str, ...]) -> None:
        """Raise UserError if the other part, which was read before, has other classes or another order of their IDs."""
        first = self._classes.setdefault("classes", classes)
        if first != classes:
            raise UserError(
                f"{path} has the categories {', '.join(classes)} in the order of their ids, and the other file "
                f"{', '.join(first)}; give each the same id in both"
            )

    def _part(self, part: str, scenes: tuple[Scene, ...], key: str) -> DetectionPart:
        """Return a part, which must have as many images as the `key` of the dataset says."""
        spec, found = DATASETS[self.name], len(scenes)
        check_number(self.name, key, found)
        if not spec.declaration and found != (wanted := getattr(spec, key)):
            raise UserError(f"{self.folder / part} has {found:,} annotated images; {self.name} has {wanted:,}")
        if not found:
            raise UserError(f"{annotations_of(self.folder, part)} has no image with an object to train on")
        digest = hashlib.sha256(annotations_of(self.folder, part).read_bytes())
        sizes = {each.name: each.stat().st_size for each in os.scandir(self.folder / part)}
        for each in scenes:
            digest.update(f"{each.name}\0{sizes[each.name]}\n".encode(errors="surrogateescape"))
        return DetectionPart(self.folder / part, scenes, digest.hexdigest())


def load(name: str, root: Path) -> DetectionFolder:
    """Return a folder in COCO's format; its parts are read when first used.

    Raises:
        Missing: the annotation files are not there.
    """
    declared = DATASETS[name].declared
    assert declared is None or isinstance(declared, CocoFolder)
    folder = dataset_folder(name, root)
    parts = (declared.train, declared.test) if declared else PARTS
    files = [annotations_of(folder, part) for part in parts]
    if not all(each.is_file() for each in files):
        where = "" if declared else ", from https://cocodataset.org/#download"
        if found := misplaced(root, dataset_path(name), [str(each.relative_to(folder)) for each in files]):
            raise Missing(folder, f"{name} is not in {folder}; {found}")
        raise Missing(
            folder,
            f"{name} is not in {folder}: put {files[0].relative_to(folder)} and {files[1].relative_to(folder)} there, "
            f"and the images in {parts[0]}/ and {parts[1]}/{where}; or name the folder of the datasets with --data",
        )
    return DetectionFolder(name, folder, parts)


def check(name: str, root: Path) -> Stored:
    """Read both annotation files, and look for every image.

    Raises:
        Missing: the dataset is not under `root`.
        UserError: an annotation file is broken, or an image is missing.
    """
    data = load(name, root)
    assert data.fingerprint
    return Stored(data.folder, size_of(data.folder))
