"""How a network is tested on image files: a protocol, and the scaling and normalisation of a recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import msgspec

from repro.data.inputs.protocol import ONE_CROP, Protocol, Views
from repro.errors import UserError
from repro.recipes import Recipe


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
