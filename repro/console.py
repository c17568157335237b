"""Where words go: the answer to stdout, everything else to stderr."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@cache
def stdout() -> Console:
    """Return the console of the answer; without a terminal it neither colours nor wraps narrowly."""
    return _console(stderr=False)


@cache
def stderr() -> Console:
    """Return the console of progress and warnings."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = 160
    return console


def print_json(content: object) -> None:
    """Write the answer as JSON to stdout."""
    print(json.dumps(content, indent=2, ensure_ascii=False))
