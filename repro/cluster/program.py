"""Copies of the program and of papers, which later edits do not change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path

from repro.atomic import write_atomically
from repro.commit import COMMIT_FILE, commit
from repro.package import PACKAGE, shipped_folder
from repro.papers import Paper

IGNORED = shutil.ignore_patterns("__pycache__", ".*")
OF_PAPERS = {".toml", ".py"}
"""The files of a paper that the program reads."""


def copy_program(folder: Path) -> None:
    """Copy the running program into a new folder, with the commit that its records state.

    In a checkout, tables and results lie beside the package and are copied too.
    """
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=IGNORED)
    for beside in ("tables", "results"):
        if not shipped_folder(beside).is_relative_to(PACKAGE):
            shutil.copytree(shipped_folder(beside), folder / beside, ignore=IGNORED)
    write_atomically(folder / PACKAGE.name / COMMIT_FILE, commit().encode())


def copy_papers(papers: Sequence[Paper], folder: Path, without: Iterable[Path] = ()) -> dict[str, str | None]:
    """Copy the folders of papers that do not come with the program; see `Submission.papers`.

    Args:
        papers: all papers.
        folder: a new one for the copies.
        without: folders that may lie in a paper's folder and are not copied, such as that of the runs.
    """
    left_out = {each.resolve() for each in (folder, *without)}
    copies = dict[str, str | None]()
    for number, paper in enumerate(each for each in papers if not each.shipped):
        place = paper.folder.resolve()
        copy = folder / str(number) / place.name
        for file in _files_of(place, left_out | {place}):
            (copy / file.relative_to(place)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy / file.relative_to(place))
        copies[str(copy)] = str(paper.named.resolve()) if paper.named else None
    return copies


def _files_of(folder: Path, left_out: Set[Path]) -> Iterator[Path]:
    """Yield the files of a paper below one of its folders, without hidden ones and those of the folders `left_out`."""
    names = sorted(os.listdir(folder))
    ignored = IGNORED(str(folder), names)
    for each in (folder / name for name in names if name not in ignored):
        if each.is_file() and each.suffix in OF_PAPERS:
            yield each
        elif each.is_dir() and (place := each.resolve()) not in left_out:  # a link to a folder above is not followed
            yield from _files_of(each, left_out | {place})
