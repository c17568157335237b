"""Datasets in memory: both layouts of CIFAR, checked before they are read, and the embedded digits."""

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from repro import data
from repro.data.readers import cifar
from repro.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3072), dtype=np.uint8)
FINE = [0, 99, 5, 17, 3, 42]


def write_binary(root: Path) -> cifar.Cifar:
    """Write a CIFAR-100 of six training and six test images in the binary layout."""
    folder = root / "cifar-100-binary"
    folder.mkdir(parents=True)
    coarse = np.zeros(6, np.uint8)
    content = np.column_stack([coarse, np.array(FINE, np.uint8), IMAGES]).tobytes()
    sums = {}
    for name in ("train.bin", "test.bin"):
        (folder / name).write_bytes(content)
        sums[name] = hashlib.sha1(content).hexdigest()
    layout = replace(cifar.CIFAR100.binary, train={"train.bin": sums["train.bin"]}, test={"test.bin": sums["test.bin"]})
    return replace(cifar.CIFAR100, binary=layout)


def write_pickled(root: Path, content: bytes | None = None) -> cifar.Cifar:
    """Write the same in the pickled layout, or `content` in its place."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    content = content or pickle.dumps({"data": IMAGES, "fine_labels": FINE, "coarse_labels": [0] * 6}, protocol=3)
    for name in ("train", "test"):
        (folder / name).write_bytes(content)
    digest = hashlib.md5(content).hexdigest()
    layout = replace(cifar.CIFAR100.pickled, train={"train": digest}, test={"test": digest})
    return replace(cifar.CIFAR100, pickled=layout)


def load(published: cifar.Cifar, root: Path) -> data.Dataset:
    """Return a CIFAR from `root` that has other checksums than the published one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cifar.PUBLISHED, published.name, published)
        return cifar.load(published.name, root)


@pytest.mark.parametrize("write", [write_binary, write_pickled])
def test_both_layouts_give_the_same_images(tmp_path: Path, write: object) -> None:
    loaded = load(write(tmp_path), tmp_path)  # type: ignore[operator]
    assert torch.equal(loaded.train.pixels, torch.from_numpy(IMAGES).view(-1, 3, 32, 32))
    assert loaded.test.labels.tolist() == FINE
    assert loaded.train.pixels.dtype == torch.uint8


def test_a_file_is_refused_as_data_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is not a folder"):
        data.load("cifar100", tmp_path / "file")


def test_the_folder_itself_may_be_named(tmp_path: Path) -> None:
    assert len(load(write_binary(tmp_path), tmp_path / "cifar-100-binary").train) == 6


def test_an_empty_folder_does_not_hide_the_other_layout(tmp_path: Path) -> None:
    published = write_pickled(tmp_path)
    (tmp_path / published.binary.folder).mkdir()
    assert len(load(published, tmp_path).train) == 6


def test_a_changed_file_is_refused_in_one_line(tmp_path: Path) -> None:
    published = write_binary(tmp_path)
    path = tmp_path / "cifar-100-binary" / "train.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(UserError, match=r"train\.bin is not the published file"):
        load(published, tmp_path)


def test_a_pickle_is_not_opened_before_its_checksum_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pickled(tmp_path)
    monkeypatch.setattr(cifar, "_ArraysOnly", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(UserError, match="not the published file"):
        cifar.load("cifar100", tmp_path)


class Attack:
    """Pickles to a call of os.mkdir."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_may_contain_only_arrays(tmp_path: Path) -> None:
    published = write_pickled(tmp_path, pickle.dumps({"data": Attack(tmp_path / "owned")}))
    with pytest.raises(UserError, match="mkdir is not allowed"):
        load(published, tmp_path)
    assert not (tmp_path / "owned").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    published = write_binary(tmp_path)
    (tmp_path / "cifar-100-binary" / "test.bin").unlink()
    with pytest.raises(
        UserError, match=r"test\.bin does not exist; restore it, or remove its folder to download it again"
    ):
        load(published, tmp_path)


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_the_real_data_are_read(real_data: Path, name: str, classes: int) -> None:
    loaded = data.load(name, real_data)
    assert (len(loaded.train), len(loaded.test)) == (50_000, 10_000)
    assert loaded.train.labels.bincount().tolist() == [50_000 // classes] * classes


def test_the_real_data_have_the_published_statistics(real_data: Path) -> None:
    from repro.recipes import RECIPES

    pixels = data.load("cifar100", real_data).train.pixels.double() / 255
    published = RECIPES["miru2020-cifar100"]
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(published.mean, abs=6e-5)
    assert pixels.std((0, 2, 3)).tolist() == pytest.approx(published.std, abs=6e-5)


def test_the_digits_have_the_shape_of_cifar() -> None:
    loaded = data.load("digits", Path("nowhere"))
    assert len(loaded.train) + len(loaded.test) == 1797
    assert loaded.train.pixels.shape[1:] == (3, 32, 32)
    assert loaded.train.pixels.max() == 255
    assert loaded.test.labels.bincount().tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
