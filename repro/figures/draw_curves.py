"""The picture of training curves: a panel for each column, its legend below it, the printed errors on its right."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from textwrap import fill
from typing import TYPE_CHECKING, Any

from repro.figures.curves import Band, Curve, Curves, Panel
from repro.figures.themes import LETTERS, LINE, POINTS, WIDTH, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Look = dict[str, Any]
"""How a line is drawn: keyword arguments of matplotlib."""
HEIGHT, FRAME = 2.6, 0.6
"""Least height of a panel in inches, without its legend, and that of its title and axis."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""One marker more than there are colours, so that pairs of marker and colour repeat late."""
MARKS = 8
"""Approximate number of markers on a curve."""
COLUMN = 46
"""Characters in a line of a legend."""
TRAINING = {"linestyle": (0, (4, 2)), "linewidth": 0.9, "markersize": 2.5}
SHOWN_FROM = 0.1
"""Errors before this fraction of the longest run may be outside the picture: the first ones are many times as large."""


def draw_curves(curves: Curves, theme: Theme) -> Figure:
    """Return the picture."""
    from matplotlib.figure import Figure

    across = min(2, len(curves.panels))
    down = ceil(len(curves.panels) / across)
    legend = max(_legend_lines(panel, across) for panel in curves.panels) + 1
    height, note = max(map(_height, curves.panels)), fill(_note(curves), LETTERS)
    lines = 2 + note.count("\n")
    figure = Figure((WIDTH, down * (height + LINE * legend) + lines * LINE), layout="constrained")
    figure.suptitle(curves.title, x=0.01, ha="left")
    figure.supxlabel(note, x=0.01, ha="left", fontsize=POINTS)
    rows = list(dict.fromkeys(curve.row for panel in curves.panels for curve in panel.curves))
    places = list(figure.subplots(down, across, squeeze=False).flat)
    for axes, panel in zip(places, curves.panels, strict=False):
        looks = [_look(rows.index(curve.row), len(rows), curve, theme) for curve in panel.curves]
        drawn = _draw_panel(axes, panel, looks, curves.with_train)
        _draw_printed(axes, panel, looks, theme, LINE / (height - FRAME))
        _add_legend(axes, panel, drawn, across)
    for empty in places[len(curves.panels) :]:
        empty.remove()
    return figure


def _height(panel: Panel) -> float:
    """Return the height of a panel, without its legend, in which the printed errors have a line each."""
    return max(HEIGHT, FRAME + LINE * len([curve for curve in panel.curves if curve.printed]))


def _note(curves: Curves) -> str:
    """Return the explanation below the picture."""
    shown = [curve for panel in curves.panels for curve in panel.curves]
    notes = ["Dashed, with small markers: training error."] if curves.with_train else []
    if any(len(curve.seeds) > 1 for curve in shown):
        notes.append("Lines: median of n seeds; bands: range.")
    if any(curve.deviations for curve in shown):
        notes.append("Dotted: test error of runs that deviate from the recipe.")
    if any(curve.printed for curve in shown):
        notes.append("Hollow marker at the right: printed error.")
    if any(len(curve.test) <= _first_shown(panel) for panel in curves.panels for curve in panel.curves):
        notes.append("Curves that end early may be outside the picture.")
    return "  ".join(notes)


def _draw_panel(axes: Axes, panel: Panel, looks: Sequence[Look], with_train: bool) -> list[Line2D]:
    """Draw the curves and the frame; return the lines of the test errors."""
    lines = []
    for curve, look in zip(panel.curves, looks, strict=True):
        if with_train and curve.drawn_train:
            _draw_curve(axes, curve.drawn_train, {**look, **TRAINING})
        lines.append(_draw_curve(axes, curve.test, look))
    _set_limits(axes, panel, with_train)
    label = panel.metric.axis
    axes.set_title(panel.title, loc="left")
    axes.set_xlabel("epoch")
    axes.set_ylabel(label.removeprefix("test ") if with_train else label)
    axes.grid(axis="y", linewidth=0.5)
    return lines


