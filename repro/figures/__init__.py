"""Figures: each is a frozen dataclass of numbers, which `draw` turns into a picture. Only `draw` loads matplotlib."""

from repro.figures.curves import Curves, RunCurve, curves_of, curves_of_runs
from repro.figures.drawing import FORMATS, Figure, draw
from repro.figures.forest import Forest, forest_of
from repro.figures.gates import Gates, gates_of
from repro.figures.themes import THEMES

__all__ = [
    "FORMATS",
    "THEMES",
    "Curves",
    "Figure",
    "Forest",
    "Gates",
    "RunCurve",
    "curves_of",
    "curves_of_runs",
    "draw",
    "forest_of",
    "gates_of",
]
