"""The papers: folders with tables, recipes and datasets. One is the program's own; users add others."""

from __future__ import annotations

import math
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from repro.errors import Place, UserError
from repro.package import PACKAGE, shipped_folder

VARIABLE = "REPRO_PAPERS"
"""The environment variable with folders of papers, separated as those of $PATH."""
GROUP = "repro.papers"
"""The group of entry points with which installed packages name their papers."""
TABLES, RECIPES = "tables", "recipes"
"""The folders of a paper."""
WORKING_FOLDER = Path("papers")
"""Each folder in it is a paper."""
DATASETS_FILE = "datasets.toml"
"""The file in a paper's folder that declares datasets."""
DATES = (date, datetime, time)
"""The types of TOML that a copy keeps as they are."""


@dataclass(frozen=True)
class Paper:
    """The files of a paper."""

    folder: Path
    tables: tuple[Path, ...]
    recipes: tuple[Path, ...]
    datasets: tuple[Path, ...] = ()
    """The file that declares datasets, if there is one."""
    shipped: bool = False
    """Whether it comes with the program."""
    named: Path | None = None
    """The folder that only `--papers` names, so that the next command needs the option too."""
    unasked: bool = False
    """Whether it was found only in ./papers/.

    Its networks then run only if a command names it, its table or the network.
    """


def find_papers(named: Sequence[Path] = ()) -> tuple[Paper, ...]:
    """Return the papers of the program, of `--papers`, $REPRO_PAPERS, ./papers/ and installed packages, in this order.

    A folder that is found twice counts once.

    Args:
        named: the folders of `--papers`.

    Raises:
        UserError: a folder that was named is not a paper.
    """
    unnamed = [*_of_environment(), *_of_working_folder(), *_installed()]
    known = {each.folder.resolve() for each in unnamed}
    given = [_paper(each, f"--papers {each}") for each in named]
    given = [replace(each, named=None if each.folder.resolve() in known else each.folder) for each in given]
    found = dict[Path, Paper]()
    for each in (shipped(), *given, *unnamed):
        found.setdefault(each.folder.resolve(), each)
    return tuple(found.values())


def paper_in(folder: Path) -> Paper:
    """Return the paper in a folder; UserError if there is none."""
    return _paper(folder, str(folder))


def paper_of(table: Path) -> Path | None:
    """Return the folder of the paper that a table's file belongs to; None if it is not in a folder `tables`."""
    return table.parent.parent if table.parent.name == TABLES else None


def shipped() -> Paper:
    """Return the tables and recipes of the program."""
    return Paper(PACKAGE, toml_files(shipped_folder(TABLES)), toml_files(PACKAGE / "recipes"), shipped=True)


def toml_files(folder: Path) -> tuple[Path, ...]:
    """Return the TOML files in a folder, without hidden ones: an editor's lock or what macOS writes beside a file."""
    return tuple(each for each in sorted(folder.glob("*.toml")) if not each.name.startswith("."))


def toml_of(file: Path) -> dict[str, Any]:
    """Return the content of a TOML file; WrongFiles if it cannot be read, is not valid or has an infinite number."""
    try:
        return msgspec.to_builtins(_parsed(file.read_bytes()), builtin_types=DATES)
    except IsADirectoryError:
        reason = "is a folder; put a TOML file in its place"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte {error.start + 1} is {error.object[error.start]:#x}; save the file as UTF-8"
    except _NotFinite as error:
        reason = f"{error} is not a finite number; write another"
    except (ValueError, RecursionError) as error:  # also of a number that is too long for Python
        reason = f"not a TOML file: {error}"
    raise Place(file).refused(reason)


LONG_NUMBER = re.compile(rb"0[xob]\w{1000}")
"""A number that is not decimal: Python reads it, however long it is, but does not print it."""


@lru_cache(maxsize=512)
def _parsed(content: bytes) -> dict[str, Any]:
    """Return the content of a TOML file: a command needs some files twice, and each call of the Python API all of them.

    It is shared by all callers, so that `toml_of` returns copies, which may be changed. Windows' Notepad may have put a
    byte order mark first.
    """
    if LONG_NUMBER.search(content):
        raise ValueError("a number has more than a thousand digits")
    return tomllib.loads(content.decode("utf-8-sig"), parse_float=_finite)


class _NotFinite(Exception):
    """A number in a file is NaN or infinite; the message is its text."""


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise _NotFinite(text)
    return number


def _of_environment() -> Iterator[Paper]:
    for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        yield _paper(Path(name), f"${VARIABLE}: {name}")


def _of_working_folder() -> Iterator[Paper]:
    """Yield the papers in ./papers/; other folders there may hold anything, and a hidden one may be unfinished."""
    for folder in sorted(WORKING_FOLDER.glob("*/")):
        if folder.name.startswith("."):
            continue
        found = _files_of(folder)
        if not _is_empty(found):
            yield replace(found, unasked=True)


def _installed() -> Iterator[Paper]:
    for each in _entries(tuple((place, _modified(place)) for place in sys.path)):
        yield _paper(_package(each), f"entry point {each.name} of {GROUP}: {each.value}")


@lru_cache(maxsize=1)
def _entries(places: tuple[tuple[str, int], ...]) -> list[EntryPoint]:
    """Return the entry points of papers; `places` says where packages are and when that changed.

    Without the cache, each command would read the entry points of all packages twice.
    """
    return sorted(entry_points(group=GROUP))


def _modified(folder: str) -> int:
    """Return when a folder or file was changed; 0 if there is none."""
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


def _package(entry: EntryPoint) -> Path:
    """Return the folder of the package that an entry point names, without importing the package."""
    try:
        spec = find_spec(entry.value)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        owner = f" of {entry.dist.name}" if entry.dist else ""
        raise UserError(f"entry point {entry.name}{owner} in {GROUP} must name a package, but {entry.value} is none")
    return Path(next(iter(spec.submodule_search_locations)))


def _paper(folder: Path, where: str) -> Paper:
    """Return the paper in a folder; UserError, which begins with `where`, if there is none."""
    if not folder.is_dir():
        raise UserError(f"{where} is not a folder; name the folder of a paper")
    found = _files_of(folder)
    if _is_empty(found):
        raise UserError(
            f"{where} has no tables/*.toml, recipes/*.toml or {DATASETS_FILE}; name the folder of one paper"
        )
    return found


def _files_of(folder: Path) -> Paper:
    declared = folder / DATASETS_FILE
    return Paper(
        folder, toml_files(folder / TABLES), toml_files(folder / RECIPES), (declared,) if declared.is_file() else ()
    )


def _is_empty(paper: Paper) -> bool:
    return not (paper.tables or paper.recipes or paper.datasets)
