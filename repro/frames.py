"""Lines of plain values as a pandas DataFrame, whose columns have the same types whatever the lines are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame


class Dtype(StrEnum):
    """The types of columns, as pandas names them; a missing value is `<NA>`, NaN, NaT or, among objects, None."""

    TEXT = "string"
    INTEGER = "Int64"
    NUMBER = "float64"
    FLAG = "boolean"
    TIME = "datetime64[ns, UTC]"
    OBJECT = "object"
    """Dictionaries and lists."""


Columns = Mapping[str, Dtype]
"""The columns of a frame, in their order."""


def frame_of(lines: Iterable[Mapping[str, Any]], columns: Columns) -> DataFrame:
    """Return a frame with a row for each line; a key that a line lacks is a missing value."""
    import pandas as pd

    found = list(lines)
    return pd.DataFrame(
        {name: pd.Series([line.get(name) for line in found], dtype=kind.value) for name, kind in columns.items()},
        columns=list(columns),
    )
