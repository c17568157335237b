"""Those rows of a table that a request is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from repro.tables.printed import PrintedError, Row, Table


@dataclass(frozen=True)
class Selection:
    """A table, and those of its rows that are shown, trained or timed."""

    table: Table
    rows: Sequence[Row]
    left_out: Sequence[Row] = ()
    """Further rows that were asked for and whose code may not run; they share the rate of false alarms."""

    @property
    def errors(self) -> list[PrintedError]:
        """The printed errors of the rows."""
        return self.table.errors(self.rows)

    @property
    def cells(self) -> int:
        """The number of printed errors that can be judged, measured or not; they share the rate of false alarms."""
        return sum(each.judgeable for each in self.table.errors([*self.rows, *self.left_out]))

    @property
    def timed(self) -> list[Row]:
        """The rows that have a printed time and a network."""
        return [row for row in self.rows if self.table.is_timed(row)]

    @property
    def reference(self) -> Row | None:
        """The row that times are relative to: the one that the table names if it is selected, else the first timed."""
        named = [row for row in self.timed if self.table.time and row.label == self.table.time.reference]
        return next(iter([*named, *self.timed]), None)
