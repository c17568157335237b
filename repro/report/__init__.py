"""How comparisons are shown: in a terminal, in a notebook, as CSV, JSON, Markdown and LaTeX, and as an HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from repro.comparison.join import Comparison
from repro.console import stdout
from repro.recipes import Library, current_library, within
from repro.report.content import Content, content_of
from repro.report.formats import csv, json, latex, markdown
from repro.report.formats.frame import summary_frame, table_frame
from repro.report.grid import Grid
from repro.report.summary import summary_of
from repro.report.view import ALL, View
from repro.text import choose

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import RenderableType


class ReportFormat(StrEnum):
    """How a report is printed or written."""

    RICH = "rich"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "md"
    LATEX = "latex"
    HTML = "html"


SUFFIXES = {
    ".csv": ReportFormat.CSV,
    ".json": ReportFormat.JSON,
    ".md": ReportFormat.MARKDOWN,
    ".tex": ReportFormat.LATEX,
    ".html": ReportFormat.HTML,
}
"""The format of a file, by its extension."""
GRID_FORMATS = (ReportFormat.RICH, ReportFormat.CSV, ReportFormat.JSON)
"""The formats of an answer that is a single grid: a plan, or what alternatives did."""
RENDERERS = {
    ReportFormat.CSV: (csv.table_csv, csv.summary_csv),
    ReportFormat.JSON: (json.table_json, json.summary_json),
    ReportFormat.MARKDOWN: (markdown.table_markdown, markdown.summary_markdown),
    ReportFormat.LATEX: (latex.table_latex, latex.summary_latex),
}
"""The functions that render a table and the summary of tables, by format."""


@dataclass(frozen=True, repr=False)
class Report:
    """One table, or the summary of several. A notebook shows it as HTML, and `repr` is what a terminal shows."""

    comparisons: Sequence[Comparison]
    folders: Sequence[Path]
    """The results folders, which hold the curves."""
    summary: bool
    library: Library = field(default_factory=current_library)
    """The library that the tables are of; it has their recipes."""
    view: View = ALL
    """What is shown of each table."""
    checked: bool = False
    """Whether the mismatches are listed too."""

    @cached_property
    def contents(self) -> list[Content]:
        """The content of each table."""
        with within(self.library):
            return [content_of(each, self.view) for each in self.comparisons]

    @cached_property
    def totals(self) -> Grid:
        """The summary as a grid."""
        return summary_of(self.comparisons)

    def rich(self) -> RenderableType:
        """Return what a terminal shows."""
        from repro.report.formats import terminal

        if self.summary:
            return terminal.summary_rich(self.totals, checked=self.checked)
        return terminal.table_rich(self.contents[0])

    def text(self, format: ReportFormat | str) -> str:
        """Return the report in a format, with a newline at the end; HTML has both the summary and the tables."""
        chosen = ReportFormat(choose("format", format, [*ReportFormat]))
        if chosen == ReportFormat.RICH:
            from repro.report.formats import terminal

            return terminal.plain(self.rich())
        if chosen == ReportFormat.HTML:
            from repro.report.formats.html import html_page

            with within(self.library):
                return html_page(self.comparisons, self.folders, self.view)
        of_table, of_summary = RENDERERS[chosen]
        return of_summary(self.totals) if self.summary else of_table(self.contents[0])

    def to_frame(self) -> DataFrame:
        """Return a row for each printed row, or in a summary for each table; figures are exact, and errors in %.

        What others report for an error, and the errors of published weights, are a number with the lowest and the
        highest.
        """
        return summary_frame(self.totals) if self.summary else table_frame(self.contents[0])

    def __repr__(self) -> str:
        from repro.report.formats import terminal

        return terminal.plain(self.rich(), stdout().width).rstrip()

    def _repr_html_(self) -> str:
        from repro.report.formats.html import notebook_html

        if self.summary:
            return notebook_html([self.totals.without_details()])
        content = self.contents[0]
        deviating = [content.deviating.without_details()] if content.deviating else []
        return notebook_html([content.grid, *deviating], content.notes)
