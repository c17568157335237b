"""`repro validate`: everything that is wrong with the files of papers, at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from repro.api.library import paper_of_file
from repro.cli.options.papers import Papers
from repro.cli.options.shared import AnswerFormat, Data, Format
from repro.cli.suggestion import suggest, with_folders
from repro.console import note, print_json, print_line
from repro.errors import UserError
from repro.papers import TABLES, Paper, find_papers, paper_in
from repro.paths import data_folder, data_in, default_folders
from repro.recipes import Library, within
from repro.text import number_of
from repro.validation import Level, Validated
from repro.validation import validate as validated

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="FOLDER",
        help="Folder of a paper, or the file of one table (default: all papers that are found, or else those of the "
        "program).",
    ),
]


def validate(
    folder: Folder = None, papers: Papers = None, data: Data = None, format: Format = AnswerFormat.RICH
) -> None:
    """Check all of a paper: tables, recipes, datasets, networks and counts; exit with status 1 if there is an error."""
    chosen, library = _chosen(folder, papers or [])
    with data_in(data), within(library):
        found = validated(chosen, whole=folder is None or folder.is_dir())
        _show(found, format)
        failed = found.number_of(Level.ERROR) > 0
        for paper in _not_run(found):
            note(f"{paper}: the code of its networks was not run, since the paper was not named")
        if format == AnswerFormat.RICH:
            _suggest_next(found, folder, papers or [])
    if failed:
        raise typer.Exit(1)


def _chosen(folder: Path | None, named: list[Path]) -> tuple[list[Paper], Library]:
    """Return the papers that are checked, and the library that they are checked in.

    Raises:
        UserError: there is no such folder or file, or it is not a paper.
    """
    if folder is not None and folder.is_dir():
        paper_in(folder)  # without one, this says so before find_papers blames --papers
        return _of_folder(folder, named)
    also = [] if folder is None else paper_of_file(folder, named)
    library = Library(find_papers([*named, *also]), lenient=True)
    if folder is not None:
        paper = _with_table(folder, library)  # the user named it, so that the code of its networks runs
        papers = [replace(each, unasked=each.unasked and folder not in each.tables) for each in library.papers]
        return [paper], Library(tuple(papers), lenient=True)
    own = [each for each in library.papers if not each.shipped]
    return own or list(library.papers), library


def _of_folder(folder: Path, named: list[Path]) -> tuple[list[Paper], Library]:
    """Return the paper in a folder, and the library with it: one that is found anyway keeps its place among others."""
    place, found = folder.resolve(), find_papers(named)
    if place not in (each.folder.resolve() for each in found):
        found = find_papers([*named, folder])
    papers = tuple(replace(each, unasked=each.unasked and each.folder.resolve() != place) for each in found)
    return [each for each in papers if each.folder.resolve() == place], Library(papers, lenient=True)


def _with_table(file: Path, library: Library) -> Paper:
    """Return the paper of a table's file with this table alone."""
    if not file.exists():
        raise UserError(f"{file} does not exist; name the folder of a paper or the file of a table")
    for paper in library.papers:
        if any(each.samefile(file) for each in (*paper.recipes, *paper.datasets)):
            raise UserError(f"{file} is not a table; name the folder of its paper: {paper.folder}")
    shipped = any(each.samefile(file) for paper in library.papers if paper.shipped for each in paper.tables)
    return Paper(file.parent, (file,), (), shipped=shipped)


def _show(found: Validated, format: AnswerFormat) -> None:
    """Print the findings and the summary."""
    numbers = {level: found.number_of(level) for level in Level}
    if format == AnswerFormat.JSON:
        print_json(
            {
                "papers": [str(each.folder) for each in found.papers],
                "tables": found.tables,
                "recipes": found.recipes,
                "datasets": found.datasets,
                **{f"{level}s": number for level, number in numbers.items()},
                "findings": [each.to_json() for each in found.findings],
            }
        )
        return
    for each in found.findings:
        print_line(str(each))
    counts = ", ".join(number_of(number, level) for level, number in numbers.items())
    datasets = f", {number_of(found.datasets, 'dataset')}" if found.datasets else ""
    read = f"{number_of(found.tables, 'table')}{datasets} and {number_of(found.recipes, 'recipe')}"
    own = [each for each in found.papers if not each.shipped]
    where = number_of(len(own), "paper") if own else "the files of the program"
    print_line(f"{counts} in {where}: {read} could be read")


def _not_run(found: Validated) -> list[Path]:
    """Return the papers with Python files whose code was not run, since the user did not name them."""
    return [each.folder for each in found.papers if each.unasked and any(each.folder.rglob("*.py"))]


def _suggest_next(found: Validated, folder: Path | None, papers: Sequence[Path]) -> None:
    """Print what to do next: validate again after the errors are corrected, or look at a table."""
    failed, unrun = found.number_of(Level.ERROR), _not_run(found)
    if failed or unrun:
        place = folder if failed else unrun[0]
        with within(Library(find_papers(papers), lenient=True)):  # --papers only for others
            suggest(_with_data(f"repro validate {quote(str(place))}" if place else "repro validate"))
        return
    tables = [table for paper in found.papers if not paper.shipped for table in paper.tables]
    if len(tables) != 1:
        suggest("repro list tables")
        return
    (file,) = tables
    suggest(_with_data(f"repro table {quote(file.stem if file.parent.name == TABLES else str(file))}"))


def _with_data(command: str) -> str:
    """Return a command with the folder of the datasets, unless it is the default."""
    return with_folders(command, replace(default_folders(), data=data_folder()), "data")
