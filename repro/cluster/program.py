"""Copies of the program and of papers, which later edits do not change."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from repro.atomic import write_atomically
from repro.commit import COMMIT_FILE, PACKAGE, commit
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
        if not (PACKAGE / "shipped").is_dir():
            shutil.copytree(PACKAGE.parent / beside, folder / beside, ignore=IGNORED)
    write_atomically(folder / PACKAGE.name / COMMIT_FILE, commit().encode())


def copy_papers(papers: Sequence[Paper], folder: Path) -> dict[str, str | None]:
    """Copy the folders of papers that do not come with the program; see `Submission.papers`."""
    copies = dict[str, str | None]()
    for number, paper in enumerate(each for each in papers if not each.shipped):
        copy = folder / str(number) / paper.folder.resolve().name
        shutil.copytree(paper.folder, copy, ignore=_not_of_papers)
        copies[str(copy)] = str(paper.named.resolve()) if paper.named else None
    return copies


def _not_of_papers(folder: str, names: list[str]) -> set[str]:
    """Return the files and hidden folders of a folder that no paper needs, such as data and checkpoints."""
    hidden = IGNORED(folder, names)
    return hidden | {each for each in names if (Path(folder) / each).is_file() and Path(each).suffix not in OF_PAPERS}
