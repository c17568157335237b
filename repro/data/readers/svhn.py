"""SVHN: Reading Digits in Natural Images with Unsupervised Feature Learning, Netzer et al., 2011.

Format 2, cropped digits. As in papers, the training set is the published one and the extra images together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from repro.bars import open_with_bar
from repro.data import Dataset, Images
from repro.data.downloads.checksum import checksum
from repro.data.downloads.download import fetch_file
from repro.data.files.stored import Missing, Stored
from repro.data.images import fingerprint
from repro.errors import UserError


@dataclass(frozen=True)
class File:
    """A published file."""

    name: str
    md5: str
    validation: int = 0
    """Images of each class that a recipe with a validation set does not train on."""


@dataclass(frozen=True)
class Svhn:
    """The published files and their URL."""

    train: tuple[File, ...]
    test: File
    address: str

    @property
    def files(self) -> Sequence[File]:
        """All files, the test images last."""
        return *self.train, self.test


# MD5 as in torchvision.datasets.SVHN; 400 and 200 a class: svhn-dataset.lua of yueatsprograms/Stochastic_Depth 88bcc69.
SVHN = Svhn(
    train=(
        File("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", validation=400),
        File("extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7", validation=200),
    ),
    test=File("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
    address="http://ufldl.stanford.edu/housenumbers",
)
VALIDATION_SEED = 0


def fetch(name: str, root: Path) -> None:
    """Download the files that are missing; RunFailed if one cannot be downloaded."""
    folder = _folder(root)
    for file in SVHN.files:
        if not (folder / file.name).exists():
            fetch_file([f"{SVHN.address}/{file.name}"], file.md5, folder / file.name)


def check(name: str, root: Path) -> Stored:
    """Compare the files with their published checksums, without downloading any.

    Raises:
        Missing: files are missing.
        UserError: a file is not the published one.
    """
    folder = _folder(root)
    missing = [file.name for file in SVHN.files if not (folder / file.name).exists()]
    if missing:
        raise Missing(folder, f"{folder} lacks {', '.join(missing)}" if folder.exists() else "")
    for file in SVHN.files:
        _check(folder / file.name, file.md5)
    return Stored(folder, sum((folder / file.name).stat().st_size for file in SVHN.files))


def load(name: str, root: Path) -> Dataset:
    """Return SVHN from `root` or its folder svhn, downloaded if needed.

    The training images are those of all training files, one file after another.

    Raises:
        UserError: the files are not the published ones.
        RunFailed: they cannot be downloaded.
    """
    fetch(name, root)
    folder = check(name, root).folder
    assert folder is not None
    *train, test = (_read(folder / file.name) for file in SVHN.files)
    digest = hashlib.sha256("".join(file.md5 for file in SVHN.files).encode()).hexdigest()
    return Dataset(
        Images(torch.cat([each.pixels for each in train]), torch.cat([each.labels for each in train])),
        test,
        fingerprint=fingerprint(name, digest),
        validation=_validation([each.labels for each in train]),
    )


def _folder(root: Path) -> Path:
    """Return the folder of the files, which is `root` if it holds the first one."""
    return root if (root / SVHN.train[0].name).exists() else root / "svhn"


def _check(path: Path, published: str) -> None:
    """Raise UserError unless a file has its published checksum."""
    try:
        found = checksum("md5", path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); the file may be intact") from error
    if found != published:
        raise UserError(f"{path} is not the published file (MD5 differs); remove it to download it again")


def _read(path: Path) -> Images:
    """Return the images of a file; its label 10 means the digit 0."""
    from scipy.io import loadmat

    with open_with_bar(path, f"reading {path.name}") as file:
        content = loadmat(file, variable_names=["X", "y"])
    pixels = torch.from_numpy(content["X"]).permute(3, 2, 0, 1).contiguous()  # published as (32, 32, 3, n)
    return Images(pixels, torch.from_numpy(content["y"]).flatten().long() % 10)


def _validation(labels: list[Tensor]) -> Tensor:
    """Return the training indices of the validation images, drawn at random for each file and class."""
    generator = torch.Generator().manual_seed(VALIDATION_SEED)
    places, begin = [], 0
    for file, own in zip(SVHN.train, labels, strict=True):
        order = torch.randperm(len(own), generator=generator)
        for digit in range(10):
            places.append(begin + order[own[order] == digit][: file.validation])
        begin += len(own)
    return torch.cat(places)
