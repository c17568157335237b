"""Image files are read as people see them: upright, not clipped, on white; ImageNet's as published."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from repro.data.files import image_files
from repro.data.files.image_files import is_image, read
from repro.errors import UserError

RED, GREY = (200, 0, 0), 40_000
DEEP = np.full((4, 6), GREY, np.uint16)


def palette(**transparency: int) -> Image.Image:
    image = Image.new("P", (6, 4), 1)
    image.putpalette([0, 0, 0, *RED])
    image.info.update(transparency)
    return image


def turned() -> Image.Exif:
    """Return the EXIF data of a camera that was held upright: turn by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize(
    ("name", "image", "rgb"),
    [
        ("1.png", Image.new("L", (6, 4), 7), (7, 7, 7)),
        ("1.png", Image.new("1", (6, 4), 1), (255, 255, 255)),
        ("1.png", palette(), RED),
        ("1.png", palette(transparency=1), (255, 255, 255)),
        ("1.png", Image.new("RGBA", (6, 4), (*RED, 255)), RED),
        ("1.png", Image.new("RGBA", (6, 4), (*RED, 0)), (255, 255, 255)),
        ("1.png", Image.new("LA", (6, 4), (100, 128)), (177, 177, 177)),
        ("1.png", Image.fromarray(DEEP), (156, 156, 156)),
        ("1.tif", Image.fromarray(DEEP), (156, 156, 156)),
        ("1.tif", Image.new("CMYK", (6, 4), (0, 255, 255, 0)), (255, 0, 0)),
        ("1.BMP", Image.new("RGB", (6, 4), RED), RED),
    ],
)
def test_each_mode_is_read_in_rgb_and_in_grey(
    tmp_path: Path, name: str, image: Image.Image, rgb: tuple[int, int, int]
) -> None:
    image.save(tmp_path / name)
    found = read(tmp_path / name)
    assert (found.mode, found.getpixel((0, 0))) == ("RGB", rgb)
    grey = read(tmp_path / name, channels=1)
    assert (grey.mode, grey.getpixel((0, 0))) == ("L", Image.new("RGB", (1, 1), rgb).convert("L").getpixel((0, 0)))


def test_webp_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (6, 4), RED).save(tmp_path / "1.webp", lossless=True)
    assert read(tmp_path / "1.webp").getpixel((0, 0)) == RED


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1), (np.uint16, 257)])
def test_the_exif_orientation_is_followed(tmp_path: Path, dtype: type, scale: int, ending: str) -> None:
    pixels = np.arange(24).reshape(4, 6)
    Image.fromarray((pixels * scale).astype(dtype)).save(tmp_path / f"1.{ending}", exif=turned())
    assert np.array_equal(np.asarray(read(tmp_path / f"1.{ending}", channels=1)), np.rot90(pixels, -1))


def test_files_of_imagenet_are_read_as_published(tmp_path: Path) -> None:
    """PIL's convert("RGB") ignores the orientation and drops the transparency."""
    Image.new("RGB", (6, 4), RED).save(tmp_path / "1.JPEG", exif=turned())
    Image.new("RGBA", (6, 4), (*RED, 0)).save(tmp_path / "2.png")
    assert read(tmp_path / "1.JPEG", as_published=True).size == (6, 4)
    assert read(tmp_path / "2.png", as_published=True).getpixel((0, 0)) == RED


def pages(path: Path) -> None:
    Image.new("L", (6, 4)).save(path, format="TIFF", save_all=True, append_images=[Image.new("L", (6, 4))])


def huge(path: Path) -> None:
    """Write the header of a PNG of 60,000 x 60,000 pixels."""
    parts = {b"IHDR": struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(b""), b"IEND": b""}
    chunks = [struct.pack(">I", len(part)) + kind + part for kind, part in parts.items()]
    sums = [struct.pack(">I", zlib.crc32(chunk[4:])) for chunk in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(b"".join(pair) for pair in zip(chunks, sums, strict=True)))


def eps(path: Path) -> None:
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")


WRONG: list[tuple[Callable[[Path], object], str]] = [
    (pages, "has 2 pages; save each page as a file of its own"),
    (huge, "has more than 178,956,970 pixels; scale the image down"),
    (eps, "cannot be read as an image: it is broken or not JPEG, PNG, WEBP, BMP or TIFF; replace the file"),
    (lambda path: path.write_bytes(b"\xff\xd8\xff"), "cannot be read as an image"),
    (lambda path: Image.new("F", (6, 4)).save(path, format="TIFF"), "has 32 bits per pixel (mode F); save it with 8"),
    (lambda path: None, "cannot be read as an image ([Errno 2] No such file"),
]


@pytest.mark.parametrize(("write", "why"), WRONG)
def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path, write: Callable[[Path], object], why: str) -> None:
    write(tmp_path / "1.JPEG")
    with pytest.raises(UserError) as error:
        read(tmp_path / "1.JPEG")
    assert str(error.value).startswith(f"{tmp_path / '1.JPEG'} {why}")
    assert "\n" not in str(error.value)


def test_eps_is_refused_for_imagenet_too(tmp_path: Path) -> None:
    eps(tmp_path / "1.JPEG")
    with pytest.raises(UserError, match="it is broken or not JPEG, PNG"):
        read(tmp_path / "1.JPEG", as_published=True)


def test_image_files_are_known_by_their_extensions() -> None:
    names = ["1.JPEG", "1.Jpg", "1.png", "1.WEBP", "1.bmp", "1.tif", "1.TIFF"]
    assert all(map(is_image, names))
    assert not any(map(is_image, ["1.eps", "1.txt", "png", "._1.png", ".DS_Store"]))


def test_every_image_is_opened_with_a_list_of_formats() -> None:
    """Pillow recognises a file by its content, and hands an EPS named .JPEG to Ghostscript."""
    package = Path(image_files.__file__).parents[2]
    opens = [line for file in package.rglob("*.py") for line in file.read_text().splitlines() if "Image.open(" in line]
    assert opens
    assert all("formats=FORMATS" in line for line in opens)
    assert "EPS" not in image_files.FORMATS
