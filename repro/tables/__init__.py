"""The papers' tables as data: what they print, read from TOML files and checked."""

from repro.tables.cell import UNITS, Cell
from repro.tables.column import Column, ColumnKind, Statistic
from repro.tables.metric import Metric, shares_text
from repro.tables.printed import AS_PUBLISHED, PrintedError, Row, RunsPerRow, Table
from repro.tables.reading import (
    asked_rows,
    check_tables,
    parse_table,
    read_table,
    shipped_tables,
    table_as_typed,
    table_names,
)
from repro.tables.replications import Closeness, Replication, ReplicationSource
from repro.tables.selection import Selection

__all__ = [
    "AS_PUBLISHED",
    "UNITS",
    "Cell",
    "Closeness",
    "Column",
    "ColumnKind",
    "Metric",
    "PrintedError",
    "Replication",
    "ReplicationSource",
    "Row",
    "RunsPerRow",
    "Selection",
    "Statistic",
    "Table",
    "asked_rows",
    "check_tables",
    "parse_table",
    "read_table",
    "shares_text",
    "shipped_tables",
    "table_as_typed",
    "table_names",
]
