"""Reading a dataset by its name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from repro.data.images import Dataset
from repro.data.registry import DATASETS
from repro.errors import UserError

if TYPE_CHECKING:
    from repro.data.readers.coco import DetectionFolder
    from repro.data.readers.folder import ImageFolder


def load(name: str, root: Path) -> Dataset | ImageFolder | DetectionFolder:
    """Return a dataset from `root`, downloaded if it is missing and can be downloaded.

    Image files are an `ImageFolder`, or a `DetectionFolder` if their objects have boxes; all else is a `Dataset`.

    Raises:
        UserError: the dataset is missing, or its files are not the published ones.
        RunFailed: it cannot be downloaded.
    """
    check_root(root)
    function = DATASETS[name].loader.split(":")[1]
    dataset: Dataset | ImageFolder | DetectionFolder = getattr(reader_of(name), function)(name, root)
    if isinstance(dataset, Dataset):
        check_number(name, "train_images", len(dataset.train))
        check_number(name, "test_images", len(dataset.test))
    return dataset


def reader_of(name: str) -> ModuleType:
    """Return the module that reads a dataset."""
    return import_module(f"repro.data.readers.{DATASETS[name].loader.split(':')[0]}")


def check_root(root: Path) -> None:
    """Raise UserError if the folder of the datasets is a file."""
    if root.exists() and not root.is_dir():
        raise UserError(f"{root} is not a folder; give the folder of the datasets with --data")


def check_number(name: str, key: str, images: int) -> None:
    """Raise UserError if a dataset has another number of images than its declaration says under `key`."""
    declaration = DATASETS[name].declaration
    wanted = getattr(declaration.content, key) if declaration else 0
    if declaration and wanted not in (0, images):
        raise declaration.refused(f"{key} is {wanted:,}, but there are {images:,}")
