"""SVHN: small files in the published format with their own checksums; downloads; validation images."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from svhn_files import small_svhn, write_svhn

from repro.data import Dataset
from repro.data.files.stored import Missing, Stored
from repro.data.readers import svhn
from repro.data.readers.svhn import Svhn
from repro.errors import RunFailed, UserError


def load(published: Svhn, root: Path) -> Dataset:
    """Return SVHN from other files than the published ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(svhn, "SVHN", published)
        return svhn.load("svhn", root)


def check(published: Svhn, root: Path) -> Stored:
    """Check other files than the published ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(svhn, "SVHN", published)
        return svhn.check("svhn", root)


def test_images_and_labels_are_read(tmp_path: Path) -> None:
    published = small_svhn(tmp_path)
    _, images, labels = write_svhn(tmp_path / "same", "train_32x32.mat", 60, seed=60)
    loaded = load(published, tmp_path)
    assert loaded.train.pixels.shape == (100, 3, 32, 32)
    assert loaded.train.pixels.is_contiguous()
    assert torch.equal(loaded.train.pixels[:60], torch.from_numpy(images).permute(0, 3, 1, 2))
    assert loaded.train.labels[:60].tolist() == [0 if label == 10 else label for label in labels.tolist()]
    assert (len(loaded.test), loaded.train.labels.max(), loaded.train.labels.min()) == (20, 9, 0)


def test_the_folder_svhn_or_the_folder_itself_is_read(tmp_path: Path) -> None:
    published = small_svhn(tmp_path / "svhn")
    assert torch.equal(load(published, tmp_path).test.pixels, load(published, tmp_path / "svhn").test.pixels)


def test_a_changed_file_is_refused_in_one_line(tmp_path: Path) -> None:
    published = small_svhn(tmp_path)
    path = tmp_path / "extra_32x32.mat"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UserError, match=r"extra_32x32\.mat is not the published file \(MD5 differs\)"):
        load(published, tmp_path)


def test_missing_files_are_downloaded_and_the_others_kept(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    published = replace(small_svhn(folder), address=address)
    (tmp_path / "root" / "svhn").mkdir(parents=True)
    there = tmp_path / "root" / "svhn" / "train_32x32.mat"
    there.write_bytes((folder / there.name).read_bytes())
    (folder / there.name).unlink()
    assert len(load(published, tmp_path / "root").train) == 100
    names = sorted(path.name for path in there.parent.iterdir() if path.suffix != ".lock")
    assert names == ["extra_32x32.mat", "test_32x32.mat", "train_32x32.mat"]


def test_a_file_that_cannot_be_downloaded_is_named(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    published = replace(small_svhn(folder), address=address)
    (folder / "extra_32x32.mat").write_bytes(b"lies")
    with pytest.raises(RunFailed, match=r"extra_32x32\.mat is not in .*svhn and cannot be downloaded .*MD5.* by hand"):
        load(published, tmp_path)
    assert sorted(path.name for path in (tmp_path / "svhn").iterdir() if path.suffix != ".lock") == ["train_32x32.mat"]


def test_files_are_checked_without_a_download(tmp_path: Path) -> None:
    published = small_svhn(tmp_path / "svhn")
    folder = tmp_path / "svhn"
    stored = check(published, tmp_path)
    assert (stored.folder, stored.size) == (folder, sum(path.stat().st_size for path in folder.iterdir()))
    (folder / "extra_32x32.mat").unlink()
    with pytest.raises(Missing, match=r"svhn lacks extra_32x32\.mat"):
        check(published, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["test_32x32.mat", "train_32x32.mat"]


def test_validation_images_have_a_fixed_number_per_class_and_file(tmp_path: Path) -> None:
    loaded = load(small_svhn(tmp_path), tmp_path)
    assert loaded.validation is not None
    places = loaded.validation
    assert len(places.unique()) == len(places) == 30
    for part, each in ((places[places < 60], 2), (places[places >= 60], 1)):
        assert loaded.train.labels[part].bincount().tolist() == [each] * 10
    again = load(small_svhn(tmp_path), tmp_path).validation
    assert again is not None
    assert torch.equal(places, again)


def test_the_published_files_set_aside_6000_images() -> None:
    assert sum(10 * file.validation for file in svhn.SVHN.train) == 6000