def _look(number: int, of: int, curve: Curve, theme: Theme) -> Look:
    """Return how a row is drawn: its colour, its marker, and where on the curve its markers are."""
    every = max(1, len(curve.test) // MARKS)
    return {
        "color": theme.series[number % len(theme.series)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4,
        "markevery": (number * every // of, every),
        "linewidth": 1.2,
        "linestyle": ":" if curve.deviations else "-",
    }


def _draw_curve(axes: Axes, bands: Sequence[Band], look: Look) -> Line2D:
    """Draw the median of each epoch, with a band between the lowest and the highest; return the line of the medians."""
    epochs = range(1, len(bands) + 1)
    medians, lowest, highest = zip(*bands, strict=True)
    if lowest != highest:
        if len(bands) > 1:
            axes.fill_between(epochs, lowest, highest, color=look["color"], alpha=0.2, linewidth=0)
        else:
            axes.vlines(epochs, lowest, highest, color=look["color"], linewidth=look["linewidth"])
    return axes.plot(epochs, medians, **look)[0]


def _first_shown(panel: Panel) -> int:
    """Return how many epochs precede the first one that the picture shows in full."""
    return int(SHOWN_FROM * panel.epochs)


def _set_limits(axes: Axes, panel: Panel, with_train: bool) -> None:
    """Show every curve except its beginning, and the printed errors."""
    from matplotlib.ticker import MaxNLocator

    values = [float(curve.printed) for curve in panel.curves if curve.printed]
    for curve in panel.curves:
        for bands in (curve.test, curve.drawn_train if with_train else ()):
            values += [value for each in bands[_first_shown(panel) :] for value in each]
    margin = 0.05 * (max(values) - min(values)) or 0.05 * max(values) or 1.0
    axes.set_ylim(max(0.0, min(values) - margin), max(values) + margin)
    axes.set_xlim((0.5, 1.5) if panel.epochs == 1 else (1 - 0.02 * panel.epochs, 1.02 * panel.epochs))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _draw_printed(axes: Axes, panel: Panel, looks: Sequence[Look], theme: Theme, line: float) -> None:
    """Mark the printed errors at the right edge and write them next to it without overlaps.

    Args:
        axes: where the panel is drawn.
        panel: its curves.
        looks: how each of them is drawn.
        theme: the colours.
        line: the height of a line of text as a share of that of the axes.
    """
    low, high = axes.get_ylim()
    shown = zip(panel.curves, looks, strict=True)
    printed = sorted(((curve.printed, look) for curve, look in shown if curve.printed), key=lambda each: float(each[0]))
    heights = [(float(text) - low) / (high - low) for text, _ in printed]
    for (text, look), height, place in zip(printed, heights, apart(heights, line), strict=True):
        marker = {"color": look["color"], "marker": look["marker"], "markerfacecolor": theme.paper}
        axes.plot([1], [height], transform=axes.transAxes, clip_on=False, markersize=5, **marker)
        arrow = {"arrowstyle": "-", "color": look["color"], "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        where: dict[str, Any] = {"xycoords": "axes fraction", "va": "center", "annotation_clip": False}
        axes.annotate(text, (1, height), (1.06, place), arrowprops=arrow, **where)


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Return ascending places moved into 0 to 1 and to at least `gap` apart, with the least sum of squared moves."""
    pools: list[list[float]] = []
    for number, place in enumerate(places):
        pools.append([place - number * gap])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    highest = max(0.0, 1 - (len(places) - 1) * gap)
    shifted = [min(max(0.0, _mean(pool)), highest) for pool in pools for _ in pool]
    return [place + number * gap for number, place in enumerate(shifted)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _legend_lines(panel: Panel, across: int) -> int:
    """Return how many lines of text a panel's legend has."""
    lines = [_wrapped(each).count("\n") + 1 for each in panel.labels]
    return sum(lines) if across > 1 else ceil(len(lines) / 2) * max(lines)


def _wrapped(label: str) -> str:
    return fill(label, COLUMN)


def _add_legend(axes: Axes, panel: Panel, lines: Sequence[Line2D], across: int) -> None:
    """Put the legend below the panel, where it hides nothing."""
    from matplotlib.transforms import ScaledTranslation

    figure = axes.get_figure()
    assert figure
    beneath = axes.transAxes + ScaledTranslation(0, -2.6 * LINE, figure.dpi_scale_trans)
    axes.legend(
        lines,
        [*map(_wrapped, panel.labels)],
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=beneath,
        ncols=1 if across > 1 else 2,
        borderaxespad=0,
        borderpad=0,
        handlelength=3,
    )
