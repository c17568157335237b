"""Flat folders of images, whose classes are in a file beside them, found by the name of each image.

Kaggle distributes ImageNet as ILSVRC/Data/CLS-LOC/{train,val}, with LOC_val_solution.csv and LOC_synset_mapping.txt
next to ILSVRC/. Tiny ImageNet has val/images/ and val/val_annotations.txt. The organisers' development kit is read in
`repro.data.files.ilsvrc`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from repro.data.files import ilsvrc
from repro.data.files.image_files import is_image
from repro.data.files.places import ANNOTATIONS, IMAGES, TRAIN, is_annotated
from repro.errors import UserError

KAGGLE = Path("ILSVRC", "Data", "CLS-LOC")
"""The folder with train/ and val/ in Kaggle's layout."""
SOLUTION, MAPPING = "LOC_val_solution.csv", "LOC_synset_mapping.txt"
HEADING = "ImageId"
"""The first word of the solution."""
LabelOf = Callable[[str], int]
"""A function from the name of an image to its label; UserError if it has none."""


def kaggle_images(folder: Path) -> Path:
    """Return the folder with train/ and val/: `folder`, or the one in it if Kaggle's files are there."""
    return folder / KAGGLE if (folder / KAGGLE).is_dir() and not (folder / TRAIN).is_dir() else folder


def flat_labels(split: Path) -> tuple[Path, tuple[str, ...], LabelOf]:
    """Return the folder with the images of a split, the sorted wnids, and the label of each image by its name.

    Raises:
        UserError: the file with the classes is missing or wrong, or labels an image that is not there.
    """
    if is_annotated(split):
        file = split / ANNOTATIONS
        return split / IMAGES, *_by_name(split / IMAGES, file, _read(file, _annotated))
    beside_ilsvrc = list(split.parents)[len(KAGGLE.parts) :][:1]
    for home in (split.parent, *beside_ilsvrc):
        if (file := home / SOLUTION).is_file():
            wnids = _read(file, _solved)
            _refuse_other_classes(file, {*wnids.values()})
            return split, *_by_name(split, file, wnids)
    return split, *ilsvrc.flat_labels(split)


def _read(file: Path, fields_of: Callable[[str], Sequence[str]]) -> Mapping[str, str]:
    """Return the wnid of each image by its name without extension; UserError if the file is not the published one."""
    wnids = dict[str, str]()
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read ({error}); replace it") from error
    for number, line in enumerate(lines, 1):
        name, wnid, *_ = *fields_of(line), "", ""
        if not (name and wnid):
            raise UserError(f"{file}, line {number}: no image with its class ({line[:40]!r}); replace the file")
        if wnids.setdefault(Path(name).stem, wnid) != wnid:
            raise UserError(f"{file}, line {number}: {name} has two classes; replace the file")
    wnids.pop(HEADING, None)
    return wnids


def _annotated(line: str) -> Sequence[str]:
    """Return name and wnid, which have tabs between them and before a box."""
    return line.split("\t")


def _solved(line: str) -> Sequence[str]:
    """Return name and wnid of a line `ImageId,PredictionString`, whose second part has the wnid before each box."""
    name, _, boxes = line.partition(",")
    return name, *boxes.split()


def _refuse_other_classes(file: Path, wnids: Collection[str]) -> None:
    """Raise UserError if Kaggle's list of classes, where it is there, has other wnids than the images."""
    mapping = file.with_name(MAPPING)
    if mapping.is_file():
        known = {line.split()[0] for line in mapping.read_text("utf-8", errors="replace").splitlines() if line.strip()}
        if other := sorted(known ^ {*wnids}):
            raise UserError(f"{other[0]} is only in one of {file} and {mapping.name}; replace these files")


def _by_name(images: Path, file: Path, wnids: Mapping[str, str]) -> tuple[tuple[str, ...], LabelOf]:
    """Return the sorted wnids, and the function that gives labels; UserError if a labelled image is missing."""
    there = {Path(each.name).stem for each in os.scandir(images) if is_image(each.name)}
    if missing := sorted(wnids.keys() - there):
        raise UserError(f"{images} has no image {missing[0]!r}, which {file} has; restore it")
    classes = tuple(sorted({*wnids.values()}))
    labels = {wnid: label for label, wnid in enumerate(classes)}

    def label_of(name: str) -> int:
        """Return the label of an image; UserError if it has none."""
        try:
            return labels[wnids[Path(name).stem]]
        except KeyError:
            raise UserError(f"{images / name} has no class in {file}; remove the image") from None

    return classes, label_of
