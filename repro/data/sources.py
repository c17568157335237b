"""Where the files of the datasets come from: which are downloaded, which a user places, and whether they are right."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from repro.data import load
from repro.data.files.stored import Missing, Stored, size_of
from repro.data.loading import reader_of
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
    """Download or unpack what is missing of a dataset, verify it, and return what is there then.

    Most datasets are placed by a user, or held by a package; their readers have no `fetch`.
    """
    try:
        reader = reader_of(name)
        if hasattr(reader, "fetch"):
            reader.fetch(name, root)
    except (UserError, RunFailed) as error:
        return DatasetStatus(name, State.MISSING, root, problem=str(error))
    return examine(name, root)


def examine(name: str, root: Path) -> DatasetStatus:
    """Verify what is there of a dataset, without downloading or writing anything."""
    try:
        stored = _check(name, root)
    except Missing as error:
        hint = f"; repro data {name} downloads it" if name in DOWNLOADED else ""
        return DatasetStatus(name, State.MISSING, error.folder, problem=f"{error}{hint}")
    except UserError as error:
        reason = error.mistakes[0].reason if isinstance(error, WrongFiles) else str(error)
        return DatasetStatus(name, State.WRONG, None, problem=str(error), reason=reason)
    return DatasetStatus(name, State.COMPLETE, stored.folder, stored.size, remark=stored.remark)


def _check(name: str, root: Path) -> Stored:
    """Verify what is there of a dataset, and write nothing.

    Raises:
        Missing: it is not there.
        UserError: it is wrong.
    """
    reader = reader_of(name)
    if hasattr(reader, "check"):
        return reader.check(name, root)
    load(name, root)  # a small dataset is checked by reading it
    place = dataset_folder(name, root)
    return Stored(place, size_of(place)) if place.exists() else Stored(None, 0)
