"""The reader of tables: TOML files. For a malformed file, the error names file, row and reason."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from repro.errors import Mistake, Place, UserError, collecting, refuse
from repro.models import is_outside
from repro.papers import TABLES, toml_of
from repro.recipes import current_library
from repro.tables.parsing import table_of
from repro.tables.printed import Row, Table
from repro.tables.replication_files import orphans, with_replications
from repro.text import canonical, choose


def table_names() -> list[str]:
    """Return the names of the tables of the current library."""
    return list(current_library().tables)


def table_as_typed(table: Table) -> str:
    """Return what a command calls a table: its name if the current library has it, else its file."""
    return quote(table.name if table.name in current_library().tables else str(table.file))


def check_tables() -> None:
    """Read every table that is not shipped, and its replications; WrongFiles with the mistakes of all."""
    library, mistakes = current_library(), list[Mistake]()
    for file in library.tables.values():
        if library.origin(file):
            with collecting(mistakes):
                parse_table(file)
    mistakes += orphans(file for file in library.tables.values() if library.origin(file))
    refuse(mistakes)


def shipped_tables() -> list[Table]:
    """Return the tables that come with the program."""
    library = current_library()
    return [parse_table(file) for file in library.tables.values() if not library.origin(file)]


def read_table(name: str) -> Table:
    """Return a table of the current library by its name, in any spelling, or the table in a file.

    Raises:
        UserError: there is no such table, its file is malformed, or the library has another table of the file's name.
    """
    tables, path = current_library().tables, Path(name)
    if path.suffix != ".toml" and len(path.parts) <= 1:
        if path.suffix and path.is_file():
            raise UserError(f"{name} is not a table; the file of a table ends in .toml")
        return parse_table(tables[choose("table", name, tables)])
    if path.is_dir():
        raise UserError(f"{name} is a folder; give the name of a table, or its file in {path / TABLES}")
    table = parse_table(path)
    for each in tables.values():
        if canonical(each.stem) == canonical(table.name) and not each.samefile(path):
            raise Place(path).refused(f"{each} already is a table of that name; rename one of them")
    return table


def asked_rows(table: Table) -> tuple[Row, ...]:
    """Return the rows that may be shown where the user named neither the table nor its paper.

    The others have networks of a paper that was found only in ./papers/: showing them would run its code.
    """
    unasked = current_library().is_unasked(table.file)
    return tuple(row for row in table.rows if not (unasked and is_outside(row.model)))


def parse_table(path: Path) -> Table:
    """Return the table of one file, with its replications; WrongFiles with each malformed row and the reason."""
    return with_replications(table_of(path, toml_of(path)))
