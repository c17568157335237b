"""Masks are in black and white, or refused: an unclear one would be trained on with other classes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFilter
from slices import write_folder

from repro.data import load
from repro.errors import UserError

PALETTE = [0, 0, 0, 0, 0, 128, 255, 255, 255]
"""Black, a dark blue, which is nearly black in grey, and white."""


def drawn(mode: str, background: object, *greys: object) -> Image.Image:
    """Return 48x48 pixels with a rectangle for each value."""
    image = Image.new(mode, (48, 48), background)  # type: ignore[arg-type]
    if mode == "P":
        image.putpalette(PALETTE)
    for number, grey in enumerate(greys):
        ImageDraw.Draw(image).rectangle((16 * number, 8, 16 * number + 12, 40), fill=grey)  # type: ignore[arg-type]
    return image


def put(tmp_path: Path, image: Image.Image, split: str = "train") -> Path:
    """Write a folder of images in which one mask is replaced, and return the mask."""
    write_folder(tmp_path)
    path = min((tmp_path / "segmentation" / split / "masks").iterdir())
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("mask", "what"),
    [
        (lambda: drawn("L", 0, 64, 192), "is not in black and white"),
        (lambda: drawn("L", 0, 15, 255), "is not in black and white"),
        (lambda: drawn("L", 0, 1, 255), "is not in black and white"),
        (lambda: drawn("LA", (255, 0), (255, 255)), "is transparent where it is not black"),
        (lambda: drawn("P", 0, 1, 2), "is not in black and white"),
        (lambda: drawn("RGB", "black", "red", "white"), "is not in black and white"),
        (lambda: drawn("RGB", "black", (0, 0, 128)), "is not in black and white"),
        (lambda: drawn("L", 0, 1), "has only values up to 1, and the foreground begins at 128"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_masks_of_several_classes_or_in_colours_are_refused(
    mask: Callable[[], Image.Image], what: str, split: str, tmp_path: Path
) -> None:
    put(tmp_path, mask(), split)
    with pytest.raises(UserError, match=rf"{split}/masks/\d\.png {what}"):
        load("segmentation", tmp_path)


@pytest.mark.parametrize(
    "mask",
    [
        lambda: drawn("L", 0, 255).filter(ImageFilter.SMOOTH),
        lambda: drawn("P", 0, 2),
        lambda: drawn("L", 0, 255).resize((96, 96), Image.Resampling.BILINEAR).resize((48, 48), Image.Resampling.BOX),
        lambda: drawn("RGB", "black", "white"),
        lambda: drawn("LA", (0, 0), (255, 255)),
        lambda: drawn("1", 0, 1),
    ],
)
def test_black_and_white_is_read_in_every_form(mask: Callable[[], Image.Image], tmp_path: Path) -> None:
    put(tmp_path, mask())
    found = load("segmentation", tmp_path).train.labels[0]
    assert found[9:40, 1:12].eq(1).all()
    assert found[:, 14:].eq(0).all()


@pytest.mark.parametrize("void", [15, 127])
def test_labels_of_several_classes_in_a_stack_are_refused(void: int, tmp_path: Path) -> None:
    folder = tmp_path / "isbi2012"
    folder.mkdir()
    for name, last in (("train-volume.tif", 0), ("train-labels.tif", void)):
        pages = [*[drawn("L", 0, 255)] * 29, drawn("L", 0, 255, last)]
        pages[0].save(folder / name, save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=r"train-labels\.tif is not in black and white"):
        load("isbi2012", tmp_path)


@pytest.mark.parametrize(
    ("added", "what"),
    [
        ("masks/9.png", r"9\.png has no image of the same name in .*images; remove it, or add the image"),
        ("images/9.gif", r"9\.gif is in a format that is not read; convert it to PNG"),
        ("images/more/9.png", r"more is a folder with images; move them to .*images"),
    ],
)
def test_files_that_would_be_left_out_are_named(added: str, what: str, tmp_path: Path) -> None:
    write_folder(tmp_path)
    path = tmp_path / "segmentation" / "train" / added
    path.parent.mkdir(exist_ok=True)
    drawn("L", 0, 255).save(path)
    with pytest.raises(UserError, match=what):
        load("segmentation", tmp_path)


@pytest.mark.parametrize("other", ["0.tif", "0.PNG", "0_mask.png"])
def test_a_mask_with_another_end_of_its_name_is_named(other: str, tmp_path: Path) -> None:
    write_folder(tmp_path)
    mask = tmp_path / "segmentation" / "train" / "masks" / "0.png"
    mask.rename(mask.with_name(other))
    with pytest.raises(UserError, match=rf"0\.png does not exist, but {other} does: every image"):
        load("segmentation", tmp_path)
