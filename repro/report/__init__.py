"""How comparisons are shown: in a terminal, as CSV, JSON, Markdown and LaTeX, and as an HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from repro.comparison.join import Comparison
from repro.report import csv, json, latex, markdown
from repro.report.content import Content, content_of
from repro.report.grid import Grid
from repro.report.summary import summary_of

if TYPE_CHECKING:
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
TABLES = {
    ReportFormat.CSV: csv.table_csv,
    ReportFormat.JSON: json.table_json,
    ReportFormat.MARKDOWN: markdown.table_markdown,
    ReportFormat.LATEX: latex.table_latex,
}
"""The function that renders a table, by format."""
SUMMARIES = {
    ReportFormat.CSV: csv.summary_csv,
    ReportFormat.JSON: json.summary_json,
    ReportFormat.MARKDOWN: markdown.summary_markdown,
    ReportFormat.LATEX: latex.summary_latex,
}
"""The function that renders the summary of tables, by format."""


@dataclass(frozen=True)
class Report:
    """One table, or the summary of several."""

    comparisons: Sequence[Comparison]
    folders: Sequence[Path]
    """The results folders, which hold the curves."""
    summary: bool

    @cached_property
    def contents(self) -> list[Content]:
        """The content of each table."""
        return [content_of(each) for each in self.comparisons]

    @cached_property
    def totals(self) -> Grid:
        """The summary as a grid."""
        return summary_of(self.comparisons)

    def rich(self) -> RenderableType:
        """Return what a terminal shows."""
        from repro.report import terminal

        return terminal.summary_rich(self.totals) if self.summary else terminal.table_rich(self.contents[0])

    def text(self, format: ReportFormat) -> str:
        """Return the report in a format, with a newline at the end; HTML has both the summary and the tables."""
        if format == ReportFormat.RICH:
            from repro.report import terminal

            return terminal.plain(self.rich())
        if format == ReportFormat.HTML:
            from repro.report.html import html_page

            return html_page(self.comparisons, self.folders)
        return SUMMARIES[format](self.totals) if self.summary else TABLES[format](self.contents[0])
