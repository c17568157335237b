"""ImageNet as Kaggle hands it out, and Tiny ImageNet's own layout: read as they are, with labels by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from repro.data import SHIPPED, load
from repro.data.declaration import ImageFiles
from repro.data.files import flat
from repro.data.files.places import ANNOTATIONS, count
from repro.data.readers.folder import ImageFolder
from repro.errors import UserError

WNIDS = ["n00000000", "n00000001", "n00000002"]
ORDER = [2, 0, 1]
"""The classes of the validation images 1, 2 and 3."""


@pytest.fixture
def pictures(write_images: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write train/<wnid>/ of three classes, and reduce two datasets to three classes of two images and one."""
    for name in ("imagenet", "tiny-imagenet-200"):
        monkeypatch.setitem(SHIPPED, name, replace(SHIPPED[name], classes=3, train_images=6, test_images=3))
    write_images(tmp_path / "pictures", classes=3, images=2, size=(8, 8))
    return tmp_path / "pictures"


def from_kaggle(pictures: Path, home: Path) -> Path:
    """Write what Kaggle hands out, the solution in another order than the files; return the images."""
    images = home / flat.KAGGLE
    (images / "val").mkdir(parents=True)
    pictures.rename(images / "train")
    lines = ["ImageId,PredictionString"]
    for number, label in reversed(list(enumerate(ORDER, 1))):
        name = f"ILSVRC2012_val_{number:08}"
        (images / "val" / f"{name}.JPEG").write_bytes(bytes(1 + number))
        lines.append(f"{name},{WNIDS[label]} 1 2 3 4 {WNIDS[label]} 5 6 7 8 ")
    (home / flat.SOLUTION).write_text("\n".join(lines))
    (home / flat.MAPPING).write_text("".join(f"{wnid} a tench, Tinca tinca\n" for wnid in WNIDS))
    return images


def of_tiny(pictures: Path, home: Path) -> None:
    """Write Tiny ImageNet's own layout, with test/, whose labels are not published."""
    for wnid in WNIDS:
        (home / "train" / wnid).mkdir(parents=True)
        (pictures / wnid).rename(home / "train" / wnid / "images")
        (home / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t62\t62\n")
    for split in ("val", "test"):
        (home / split / "images").mkdir(parents=True)
    lines = []
    for number, label in enumerate(ORDER):
        (home / "val" / "images" / f"val_{number}.JPEG").write_bytes(bytes(1 + number))
        lines.insert(0, f"val_{number}.JPEG\t{WNIDS[label]}\t0\t32\t44\t62\n")
    (home / "val" / ANNOTATIONS).write_text("".join(lines))
    (home / "test" / "images" / "test_0.JPEG").touch()


def test_kaggles_files_are_read_as_they_are(pictures: Path, tmp_path: Path) -> None:
    images = from_kaggle(pictures, tmp_path / "imagenet")
    data = load("imagenet", tmp_path)
    assert isinstance(data, ImageFolder)
    assert data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.test.labels.tolist() == ORDER
    assert data.test.path(2) == images / "val" / "ILSVRC2012_val_00000003.JPEG"


def test_tiny_imagenets_own_files_are_read_as_they_are(pictures: Path, tmp_path: Path) -> None:
    home = tmp_path / "tiny-imagenet-200"
    of_tiny(pictures, home)
    data = load("tiny-imagenet-200", tmp_path)
    assert isinstance(data, ImageFolder)
    assert (data.train.classes, data.train.labels.tolist()) == (tuple(WNIDS), [0, 0, 1, 1, 2, 2])
    assert data.train.path(2) == home / "train" / WNIDS[1] / "images" / f"{WNIDS[1]}_0.JPEG"
    assert data.test.labels.tolist() == ORDER
    assert data.test.path(0) == home / "val" / "images" / "val_0.JPEG"
    declared = ImageFiles(summary="", path="tiny-imagenet-200", classes=3, size=8)
    assert count(declared, tmp_path) == (6, 3)  # val/, since the images in test/ have no labels


def broken(home: Path, what: str) -> None:
    """Damage the labels of a dataset in one way."""
    kaggle = (home / flat.SOLUTION).is_file()
    file = home / flat.SOLUTION if kaggle else home / "val" / ANNOTATIONS
    images = home / flat.KAGGLE / "val" if kaggle else home / "val" / "images"
    text, first = file.read_text(), sorted(images.iterdir())[0]
    if what == "image gone":
        first.unlink()
    elif what == "image unknown":
        (images / "other.JPEG").touch()
    elif what == "mapping":
        (home / flat.MAPPING).write_text("n00000000 x\nn00000001 x\nn00000009 x\n")
    else:
        file.write_text({"form": "nothing\n", "twice": text + text.replace(WNIDS[0], WNIDS[1])}[what])


@pytest.mark.parametrize(
    ("what", "dataset", "line"),
    [
        ("image gone", "imagenet", r"val has no image 'ILSVRC2012_val_00000001', which .*LOC_val_solution\.csv has"),
        ("image gone", "tiny-imagenet-200", r"images has no image 'val_0', which .*val_annotations\.txt has; restore"),
        ("image unknown", "imagenet", r"other\.JPEG has no class in .*LOC_val_solution\.csv; remove the image"),
        ("image unknown", "tiny-imagenet-200", r"other\.JPEG has no class in .*val_annotations\.txt"),
        ("form", "imagenet", r"LOC_val_solution\.csv, line 1: no image with its class \('nothing'\); replace the file"),
        ("form", "tiny-imagenet-200", r"val_annotations\.txt, line 1: no image with its class"),
        ("twice", "tiny-imagenet-200", r"val_annotations\.txt, line 5: val_\d\.JPEG has two classes; replace"),
        ("mapping", "imagenet", r"n00000002 is only in one of .*LOC_val_solution\.csv and LOC_synset_mapping\.txt"),
    ],
)
def test_labels_that_do_not_fit_the_images_are_refused(
    pictures: Path, tmp_path: Path, what: str, dataset: str, line: str
) -> None:
    (from_kaggle if dataset == "imagenet" else of_tiny)(pictures, tmp_path / dataset)
    broken(tmp_path / dataset, what)
    with pytest.raises(UserError, match=line):
        _ = load(dataset, tmp_path).test
