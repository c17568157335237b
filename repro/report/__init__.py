"""How comparisons are shown: in a terminal, as CSV, JSON, Markdown and LaTeX, and as a page of HTML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from repro.comparison.join import Comparison
from repro.comparison.summary import Summary, summarise
from repro.report import as_json, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMATS = ("rich", "csv", "json", "md", "latex", "html")
SUFFIXES = {".csv": "csv", ".json": "json", ".md": "md", ".tex": "latex", ".html": "html"}


@dataclass(frozen=True)
class Report:
    """One table, or the summary of several."""

    comparisons: Sequence[Comparison]
    folders: Sequence[Path]
    """Of the results, where the curves are."""
    summary: bool

    @cached_property
    def summaries(self) -> list[Summary]:
        """What each table comes to."""
        return [summarise(each) for each in self.comparisons]

    def rich(self) -> RenderableType:
        """Return what a terminal shows."""
        from repro.report import terminal

        return terminal.summary_rich(self.summaries) if self.summary else terminal.table_rich(self.comparisons[0])

    def text(self, format: str) -> str:
        """Return the report in one of FORMATS, ending with a line end; HTML has both, summary and tables."""
        if format == "rich":
            from repro.report import terminal

            return terminal.plain(self.rich())
        if format == "html":
            from repro.report.html import html_page

            return html_page(self.comparisons, self.folders)
        return self._summary(format) if self.summary else self._table(format)

    def _summary(self, format: str) -> str:
        if format == "json":
            return _json(as_json.summary_json(self.summaries, self.comparisons))
        return {"csv": plain.summary_csv, "md": plain.summary_markdown, "latex": plain.summary_latex}[format](
            self.summaries
        )

    def _table(self, format: str) -> str:
        (comparison,) = self.comparisons
        if format == "json":
            return _json(as_json.table_json(comparison))
        return {"csv": plain.csv, "md": plain.markdown, "latex": plain.latex}[format](comparison)


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
