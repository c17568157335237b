"""How a network is tested on image files: what it sees of an image, and how its predictions are combined.

A protocol belongs to a printed error. How images are scaled and normalised belongs to the recipe: see
`repro.data.inputs.procedure.Procedure`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Views(StrEnum):
    """What a network sees of a test image."""

    ONE_CROP = "one-crop"
    """The centre of the scaled image."""
    CENTRAL_CROP = "central-crop"
    """The middle 87.5 % of both sides, scaled to the size of a crop whatever its shape: `preprocess_for_eval` in
    inception_preprocessing.py of TF-Slim, for Inception and the MobileNets."""
    TEN_CROP = "ten-crop"
    """Four corners and the centre of the scaled image, and their mirror images: Krizhevsky et al. 2012, section 4.1."""
    CROPS_144 = "144-crop"
    """At four scales, three squares, of each the corners, the centre and the whole, and their mirror images: Szegedy
    et al. 1409.4842, section 7."""
    DENSE = "dense"
    """The whole image and its mirror image at one scale or more, with linear layers as convolutions: Simonyan &
    Zisserman 1409.1556, section 3.2."""

    @property
    def number(self) -> int:
        """The number of crops of an image; 1 for the whole image."""
        return _CROPS.get(self, 1)


_CROPS = {Views.TEN_CROP: 10, Views.CROPS_144: 144}


class Averaged(StrEnum):
    """What is averaged over the views of an image."""

    OUTPUTS = "outputs"
    """Outputs of the classifier before the softmax, as in `computeScore` of fb.resnet.torch and of DenseNet's code."""
    PROBABILITIES = "probabilities"
    """Outputs after the softmax: Krizhevsky et al. 2012, section 4.1, and KaimingHe's models."""

    @property
    def words(self) -> str:
        """The averaging in words."""
        return "raw outputs averaged" if self is Averaged.OUTPUTS else "probabilities averaged"


class Protocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The test protocol of a printed error on image files."""

    views: Views = Views.ONE_CROP
    """What the network sees of an image."""
    scales: tuple[int, ...] = ()
    """Dense: the lengths in pixels of the shorter side; predictions are averaged over them."""
    averaged: Averaged | None = None
    """What is averaged over the views; None for a single one."""

    def __post_init__(self) -> None:
        """Raise ValueError for scales or an averaging without effect, or if they are missing."""
        dense = self.views is Views.DENSE
        if dense != bool(self.scales) or any(each < 1 for each in self.scales):
            raise ValueError('scales = [384], in pixels, belongs to views = "dense" and to no others')
        if (self.averaged is None) != (not dense and self.views.number == 1):
            raise ValueError('averaged = "probabilities" or "outputs" belongs to views of which there are several')

    @property
    def short(self) -> str:
        """The views in a few words, such as `10 crops`."""
        if self.views is Views.DENSE:
            return f"the whole image at {', '.join(map(str, self.scales))} pixels"
        if self.views is Views.CENTRAL_CROP:
            return "1 crop of the middle 87.5 %"
        return "1 crop" if self.views.number == 1 else f"{self.views.number} crops"

    def __str__(self) -> str:
        mirrored = ", mirrored too" if self.views is Views.DENSE else ""
        return ", ".join([self.short + mirrored, *([self.averaged.words] if self.averaged else [])])


ONE_CROP = Protocol()
"""The protocol of the test after every epoch, and of printed errors that name no other."""
