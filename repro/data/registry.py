"""The datasets as plain data: those of the program, and those that papers declare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from repro.data.declaration import (
    Arrays,
    Binary,
    CocoFolder,
    Declaration,
    Declarations,
    Declared,
    ImageFiles,
    SegmentationFolder,
    survey_datasets,
)
from repro.data.files.places import count, place_of
from repro.errors import refuse
from repro.models.options import Shape
from repro.paths import data_folder
from repro.recipes import Library, current_library
from repro.text import choose, unknown


class DatasetKind(StrEnum):
    """How a dataset is stored and what its labels are; each kind has a task in repro.training.tasks."""

    IN_MEMORY = "in memory"
    """Small images with one class each, all of them in the device's memory."""
    IMAGE_FILES = "image files"
    """Images with one class each, read from files while the network trains."""
    SEGMENTATION = "segmentation"
    """Slices with a class for every pixel."""
    DETECTION = "detection"
    """Image files of several sizes with a box and a class for every object."""


@dataclass(frozen=True)
class DatasetSpec:
    """The facts about a dataset that are known before it is read."""

    summary: str
    input: Shape
    """C, H, W of a network's input."""
    classes: int
    loader: str
    """`file:function` in repro.data.readers; the file may also have `fetch` and `check`, see `repro.data.sources`."""
    train_images: int = 0
    """Images in the training set; 0 if unknown."""
    test_images: int = 0
    """Images in the test set; 0 if unknown."""
    kind: DatasetKind = DatasetKind.IN_MEMORY
    folder: str = ""
    """The dataset whose files it uses; empty: it has its own."""
    as_published: bool = False
    """Whether image files are read as the published pipelines of ImageNet and COCO read them: see
    `repro.data.files.image_files.read` and `repro.data.files.annotations.read_annotations`."""
    declaration: Declaration | None = None
    """What a paper declares of it; None for the program's own."""

    @property
    def declared(self) -> Declared | None:
        """The content of the declaration."""
        return self.declaration.content if self.declaration else None

    @property
    def version(self) -> str | None:
        """A hash of what is declared and changes training; None for the program's own, which stay as they are."""
        return self.declared.version if self.declared else None


SHIPPED: dict[str, DatasetSpec] = {
    "cifar10": DatasetSpec("CIFAR-10, 50,000 + 10,000 images", (3, 32, 32), 10, "cifar:load", 50_000, 10_000),
    "cifar100": DatasetSpec("CIFAR-100, 50,000 + 10,000 images", (3, 32, 32), 100, "cifar:load", 50_000, 10_000),
    "digits": DatasetSpec("Digits of scikit-learn, 1,442 + 355 images", (3, 32, 32), 10, "digits:load", 1_442, 355),
    "svhn": DatasetSpec("SVHN, 604,388 + 26,032 images", (3, 32, 32), 10, "svhn:load", 604_388, 26_032),
    "imagenet": DatasetSpec(
        "ImageNet-1K (ILSVRC 2012), 1,281,167 + 50,000 images",
        (3, 224, 224),
        1000,
        "folder:load",
        1_281_167,
        50_000,
        kind=DatasetKind.IMAGE_FILES,
        as_published=True,
    ),
    "tiny-imagenet-10": DatasetSpec(
        "Ten classes of Tiny ImageNet, 5,000 + 500 images",
        (3, 64, 64),
        10,
        "folder:load",
        5_000,
        500,
        kind=DatasetKind.IMAGE_FILES,
    ),
    "tiny-imagenet-200": DatasetSpec(
        "Tiny ImageNet, 100,000 + 10,000 images",
        (3, 64, 64),
        200,
        "folder:load",
        100_000,
        10_000,
        kind=DatasetKind.IMAGE_FILES,
    ),
    "imagenet-299": DatasetSpec(
        "ImageNet-1K for networks with an input of 299 pixels",
        (3, 299, 299),
        1000,
        "folder:load",
        1_281_167,
        50_000,
        kind=DatasetKind.IMAGE_FILES,
        folder="imagenet",
        as_published=True,
    ),
    "isbi2012": DatasetSpec(
        "ISBI 2012 membranes, 25 slices + 5 held out by us, in tiles of 572 pixels",
        (1, 572, 572),
        2,
        "segmentation:load_isbi2012",
        25,
        kind=DatasetKind.SEGMENTATION,
    ),
    "segmentation": DatasetSpec(
        "Your own grey images with masks: segmentation/train and /test, images/ and masks/ in each",
        (1, 572, 572),
        2,
        "segmentation:load_folder",
        kind=DatasetKind.SEGMENTATION,
    ),
    "coco": DatasetSpec(
        "COCO 2017, 117,266 images with objects + 5,000 images, 80 classes",
        (3, 800, 800),
        80,
        "coco:load",
        117_266,
        5_000,
        kind=DatasetKind.DETECTION,
        as_published=True,
    ),
}
"""The datasets of the program."""

