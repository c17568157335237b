"""Image folders and the archives of ILSVRC: listed, checked, and unpacked once, completely or not at all."""

import gzip
import io
import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from repro.data import SHIPPED, load
from repro.data.files import ilsvrc
from repro.data.files.synsets import leaves_in
from repro.data.readers import folder
from repro.data.readers.folder import list_files
from repro.errors import UserError

Write = Callable[..., None]
WNIDS = ["n00000000", "n00000001", "n00000002"]


@pytest.fixture
def three_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce ImageNet to three classes with two training images and one validation image each."""
    spec = replace(SHIPPED["imagenet"], classes=3, train_images=6, test_images=3)
    monkeypatch.setitem(SHIPPED, "imagenet", spec)


@pytest.fixture
def pictures(write_images: Write, tmp_path: Path) -> Path:
    """Write the splits of that ImageNet in folders of classes."""
    write_images(tmp_path / "pictures" / "train", classes=3, images=2, size=(40, 32))
    write_images(tmp_path / "pictures" / "val", classes=3, images=1, size=(40, 32), first=9)
    return tmp_path / "pictures"


def tar(path: Path, files: dict[str, bytes], mode: str = "w") -> None:
    """Write an archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def kit() -> dict[str, bytes]:
    """Return a development kit in which IDs are not in the order of the wnids, with a group of classes at its end."""
    synsets = np.array(
        [(1, "n00000002"), (2, "n00000000"), (3, "n00000001"), (1001, "n99999999")],
        dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")],
    )
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": synsets})
    return {f"{ilsvrc.KIT}/{ilsvrc.META}": buffer.getvalue(), f"{ilsvrc.KIT}/{ilsvrc.TRUTH}": b"2\n3\n1\n"}


def hand_out(pictures: Path, root: Path) -> Path:
    """Write the archives of the organisers under `root`/imagenet."""
    home = root / "imagenet"
    inner = {}
    for wnid in WNIDS:
        tar(root / "inner.tar", {path.name: path.read_bytes() for path in (pictures / "train" / wnid).iterdir()})
        inner[f"{wnid}.tar"] = (root / "inner.tar").read_bytes()
    (root / "inner.tar").unlink()
    tar(home / ilsvrc.TRAIN_ARCHIVE, inner)
    flat = [next((pictures / "val" / wnid).iterdir()).read_bytes() for wnid in WNIDS]
    tar(home / ilsvrc.VAL_ARCHIVE, {f"ILSVRC2012_val_{n:08}.JPEG": content for n, content in enumerate(flat, 1)})
    tar(home / f"{ilsvrc.KIT}.tar.gz", kit(), "w:gz")
    return home


def test_classes_are_the_sorted_wnids(pictures: Path) -> None:
    files = list_files(pictures / "train", "listing")
    assert files.classes == tuple(WNIDS)
    assert files.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert [str(files.path(index).relative_to(files.folder)) for index in (0, 1, 5)] == [
        "n00000000/n00000000_0.JPEG",
        "n00000000/n00000000_1.JPEG",
        "n00000002/n00000002_1.JPEG",
    ]


def test_labels_are_torchvisions(pictures: Path) -> None:
    from torchvision.datasets import ImageFolder

    ours = list_files(pictures / "val", "listing")
    assert [(str(ours.path(index)), int(ours.labels[index])) for index in range(len(ours))] == ImageFolder(
        pictures / "val"
    ).samples


@pytest.mark.usefixtures("three_classes")
def test_the_organisers_archives_are_unpacked_once(pictures: Path, tmp_path: Path) -> None:
    home = hand_out(pictures, tmp_path / "root")
    data = load("imagenet", tmp_path / "root")
    assert data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.test.labels.tolist() == [0, 1, 2]  # files 1, 2, 3 have the IDs 2, 3, 1
    assert data.train.path(3).read_bytes() == (pictures / "train" / WNIDS[1] / f"{WNIDS[1]}_1.JPEG").read_bytes()
    assert sorted(path.name for path in home.iterdir() if path.is_dir()) == ["train", "val"]
    before = data.fingerprint
    for archive in (ilsvrc.TRAIN_ARCHIVE, ilsvrc.VAL_ARCHIVE):
        (home / archive).write_bytes(b"never read again")
    assert load("imagenet", tmp_path / "root").fingerprint == before


