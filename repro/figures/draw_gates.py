"""The picture of gates: a heat map of block against distance, cut into strips so that the numbers can be read."""

from __future__ import annotations

from math import ceil
from textwrap import fill
from typing import TYPE_CHECKING

from repro.figures.gates import Gates
from repro.figures.themes import LETTERS, LINE, POINTS, WIDTH, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

ACROSS = 18
"""Largest number of blocks in a strip: a stage of DenseResNet-110, or all of DenseResNet-34."""
CELL = 0.19
"""Height of a cell in inches."""
EQUAL_CONTRAST = 0.179
"""The luminance on which black and white text have the same contrast (WCAG 2)."""
MAP = "cividis"
"""A colour map that is perceptually uniform, also with colour blindness."""


def draw_gates(gates: Gates, theme: Theme) -> Figure:
    """Return the picture."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    strips = ceil(gates.blocks / ACROSS)
    across = ceil(gates.blocks / strips)
    title = "\n".join(fill(each, LETTERS) for each in gates.title.split("\n"))
    height = strips * (CELL * gates.most + 0.3) + 0.8 + LINE * (title.count("\n") + 1)
    figure = Figure((WIDTH, height), layout="constrained")
    colours = ScalarMappable(Normalize(0, _brightest(gates)), MAP)
    places = figure.subplots(strips, 1, squeeze=False)[:, 0]
    for number, axes in enumerate(places):
        _draw_strip(axes, gates, range(1 + number * across, 1 + (number + 1) * across), colours, theme)
    _add_scale(figure, gates, colours, theme)
    figure.suptitle(title, x=0.01, ha="left")
    figure.supxlabel("block i; distance of the map, 1 is the nearest; line in the scale: 1/N", fontsize=POINTS)
    figure.supylabel("maps back", fontsize=POINTS)
    return figure


def _brightest(gates: Gates) -> float:
    """Return the end of the scale: the largest mean, without the first blocks, which see few maps."""
    first = min(gates.most, ceil(gates.blocks / 2))
    return max(mean for (block, _), mean in gates.means.items() if block >= first)


def _draw_strip(axes: Axes, gates: Gates, blocks: range, colours: ScalarMappable, theme: Theme) -> None:
    from matplotlib.patches import Rectangle

    for (block, distance), mean in gates.means.items():
        if block in blocks:
            colour = tuple(colours.cmap(mean / _brightest(gates)))
            corner = block - 0.5, distance - 0.5
            axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor=theme.paper, linewidth=0.8))
            ink = "#000000" if _luminance(colour) > EQUAL_CONTRAST else "#ffffff"
            axes.text(block, distance, f"{mean:.2f}".removeprefix("0"), ha="center", va="center_baseline", color=ink)
    axes.set_xlim(blocks.start - 0.5, blocks.stop - 0.5)
    axes.set_ylim(0.5, gates.most + 0.5)
    axes.set_xticks([block for block in blocks if block <= gates.blocks])
    axes.set_yticks(range(1, gates.most + 1))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _add_scale(figure: Figure, gates: Gates, colours: ScalarMappable, theme: Theme) -> None:
    """Add the scale of the colours, with a line at the weight of equal shares."""
    beyond = max(gates.means.values()) > _brightest(gates)
    scale = figure.colorbar(colours, ax=figure.axes, extend="max" if beyond else "neither", aspect=25, pad=0.01)
    scale.outline.set_visible(False)
    scale.set_label("mean $w_{ik}$", parse_math=True)
    scale.ax.axhline(1 / gates.most, color=theme.paper, linewidth=1.5)


def _luminance(colour: tuple[float, ...]) -> float:
    """Return the relative luminance of a colour of sRGB, as WCAG 2 defines it."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
