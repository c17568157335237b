"""The library of one request: the papers of the program, those that are found, and those that are named."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repro.console import note
from repro.data import check_datasets
from repro.data.suitable import check_recipes
from repro.errors import UnknownName, UserError, WrongFiles
from repro.papers import Paper, find_papers, paper_of
from repro.paths import FolderUse, checked_folders
from repro.recipes import Library, within
from repro.tables import check_tables
from repro.tables.names import of_another_kind
from repro.text import canonical

Papers = str | Path | Sequence[str | Path]
"""The folder of a paper, or several."""


def text_argument(name: str, value: object) -> str:
    """Return the value of an argument that is text; UserError if it is something else."""
    if not isinstance(value, str):
        raise UserError(f"{name} must be text, not {type(value).__name__}")
    return value


def check_text(**arguments: object) -> None:
    """Raise UserError if an argument is neither text nor None."""
    for name, value in arguments.items():
        if value is not None:
            text_argument(name, value)


def path_argument(name: str, value: object) -> Path:
    """Return the value of an argument that is a file or a folder; UserError if it is something else."""
    if not isinstance(value, str | Path):
        raise UserError(f"{name} must be a path, not {type(value).__name__}")
    return Path(value)


def plain(value: Any) -> Any:
    """Return a scalar of numpy, as a loop over `np.arange` gives it, in Python's type; other values as they are."""
    numpy = sys.modules.get("numpy")
    return value.item() if numpy and isinstance(value, numpy.generic) else value


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a network with scalars of numpy in Python's types."""
    return {name: plain(value) for name, value in options.items()}


def _folders(papers: object) -> list[Path]:
    """Return the folders that were named."""
    several = papers if isinstance(papers, Iterable) and not isinstance(papers, str) else [papers]
    return [path_argument("papers", each) for each in several]


def shown_results(results: str | Path) -> Path:
    """Return the folder of the user's records that a request shows; UserError if it is not a folder."""
    return checked_folders(results=path_argument("results", results), use=FolderUse.SHOW_RESULTS).results


@contextmanager
def using(papers: Papers, needed: Collection[Path] = ()) -> Iterator[None]:
    """Make the library with some papers the current one.

    The files are read again each time, and all of them are checked first, so that none is refused after days of
    training. A paper with a mistake that nobody named is left out, which a line on stderr says.

    Args:
        papers: the folders that are named.
        needed: the folders of papers that are found anyway, and that the request is about.

    Raises:
        UserError: a folder is not a path or not a paper; a file of a paper that is named or needed is wrong; or a name
            is unknown: the message says in which paper that is left out it may be, or of which other kind it is.
    """
    named = _folders(papers)
    library, left_out = _checked(find_papers(named), {each.resolve() for each in (*named, *needed)})
    with within(library):
        try:
            yield
        except UnknownName as error:
            raise _why_unknown(error, left_out) from None


@contextmanager
def using_for(name: str | Path | None, papers: Papers) -> Iterator[None]:
    """Make a library the current one as `using` does, for a request that may be about a table.

    The file of a table names its paper too, as if `papers` did.

    Args:
        name: what the request is about; it may be a table, or the file of one; None for all tables.
        papers: the folders that are named.

    Raises:
        UserError: as in `using`, or the name is not a path.
    """
    name = "" if name is None else path_argument("name", name)
    named = _folders(papers)
    needed = [each.folder for each in _with_table(str(name), named)]
    with using([*named, *paper_of_file(name, named)], needed):
        yield


def paper_of_file(name: str | Path, named: Sequence[Path]) -> list[Path]:
    """Return the folder of the paper that the file of a table belongs to; nothing if it is found without it."""
    file = _file_of_table(str(name))
    folder = paper_of(file) if file and not _with_table(str(name), named) else None
    return [folder] if folder else []


def _with_table(name: str, named: Sequence[Path]) -> list[Paper]:
    """Return the papers that are found and that have a table, which is named by itself or by its file."""
    file = _file_of_table(name)

    def fits(table: Path) -> bool:
        return table.samefile(file) if file else canonical(table.stem) == canonical(name)

    return [each for each in find_papers(named) if any(map(fits, each.tables))]


def _file_of_table(name: str) -> Path | None:
    """Return the file of a table; None if this is another name."""
    file = Path(name)
    return file if file.suffix == ".toml" and file.is_file() else None


def _checked(papers: Sequence[Paper], asked: Collection[Path]) -> tuple[Library, dict[Paper, WrongFiles]]:
    """Return the library of those papers that are right, and the others, each with what is wrong in its files.

    Raises:
        WrongFiles: a paper that was asked for is wrong.
    """
    left_out: dict[Paper, WrongFiles] = {}
    while True:
        library = Library(tuple(each for each in papers if each not in left_out))
        try:
            with within(library):
                if any(not each.shipped for each in library.papers):
                    check_datasets()
                    check_recipes(library.own_recipes)
                    check_tables()
            return library, left_out
        except WrongFiles as error:
            wrong = _with_mistakes(library.papers, error)
            if not wrong or any(each.shipped or each.folder.resolve() in asked for each in wrong):
                raise
            note(f"warning: {', '.join(str(each.folder) for each in wrong)} left out: {error}")
            left_out |= dict.fromkeys(wrong, error)


def _with_mistakes(papers: Sequence[Paper], error: WrongFiles) -> list[Paper]:
    """Return the papers that have the files with the mistakes; a paper may be in the folder of another one."""
    having = ([each for each in papers if mistake.file.is_relative_to(each.folder)] for mistake in error.mistakes)
    wrong = {max(each, key=lambda paper: len(paper.folder.parts)) for each in having if each}
    return [each for each in papers if each in wrong]


def _why_unknown(error: UnknownName, left_out: Mapping[Paper, WrongFiles]) -> UserError:
    """Return why a name is unknown: a paper that may have it is left out, or it is the name of something else.

    The names in an unreadable file are unknown, so a name that resembles no known one may be in it.
    """
    if error.kind == "table":
        name = canonical(error.name)
        having = (why for paper, why in left_out.items() if name in (canonical(file.stem) for file in paper.tables))
        return next(having, None) or of_another_kind(error)
    if left_out and not error.meant:
        folder = next(iter(left_out)).folder
        where = f"it may be in {folder}, which is left out; see repro validate {folder}"
        return UserError(f"unknown {error.kind} {error.name!r}; {where}")
    return of_another_kind(error)
