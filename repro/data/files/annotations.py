"""Annotation files in COCO's format (Lin et al., arXiv 1405.0312): which objects are in which image."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from repro.bounds import Amount, Positive
from repro.console import waiting
from repro.errors import UserError

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""
LARGE = 50_000_000
"""Bytes of a file that takes more than about a second to read; that of COCO's training images has 470 million."""
ROUNDING = 1.0
"""Pixels by which a box may leave its image."""


class _Image(msgspec.Struct):
    id: int
    file_name: str
    height: Positive
    width: Positive


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: Box
    area: Amount | None = None
    iscrowd: int = 0


class _Category(msgspec.Struct):
    id: int
    name: str


class _Content(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


class Object(NamedTuple):
    """An object in an image."""

    box: Box
    label: int
    """The class, from 1 in the order of the categories' IDs."""
    area: float
    """Area of its mask in square pixels, by which COCO calls objects small, medium or large."""
    crowd: bool
    """Whether the box holds many objects: it is not trained on, and detections in it count neither way."""

    @property
    def trained_on(self) -> bool:
        """Whether a detector is trained with it; a few of COCO's boxes have no area."""
        return not self.crowd and self.box[2] > 0 and self.box[3] > 0


class Scene(NamedTuple):
    """An image file and its objects."""

    name: str
    height: int
    width: int
    objects: tuple[Object, ...]


class Annotations(NamedTuple):
    """The content of an annotation file."""

    classes: tuple[str, ...]
    scenes: tuple[Scene, ...]
    """By the images' IDs."""

    @property
    def trained_on(self) -> tuple[Scene, ...]:
        """The images with an object to train on, as torchvision's references/detection/coco_utils.py selects them."""
        return tuple(each for each in self.scenes if any(one.trained_on for one in each.objects))


def read_annotations(path: Path, images: Path, *, as_published: bool = False) -> Annotations:
    """Return the images that a file annotates, with their objects.

    Args:
        path: the JSON file.
        images: the folder with the image files.
        as_published: whether boxes may leave their image or have no area, as a few of COCO's have.

    Raises:
        UserError: the file is not in COCO's format, an image is missing, or a box is invalid.
    """
    with waiting(f"reading {path}", seconds=_bytes(path) < LARGE):
        content = _decoded(path)
        labels = {id: label for label, id in enumerate(sorted(each.id for each in content.categories), 1)}
        by_id = {each.id: each for each in content.images}
        _refuse_twice(path, content, labels, by_id)
        _refuse_missing(path, images, content.images)
        objects: dict[int, list[Object]] = {id: [] for id in by_id}
        for number, each in enumerate(content.annotations, 1):
            if reason := _mistake(each, labels, by_id, as_published):
                raise UserError(f"{path}: annotation {number} {reason}; correct or remove it")
            area = each.bbox[2] * each.bbox[3] if each.area is None else each.area
            objects[each.image_id].append(Object(each.bbox, labels[each.category_id], area, bool(each.iscrowd)))
    scenes = (Scene(by_id[id].file_name, by_id[id].height, by_id[id].width, tuple(objects[id])) for id in sorted(by_id))
    names = {each.id: each.name for each in content.categories}
    return Annotations(tuple(names[id] for id in labels), tuple(scenes))


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _decoded(path: Path) -> _Content:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Content)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); restore the file") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not in COCO's format ({error}); replace the file") from error


def _refuse_twice(path: Path, content: _Content, labels: Collection[int], images: Collection[int]) -> None:
    """Raise UserError if two categories or two images have one ID."""
    for kind, given, known in (("categories", content.categories, labels), ("images", content.images, images)):
        if len(given) > len(known):
            raise UserError(f"{path}: two {kind} share an id; give each a unique one")


def _refuse_missing(path: Path, folder: Path, images: Collection[_Image]) -> None:
    """Raise UserError for the first annotated image that is not a file in the folder."""
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist, and {path} annotates images in it; put them there")
    there = {each.name for each in os.scandir(folder)}
    for each in images:
        if "/" in each.file_name:
            raise UserError(f"{path} names {each.file_name!r} with a folder; name it without, and put it into {folder}")
        if each.file_name not in there:
            raise UserError(f"{folder} has no file {each.file_name!r}, which {path} annotates; restore the image")


def _mistake(
    given: _Annotation, labels: Collection[int], images: Mapping[int, _Image], as_published: bool
) -> str | None:
    """Return what is wrong with an annotation; None if nothing is."""
    if given.image_id not in images:
        return f"is of the unknown image {given.image_id}"
    if given.category_id not in labels:
        return f"has the unknown category {given.category_id}"
    if given.iscrowd not in (0, 1):
        return f"has iscrowd {given.iscrowd}, which must be 0 or 1"
    image = images[given.image_id]
    reasons = () if as_published else _mistakes_of_box(given.bbox, image)
    return next((f"of {image.file_name} has the box {list(given.bbox)}, which {each}" for each in reasons), None)


def _mistakes_of_box(box: Box, image: _Image) -> Iterator[str]:
    left, top, width, height = box
    if width <= 0 or height <= 0:
        yield "has no area"
    inside = min(left, top) >= -ROUNDING and left + width <= image.width + ROUNDING
    if not inside or top + height > image.height + ROUNDING:
        yield f"leaves the image of {image.width}x{image.height} pixels"
