"""Lines of plain values as a pandas DataFrame, whose columns have the same types whatever the lines are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from repro.bounds import kind_of, types_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
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


KINDS = {int: Dtype.INTEGER, float: Dtype.NUMBER, str: Dtype.TEXT, datetime: Dtype.TIME}
"""The types of columns, by that of a field; the others are objects."""


def columns_of(kind: type[DataclassInstance]) -> dict[str, Dtype]:
    """Return the columns of a frame with a row for each instance of a dataclass."""
    return {name: KINDS.get(kind_of(hint), Dtype.OBJECT) for name, hint in types_of(kind).items()}


def frame_of(lines: Iterable[Mapping[str, Any]], columns: Columns) -> DataFrame:
    """Return a frame with a row for each line; a key that a line lacks is a missing value."""
    import pandas as pd

    found = list(lines)
    return pd.DataFrame(
        {name: pd.Series([line.get(name) for line in found], dtype=kind.value) for name, kind in columns.items()},
        columns=list(columns),
    )
