"""Where a dataset is if it is not in its folder: in an archive, or in another folder."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from repro.text import canonical

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".7z")
"""Endings of archives, in any case."""


def misplaced(root: Path, name: str, parts: Collection[str]) -> str:
    """Return where a dataset is that cannot be downloaded, and what to do about it; empty if it is nowhere near.

    Args:
        root: the folder of the datasets.
        name: the name of the dataset's folder.
        parts: the files and folders that it has.
    """
    above = (_said(each / name, root, name, parts) for each in list(root.absolute().parents)[:2])
    archives = (f"its archive {each} is not unpacked: unpack it in {each.parent}" for each in _archives(root, name))
    return next(filter(None, (elsewhere(root, name, parts), *above, *archives)), "")


def elsewhere(root: Path, name: str, parts: Collection[str]) -> str:
    """Return as `misplaced` in which folder within `root` a dataset is."""
    places = (each / name for each in (root / name, *_folders(root)))
    found = (_said(each, root, name, parts) for each in (*places, *_folders(root / name)))
    return next(filter(None, found), "")


def _said(folder: Path, root: Path, name: str, parts: Collection[str]) -> str:
    """Return what to do about a dataset in this folder; empty if it is not there."""
    if not all(os.path.exists(folder / part) for part in parts):  # false for one that may not be read
        return ""
    if folder.name == name:
        return f"it is in {folder}: name the folder above it, with --data {folder.parent}"
    return f"it is one folder too deep, in {folder}: move its content to {root / name}"


def too_deep(folder: Path, parts: Collection[str]) -> str:
    """Return that files are one folder deeper than they should be, and what to do; empty if they are not there."""
    for each in _folders(folder):
        if all(os.path.exists(each / part) for part in parts):
            return f"the files are one folder too deep, in {each}: move them to {folder}"
    return ""


def _archives(root: Path, name: str) -> Iterator[Path]:
    """Yield the archives of a dataset: those with its name in `root`, and all in its own folder."""
    for folder in (root, root / name):
        for each in sorted(folder.iterdir()) if folder.is_dir() else ():
            own = folder != root or canonical(each.name).startswith(canonical(name))
            if own and each.name.lower().endswith(ARCHIVES) and each.is_file():
                yield each


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
