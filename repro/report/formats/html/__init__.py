"""HTML: the report as one page with tables, curves, gates, recipes and runs, and the tables that a notebook shows.

Both are self-contained: nothing is loaded from elsewhere.
"""

from repro.report.formats.html.notebook import notebook_html
from repro.report.formats.html.page import html_page

__all__ = ["html_page", "notebook_html"]