LOADERS: dict[type[Declared], tuple[str, DatasetKind]] = {
    ImageFiles: ("folder:load", DatasetKind.IMAGE_FILES),
    SegmentationFolder: ("segmentation:load_folder", DatasetKind.SEGMENTATION),
    CocoFolder: ("coco:load", DatasetKind.DETECTION),
    Arrays: ("arrays:load", DatasetKind.IN_MEMORY),
    Binary: ("arrays:load", DatasetKind.IN_MEMORY),
}
"""The loader and the kind of a declared dataset."""


class Datasets(Mapping[str, DatasetSpec]):
    """The datasets of the program, and those that the papers of the current library declare, by name."""

    def __getitem__(self, name: str) -> DatasetSpec:
        return SHIPPED[name] if name in SHIPPED else _counted(current_library(), name, data_folder())

    def __contains__(self, name: object) -> bool:
        return name in SHIPPED or name in _declarations(current_library())

    def __iter__(self) -> Iterator[str]:
        return iter([*SHIPPED, *_declarations(current_library())])

    def __len__(self) -> int:
        return len(SHIPPED) + len(_declarations(current_library()))


DATASETS = Datasets()


def check_datasets() -> None:
    """Read what the papers of the current library declare; WrongFiles with all that is wrong."""
    refuse(declarations(current_library()).mistakes)


@lru_cache(maxsize=16)
def declarations(library: Library) -> Declarations:
    """Return what the papers of a library declare, right or wrong."""
    return survey_datasets(library.datasets, SHIPPED)


def _declarations(library: Library) -> Mapping[str, Declaration]:
    """Return the declared datasets; WrongFiles if one is wrong, unless the library is lenient."""
    found = declarations(library)
    if not library.lenient:
        refuse(found.mistakes)
    return found.datasets


@lru_cache(maxsize=64)
def _counted(library: Library, name: str, root: Path) -> DatasetSpec:
    """Return a declared dataset, with the numbers of its images if they are declared or the images are in `root`."""
    declaration = _declarations(library)[name]
    declared = declaration.content
    train, test = declared.train_images, declared.test_images
    if not (train and test):
        counted = count(declared, root)
        train, test = train or counted[0], test or counted[1]
    loader, kind = LOADERS[type(declared)]
    input = (declared.channels, declared.size, declared.size)
    return DatasetSpec(
        declared.summary, input, declared.number_of_classes, loader, train, test, kind, declaration=declaration
    )


def dataset_path(name: str) -> str:
    """Return the folder of a dataset, relative to that of all datasets."""
    spec = DATASETS[name]
    return spec.declared.path if spec.declared else spec.folder or name


def dataset_folder(name: str, root: Path) -> Path:
    """Return the folder of a dataset, which is under `root` or is `root` itself."""
    return place_of(root, dataset_path(name))


def find_dataset(name: str) -> str:
    """Return the registered name that matches `name`; UserError with the nearest name otherwise."""
    return choose("dataset", name, DATASETS)


def why_unknown(name: str) -> str:
    """Return why a file cannot name a dataset: its declaration is wrong, or there is none."""
    if name in declarations(current_library()).wrong:
        return f"dataset {name} has an error; correct it first"
    return unknown("dataset", name, DATASETS)
