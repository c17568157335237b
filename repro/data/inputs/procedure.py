"""Image files as inputs for tests: scaled, cropped by a protocol, and normalised.

Like training images, they are PIL images in worker processes and leave them as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from torch.utils.data import Dataset

from repro.data.inputs.protocol import ONE_CROP, Protocol, Views
from repro.data.inputs.views import stacked
from repro.data.readers.folder import Files
from repro.errors import UserError
from repro.recipes import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

CENTRAL = 0.875
"""The share of both sides that a central crop keeps."""


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """How a network is tested on image files: a protocol, and the scaling and normalisation of a recipe."""

    protocol: Protocol = ONE_CROP
    resize: int
    """Length of the shorter side after scaling, with antialiasing; without effect on protocols with their own scale."""
    crop: int
    """Side of a crop in pixels."""
    square: bool = False
    """Whether ten crops are taken from the central square of the scaled image."""
    interpolation: str = "bilinear"
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 < self.crop <= self.resize:
            raise UserError(f"a crop of {self.crop} pixels cannot be cut from images of {self.resize}")

    @property
    def scales(self) -> tuple[int, ...]:
        """Lengths in pixels to which the shorter side of an image is scaled; none for a central crop."""
        match self.protocol.views:
            case Views.CENTRAL_CROP:
                return ()
            case Views.DENSE:
                return self.protocol.scales
            case Views.CROPS_144:  # 256, 288, 320 and 352 for crops of 224
                return tuple(round(self.crop * sevenths / 7) for sevenths in (8, 9, 10, 11))
        return (self.resize,)

    def to_json(self) -> dict[str, object]:
        """Return the procedure as plain data."""
        values = asdict(self)
        protocol = msgspec.to_builtins(values.pop("protocol"))
        return {"views": self.protocol.views, **protocol, **values, "antialias": True}

    def __str__(self) -> str:
        how, size = f"({self.interpolation}, antialiased)", f"{self.crop}x{self.crop}"
        if not self.scales:
            return f"{self.protocol}, {size} {how}"
        scaled = f"shorter side to {', '.join(map(str, self.scales))} {how}"
        if self.protocol.views is Views.DENSE:
            assert self.protocol.averaged
            return f"{scaled}, the whole image, mirrored too, {self.protocol.averaged.words}"
        square = ", central square" if self.square and self.protocol.views is Views.TEN_CROP else ""
        return f"{scaled}{square}, {self.protocol}, {size}"


def procedure_of(recipe: Recipe) -> Procedure:
    """Return how a recipe tests after every epoch: with one crop."""
    return Procedure(
        resize=recipe.resize,
        crop=recipe.test_crop,
        square=recipe.square,
        interpolation=recipe.interpolation,
        mean=recipe.mean,
        std=recipe.std,
    )


class TestViews(Dataset[tuple[Any, ...]]):
    """Test images by index: their views as uint8, then the label.

    The views are one tensor (crops, C, crop, crop); dense, they are one (1, C, height, width) for each scale.
    """

    __test__ = False  # it is no test of pytest

    def __init__(self, files: Files, procedure: Procedure) -> None:
        from torchvision.transforms import v2

        self.files, self.procedure = files, procedure
        self.filter = v2.InterpolationMode(procedure.interpolation)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        from torchvision.transforms.v2 import functional as F

        pixels = [F.pil_to_tensor(each) for each in self._views(self.files.read(index))]
        dense = self.procedure.protocol.views is Views.DENSE
        views = [each[None] for each in pixels] if dense else [stacked(pixels)]
        return *views, int(self.files.labels[index])

    def _views(self, image: Image) -> Iterator[Image]:
        from torchvision.transforms.v2 import functional as F

        crop = self.procedure.crop
        if self.procedure.protocol.views is Views.CENTRAL_CROP:
            yield F.resize(central(image), [crop, crop], self.filter)
        for scale in self.procedure.scales:
            scaled: Image = F.resize(image, [scale], self.filter)
            match self.procedure.protocol.views:
                case Views.ONE_CROP:
                    yield F.center_crop(scaled, [crop])
                case Views.TEN_CROP:
                    whole = F.center_crop(scaled, [min(scaled.size)]) if self.procedure.square else scaled
                    yield from F.ten_crop(whole, [crop])
                case Views.CROPS_144:
                    for square in squares(scaled):
                        six = [*F.five_crop(square, [crop]), F.resize(square, [crop, crop], self.filter)]
                        yield from [*six, *map(F.horizontal_flip, six)]
                case Views.DENSE:
                    yield scaled


def central(image: Image) -> Image:
    """Return the middle 87.5 % of both sides, as tf.image.central_crop rounds them."""
    left, top = (int(side * (1 - CENTRAL) / 2) for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top))


def squares(image: Image) -> list[Image]:
    """Return the left, centre and right square of an image, or the top, centre and bottom one of a tall image."""
    from torchvision.transforms.v2 import functional as F

    side = min(image.size)
    right, bottom = image.width - side, image.height - side
    return [
        image.crop((0, 0, side, side)),
        F.center_crop(image, [side]),
        image.crop((right, bottom, image.width, image.height)),
    ]
