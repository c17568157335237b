"""Where words go: the answer to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console


T = TypeVar("T")


@cache
def stdout() -> Console:
    """Return the console of the answer; without a terminal it neither colours nor wraps narrowly."""
    return _console(stderr=False)


@cache
def stderr() -> Console:
    """Return the console of progress and warnings."""
    return _console(stderr=True)


def with_bar(items: Sequence[T], what: str) -> Iterable[T]:
    """Return the items, with a bar and the time left on stderr while they are worked on."""
    if not items:
        return items
    if not stderr().is_terminal:
        stderr().print(f"{what} ...", soft_wrap=True)
        return items
    from rich.progress import track

    return track(items, what, console=stderr(), transient=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    quiet = os.environ.get("RANK", "0") != "0"  # of several processes that torchrun started, the first one speaks
    console = Console(stderr=stderr, highlight=False, quiet=quiet)
    if not console.is_terminal:
        console.width = 160
    return console


def print_json(content: object) -> None:
    """Write the answer as JSON to stdout."""
    if not stdout().quiet:
        print(json.dumps(content, indent=2, ensure_ascii=False))
