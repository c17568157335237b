"""The picture of a forest plot: a line for each row, with the printed error, what others report, and our runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from repro.encoding import visible
from repro.figures.forest import Evidence, Forest, ForestPanel, ForestRow, Point
from repro.figures.themes import POINTS, WIDTH, Theme
from repro.tables import Closeness

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.3
"""Height of a row in inches."""
APART = 0.17
"""What is measured here is above the middle of its row by this share of its height, and what others report below."""
FRAME = 0.75
"""Height of a panel's title and axis in inches."""
MARGIN = 0.03
"""Margin on either side of a panel, as a share of the range that it shows."""
MARKS: dict[str, tuple[str, bool]] = {
    Closeness.SAME: ("o", True),
    Closeness.CLOSE: ("o", False),
    Closeness.OTHER: ("x", True),
    Closeness.UNKNOWN: (".", True),
}
"""Marker of a replication by its closeness, and whether it is filled."""
WORDS: dict[str, str] = {
    Closeness.SAME: "others, as printed",
    Closeness.CLOSE: "others, one or two differences",
    Closeness.OTHER: "others, more differences",
    Closeness.UNKNOWN: "others, training not described",
    Evidence.WEIGHTS: "published weights, tested here",
    Evidence.SEED: "our seeds",
    Evidence.MEAN: "mean of our seeds, 95 % interval",
    Evidence.MEDIAN: "median of our seeds, compared",
    Evidence.LOWEST: "lowest of our seeds, compared",
    Evidence.DEVIATING: "our runs that deviate from the recipe",
}
"""The legend."""


def draw_forest(forest: Forest, theme: Theme) -> Figure:
    """Return the picture."""
    from matplotlib.figure import Figure

    heights = [ROW * len(panel.rows) + FRAME for panel in forest.panels]
    figure = Figure((WIDTH, sum(heights) + 0.9), layout="constrained")
    figure.suptitle(f"{forest.table.paper}, {forest.table.title}", x=0.01, ha="left")
    places = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, panel in zip(places, forest.panels, strict=True):
        _draw_panel(axes, panel, theme)
    _add_legend(figure, forest, theme)
    return figure


