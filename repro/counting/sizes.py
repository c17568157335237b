"""Sizes of images that a user gives: what cannot be counted, and what is probably unintended."""

from __future__ import annotations

from repro.errors import UserError
from repro.models.options import Shape, shape_text

LARGEST = 1_000_000
"""The largest height, width and number of channels or classes."""
FEWEST_PIXELS = 8
"""The shortest side of an image in any dataset, the digits of scikit-learn."""
COLOURS = (1, 3)
"""Channels of grey and RGB images."""


def check_sizes(input: Shape | None, classes: int | None) -> None:
    """Raise UserError for more channels, pixels or classes than any network has."""
    if input and max(input) > LARGEST:
        raise UserError(
            f"images of {shape_text(input)} are too large; channels, height and width are at most {LARGEST:,}"
        )
    if classes is not None and (type(classes) is not int or classes < 1):
        raise UserError(f"classes={classes!r} is invalid; give a whole number from 1, such as 10")
    if classes and classes > LARGEST:
        raise UserError(f"{classes:,} classes are too many; the largest number is {LARGEST:,}")


def check_order(model: str, input: Shape) -> None:
    """Raise UserError for a shape in another order than C, H, W.

    Args:
        model: the name of the network.
        input: C, H, W of an image.
    """
    channels, height, width = input
    if width in COLOURS and channels not in COLOURS:
        raise UserError(
            f"{model} does not accept an input of {shape_text(input)} (CxHxW): it has {channels} channels; did you "
            f"mean {shape_text((width, channels, height))}?"
        )


def unusual(input: Shape, usual: Shape) -> str:
    """Return in words what is unusual about the shape of an image; empty if nothing is.

    Args:
        input: C, H, W of an image.
        usual: that of the dataset.
    """
    channels, *sides = input
    if input == usual:
        return ""
    odd = [str(side) for side in dict.fromkeys(sides) if side % 2 and side not in usual[1:]]
    found = {
        f"{channels} channels, where images have 1 or 3": channels not in (*COLOURS, usual[0]),
        "not square": sides[0] != sides[1] and usual[1] == usual[2],
        f"a side of under {FEWEST_PIXELS} pixels": min(sides) < FEWEST_PIXELS,
        f"{' and '.join(odd)} cannot be halved, so that strides round": bool(odd),
    }
    return "; ".join(text for text, holds in found.items() if holds)
