"""The themes, light (for print) and dark: colours that people with colour blindness can distinguish, and text sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WIDTH = 7.0
"""Width in inches: the text of a page in two columns."""
POINTS = 8
"""Size of the smallest text."""
LINE = 0.16
"""Height of a line of text in inches."""
LETTERS = 95
"""Characters in a line of text that is as wide as a picture."""
BLUE, SKY, GREEN, YELLOW = "#0072B2", "#56B4E9", "#009E73", "#F0E442"
ORANGE, VERMILLION, PURPLE = "#E69F00", "#D55E00", "#CC79A7"
"""Okabe and Ito, Color Universal Design, 2008; jfly.uni-koeln.de/color."""


@dataclass(frozen=True)
class Theme:
    """The colours of a picture."""

    paper: str
    ink: str
    faint: str
    """The colour of grid lines."""
    series: tuple[str, ...]
    """The colours of curves, in order; colours with low contrast to the background are left out."""


THEMES = {
    "light": Theme("#ffffff", "#1a1a1a", "#d8d8d8", (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, "#000000")),
    "dark": Theme("#15181c", "#e6e6e6", "#3a3f46", (SKY, VERMILLION, GREEN, PURPLE, ORANGE, YELLOW, "#ffffff")),
}


def style(theme: Theme) -> dict[Any, Any]:
    """Return matplotlib's settings for a theme."""
    ink = dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.labelcolor"), theme.ink)
    edges = dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), theme.faint)
    sizes = ("font.size", "axes.labelsize", "axes.titlesize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")
    return {
        **ink,
        **edges,
        **dict.fromkeys(sizes, POINTS),
        "ytick.labelcolor": theme.ink,
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "figure.titlesize": POINTS + 1,
        "legend.frameon": False,
        "text.parse_math": False,  # names of others may have a $
        # Text stays text in SVG, so that it can be searched, selected and read aloud; the fallback font (Verdana) is
        # as wide. PDF, which is for print, embeds its fonts.
        "svg.fonttype": "none",
        "svg.hashsalt": "repro",
        "pdf.fonttype": 42,
    }
