"""Image files of classes that are left out: those in subfolders, and those in formats that are not read."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from repro.data.files.image_files import is_image, is_unread
from repro.data.files.places import classes_in, image_folder_of
from repro.text import number_of


def left_out(folder: Path, classes: Iterable[str]) -> Iterator[Path]:
    """Yield the image files of some classes in a folder that are left out."""
    for place in (image_folder_of(folder / each) for each in classes):
        yield from unread(place)
        for each in sorted(classes_in(place)):  # folders that systems add are none
            yield from _images_below(place / each)


def unread(folder: Path) -> Iterator[Path]:
    """Yield the images in a folder whose format is not read."""
    return (folder / name for name in sorted(os.listdir(folder)) if is_unread(name))


def remark_on(files: Collection[Path]) -> str:
    """Return that files are left out, and what to do about it; empty if there are none."""
    if not files:
        return ""
    return (
        f"{number_of(len(files), 'image file')} left out, such as {next(iter(files))}; move those in subfolders up to "
        "the folder of their class, and convert other formats to PNG"
    )


def _images_below(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(classes_in(Path(where)))
        yield from (Path(where, name) for name in sorted(names) if is_image(name) or is_unread(name))
