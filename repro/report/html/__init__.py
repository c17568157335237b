"""The report as one self-contained page: tables, curves, gates, recipes and runs; nothing is loaded from elsewhere."""

from repro.report.html.page import html_page

__all__ = ["html_page"]
