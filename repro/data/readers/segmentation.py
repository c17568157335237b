"""Slices with a class for every pixel, in memory: ISBI 2012, and folders of images with masks.

ISBI 2012: serial section electron microscopy of a fly's nerve cord, Cardona et al., PLoS Biology 8(10), 2010,
published by the challenge on segmentation of neuronal structures. The download needs an account.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.data import DATASETS, Dataset, Images
from repro.data.files.image_files import (
    DEEP,
    DEEPER,
    ENDINGS,
    in_channels,
    is_image,
    is_unread,
    opened,
    read,
    refuse_pages,
    upright,
)
from repro.data.files.misplaced import misplaced
from repro.data.files.places import IMAGES, MASKS, TRAIN, folder_of_tests, place_of
from repro.data.files.stored import Missing
from repro.data.images import fingerprint
from repro.data.registry import dataset_folder, dataset_path
from repro.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

ISBI_SLICES = 30
HELD_OUT = 5
"""Test slices: the last ones, 25 to 29. Adjacent slices are alike; this split separates only 24 and 25."""
FOREGROUND = 128
"""Smallest grey value of a label that means inside a cell."""
EDGE, GREY_SHARE = 32, 0.1
"""How far a value may be from black or white, as in edges and JPEG, and the share of pixels that may be further."""


FEW = 16
"""Most values of a mask in which an area of grey is a class, and no noise."""


def load_isbi2012(name: str, root: Path) -> Dataset:
    """Return the 30 labelled slices of ISBI 2012, the last five as test images.

    Pixels (n, 1, 512, 512) uint8; labels (n, 512, 512) uint8, 1 inside a cell and 0 on a membrane. `root`/isbi2012
    has the challenge's train-volume.tif and train-labels.tif, or image/ and label/ with one file per slice.

    Raises:
        UserError: the files are missing, or are not 30 slices of equal size.
    """
    folder = place_of(root, name)
    stacks = folder / "train-volume.tif", folder / "train-labels.tif"
    if all(path.is_file() for path in stacks):
        pixels, labels = _pages(stacks[0], _slice_of), _pages(stacks[1], _mask_of)
    elif (folder / "image").is_dir() and (folder / "label").is_dir():
        pixels, labels = _pairs(folder / "image", folder / "label")
    else:
        forms = ("image", "label"), [each.name for each in stacks]
        if found := next(filter(None, (misplaced(root, name, form) for form in forms)), ""):
            raise Missing(folder, f"ISBI 2012 is not in {folder}; {found}")
        raise Missing(
            folder,
            f"ISBI 2012 is not in {folder}: put train-volume.tif and train-labels.tif there, from "
            "https://imagej.net/events/isbi-2012-segmentation-challenge, or image/ and label/ with one PNG per slice",
        )
    if len(pixels) != ISBI_SLICES or pixels[:, 0].shape != labels.shape:
        raise UserError(
            f"{folder} has {len(pixels)} slices and {len(labels)} labels, but ISBI 2012 has {ISBI_SLICES} of each"
        )
    train = ISBI_SLICES - HELD_OUT
    return _dataset(name, (pixels[:train], labels[:train]), (pixels[train:], labels[train:]))


def load_folder(name: str, root: Path) -> Dataset:
    """Return a folder of images with masks, bright inside a cell and dark outside.

    `root`/segmentation, or the path of a declared dataset, has train/ and test/ (or val/), each with images/ and masks/
    of equal names and sizes.

    Raises:
        UserError: images or masks are missing, or differ in size.
    """
    spec = DATASETS[name]
    folder = dataset_folder(name, root)
    splits = folder / TRAIN, folder_of_tests(folder, IMAGES)
    if not all((each / IMAGES).is_dir() for each in splits):
        found = misplaced(root, dataset_path(name), (f"{TRAIN}/{IMAGES}",))
        if found and not folder.exists():
            raise Missing(folder, f"{name} is not in {folder}; {found}")
        raise Missing(folder, f"{folder} needs train/ and test/ (or val/), each with images/ and masks/ of equal names")
    return _dataset(name, *(_pairs(each / IMAGES, each / MASKS, spec.input[0]) for each in splits))


def _dataset(name: str, *splits: tuple[Tensor, Tensor]) -> Dataset:
    """Return a dataset from the slices, (n, C, H, W), and the labels, (n, H, W), of its two splits."""
    for split, (_, labels) in zip(("training", "test"), splits, strict=True):
        _refuse_one_class(name, split, labels)
    digest = hashlib.sha256()
    for values in (each for split in splits for each in split):
        digest.update(values.numpy().tobytes())
    train, test = (Images(pixels, (labels >= FOREGROUND).to(torch.uint8)) for pixels, labels in splits)
    return Dataset(train, test, fingerprint(name, digest.hexdigest()))


def _refuse_one_class(name: str, split: str, labels: Tensor) -> None:
    """Raise UserError for labels of one class only, such as masks of 0 and 1."""
    lowest, highest = labels.min().item(), labels.max().item()
    if highest < FOREGROUND or lowest >= FOREGROUND:
        raise UserError(
            f"the {split} labels of {name} are all of one class (values {lowest} to {highest}); "
            f"values below {FOREGROUND} are one class, the others up to 255 the other"
        )


def _pairs(images: Path, labels: Path, channels: int = 1) -> tuple[Tensor, Tensor]:
    """Return the slices of a folder, (n, C, H, W), and their labels, (n, H, W), sorted by number or name."""
    names = _names(images)
    if not names:
        raise UserError(f"{images} has no images ({', '.join(ENDINGS)})")
    for name in names:
        if not (labels / name).is_file():
            raise UserError(
                f"{labels / name} does not exist{_near(labels, name)}: every image in {images} needs a label of the "
                "same name"
            )
    if extra := sorted({*_names(labels)} - {*names}):
        raise UserError(f"{labels / extra[0]} has no image of the same name in {images}; remove it, or add the image")
    slices = _stacked([images / name for name in names], partial(_slice, channels=channels))
    return slices, _stacked([labels / name for name in names], _mask)


def _names(folder: Path) -> list[str]:
    """Return the names of the images in a folder, sorted by number or name; UserError for images that are not read."""
    for each in sorted(folder.iterdir()):
        if is_unread(each.name):
            raise UserError(f"{each} is in a format that is not read; convert it to PNG")
        if each.is_dir() and each.name[0] != "." and any(map(is_image, os.listdir(each))):
            raise UserError(f"{each} is a folder with images; move them to {folder}")
    return sorted((each.name for each in folder.iterdir() if is_image(each.name)), key=_by_number)


def _near(labels: Path, name: str) -> str:
    """Return that there is a label whose name differs only in its end; empty if there is none."""
    stem = Path(name).stem
    near = sorted(each.name for each in labels.glob("*") if each.stem in (stem, f"{stem}_mask", f"{stem}_label"))
    return f", but {near[0]} does" if near else ""


def _by_number(name: str) -> tuple[int, str]:
    """Return a sort key that puts 2.png before 10.png."""
    digits = "".join(sign for sign in Path(name).stem if sign.isdecimal())
    return int(digits or 0), name


def _stacked(paths: Sequence[Path], read: Callable[[Path], Tensor]) -> Tensor:
    """Return files of equal height and width, as `read` returns them, as one tensor."""
    slices = [read(path) for path in paths]
    for path, each in zip(paths, slices, strict=True):
        if each.shape != slices[0].shape:
            (height, width), (first, second) = each.shape[-2:], slices[0].shape[-2:]
            raise UserError(
                f"{path} has {height}x{width} pixels and the others {first}x{second}; all must have the same size"
            )
    return torch.stack(slices)


def _slice(path: Path, channels: int) -> Tensor:
    """Return an image as (C, H, W)."""
    return _as_tensor(read(path, channels=channels))


def _slice_of(path: Path, page: Image) -> Tensor:
    """Return a page as (1, H, W)."""
    return _as_tensor(in_channels(path, page, 1))


def _mask(path: Path) -> Tensor:
    """Return the mask in a file as (H, W)."""
    with opened(path) as image:
        refuse_pages(path, image)
        return _mask_of(path, upright(image))


def _mask_of(path: Path, page: Image) -> Tensor:
    """Return a mask, or a page of masks, as (H, W); UserError if it is not in black and white."""
    if page.mode in (*DEEP, *DEEPER):
        raise UserError(f"{path} has more than 8 bits per pixel (mode {page.mode}); save it with 8")
    labels = _as_tensor(page.convert("L"))[0]
    _refuse_classes(path, page, labels)
    _refuse_transparency(path, page, labels)
    return labels


def _refuse_classes(path: Path, image: Image, labels: Tensor) -> None:
    """Raise UserError for a mask of several classes, in colours, or of 0 and 1 instead of 0 and 255."""
    colours = len(image.getcolors() or ()) if image.mode == "P" else 0
    grey = ((labels > EDGE) & (labels < 255 - EDGE)).float().mean() > GREY_SHARE
    if colours > 2 or _is_coloured(image) or grey or (image.format != "JPEG" and _has_areas_of_grey(labels)):
        raise UserError(
            f"{path} is not in black and white, like a mask of several classes; save the background as 0 and the class "
            "as 255"
        )
    if 0 < (highest := int(labels.max())) < FOREGROUND:
        raise UserError(
            f"{path} has only values up to {highest}, and the foreground begins at {FOREGROUND}; scale them"
        )


def _has_areas_of_grey(labels: Tensor) -> bool:
    """Whether one of a few values between the darkest and the brightest fills a square, as a class or a border does.

    The values of soft edges fill none, and masks that a lossy format changed have many values.
    """
    values = torch.unique(labels)
    if not 3 <= len(values) <= FEW:
        return False
    maps = labels[None].float()
    centres = maps[:, 1:-1, 1:-1]
    uniform = (F.max_pool2d(maps, 3, 1) == centres) & (-F.max_pool2d(-maps, 3, 1) == centres)
    return bool(torch.isin(centres[uniform], values[1:-1].float()).any())


def _refuse_transparency(path: Path, image: Image, labels: Tensor) -> None:
    """Raise UserError for a mask of which parts are transparent, unless these are its background or its foreground."""
    if not image.has_transparency_data:
        return
    opaque = _as_tensor(image.convert("RGBA"))[3] >= FOREGROUND
    if not opaque.all() and opaque.any() and not torch.equal(opaque, labels >= FOREGROUND):
        raise UserError(f"{path} is transparent where it is not black; save it without transparency")


def _is_coloured(image: Image) -> bool:
    if image.mode in ("1", "L", "LA", "P"):
        return False
    channels = _as_tensor(image.convert("RGB")).int()
    return bool((channels.amax(0) - channels.amin(0) > EDGE).any())


def _pages(path: Path, read: Callable[[Path, Image], Tensor]) -> Tensor:
    """Return the pages of an image file, as `read` returns each."""
    from PIL import ImageSequence

    with opened(path) as image:
        pages = getattr(image, "n_frames", 1)
        if pages != ISBI_SLICES:
            raise UserError(f"{path} has {pages} pages, but ISBI 2012 has {ISBI_SLICES} slices; restore the file")
        slices = [read(path, page) for page in ImageSequence.Iterator(image)]
    if any(each.shape != slices[0].shape for each in slices):
        raise UserError(f"the pages of {path} differ in size; restore the file")
    return torch.stack(slices)


def _as_tensor(image: Image) -> Tensor:
    """Return an image in grey or RGB as (C, H, W) uint8."""
    width, height = image.size
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return values.view(height, width, -1).permute(2, 0, 1).contiguous()
