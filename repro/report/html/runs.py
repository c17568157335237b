"""The runs behind a table, and those that are not counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from repro.comparison.join import Comparison
from repro.report.html.grid import Grid, Heading, Line, Shown
from repro.store.results import Record

METRICS = {
    "error": "Error %",
    "error5": "Top-5 error %",
    "iou": "Mean IoU",
    "isbi_pixel": "Pixel error",
    "isbi_rand": "Rand error",
}
"""The figures of a record, as a page calls them."""
WHERE = (
    Heading("Device"),
    Heading("Precision"),
    Heading("torch"),
    Heading("Commit"),
    Heading("Wall time", numeric=True),
)


def runs_grid(comparison: Comparison) -> Grid | None:
    """Return the runs that are counted; None without any."""
    return _grid("Runs that followed the recipe", comparison, comparison.runs)


def deviating_grid(comparison: Comparison) -> Grid | None:
    """Return the runs that changed their recipe, with what they changed; None without any."""
    return _grid("Runs that deviate from the recipe: not counted", comparison, comparison.deviating, deviation=True)


def _grid(caption: str, comparison: Comparison, runs: Sequence[Record], deviation: bool = False) -> Grid | None:
    if not runs:
        return None
    metrics = [column.metric for column in comparison.table.of_kind("error")]
    shown = [key for key in METRICS if key == "error" or key in metrics]
    changed = (Heading("Deviation (recipe)"),) if deviation else ()
    errors = tuple(Heading(METRICS[key], numeric=True) for key in shown)
    headings = (Heading("Run"), Heading("Seed", numeric=True), *errors, *changed, *WHERE)
    return Grid(caption, headings, tuple(_line(run, shown, deviation) for run in runs), kind="runs")


def _line(run: Record, metrics: Sequence[str], deviation: bool) -> Line:
    seed = Shown(str(run.seed), sorted_by=run.seed)
    errors = [_figure(getattr(run, key), key) for key in metrics]
    changed = [Shown(", ".join(run.deviations))] if deviation else []
    where = [Shown(text or "–") for text in (run.device, run.precision, run.torch, run.commit)]
    time = Shown(str(timedelta(seconds=round(run.seconds))), sorted_by=run.seconds)
    return Line((Shown(run.name), seed, *errors, *changed, *where, time))


def _figure(value: float | None, metric: str) -> Shown:
    """Return an error in % with two decimals, a share with four."""
    if value is None:
        return Shown("–", sorted_by="", muted=True)
    return Shown(f"{value:.{2 if metric.startswith('error') else 4}f}", sorted_by=value)
