"""The folders of the classes in a folder of images; their sorted names give the labels."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from repro.data.files.misplaced import ARCHIVES
from repro.data.files.places import classes_in, is_annotated
from repro.errors import UserError


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the class folders, sorted; their order gives the labels. A flat folder has none."""
    return () if is_annotated(folder) else tuple(sorted(classes_in(folder)))


def refuse_other_classes(folder: Path, classes: Collection[str], where: str, known: Collection[str]) -> None:
    """Raise UserError for the first class folder that is not known, or the first known class without a folder."""
    for unknown in sorted({*classes} - {*known}):
        if _is_empty(folder / unknown):
            raise UserError(f"{folder / unknown} is an empty folder, which counts as a class; remove it")
        raise UserError(f"{folder} has a class {unknown!r} that {where} lacks; both need the same classes")
    for missing in sorted({*known} - {*classes}):
        if archive := next((each for ending in ARCHIVES if (each := folder / f"{missing}{ending}").is_file()), None):
            raise UserError(f"{archive} is not unpacked; unpack it in {folder}")
        raise UserError(f"{folder} lacks the class {missing!r} of {where}; both need the same classes")


def _is_empty(folder: Path) -> bool:
    """Whether a folder has nothing but hidden files."""
    return folder.is_dir() and all(each.name.startswith(".") for each in folder.iterdir())
