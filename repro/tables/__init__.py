"""The papers' tables as data: what they print, read from TOML files and checked."""

from repro.tables.cell import UNITS, Cell
from repro.tables.column import LAST, Column
from repro.tables.printed import AS_PUBLISHED, PrintedError, Row, RunsPerRow, Table
from repro.tables.reading import asked_rows, check_tables, parse_table, read_table, shipped_tables, table_names
from repro.tables.replications import Closeness, Replication, ReplicationSource
from repro.tables.selection import Selection

__all__ = [
    "AS_PUBLISHED",
    "LAST",
    "UNITS",
    "Cell",
    "Closeness",
    "Column",
    "PrintedError",
    "Replication",
    "ReplicationSource",
    "Row",
    "RunsPerRow",
    "Selection",
    "Table",
    "asked_rows",
    "check_tables",
    "parse_table",
    "read_table",
    "shipped_tables",
    "table_names",
]
