"""What the panels of a figure are called."""

from __future__ import annotations

from collections.abc import Iterable

from repro.tables import Column, ColumnKind, Table


def panel_title(table: Table, column: Column, datasets: Iterable[str]) -> str:
    """Return the title of the panel of a column: the datasets of the rows in it, after the label if there are others.

    Args:
        table: the printed table.
        column: one of its columns of errors.
        datasets: that of each row; a row may have another than the column.
    """
    shown = ", ".join(dict.fromkeys(datasets))
    return f"{column.label}, {shown}" if len(table.of_kind(ColumnKind.ERROR)) > 1 else shown
