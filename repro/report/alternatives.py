"""What alternatives of a recipe's values do to a table's errors: in a terminal, as CSV and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repro.comparison.alternatives import TriedAlternative
from repro.comparison.join import Comparison
from repro.comparison.rule import Judgement
from repro.console import json_text
from repro.report import ReportFormat
from repro.report.formats.csv import csv_text, rounded, spaced
from repro.report.grid import DASH, Grid, Heading, Line, Shown, Tag
from repro.text import signed

if TYPE_CHECKING:
    from rich.console import RenderableType

HEADINGS = (
    Heading("Row"),
    Heading("Value"),
    Heading("Recipe"),
    Heading("Alternative"),
    Heading("Paper", numeric=True),
    Heading("Error %,\nrecipe", numeric=True),
    Heading("Error %,\nalternative", numeric=True),
    Heading("Difference", numeric=True),
    Heading("Margin", numeric=True),
    Heading("Within"),
)
CSV = {
    **spaced("row", "column", "recipe", "value", "recipe_value", "alternative", "epochs"),
    "published": "paper",
    **spaced("error_recipe", "seeds_recipe", "error_alternative", "seeds_alternative"),
    **spaced("difference", "expected", "margin", "within_margin"),
}
"""The CSV columns of an alternative, by the keys of its data."""
EXACT = ("recipe_value", "alternative")
"""The keys of the values of recipes, which are not rounded as figures are."""


@dataclass(frozen=True)
class AlternativesReport:
    """The alternatives that were tried for the errors of a table."""

    comparison: Comparison
    tried: Sequence[TriedAlternative]

    def rich(self) -> RenderableType:
        """Return what a terminal shows."""
        from repro.report.formats import terminal

        return terminal.grid_rich(self.grid)

    @property
    def grid(self) -> Grid:
        """The alternatives, one in each line."""
        title = f"Alternatives for the errors of {self.comparison.table.name} that differ (their runs are not counted)"
        return Grid(title, HEADINGS, tuple(map(_line, self.tried)))

    def text(self, format: ReportFormat) -> str:
        """Return the report for a terminal, as CSV or as JSON, with a newline at the end."""
        if format == ReportFormat.RICH:
            from repro.report.formats import terminal

            return terminal.plain(self.rich())
        if format == ReportFormat.CSV:
            rows = [{name: _csv_cell(key, data[key]) for key, name in CSV.items()} for data in map(_data, self.tried)]
            return csv_text(rows, list(CSV.values()))
        return json_text({"table": self.comparison.table.name, "alternatives": list(map(_data, self.tried))})


def _line(tried: TriedAlternative) -> Line:
    trial, error = tried.trial, tried.trial.error
    texts = (error.label, trial.alternative.name, trial.own_text, trial.alternative.text, error.cell.text)
    return Line((*map(Shown, texts), *_figures(tried), _within(tried)), name=error.label)


def _figures(tried: TriedAlternative) -> list[Shown]:
    """Return both errors with their numbers of seeds, their difference, and the margin around the printed error."""
    return [
        _error(tried.own, len(tried.own_seeds)),
        _error(tried.changed, len(tried.changed_seeds)),
        Shown(DASH if tried.difference is None else signed(tried.difference)),
        Shown(DASH if tried.judgement is None else _margin(tried.judgement)),
    ]


def _margin(judgement: Judgement) -> str:
    """Return the margin; for the best of several runs it is not around the printed error, as in `+0.17 ± 0.53`."""
    shift = f"{signed(judgement.expected)} " if abs(judgement.expected) >= 0.005 else ""
    return f"{shift}± {judgement.margin:.2f}"


def _error(value: float | None, n: int) -> Shown:
    return Shown(DASH, muted=True) if value is None else Shown(f"{value:.2f} (n = {n})")


def _within(tried: TriedAlternative) -> Shown:
    """Return whether the error with the alternative is within the margin of the printed one."""
    if tried.within is None:
        return Shown("not measured", muted=True)
    return Shown(tags=(Tag("yes", tone="good") if tried.within else Tag("no", tone="bad"),))


def _csv_cell(key: str, value: object) -> object:
    """Return a list as text with spaces between its items, a value of a recipe as it is, and a figure rounded."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return value if key in EXACT else rounded(value)


def _data(tried: TriedAlternative) -> dict[str, Any]:
    trial, judgement = tried.trial, tried.judgement
    return {
        "row": trial.error.label,
        "column": trial.error.column.key,
        "recipe": trial.recipe.name,
        "value": trial.alternative.name,
        "recipe_value": getattr(trial.recipe, trial.alternative.name),
        "alternative": trial.alternative.value,
        "epochs": trial.epochs,
        "published": trial.error.cell.text,
        "error_recipe": tried.own,
        "seeds_recipe": list(tried.own_seeds),
        "error_alternative": tried.changed,
        "seeds_alternative": list(tried.changed_seeds),
        "difference": tried.difference,
        "expected": judgement and judgement.expected,
        "margin": judgement and judgement.margin,
        "within_margin": tried.within,
    }