@pytest.mark.usefixtures("three_classes")
def test_a_broken_archive_leaves_nothing(pictures: Path, tmp_path: Path) -> None:
    home = hand_out(pictures, tmp_path / "root")
    whole = (home / ilsvrc.TRAIN_ARCHIVE).read_bytes()
    (home / ilsvrc.TRAIN_ARCHIVE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"ILSVRC2012_img_train\.tar is broken"):
        load("imagenet", tmp_path / "root")
    assert [each.name for each in home.iterdir() if each.is_dir()] == []
    (home / ilsvrc.TRAIN_ARCHIVE).write_bytes(whole)
    assert len(load("imagenet", tmp_path / "root").train) == 6


@pytest.mark.usefixtures("three_classes")
def test_what_was_unpacked_of_another_archive_is_not_used(pictures: Path, tmp_path: Path) -> None:
    home = hand_out(pictures, tmp_path / "root")
    wrong = home / ".unpacking-train-1-2" / WNIDS[0]
    wrong.mkdir(parents=True)
    (wrong / "wrong.JPEG").write_bytes(b"of another archive")
    assert len(load("imagenet", tmp_path / "root").train) == 6


@pytest.mark.usefixtures("three_classes")
def test_an_empty_archive_becomes_no_folder_that_hides_the_real_one(pictures: Path, tmp_path: Path) -> None:
    home = hand_out(pictures, tmp_path / "root")
    (home / "train").mkdir()  # as an earlier version left it
    for archive, reason in ((ilsvrc.TRAIN_ARCHIVE, "it has no classes"), (ilsvrc.VAL_ARCHIVE, "it has no files")):
        whole = (home / archive).read_bytes()
        tar(home / archive, {})
        with pytest.raises(UserError, match=rf"{re.escape(archive)} is broken \({reason}\); replace it"):
            ilsvrc.unpack(home)
        (home / archive).write_bytes(whole)
    assert len(load("imagenet", tmp_path / "root").train) == 6


@pytest.mark.usefixtures("three_classes")
def test_a_class_without_images_is_a_broken_archive(pictures: Path, tmp_path: Path) -> None:
    home = hand_out(pictures, tmp_path / "root")
    tar(tmp_path / "empty.tar", {})
    tar(home / ilsvrc.TRAIN_ARCHIVE, {"n00000001.tar": (tmp_path / "empty.tar").read_bytes()})
    with pytest.raises(UserError, match="is broken"):
        ilsvrc.unpack(home)
    assert not (home / "train").exists()


@pytest.mark.parametrize("name", ["../n00000001.tar", "n00000001.txt", "/n00000001.tar", "n\x1b[2J.tar"])
@pytest.mark.usefixtures("three_classes")
def test_an_archive_of_something_else_is_refused(name: str, tmp_path: Path) -> None:
    tar(tmp_path / "imagenet" / ilsvrc.TRAIN_ARCHIVE, {name: b""})
    with pytest.raises(UserError, match="is not the archive of a class"):
        load("imagenet", tmp_path)
    assert not (tmp_path / "n00000001").exists()


@pytest.mark.usefixtures("three_classes")
def test_an_image_cannot_be_written_outside_of_its_class(tmp_path: Path) -> None:
    tar(tmp_path / "inner.tar", {"../../../escaped.JPEG": b"x"})
    tar(tmp_path / "imagenet" / ilsvrc.TRAIN_ARCHIVE, {"n00000000.tar": (tmp_path / "inner.tar").read_bytes()})
    with pytest.raises(UserError, match="is broken"):
        load("imagenet", tmp_path)
    assert not list(tmp_path.rglob("escaped*"))


