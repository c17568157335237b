"""The runs of a table as grids: those that verdicts use, and those that deviate from the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from repro.comparison.join import Comparison
from repro.report.grid import DASH, Grid, Heading, Line, Shown
from repro.store.results import Record

METRICS = {
    "error": "Error %",
    "error5": "Top-5 error %",
    "iou": "Mean IoU",
    "isbi_pixel": "Pixel error",
    "isbi_rand": "Rand error",
    "ap": "AP %",
    "ap50": "AP50 %",
}
"""The headings of a record's figures."""
IN_PERCENT = ("error", "error5", "ap", "ap50")
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


def shown_metric(value: float, metric: str) -> str:
    """Return a figure of a record: one in % with two decimals, a share with four."""
    return f"{value:.{2 if metric in IN_PERCENT else 4}f}"


def _grid(title: str, comparison: Comparison, runs: Sequence[Record], deviation: bool = False) -> Grid | None:
    if not runs:
        return None
    metrics = [column.metric for column in comparison.table.of_kind("error")]
    shown = [key for key in METRICS if key == "error" or key in metrics]
    changed = (Heading("Deviation (recipe)"),) if deviation else ()
    errors = tuple(Heading(METRICS[key], numeric=True) for key in shown)
    headings = (Heading("Run"), Heading("Seed", numeric=True, detail=True), *errors, *changed, *WHERE)
    return Grid(title, headings, tuple(_line(run, shown, deviation) for run in runs), kind="runs")


def _line(run: Record, metrics: Sequence[str], deviation: bool) -> Line:
    seed = Shown(str(run.seed), sort_key=run.seed)
    errors = [_metric_cell(getattr(run, key), key) for key in metrics]
    changed = [Shown(", ".join(run.deviations))] if deviation else []
    where = [Shown(text or DASH) for text in (run.device, run.precision, run.torch, run.commit)]
    time = Shown(str(timedelta(seconds=round(run.seconds))), sort_key=run.seconds)
    return Line((Shown(run.name), seed, *errors, *changed, *where, time), name=run.name)


def _metric_cell(value: float | None, metric: str) -> Shown:
    if value is None:
        return Shown(DASH, sort_key="", muted=True)
    return Shown(shown_metric(value, metric), sort_key=value)
