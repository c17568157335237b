"""`repro new`: a paper that works at once."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from repro.atomic import write_folder_atomically
from repro.cli.options.shared import command_group
from repro.cli.suggestion import suggest
from repro.console import note
from repro.encoding import legible
from repro.errors import UserError, unwritten
from repro.papers import WORKING_FOLDER
from repro.recipes import current_library
from repro.templates import paper_files
from repro.text import canonical

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""The names that a file, a TOML key and a shell take without quotes."""

app = command_group("Write the folder of a new paper.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of its table and its recipe, such as narrow.")]
To = Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Folder to write (default: papers/NAME).")]


@app.command("paper")
def paper(name: Name, to: To = None) -> None:
    """Write a new paper's folder: a table, a recipe, a network and a README of commands. Its numbers are made up."""
    _check_name(name)
    folder = to or WORKING_FOLDER / name
    _check_folder(folder)
    place = folder.resolve()
    found = place.parent == WORKING_FOLDER.resolve() and not place.name.startswith(".")
    files = paper_files(name, folder, found=found)
    try:
        write_folder_atomically(folder, files)
    except OSError as error:
        reason = f"{folder} cannot be written: {error.strerror}"
        raise unwritten(reason, error, "choose another folder with --to") from None
    note(f"wrote {folder}: {', '.join(map(str, files))}")
    suggest(f"repro table {name}{'' if found else f' --papers {quote(str(folder))}'}")


def _check_name(name: str) -> None:
    """Raise UserError for a name that no table or recipe can have, or that another one has."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is not a valid name for a paper; use letters, digits, - and _, with a letter or digit first"
        )
    library = current_library()
    for kind, known in (("table", library.tables), ("recipe", library.reading.names)):
        for each in known:
            if canonical(each) == canonical(name):
                raise UserError(f"there is a {kind} {each} already; choose another name than {name}")


def _check_folder(folder: Path) -> None:
    """Raise UserError for a folder that has content, or that cannot be replaced."""
    if legible(str(folder), "utf-8") != str(folder):
        raise UserError(f"{str(folder)!r} is not a name in UTF-8; choose another folder with --to")
    for each in (folder, *folder.parents):
        if each.exists() and not each.is_dir():
            raise UserError(f"{each} is a file; choose another folder with --to")
    if folder.is_dir() and folder.resolve() == Path.cwd():
        raise UserError(f"{folder} is the working folder; name a new folder within it with --to")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty; choose another name, or another folder with --to")
