"""Grids as a piece of HTML that a notebook shows below a cell, in light and dark themes, without scripts."""

from __future__ import annotations

from collections.abc import Sequence

from repro.report.formats.html.templates import HERE, templates
from repro.report.grid import Grid
from repro.report.notes import Note


def notebook_html(grids: Sequence[Grid], notes: Sequence[Note] = ()) -> str:
    """Return grids and, folded below them, notes; everything is escaped, and its style applies to nothing else."""
    from markupsafe import Markup

    style = Markup((HERE / "notebook.css").read_text(encoding="utf-8"))  # noqa: S704 - a file of the package
    return templates().get_template("notebook.html.j2").render(style=style, grids=grids, notes=notes)
