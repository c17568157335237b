"""Training curves as numbers, of a table's rows as in Figures 3 and 5 of the DenseResNet paper, or of runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from repro.comparison.match import is_of, reduced, runs_of
from repro.data.inputs.protocol import ONE_CROP
from repro.figures.panels import panel_title
from repro.store.curves import curve_of
from repro.store.results import EpochRow, Record
from repro.tables import Column, ColumnKind, Metric, PrintedError, Table


class Band(NamedTuple):
    """The range of a metric over the seeds after one epoch."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Curve:
    """The runs of one row that differ only in the seed, from epoch 1 on."""

    row: str
    """The label of the row, with what distinguishes it if several rows have that label."""
    dataset: str
    seeds: tuple[int, ...]
    reduced: tuple[str, ...]
    """Reduced precisions of the runs, with the number of runs if not all."""
    deviations: tuple[str, ...]
    """Deviations from the recipe; empty if the runs followed it."""
    test: tuple[Band, ...]
    """The column's metric on the test images; errors in %."""
    train: tuple[Band, ...]
    """Training error in %, over the augmented images of the epoch; empty for other metrics."""
    printed: str | None
    """The printed figure; None if ours cannot be compared with it."""
    printed_otherwise: str = ""
    """The printed figure and its test protocol, if that is not the one of the curve."""
    named: bool = False
    """Whether it is one run, which the user named."""

    @property
    def drawn_train(self) -> tuple[Band, ...]:
        """The training error if it is drawn on request: of a row, not that of runs that deviate."""
        return self.train if self.named or not self.deviations else ()

    @property
    def label(self) -> str:
        """The row with the number of runs, and reduced precision or deviations."""
        deviating = [f"deviates: {', '.join(self.deviations)}"] if self.deviations else []
        number = [] if self.named else [f"n = {len(self.seeds)}"]
        printed = [self.printed_otherwise] if self.printed_otherwise else []
        return "; ".join([self.row, *number, *self.reduced, *deviating, *printed])


@dataclass(frozen=True)
class Panel:
    """The curves of one column of a table, or of runs with one metric on one dataset."""

    column: str
    """The key of the column; empty for runs."""
    label: str
    metric: Metric
    title: str
    curves: tuple[Curve, ...]

    @property
    def labels(self) -> list[str]:
        """The label of each curve, with its dataset if they have several."""
        several = len({curve.dataset for curve in self.curves}) > 1
        return [f"{curve.label}; {curve.dataset}" if several else curve.label for curve in self.curves]

    @property
    def epochs(self) -> int:
        """The length of the longest curve."""
        return max(len(curve.test) for curve in self.curves)


@dataclass(frozen=True)
class Curves:
    """A panel for each column of errors that has curves, or for each metric and dataset of runs."""

    name: str
    """The name of the table or of the first run."""
    title: str
    panels: tuple[Panel, ...]
    with_train: bool = False
    """Whether the training error is drawn too; the CSV file always has it."""

    COLUMNS = (
        *("table", "column", "dataset", "metric", "row", "seeds", "deviations", "printed", "epoch"),
        *("median", "lowest", "highest", "train_median", "train_lowest", "train_highest"),
    )
    """The columns of the CSV file."""

    def lines(self) -> list[dict[str, Any]]:
        """Return a line for each epoch of each curve."""
        return [line for panel in self.panels for curve in panel.curves for line in _lines(self.name, panel, curve)]


def curves_of(
    table: Table,
    records: Sequence[Record],
    folders: Sequence[Path],
    *,
    errors: Sequence[PrintedError] | None = None,
    with_train: bool = False,
) -> Curves | None:
    """Return the curves of a table's errors; None if none of their runs has one.

    Runs that deviate from their recipe are used only for rows without other runs; each set of deviations has a curve.

    Args:
        table: the printed table.
        records: the records of all experiments.
        folders: the results folders, which hold the curves.
        errors: the printed errors whose curves are drawn (default: all).
        with_train: whether the training error is drawn too.

    Raises:
        UserError: a curve does not belong to its record.
    """
    drawn = table.errors() if errors is None else errors
    panels = [_panel(table, column, drawn, records, folders) for column in table.of_kind(ColumnKind.ERROR)]
    found = tuple(panel for panel in panels if panel.curves)
    return Curves(table.name, f"{table.paper}, {table.title}", found, with_train) if found else None


@dataclass(frozen=True)
class RunCurve:
    """A run and its curve."""

    name: str
    dataset: str
    seed: int
    deviations: tuple[str, ...]
    """Deviations from the recipe; empty if the run followed it."""
    epochs: tuple[EpochRow, ...]
    """At least one."""

    @property
    def metric(self) -> Metric:
        """What is drawn: the average precision of a detection, else the error."""
        return Metric.ERROR if self.epochs[0].ap is None else Metric.AP


