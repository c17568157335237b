"""Data that are not where they are looked for, or too many: the message says what was found and what to do."""

import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import md5
from pathlib import Path

import pytest

from repro.data import SHIPPED, load
from repro.data.downloads.download import fetch_archive
from repro.data.files.misplaced import misplaced
from repro.data.files.stored import Missing
from repro.data.readers import cifar
from repro.data.readers.folder import ImageFolder
from repro.errors import UserError

Write = Callable[..., None]
NAMED = "name the folder above it, with --data"


def files(*names: str) -> None:
    """Write empty files; a name that ends with / is a folder."""
    for name in names:
        path = Path(name)
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "root", "there", "line"),
    [
        ("imagenet", "d", "d/imagenet/imagenet/train/", f"it is in d/imagenet/imagenet: {NAMED} d/imagenet"),
        ("imagenet", "d", "d/x/imagenet/train/", f"it is in d/x/imagenet: {NAMED} d/x"),
        (
            "imagenet",
            "d",
            "d/imagenet/x/train/",
            "it is one folder too deep, in d/imagenet/x: move its content",
        ),
        ("imagenet", "d/imagenet/val", "d/imagenet/train/", f"/d/imagenet: {NAMED} "),
        ("imagenet", "d", "d/ImageNet.tar.gz", "its archive d/ImageNet.tar.gz is not unpacked: unpack it in d"),
        ("coco", "d", "d/coco/train2017.zip", "its archive d/coco/train2017.zip is not unpacked: unpack it in d/coco"),
        ("imagenet", "d", "d/other.tar", "expected: d/imagenet/train/<wnid>/*.JPEG"),
        ("isbi2012", "d", "d/x/isbi2012/image/ d/x/isbi2012/label/", f"it is in d/x/isbi2012: {NAMED} d/x"),
        ("segmentation", "d", "d/x/segmentation/train/images/", f"it is in d/x/segmentation: {NAMED} d/x"),
        ("cifar100", "d", "d/x/cifar-100-python/train d/x/cifar-100-python/test", f"d/x/cifar-100-python: {NAMED} d/x"),
    ],
)
def test_a_dataset_elsewhere_is_found(name: str, root: str, there: str, line: str) -> None:
    files(*there.split(), f"{root}/")
    with pytest.raises(Missing) as missing:
        load(name, Path(root))
    assert line in str(missing.value)


def test_files_of_cifar_one_folder_too_deep_are_found() -> None:
    inner = "d/cifar-100-python/cifar-100-python"
    files(f"{inner}/train", f"{inner}/test")
    line = f"^d/cifar-100-python/train does not exist; the files are one folder too deep, in {inner}: move them to"
    with pytest.raises(UserError, match=line):
        load("cifar100", Path("d"))


def test_an_archive_that_is_there_is_not_downloaded_again() -> None:
    files("whole/file", "d/cifar-10-python.tar.gz")
    with tarfile.open("d/whole.tar.gz", "w:gz") as archive:
        archive.add("whole/file")
    published = md5(Path("d/whole.tar.gz").read_bytes(), usedforsecurity=False).hexdigest()
    fetch_archive(["https://nowhere.invalid/whole.tar.gz"], published, Path("d"), "whole")
    assert Path("d/whole/file").exists()
    with pytest.raises(UserError, match=r"^d/whole\.tar\.gz is not the published archive \(MD5 differs\); remove"):
        fetch_archive(["https://nowhere.invalid/whole.tar.gz"], "0" * 32, Path("d"), "other")
    with pytest.raises(Missing, match=r"^its archive d/cifar-10-python\.tar\.gz is not unpacked: repro data cifar10$"):
        cifar.check("cifar10", Path("d"))


def one_deeper(folder: Path, name: str) -> None:
    """Move the content of a folder into a folder within it."""
    folder.rename("moved")
    folder.mkdir()
    Path("moved").rename(folder / name)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "surplus": (
        lambda val: (val / "n00000001" / "copy (1).JPEG").write_bytes(b"a copy"),
        "val has 7 images of 3 classes; imagenet has 6 of 3; remove those that are too many: n00000001 has 3, and each "
        "other class 2",
    ),
    "missing": (
        lambda val: (val / "n00000001/n00000001_8.JPEG").unlink(),
        "val has 5 images of 3 classes; imagenet has 6 of 3; restore the missing files",
    ),
    "another format": (
        lambda val: (val / "n00000001/n00000001_8.JPEG").rename(val / "n00000001/n00000001_8.heic"),
        "val/n00000001/n00000001_8.heic is in a format that is not read; convert it to PNG",
    ),
    "not unpacked": (
        lambda val: shutil.move(val / "n00000001", "moved") and (val / "n00000001.tar").write_bytes(b"an archive"),
        "val/n00000001.tar is not unpacked; unpack it in d/imagenet/val",
    ),
    "empty class": (
        lambda val: files(f"{val}/n9/.DS_Store"),
        "val/n9 is an empty folder, which counts as a class; remove it",
    ),
    "nested": (
        lambda val: one_deeper(val, "val"),
        "val has only the folder val; move its content up, to d/image",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_too_many_or_too_deep_is_not_called_missing(
    case: str, write_images: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHIPPED, "imagenet", replace(SHIPPED["imagenet"], classes=3, train_images=3, test_images=6))
    write_images(Path("d/imagenet/train"), classes=3, images=1, size=(8, 8))
    write_images(Path("d/imagenet/val"), classes=3, images=2, size=(8, 8), first=7)
    files("d/imagenet/val/.DS_Store", "d/imagenet/val/n00000000/Thumbs.db", "d/imagenet/val/n00000000/._7.JPEG")
    files("d/imagenet/val/@eaDir/7.JPEG/thumbnail.jpg", "d/imagenet/val/__MACOSX/._n00000000")
    assert len(listed().test) == 6
    change, line = CASES[case]
    change(Path("d/imagenet/val"))
    with pytest.raises(UserError) as error:
        len(listed().test)
    assert line in str(error.value)


def listed() -> ImageFolder:
    """Return the images, of which none is listed yet."""
    images = load("imagenet", Path("d"))
    assert isinstance(images, ImageFolder)
    return images


@pytest.mark.parametrize(
    ("there", "line"),
    [
        ("d/x/sets/flowers/train/", f"it is in d/x/sets/flowers: {NAMED} d/x"),
        ("d/x/flowers/train/", "it is in d/x/flowers: move it to d/sets/flowers"),
        (
            "d/sets/flowers/y/train/",
            "it is one folder too deep, in d/sets/flowers/y: move its content to d/sets/flowers",
        ),
    ],
)
def test_a_declared_path_may_have_folders(there: str, line: str) -> None:
    files(there)
    assert misplaced(Path("d"), "sets/flowers", ("train",)) == line
