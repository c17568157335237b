"""Where a dataset is if it is not in its folder: in an archive, or in another folder."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from repro.text import canonical

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".7z")
"""Endings of archives, in any case."""


def misplaced(root: Path, path: str, parts: Collection[str]) -> str:
    """Return where a dataset is that cannot be downloaded, and what to do about it; empty if it is nowhere near.

    Args:
        root: the folder of the datasets.
        path: the dataset's folder below `root`.
        parts: the files and folders that it has.
    """
    above = (_said(each / path, root, path, parts) for each in list(root.absolute().parents)[:2])
    archives = (f"its archive {each} is not unpacked: unpack it in {each.parent}" for each in _archives(root, path))
    return next(filter(None, (elsewhere(root, path, parts), *above, *archives)), "")


def elsewhere(root: Path, path: str, parts: Collection[str]) -> str:
    """Return as `misplaced` in which folder within `root` a dataset is."""
    name, folders = Path(path).name, (root / path, *_folders(root))
    places = [*(each / path for each in folders), *(each / name for each in folders), *_folders(root / path)]
    return next(filter(None, (_said(each, root, path, parts) for each in places)), "")


def _said(folder: Path, root: Path, path: str, parts: Collection[str]) -> str:
    """Return what to do about a dataset in this folder; empty if it is not there."""
    if not all(os.path.exists(folder / part) for part in parts):  # false for one that may not be read
        return ""
    wanted = Path(path).parts
    if folder.parts[-len(wanted) :] == wanted:
        return f"it is in {folder}: name the folder above it, with --data {folder.parents[len(wanted) - 1]}"
    if folder.name == wanted[-1]:
        return f"it is in {folder}: move it to {root / path}"
    return f"it is one folder too deep, in {folder}: move its content to {root / path}"


def too_deep(folder: Path, parts: Collection[str]) -> str:
    """Return that files are one folder deeper than they should be, and what to do; empty if they are not there."""
    for each in _folders(folder):
        if all(os.path.exists(each / part) for part in parts):
            return f"the files are one folder too deep, in {each}: move them to {folder}"
    return ""


def _archives(root: Path, path: str) -> Iterator[Path]:
    """Yield the archives of a dataset: those with its name in `root`, and all in its own folder."""
    for folder in (root, root / path):
        for each in sorted(folder.iterdir()) if folder.is_dir() else ():
            own = folder != root or canonical(each.name).startswith(canonical(Path(path).name))
            if own and each.name.lower().endswith(ARCHIVES) and each.is_file():
                yield each


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