def curves_of_runs(runs: Sequence[RunCurve], *, with_train: bool = False) -> Curves:
    """Return the curves of runs, finished or not: one for each run, and a panel for each metric on a dataset."""
    panels = dict[tuple[Metric, str], list[Curve]]()
    for run in runs:
        panels.setdefault((run.metric, run.dataset), []).append(_curve_of_run(run))
    shown = (Panel("", metric.heading, metric, dataset, tuple(each)) for (metric, dataset), each in panels.items())
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    return Curves(runs[0].name, title, tuple(shown), with_train)


def _curve_of_run(run: RunCurve) -> Curve:
    return Curve(
        row=run.name,
        dataset=run.dataset,
        seeds=(run.seed,),
        reduced=(),
        deviations=run.deviations,
        test=_test_bands([run.epochs], run.metric),
        train=_train_bands([run.epochs]) if run.metric == Metric.ERROR else (),
        printed=None,
        named=True,
    )


def _panel(
    table: Table, column: Column, errors: Sequence[PrintedError], records: Sequence[Record], folders: Sequence[Path]
) -> Panel:
    named = ((table.called(error.row), error) for error in errors if error.column == column)
    curves = tuple(curve for name, error in named for curve in _curves_of(name, error, records, folders))
    title = panel_title(table, column, (curve.dataset for curve in curves))
    return Panel(column.key, column.label, column.metric, title, curves)


def _curves_of(name: str, error: PrintedError, records: Sequence[Record], folders: Sequence[Path]) -> list[Curve]:
    """Return the curve of a printed error, or, if no run followed its recipe, one for each set of alike runs."""
    if faithful := _with_curves(runs_of(error, records), error.column, folders):
        return [_curve(name, error, faithful)]

    def alike_in(record: Record) -> tuple[tuple[str, ...], int]:
        return tuple(record.deviations), record.epochs  # an earlier version of a recipe may have had other epochs

    runs = [each for each in records if not each.faithful and is_of(each, error)]
    alike = groupby(sorted(runs, key=lambda each: (alike_in(each), each.seed)), alike_in)
    groups = (group for _, same in alike for group in _with_distinct_seeds(list(same)))
    found = (_with_curves(group, error.column, folders) for group in groups)
    return [_curve(name, error, each) for each in found if each]


def _with_distinct_seeds(alike: list[Record]) -> list[list[Record]]:
    """Return runs as one group, or each alone if a seed repeats: they then differ in what their deviations omit."""
    distinct = len({each.seed for each in alike}) == len(alike)
    return [alike] if distinct else [[each] for each in alike]


def _with_curves(
    runs: Sequence[Record], column: Column, folders: Sequence[Path]
) -> list[tuple[Record, list[EpochRow]]]:
    """Return the runs with a curve, and the curve; older curves without the column's metric are left out."""
    found = []
    for run in runs:
        curve = curve_of(run, folders)
        if curve and all(_figure(epoch, column.metric) is not None for epoch in curve):
            found.append((run, curve))
    return found


def _figure(epoch: EpochRow, metric: Metric) -> Any:
    """Return a metric of an epoch; None if it does not have it."""
    return getattr(epoch, metric.of_epoch)


def _curve(name: str, error: PrintedError, found: Sequence[tuple[Record, list[EpochRow]]]) -> Curve:
    column, runs, curves = error.column, [run for run, _ in found], [curve for _, curve in found]
    text, comparable = error.cell.text, column.comparable and not runs[0].deviations
    same = error.protocol == ONE_CROP
    return Curve(
        row=name,
        dataset=error.dataset,
        seeds=tuple(run.seed for run in runs),
        reduced=tuple(reduced(runs)),
        deviations=tuple(runs[0].deviations),
        test=_test_bands(curves, column.metric),
        train=_train_bands(curves) if column.metric == Metric.ERROR else (),
        printed=text if comparable and same else None,
        printed_otherwise=f"printed {text} with {error.protocol.short}" if comparable and not same else "",
    )


def _test_bands(curves: Sequence[Sequence[EpochRow]], metric: Metric) -> tuple[Band, ...]:
    """Return the range of a metric on the test images."""
    return _bands(curves, lambda epoch: _figure(epoch, metric))


def _train_bands(curves: Sequence[Sequence[EpochRow]]) -> tuple[Band, ...]:
    """Return the range of the training error; empty for a detection, which has none."""
    if any(row.train_error is None for rows in curves for row in rows):
        return ()
    return _bands(curves, lambda epoch: epoch.train_error or 0.0)


def _bands(curves: Sequence[Sequence[EpochRow]], value: Callable[[EpochRow], float]) -> tuple[Band, ...]:
    """Return the range after each epoch over runs of the same length."""
    epochs = ([value(row) for row in rows] for rows in zip(*curves, strict=True))
    return tuple(Band(statistics.median(values), min(values), max(values)) for values in epochs)


def _lines(name: str, panel: Panel, curve: Curve) -> Iterator[dict[str, Any]]:
    same = {
        "table": name if panel.column else "",
        "column": panel.column,
        "dataset": curve.dataset,
        "metric": panel.metric,
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
