"""The papers' tables as data: what they print, read from tables/*.toml and checked."""

from repro.tables.printed import UNITS, Cell, Column, PrintedError, Row, Table
from repro.tables.reading import parse_table, read_table, table_names, tables_folder

__all__ = [
    "UNITS",
    "Cell",
    "Column",
    "PrintedError",
    "Row",
    "Table",
    "parse_table",
    "read_table",
    "table_names",
    "tables_folder",
]
