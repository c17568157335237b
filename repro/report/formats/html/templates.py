"""The templates of the page and of the tables in notebooks; they escape all text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from repro.encoding import visible

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent


def templates() -> Environment:
    """Return the templates of this folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: object) -> object:
    """Return what is put into a page: a text of a file does not turn the direction of what follows it."""
    return visible(value) if type(value) is str else value  # what the templates themselves made is markupsafe's
