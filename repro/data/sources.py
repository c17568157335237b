"""Where the files of the datasets come from: which are downloaded, which a user places, and whether they are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from repro.data import DATASETS, DatasetKind, load
from repro.data.files.stored import Missing, Stored, size_of
from repro.data.registry import dataset_folder
from repro.errors import RunFailed, UserError, WrongFiles

DOWNLOADED = ("cifar10", "cifar100", "svhn")
"""The datasets that are downloaded; a user places the others, or a package holds them."""


class State(StrEnum):
    """The state of a dataset on disk."""

    COMPLETE = "complete"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True)
class DatasetStatus:
    """What was found of a dataset."""

    name: str
    state: State
    folder: Path | None
    """None if it is not known, or a package holds the images."""
    size: int | None = None
    """Bytes of its files; None unless it is complete."""
    problem: str = ""
    """What is missing or wrong, and what to do; empty if it is complete."""
    reason: str = ""
    """What is wrong, as `problem`, without the file and the dataset that a declaration's error names first."""
    remark: str = ""
    """What is probably unintended in a complete dataset, and what to do about it; empty if nothing is."""


def fetch(name: str, root: Path) -> DatasetStatus:
    """Download or unpack what is missing of a dataset, verify it, and return what is there then."""
    try:
        _source_of(name).fetch(root)
    except (UserError, RunFailed) as error:
        return DatasetStatus(name, State.MISSING, root, problem=str(error))
    return examine(name, root)


def examine(name: str, root: Path) -> DatasetStatus:
    """Verify what is there of a dataset, without downloading or writing anything."""
    try:
        stored = _source_of(name).check(root)
    except Missing as error:
        hint = f"; repro data {name} downloads it" if name in DOWNLOADED else ""
        return DatasetStatus(name, State.MISSING, error.folder, problem=f"{error}{hint}")
    except UserError as error:
        reason = error.mistakes[0].reason if isinstance(error, WrongFiles) else str(error)
        return DatasetStatus(name, State.WRONG, None, problem=str(error), reason=reason)
    return DatasetStatus(name, State.COMPLETE, stored.folder, stored.size, remark=stored.remark)


@dataclass(frozen=True)
class _Source:
    """How a dataset gets into the folder of the datasets."""

    fetch: Callable[[Path], None]
    """Downloads or unpacks what is missing; UserError or RunFailed if it cannot."""
    check: Callable[[Path], Stored]
    """Verifies what is there and writes nothing; Missing if it is not there, UserError if it is wrong."""


def _source_of(name: str) -> _Source:
    """Return the source of a dataset whose images can be read; torch is loaded."""
    if name in ("cifar10", "cifar100"):
        from repro.data.readers import cifar

        published = {"cifar10": cifar.CIFAR10, "cifar100": cifar.CIFAR100}[name]
        return _Source(partial(cifar.fetch, published), partial(cifar.check, published))
    if name == "svhn":
        from repro.data.readers import svhn

        return _Source(partial(svhn.fetch, svhn.SVHN), partial(svhn.check, svhn.SVHN))
    if DATASETS[name].kind is DatasetKind.IMAGE_FILES:
        from repro.data.readers import folder

        fetch = folder.unpack_imagenet if folder.is_imagenet(name) else _nothing
        return _Source(fetch, partial(folder.check, name))
    if DATASETS[name].kind is DatasetKind.DETECTION:
        from repro.data.readers import coco

        return _Source(_nothing, partial(coco.check, name))
    return _Source(_nothing, partial(_read, name))


def _nothing(root: Path) -> None:
    """Fetch nothing: a user places the files, or a package holds them."""


def _read(name: str, root: Path) -> Stored:
    """Check a small dataset by reading it."""
    load(name, root)
    place = dataset_folder(name, root)
    return Stored(place, size_of(place)) if place.exists() else Stored(None, 0)