def test_a_flat_folder_needs_the_development_kit(pictures: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat" / "val"
    flat.mkdir(parents=True)
    (flat / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"an image")
    with pytest.raises(UserError, match=r"no class folders, and neither ILSVRC2012_devkit_t12\.tar\.gz nor .*, is in"):
        list_files(flat, "listing")
    for name, content in kit().items():
        (tmp_path / "flat" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "flat" / name).write_bytes(content)
    assert list_files(flat, "listing").labels.tolist() == [0]
    (flat / "ILSVRC2012_val_00000004.JPEG").touch()
    with pytest.raises(UserError, match=r"val_00000004\.JPEG has no label"):
        list_files(flat, "listing")


@pytest.mark.parametrize("content", [b"", b"no MATLAB file, but as long as the header of one would be" * 4])
def test_a_broken_development_kit_is_reported_in_one_line(tmp_path: Path, content: bytes) -> None:
    flat = tmp_path / "val"
    flat.mkdir()
    (flat / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"an image")
    for name, whole in kit().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content if name.endswith("meta.mat") else whole)
    with pytest.raises(UserError, match="is not that of ILSVRC 2012"):
        list_files(flat, "listing")


def test_a_development_kit_that_crashes_scipy_is_reported_in_one_line() -> None:
    """With a structure that says it is a sparse matrix, SciPy 1.17 ends with SIGSEGV."""
    meta = bytearray(next(content for name, content in kit().items() if name.endswith("meta.mat")))
    assert meta[144] == 2
    meta[144] = 5
    with pytest.raises(ValueError, match=r"meta\.mat cannot be read"):
        leaves_in(bytes(meta))


def test_a_development_kit_that_inflates_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / f"{ilsvrc.KIT}.tar.gz", "wb", 1) as file:
        file.write(bytes(ilsvrc.KIT_SIZE + 1))
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG").touch()
    with pytest.raises(UserError, match=r"has more than 67,108,864 bytes and is not the development kit; replace it"):
        list_files(tmp_path / "val", "listing")


def test_the_development_kit_is_not_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG").touch()
    with tarfile.open(tmp_path / f"{ilsvrc.KIT}.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(f"{ilsvrc.KIT}/{ilsvrc.TRUTH}")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(UserError, match=r"is broken or not the development kit .* is not a regular file"):
        list_files(tmp_path / "val", "listing")


@pytest.mark.usefixtures("three_classes")
def test_missing_images_are_counted(pictures: Path, tmp_path: Path) -> None:
    (pictures / "val").rename(tmp_path / "val")
    pictures.rename(tmp_path / "imagenet")
    with pytest.raises(UserError, match=r"imagenet/val does not exist; expected: .*an account at image-net\.org"):
        _ = load("imagenet", tmp_path).test
    next((tmp_path / "imagenet" / "train" / WNIDS[0]).iterdir()).unlink()
    with pytest.raises(UserError, match=r"train has 5 images of 3 classes; imagenet has 6 of 3"):
        _ = load("imagenet", tmp_path).train


def test_a_changed_file_changes_the_fingerprint(pictures: Path) -> None:
    before = list_files(pictures / "val", "listing").digest
    with next((pictures / "val" / WNIDS[0]).iterdir()).open("ab") as file:
        file.write(b"0")
    assert list_files(pictures / "val", "listing").digest != before


def test_a_test_lists_no_training_images(monkeypatch: pytest.MonkeyPatch, pictures: Path) -> None:
    listed = []
    monkeypatch.setitem(SHIPPED, "imagenet", replace(SHIPPED["imagenet"], classes=3, test_images=3))
    monkeypatch.setattr(folder, "list_files", lambda path, title: listed.append(path.name) or list_files(path, title))
    assert len(folder.ImageFolder("imagenet", pictures, pictures / "val").test) == 3
    assert listed == ["val"]


def test_without_imagenet_one_line_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"imagenet is not in .*imagenet; expected: .*train/<wnid>/\*\.JPEG") as error:
        load("imagenet", tmp_path)
    assert "cannot be downloaded without an account at image-net.org" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_ten_classes_of_tiny_imagenet(real_images: Path) -> None:
    data = load("tiny-imagenet-10", real_images)
    assert data.train.labels.bincount().tolist() == [500] * 10
    assert data.test.labels.bincount().tolist() == [50] * 10
    assert data.train.classes[0] == "n01443537"
    assert data.fingerprint == load("tiny-imagenet-10", real_images / "tiny-imagenet-10").fingerprint
