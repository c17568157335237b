"""Images for measurements without a dataset, random or enlarged."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from repro.bars import with_bar
from repro.data import DATASETS, Dataset, Images
from repro.data.files.places import TRAIN, VAL
from repro.data.readers.folder import Files, ImageFolder, list_files

IMAGES = 12_800
"""Number of images in memory."""
FILES = 256
"""Number of image files that are written."""
LISTED = 51_200
"""Length of the list that repeats the files: in a long epoch the start takes a negligible part of the time."""
CLASSES = 4
PHOTOGRAPHS = "tiny-imagenet-10"
"""The dataset whose images are enlarged if another one is not there."""
SIZES = dict.fromkeys(("imagenet", "imagenet-299"), (500, 375))
"""Width and height of a typical image by dataset; images of other datasets have the input size."""


def random_data(dataset: str, number: int = IMAGES) -> Dataset:
    """Return random images in memory with the shape of a dataset's, the same ones for training and test."""
    spec = DATASETS[dataset]
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (number, *spec.input), dtype=torch.uint8, generator=generator)
    labels = torch.randint(spec.classes, (number,), generator=generator)
    images = Images(pixels, labels)
    return Dataset(images, images, "random")


class RandomFolder(ImageFolder):
    """Random JPEG files with the size of a dataset's, each listed many times."""

    @cached_property
    def train(self) -> Files:
        """The files, each listed many times."""
        return repeated(self.test, LISTED // FILES)

    @cached_property
    def test(self) -> Files:
        """The files, each listed once."""
        spec, files = DATASETS[self.name], list_files(self.test_folder, "listing")
        return replace(files, channels=spec.input[0], as_published=spec.as_published)


def random_folder(dataset: str, folder: Path, photographs: Files | None = None) -> RandomFolder:
    """Write JPEG files with the size of a dataset's to `folder` and return them.

    Args:
        dataset: its name.
        folder: an empty folder.
        photographs: images that are enlarged (default: random images).
    """
    from PIL import Image

    spec = DATASETS[dataset]
    width, height = SIZES.get(dataset, spec.input[:0:-1])
    generator = torch.Generator().manual_seed(0)
    for number in with_bar(range(FILES), "writing random images"):
        # Blocks of 8 pixels, scaled smoothly, compress about as well as photographs.
        blocks = torch.randint(256, (height // 8, width // 8, 3), dtype=torch.uint8, generator=generator)
        small = photographs.read(number % len(photographs)) if photographs else Image.fromarray(blocks.numpy())
        path = folder / TRAIN / f"n{number % min(CLASSES, spec.classes):08}" / f"{number}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        small.resize((width, height), Image.Resampling.BICUBIC).save(path, quality=95)
    (folder / VAL).symlink_to(folder / TRAIN)
    return RandomFolder(dataset, folder, folder / VAL)


def repeated(files: Files, times: int) -> Files:
    """Return the files with their list repeated."""
    shifts = torch.arange(times)[:, None] * len(files.names)
    ends: Tensor = (files.ends[None] + shifts).flatten()
    digest = f"{times}x{files.digest}"
    return replace(files, names=files.names * times, ends=ends, labels=files.labels.repeat(times), digest=digest)
