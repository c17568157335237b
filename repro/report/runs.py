"""The runs of a table as grids: those that verdicts use, and those that deviate from the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from repro.comparison.join import Comparison
from repro.report.grid import DASH, Grid, Heading, Line, Shown
from repro.store.results import Record
from repro.tables import ColumnKind, Metric

WHERE = (
    Heading("Device", detail=True),
    Heading("Precision"),
    Heading("torch", detail=True),
    Heading("Commit", detail=True),
    Heading("Wall time", numeric=True, detail=True),
)
"""The headings of the last columns."""


def runs_grid(comparison: Comparison) -> Grid | None:
    """Return the runs that verdicts use; None without any."""
    return _grid("Runs that followed the recipe", comparison, comparison.runs)


def deviating_grid(comparison: Comparison) -> Grid | None:
    """Return the runs that changed their recipe, with what they changed; None without any."""
    return _grid("Runs that deviate from the recipe (not used)", comparison, comparison.deviating, deviation=True)


def _grid(title: str, comparison: Comparison, runs: Sequence[Record], deviation: bool = False) -> Grid | None:
    if not runs:
        return None
    metrics = [column.metric for column in comparison.table.of_kind(ColumnKind.ERROR)]
    shown = [each for each in Metric if each == Metric.ERROR or each in metrics]
    changed = (Heading("Deviation (recipe)"),) if deviation else ()
    errors = tuple(Heading(each.heading, numeric=True) for each in shown)
    headings = (Heading("Run"), Heading("Seed", numeric=True, detail=True), *errors, *changed, *WHERE)
    return Grid(title, headings, tuple(_line(run, shown, deviation) for run in runs), kind="runs")


def _line(run: Record, metrics: Sequence[Metric], deviation: bool) -> Line:
    seed = Shown(str(run.seed), sort_key=run.seed)
    errors = [_metric_cell(getattr(run, key), key) for key in metrics]
    changed = [Shown(", ".join(run.deviations))] if deviation else []
    where = [Shown(text or DASH) for text in (run.device, run.precision, run.torch, run.commit)]
    time = Shown(str(timedelta(seconds=round(run.seconds))), sort_key=run.seconds)
    return Line((Shown(run.name), seed, *errors, *changed, *where, time), name=run.name)


def _metric_cell(value: float | None, metric: Metric) -> Shown:
    if value is None:
        return Shown(DASH, sort_key="", muted=True)
    return Shown(metric.shown(value), sort_key=value)
