"""A task: what a network is trained on and tested with. Each kind of dataset has a file that implements one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from repro.data import DatasetKind
from repro.errors import UserError
from repro.models.detector import Scenes
from repro.recipes import Recipe
from repro.recipes.recipe import shown

Progress = Callable[[range], Iterable[int]]
"""Wraps the range of a test's batches, for a progress bar."""


FOR_FILES = (
    *("scaled_crop", "random_crop", "shorter_side", "shorter_side_max", "square", "resize", "test_crop"),
    *("interpolation", "lighting", "tune_epochs", "tune_batch", "tune_lr"),
)
"""Values of recipes that only a task of image files uses."""
FOR_SMALL_IMAGES = ("crop_padding", "padding_mode", "crop_draw", "flip_half", "preprocessing", "validation_images")
"""Values that only a task of small images in memory uses."""
FOR_TILES = ("tile", "margin", "turn", "elastic", "elastic_grid", "class_balance", "border_weight", "border_sigma")
"""Values that only a segmentation uses."""
FOR_CLASSES = ("label_smoothing", "auxiliary")
"""Values that only a classification uses."""
FOR_BOXES = ("resize_limit",)
"""Values that only a detection uses."""


class TaskValues(NamedTuple):
    """Which values of recipes a task uses."""

    images: str
    """Its images in words."""
    ignored: Collection[str]
    """The values that it would ignore."""
    needed: Collection[tuple[str, ...]] = ()
    """Groups of values; it needs one of each group."""


VALUES = {
    DatasetKind.IN_MEMORY: TaskValues("images in memory", {*FOR_FILES, *FOR_TILES, *FOR_BOXES, "color_jitter"}),
    DatasetKind.IMAGE_FILES: TaskValues(
        "image files",
        ignored={*FOR_SMALL_IMAGES, *FOR_TILES, *FOR_BOXES},
        needed=(("scaled_crop", "random_crop"), ("resize",), ("test_crop",)),
    ),
    DatasetKind.SEGMENTATION: TaskValues(
        "slices for segmentation",
        ignored={*FOR_FILES, *FOR_SMALL_IMAGES, *FOR_CLASSES, *FOR_BOXES},
        needed=(("tile",),),
    ),
    DatasetKind.DETECTION: TaskValues(
        "images for detection",
        ignored={*FOR_FILES, *FOR_SMALL_IMAGES, *FOR_TILES, *FOR_CLASSES, "color_jitter", "batchnorm_images"}
        - {"resize"},
        needed=(("resize",), ("resize_limit",), ("mean",)),
    ),
}
"""By kind of dataset."""


class Batch(NamedTuple):
    """Training images on the device; with several processes, this process's share of them."""

    inputs: Tensor | Scenes
    """(n, C, H, W), float32, normalised and augmented, in the runtime's memory format; for a detector n scenes."""
    targets: Tensor
    """(n, ...): the targets of the loss; labels are (n,) int64. For a detector the numbers of objects, (n,)."""


@dataclass(frozen=True)
class Metrics:
    """Means over the test images, each image counted once."""

    error: float
    """Top-1 error in %; for a segmentation, wrong pixels in %; for a detection, 100 - AP."""
    error5: float | None
    """Top-5 error in %; None for five classes or fewer, a segmentation or a detection."""
    loss: float | None
    """Cross-entropy in nats; None for a detection, whose losses need samples of its regions."""
    images: int
    validation_error: float | None = None
    """Error in % on the images that the recipe does not train on; None if it trains on all."""
    extra: Mapping[str, float] = field(default_factory=dict)
    """Further metrics of a task, by their field names in EpochRow and Record."""


class Task(Protocol):
    """A dataset as a recipe presents it, the loss, and the test."""

    images: int
    """Number of images trained on."""
    fingerprint: str
    """Hash of the bytes that the images were read from; of image files, only of their names and sizes."""

    @property
    def normalise(self) -> Callable[[Tensor], Tensor]:
        """What turns pixels, (n, C, H, W) uint8, into the values that a network sees."""

    def batches(self, seed: int, epoch: int, begin: int) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `begin` on; the arguments determine order and augmentation."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch."""

    def wrong(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the number of misclassified images in a batch; NaN for a detection, which has no such number."""

    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return a network's metrics on the test images, and leave it in evaluation mode."""


def check_task_values(recipe: Recipe, kind: DatasetKind) -> None:
    """Raise UserError for a recipe that lacks values for a kind of dataset, or has values that would be ignored."""
    values = VALUES[kind]
    for names in values.needed:
        if not any(getattr(recipe, name) for name in names):
            raise UserError(
                f"recipe {recipe.name} has no {' or '.join(names)}, which {values.images} need; set it, "
                "or choose another recipe"
            )
    for name, value in recipe.values().items():
        if name in values.ignored:
            raise UserError(
                f"recipe {recipe.name} has {name}={shown(name, value)}, which is not supported for {values.images}; "
                "leave it out, or choose another recipe"
            )
