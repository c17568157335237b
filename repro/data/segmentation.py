"""Slices with a class for every pixel, in memory: ISBI 2012, and a user's own folder.

ISBI 2012: serial section electron microscopy of a fly's nerve cord, Cardona et al., PLoS Biology 8(10), 2010,
published by the challenge on segmentation of neuronal structures. The download needs an account.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from repro.data import Dataset, Images
from repro.data.stored import Missing
from repro.errors import UserError

ISBI_SLICES = 30
HELD_OUT = 5
"""Test slices: the last ones, 25 to 29. Adjacent slices are alike; this split separates only 24 and 25."""
FOREGROUND = 128
"""Smallest grey value of a label that means inside a cell."""
DEEP = ("I;16", "I;16B", "I;16L", "I", "F")
"""PIL's modes with more than 8 bits per pixel, which conversion to grey would clip at 255."""
ENDINGS = (".png", ".tif", ".tiff", ".bmp")


def load_isbi2012(root: Path) -> Dataset:
    """Return the 30 labelled slices of ISBI 2012, the last five as test images.

    Pixels (n, 1, 512, 512) uint8; labels (n, 512, 512) uint8, 1 inside a cell and 0 on a membrane. `root`/isbi2012
    has the challenge's train-volume.tif and train-labels.tif, or image/ and label/ with one file per slice.

    Raises:
        UserError: the files are missing, or are not 30 slices of equal size.
    """
    folder = root / "isbi2012"
    stacks = folder / "train-volume.tif", folder / "train-labels.tif"
    if all(path.is_file() for path in stacks):
        pixels, labels = (torch.stack(_pages(path)) for path in stacks)
    elif (folder / "image").is_dir() and (folder / "label").is_dir():
        pixels, labels = _pairs(folder / "image", folder / "label")
    else:
        raise Missing(
            folder,
            f"ISBI 2012 is not in {folder}: put train-volume.tif and train-labels.tif there, from "
            "https://imagej.net/events/isbi-2012-segmentation-challenge, or image/ and label/ with one PNG per slice",
        )
    if len(pixels) != ISBI_SLICES or pixels.shape != labels.shape:
        raise UserError(
            f"{folder} has {len(pixels)} slices and {len(labels)} labels, but ISBI 2012 has {ISBI_SLICES} of each"
        )
    train = ISBI_SLICES - HELD_OUT
    return _dataset("isbi2012", (pixels[:train], labels[:train]), (pixels[train:], labels[train:]))


def load_folder(root: Path) -> Dataset:
    """Return a user's own data set: grey images with masks, bright inside a cell and dark outside.

    `root`/segmentation has train/ and test/ (or val/), each with images/ and masks/ of equal names and sizes.

    Raises:
        UserError: images or masks are missing, or differ in size.
    """
    folder = root / "segmentation"
    test = next((each for each in ("test", "val") if (folder / each / "images").is_dir()), None)
    if test is None or not (folder / "train" / "images").is_dir():
        raise Missing(folder, f"{folder} needs train/ and test/ (or val/), each with images/ and masks/ of equal names")
    splits = [_pairs(folder / each / "images", folder / each / "masks") for each in ("train", test)]
    return _dataset("segmentation", *splits)


def _dataset(name: str, *splits: tuple[Tensor, Tensor]) -> Dataset:
    """Return a data set from the grey slices and labels, (n, H, W), of its two splits."""
    _refuse_one_class(name, splits[0][1])
    digest = hashlib.sha256()
    for grey in (each for split in splits for each in split):
        digest.update(grey.numpy().tobytes())
    train, test = (Images(pixels[:, None], (labels >= FOREGROUND).to(torch.uint8)) for pixels, labels in splits)
    return Dataset(train, test, f"{name}:{digest.hexdigest()[:12]}")


def _refuse_one_class(name: str, labels: Tensor) -> None:
    """Raise UserError for training labels of one class only, such as masks of 0 and 1."""
    lowest, highest = labels.min().item(), labels.max().item()
    if highest < FOREGROUND or lowest >= FOREGROUND:
        raise UserError(
            f"the training labels of {name} are all of one class (values {lowest} to {highest}); "
            f"values below {FOREGROUND} are one class, the others up to 255 the other"
        )


def _pairs(images: Path, labels: Path) -> tuple[Tensor, Tensor]:
    """Return the slices of a folder and their labels, each (n, H, W), sorted by number or name."""
    names = sorted((each.name for each in images.iterdir() if each.suffix.lower() in ENDINGS), key=_by_number)
    if not names:
        raise UserError(f"{images} has no images ({', '.join(ENDINGS)})")
    for name in names:
        if not (labels / name).is_file():
            raise UserError(f"{labels / name} does not exist: every image in {images} needs a label of the same name")
    return _stacked([images / name for name in names]), _stacked([labels / name for name in names])


def _by_number(name: str) -> tuple[int, str]:
    """Return a sort key that puts 2.png before 10.png."""
    digits = "".join(sign for sign in Path(name).stem if sign.isdigit())
    return int(digits or 0), name


def _stacked(paths: Sequence[Path]) -> Tensor:
    """Return the first pages of files as (n, H, W)."""
    slices = [_pages(path)[0] for path in paths]
    for path, each in zip(paths, slices, strict=True):
        if each.shape != slices[0].shape:
            (height, width), (first, second) = each.shape, slices[0].shape
            raise UserError(
                f"{path} has {height}x{width} pixels and the others {first}x{second}; all must have the same size"
            )
    return torch.stack(slices)


def _pages(path: Path) -> list[Tensor]:
    """Return the pages of an image file in grey, (H, W) uint8 each."""
    from PIL import Image, ImageSequence

    try:
        with Image.open(path) as file:
            if file.mode in DEEP:
                raise UserError(f"{path} has more than 8 bits per pixel (mode {file.mode}); save it with 8")
            return [_grey(page) for page in ImageSequence.Iterator(file)]
    except OSError as error:
        raise UserError(f"{path} cannot be read as an image ({error})") from error


def _grey(page: object) -> Tensor:
    from PIL import Image

    assert isinstance(page, Image.Image)
    width, height = page.size
    return torch.frombuffer(bytearray(page.convert("L").tobytes()), dtype=torch.uint8).view(height, width)
