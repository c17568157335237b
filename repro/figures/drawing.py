"""Turns a figure's numbers into the bytes of a picture; no display is needed."""

from __future__ import annotations

import io
import warnings
from typing import Any

from repro.encoding import visible
from repro.errors import package_missing
from repro.figures.curves import Curves
from repro.figures.forest import Forest
from repro.figures.gates import Gates
from repro.figures.themes import THEMES, Theme, style
from repro.text import choose

Figure = Curves | Gates | Forest

DPI = 300
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
"""Metadata that is left out of a file, so that the same numbers give the same bytes."""


def draw(figure: Figure, format: str = "svg", theme: str = "light") -> bytes:
    """Return a picture of a figure.

    Args:
        figure: its numbers.
        format: one of FORMATS.
        theme: one of THEMES.

    Raises:
        UserError: an unknown format or theme.
        PackageMissing: matplotlib, or a package that it imports, is not installed.
    """
    format, colours = choose("format", format, FORMATS), THEMES[choose("theme", theme, THEMES)]
    try:
        import matplotlib.text
    except ModuleNotFoundError as error:
        raise package_missing(error, "drawing figures") from error
    content = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # ignores the user's own settings
        matplotlib.rcParams.update(style(colours))
        canvas = _canvas(figure, colours)
        for text in canvas.findobj(matplotlib.text.Text):
            text.set_text(visible(text.get_text()))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a character that no font has is drawn as a box
            canvas.savefig(content, format=format, dpi=DPI, metadata=FORMATS[format])
    return content.getvalue()


def _canvas(figure: Figure, theme: Theme) -> Any:
    """Return matplotlib's figure."""
    from repro.figures.draw_curves import draw_curves
    from repro.figures.draw_forest import draw_forest
    from repro.figures.draw_gates import draw_gates

    match figure:
        case Forest():
            return draw_forest(figure, theme)
        case Curves():
            return draw_curves(figure, theme)
        case Gates():
            return draw_gates(figure, theme)