def _draw_panel(axes: Axes, panel: ForestPanel, theme: Theme) -> None:
    axes.set_xlim(*_limits(panel))
    for place, row in enumerate(panel.rows):
        _draw_row(axes, place, row, theme)
        _draw_outside(axes, place, row, theme)
    axes.set_yticks(range(len(panel.rows)), [visible(row.label) for row in panel.rows])
    axes.set_ylim(len(panel.rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", linewidth=0.5)
    axes.spines["left"].set_visible(False)
    axes.set_title(panel.title, loc="left")
    axes.set_xlabel("test error (%)")


def _limits(panel: ForestPanel) -> tuple[float, float]:
    """Return the ends of the axis; runs that deviate may be outside, since they can be far from all others."""
    points = [each for row in panel.rows for each in row.points if each.kind is not Evidence.DEVIATING]
    low, high = min(each.drawn[0] for each in points), max(each.drawn[1] for each in points)
    margin = MARGIN * (high - low)
    return low - margin, high + margin


def _draw_outside(axes: Axes, place: int, row: ForestRow, theme: Theme) -> None:
    """Mark the runs outside the axis with an arrow at its end, and write their errors next to it."""
    low, high = axes.get_xlim()
    errors = sorted(each.error for each in row.of(Evidence.DEVIATING))
    less, more = [each for each in errors if each < low], [each for each in errors if each > high]
    look = {**_looks(theme)[Evidence.DEVIATING], "clip_on": False}
    for end, marker, outside in ((low, "<", less), (high, ">", more)):
        if outside:
            axes.plot(end, place - APART, **{**look, "marker": marker})
            text = ", ".join(f"{each:.2f}" for each in outside)
            where: dict[str, Any] = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
            axes.annotate(text, (end, place - APART), (6, 0), **where)


def _draw_row(axes: Axes, place: int, row: ForestRow, theme: Theme) -> None:
    looks = _looks(theme)
    for point in row.of(Evidence.PRINTED):
        low, high = point.drawn
        axes.barh(place, high - low, left=low, height=0.62, color=theme.faint)
        _mark_cut(axes, place, point, theme.ink)
        axes.plot([point.error] * 2, [place - 0.31, place + 0.31], color=theme.ink, linewidth=1.4)
    for point in row.of(Evidence.REPLICATION):
        axes.plot(point.error, place + APART, **looks[point.note])
    for point in row.of(Evidence.WEIGHTS, Evidence.DEVIATING, Evidence.SEED):
        axes.plot(point.error, place - APART, **looks[point.kind])
    for point in row.of(Evidence.MEAN):
        axes.plot(point.drawn, [place - APART] * 2, color=theme.series[1], linewidth=1.6)
        _mark_cut(axes, place - APART, point, theme.series[1])
    for point in row.of(Evidence.MEAN, Evidence.MEDIAN, Evidence.LOWEST):
        axes.plot(point.error, place - APART, **looks[point.kind])


def _mark_cut(axes: Axes, place: float, point: Point, colour: str) -> None:
    """Mark the ends at which a range is cut with arrowheads."""
    from matplotlib.markers import CARETLEFT, CARETRIGHT

    for end, whole, marker in zip(point.drawn, point.range, (CARETLEFT, CARETRIGHT), strict=True):
        if end != whole:
            axes.plot(end, place, linestyle="none", marker=marker, markersize=4, color=colour)


def _looks(theme: Theme) -> dict[str, dict[str, Any]]:
    """Return how each kind of point is drawn: shapes differ, so that colours are not needed to tell them apart."""
    others, ours = theme.series[0], theme.series[1]
    same = {"linestyle": "none", "markersize": 4.5, "markeredgewidth": 0.9}
    looks: dict[str, dict[str, Any]] = {
        closeness: {**same, "marker": marker, "color": others, "markerfacecolor": others if filled else "none"}
        for closeness, (marker, filled) in MARKS.items()
    }
    looks[Evidence.WEIGHTS] = {**same, "marker": "D", "color": others, "markerfacecolor": "none"}
    looks[Evidence.SEED] = {**same, "marker": "|", "color": ours, "markersize": 7}
    looks[Evidence.MEAN] = {**same, "marker": "s", "color": ours}
    looks[Evidence.MEDIAN] = {**same, "marker": "d", "color": ours}
    looks[Evidence.LOWEST] = {**same, "marker": "v", "color": ours}
    looks[Evidence.DEVIATING] = {**same, "marker": "^", "color": ours, "markerfacecolor": "none"}
    return looks


def _add_legend(figure: Figure, forest: Forest, theme: Theme) -> None:
    """Explain the marks that occur, below the picture."""
    from matplotlib.lines import Line2D
    from matplotlib.markers import CARETRIGHT
    from matplotlib.patches import Patch

    looks, occurring = _looks(theme), set(_kinds(forest))
    handles: list[Any] = [
        Line2D([], [], color=theme.ink, linestyle="none", marker="|", markersize=8, label="printed"),
        Patch(color=theme.faint, label="margin for our runs, or for one"),
    ]
    if any(point.drawn != point.range for point in _points(forest)):
        cut: dict[str, Any] = {"linestyle": "none", "marker": CARETRIGHT, "markersize": 4, "color": theme.ink}
        handles.append(Line2D([], [], label="goes on below 0 or above 100 %", **cut))
    handles += [Line2D([], [], label=text, **looks[kind]) for kind, text in WORDS.items() if kind in occurring]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=POINTS)


def _kinds(forest: Forest) -> Iterator[str]:
    for point in _points(forest):
        yield point.note if point.kind is Evidence.REPLICATION else point.kind


def _points(forest: Forest) -> Iterator[Point]:
    return (point for panel in forest.panels for row in panel.rows for point in row.points)
