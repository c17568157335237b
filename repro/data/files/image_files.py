"""Image files as PIL images in grey or RGB, the way that people see them."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING

from repro.errors import UserError
from repro.text import one_of

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""What is opened, whatever the extension of a file: Pillow hands other formats, such as EPS, to other programs."""
ENDINGS = (".jpeg", ".jpg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Extensions of image files, in any case."""
UNREAD = (".heic", ".heif", ".avif", ".jxl")
"""Extensions of other images, which Python's table of types may lack."""
BROKEN = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, struct.error)
"""What PIL raises for broken files."""
DEEP = ("I;16", "I;16B", "I;16L", "I;16N")
"""PIL's modes of 16 bits."""
DEEPER = ("I", "F")
"""PIL's modes of 32 bits, whose largest value is unknown."""


def is_image(name: str) -> bool:
    """Whether a file has the name of an image. Hidden files, such as the ._1.png of macOS, are none."""
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def is_unread(name: str) -> bool:
    """Whether a file has the name of an image in a format that is not read, and is not hidden."""
    if name.startswith(".") or is_image(name):  # first, since a dataset may have a million of them
        return False
    return (guess_type(name)[0] or "").startswith("image/") or name.lower().endswith(UNREAD)


def read(path: Path, *, channels: int = 3, as_published: bool = False) -> Image:
    """Return the image in a file, upright, in grey or RGB.

    Transparent parts are white, and 16 bits are scaled to 8.

    Args:
        path: the file.
        channels: 1 for grey, 3 for RGB.
        as_published: whether to return what ImageNet's published pipelines read, PIL's `convert("RGB")`. It ignores
            the EXIF orientation and the transparency of a file.

    Raises:
        UserError: the file is broken, has another format, is too large, or has several pages.
    """
    with opened(path) as image:
        if as_published:
            image.load()
            return image if image.mode == "RGB" else image.convert("RGB")
        refuse_pages(path, image)
        return in_channels(path, image, channels)


@contextmanager
def opened(path: Path) -> Iterator[Image]:
    """Open an image file; UserError if it is broken, has another format or is too large."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # some of ImageNet's files have broken EXIF data
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # twice its size is an error
            # Given a path, Pillow 13 maps the file into memory and distorts a grey TIFF that lies on its side.
            with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
                yield image
    except UnidentifiedImageError:
        raise UserError(
            f"{path} cannot be read as an image: it is broken or not {one_of(FORMATS)}; replace the file"
        ) from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise UserError(f"{path} has more than {most:,} pixels; scale the image down") from None
    except BROKEN as error:
        raise UserError(f"{path} cannot be read as an image ({error}); restore the file") from error


def refuse_pages(path: Path, image: Image) -> None:
    """Raise UserError for an image with several pages or frames."""
    pages = getattr(image, "n_frames", 1)
    if pages > 1 and image.format != "MPO":  # a JPEG of a phone, with a preview as its second image
        raise UserError(f"{path} has {pages} pages; save each page as a file of its own")


def upright(image: Image) -> Image:
    """Return an image turned as its EXIF orientation says."""
    from PIL import ExifTags, ImageOps

    return ImageOps.exif_transpose(image) if image.getexif().get(ExifTags.Base.Orientation, 1) != 1 else image


def in_channels(path: Path, image: Image, channels: int) -> Image:
    """Return an opened image, upright, in grey (1) or RGB (3); UserError if its range of values is unknown."""
    if image.mode in DEEPER and image.format != "PNG":  # older versions of Pillow open a PNG of 16 bits as I
        raise UserError(f"{path} has 32 bits per pixel (mode {image.mode}); save it with 8 or 16")
    shown = _in_8_bits(upright(image))
    if shown.has_transparency_data:
        shown = _on_white(shown)
    return shown.convert("L" if channels == 1 else "RGB")


def _in_8_bits(image: Image) -> Image:
    """Return an image of 16 bits scaled to 8; PIL would cut its values off at 255."""
    import numpy as np
    from PIL import Image

    if image.mode not in (*DEEP, *DEEPER):
        return image
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _on_white(image: Image) -> Image:
    from PIL import Image

    canvas = Image.new("RGBA", image.size, "white")
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas
