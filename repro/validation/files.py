"""Findings in the folder of a paper: files that no command reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from repro.papers import RECIPES, TABLES, Paper, toml_files
from repro.tables.replication_files import FOLDER as REPLICATIONS
from repro.validation.findings import Finding, warning

KINDS = (TABLES, RECIPES)
"""The folders of a paper whose TOML files are read."""
IGNORED = ("__pycache__",)


def file_findings(paper: Paper, networks: Collection[Path] | None, others: Iterable[Paper]) -> Iterator[Finding]:
    """Yield the files of a paper that look as if they should be read, and are not.

    Args:
        paper: its folder may hold anything else, such as a README or other papers.
        networks: the Python files that are networks of tables or recipes; None if these are not known.
        others: the other papers of the library.
    """
    inner = [each.folder for each in others if paper.folder in each.folder.parents]
    replications = toml_files(paper.folder / TABLES / REPLICATIONS)  # one without a table is a mistake of its own
    read = (*paper.tables, *paper.recipes, *paper.datasets, *replications, *(networks or ()))
    used = {each.resolve() for each in read}
    for file in sorted(paper.folder.rglob("*")):
        inside = file.relative_to(paper.folder)
        hidden = any(part.startswith(".") or part in IGNORED for part in inside.parts)
        hidden = hidden or any(file.is_relative_to(each) for each in inner)
        if hidden or file.is_dir() or file.resolve() in used or (networks is None and file.suffix == ".py"):
            continue
        if reason := _unread(inside, installed=(paper.folder / "__init__.py").exists()):
            yield warning(file, "", reason)


def _unread(inside: Path, *, installed: bool) -> str:
    """Return why a file is not read, if it looks as if it should be; `installed`: whether the folder is a package."""
    folder = inside.parts[0] if len(inside.parts) > 1 else ""
    if inside.suffix == ".toml" and not installed:
        right = next((kind for kind in KINDS if folder and kind.startswith(folder.lower().rstrip("s"))), "")
        choice = f"{right}/{inside.name}" if right else "tables/ or recipes/"
        return f"no command reads it; move it to {choice}"
    if folder in KINDS:
        return f"no command reads it; files in {folder}/ end in .toml"
    if inside.suffix == ".py" and not installed:
        return f'no table or recipe uses a network of this file; write model = "{inside}:NAME" in a row, or remove it'
    return ""
