"""Training curves of a table's rows: Figures 3 and 5 of the DenseResNet paper, and those of Wide ResNet, as numbers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from repro.comparison.match import is_of, reduced, runs_of
from repro.store.results import EpochRow, Record, curve_of
from repro.tables import Column, Row, Table

METRICS = {"error": "test_error", "error5": "test_error5"}
"""The field of an epoch that is a column's metric, where it has another name."""


class Spread(NamedTuple):
    """A figure of one epoch over the seeds."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Curve:
    """The runs of one row that did the same, from epoch 1 on."""

    row: str
    """Its label; where several rows have it, with what tells them apart."""
    seeds: tuple[int, ...]
    reduced: tuple[str, ...]
    """In which precisions but fp32 all runs were trained, or how many of them."""
    deviations: tuple[str, ...]
    """From the recipe; empty for the row's own runs."""
    test: tuple[Spread, ...]
    """The column's metric; errors in %."""
    train: tuple[Spread, ...]
    """Training error in %, of the augmented images in the course of the epoch; empty beside other metrics."""
    printed: str | None
    """As the paper prints it; None where ours is not to be compared with it."""

    @property
    def label(self) -> str:
        """The row with the number of runs and what is not as usual."""
        deviating = [f"deviates: {', '.join(self.deviations)}"] if self.deviations else []
        return "; ".join([self.row, f"n = {len(self.seeds)}", *self.reduced, *deviating])


@dataclass(frozen=True)
class Panel:
    """The curves of one column."""

    column: Column
    dataset: str
    title: str
    curves: tuple[Curve, ...]

    @property
    def epochs(self) -> int:
        """Of the longest curve."""
        return max(len(curve.test) for curve in self.curves)


@dataclass(frozen=True)
class Curves:
    """A panel for each column of errors that has curves."""

    table: Table
    panels: tuple[Panel, ...]
    with_train: bool = False
    """Whether the training error is drawn too; its numbers are there in any case."""

    COLUMNS = (
        *("table", "column", "dataset", "metric", "row", "seeds", "deviations", "printed", "epoch"),
        *("median", "lowest", "highest", "train_median", "train_lowest", "train_highest"),
    )
    """Of the frame."""

    def frame(self) -> list[dict[str, Any]]:
        """Return a line for each epoch of each curve."""
        return [line for panel in self.panels for curve in panel.curves for line in _lines(self.table, panel, curve)]


def curves_of(
    table: Table, records: Sequence[Record], folders: Sequence[Path], *, with_train: bool = False
) -> Curves | None:
    """Return the curves of a table's rows; None where no run of them has one.

    Runs that deviate from their recipe are taken only where a row has no other one, and stay apart.

    Args:
        table: whose rows are shown.
        records: of all experiments.
        folders: of results, in which the curves lie.
        with_train: whether the training error is drawn too.

    Raises:
        UserError: a curve that is not that of its record.
    """
    panels = [_panel(table, column, records, folders) for column in table.of_kind("error")]
    found = tuple(panel for panel in panels if panel.curves)
    return Curves(table, found, with_train) if found else None


def _panel(table: Table, column: Column, records: Sequence[Record], folders: Sequence[Path]) -> Panel:
    dataset = column.dataset or table.dataset
    title = f"{column.label}, {dataset}" if len(table.of_kind("error")) > 1 else dataset
    return Panel(column, dataset, title, tuple(_column_curves(table, column, records, folders)))


def _column_curves(table: Table, column: Column, records: Sequence[Record], folders: Sequence[Path]) -> Iterator[Curve]:
    for row in table.rows:
        if column.key in row.cells:
            faithful = _with_curves(runs_of(table, row, column, records), column, folders)
            if faithful:
                yield _curve(table.called(row), row, column, faithful)
            else:
                yield from _deviating(table, row, column, records, folders)


def _deviating(
    table: Table, row: Row, column: Column, records: Sequence[Record], folders: Sequence[Path]
) -> Iterator[Curve]:
    """Give a curve for each way in which runs of a row deviate from its recipe."""

    def how(record: Record) -> tuple[str, ...]:
        return tuple(record.deviations)

    runs = [each for each in records if not each.faithful and is_of(each, table, row, column)]
    for _, alike in groupby(sorted(runs, key=lambda each: (how(each), each.seed)), how):
        if found := _with_curves(list(alike), column, folders):
            yield _curve(table.called(row), row, column, found)


def _with_curves(
    runs: Sequence[Record], column: Column, folders: Sequence[Path]
) -> list[tuple[Record, list[EpochRow]]]:
    """Return the runs whose curve is there, with it; curves that are older than the column's metric are left out."""
    found = []
    for run in runs:
        curve = curve_of(run, folders)
        if curve and all(getattr(epoch, _figure(column)) is not None for epoch in curve):
            found.append((run, curve))
    return found


def _figure(column: Column) -> str:
    """Return the field of an epoch that is a column's metric."""
    return METRICS.get(column.metric, column.metric)


def _curve(name: str, row: Row, column: Column, found: Sequence[tuple[Record, list[EpochRow]]]) -> Curve:
    runs, curves = [run for run, _ in found], [curve for _, curve in found]
    judged = column.comparable and not runs[0].deviations
    return Curve(
        row=name,
        seeds=tuple(run.seed for run in runs),
        reduced=tuple(reduced(runs)),
        deviations=tuple(runs[0].deviations),
        test=_spreads(curves, lambda epoch: getattr(epoch, _figure(column))),
        train=_spreads(curves, lambda epoch: epoch.train_error) if column.metric == "error" else (),
        printed=row.cells[column.key].text if judged else None,
    )


def _spreads(curves: Sequence[list[EpochRow]], value: Callable[[EpochRow], float]) -> tuple[Spread, ...]:
    """Return the spread of each epoch over runs of the same length."""
    epochs = ([value(row) for row in rows] for rows in zip(*curves, strict=True))
    return tuple(Spread(statistics.median(values), min(values), max(values)) for values in epochs)


def _lines(table: Table, panel: Panel, curve: Curve) -> Iterator[dict[str, Any]]:
    same = {
        "table": table.name,
        "column": panel.column.key,
        "dataset": panel.dataset,
        "metric": panel.column.metric,
        "row": curve.row,
        "seeds": " ".join(map(str, curve.seeds)),
        "deviations": "; ".join(curve.deviations),
        "printed": curve.printed,
    }
    for epoch, test in enumerate(curve.test, 1):
        train = curve.train[epoch - 1]._asdict() if curve.train else {}
        yield {
            **same,
            "epoch": epoch,
            **test._asdict(),
            **{f"train_{name}": value for name, value in train.items()},
        }
