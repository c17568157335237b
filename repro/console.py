"""Output: the answer goes to stdout; progress, notes and errors go to stderr."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO, cast

from repro.encoding import as_utf8, legible, visible
from repro.torchrun import is_first

if TYPE_CHECKING:
    from rich.console import Console

LONG_SECONDS = 2.0
"""How long work may take before something is shown of it."""
SCHEMA = 1
"""Version of the JSON answers. It increases when a key changes its meaning or is removed."""


@cache
def stdout() -> Console:
    """Return the console of the answer; without a terminal there are no colours and lines may be long."""
    return _console(stderr=False)


@cache
def stderr() -> Console:
    """Return the console of progress and notes, which `--quiet` silences."""
    return _console(stderr=True)


class Droppable(io.TextIOBase):
    """The current stderr. What cannot be written is dropped, as on a full disk: progress must not end a run."""

    def write(self, text: str) -> int:
        """Write a text, or drop it and everything after it."""
        try:
            return self._stream.write(text)
        except OSError:
            self._drop_from_now_on()
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left and everything after it."""
        try:
            self._stream.flush()
        except OSError:
            self._drop_from_now_on()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding, by which Rich chooses the lines of its tables."""
        return self._stream.encoding or "utf-8"

    @property
    def _stream(self) -> TextIO:
        if sys.stderr is None:  # it is closed, as in `python script.py 2>&-`
            open_closed_streams()
        return getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # without the proxy of a live display

    def _drop_from_now_on(self) -> None:
        """Write to /dev/null: else Python's own flush at its end fails too, with exit status 120."""
        point_to_nowhere(self._stream.fileno())


def point_to_nowhere(descriptor: int) -> None:
    """Let a file descriptor, open or closed, point to /dev/null."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def open_closed_streams() -> None:
    """Point a closed stdout or stderr (`2>&-`) to /dev/null: else the next opened file would take its place."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            point_to_nowhere(number)
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def is_live() -> bool:
    """Whether stderr is a terminal that redraws lines. With $FORCE_COLOR a file has colours and no cursor codes."""
    return stderr().is_interactive and stderr().file.isatty()


def note(line: str) -> None:
    """Print a line on stderr as it is; nothing with `--quiet`."""
    stderr().print(line, soft_wrap=True, markup=False)


def problem(line: str) -> None:
    """Print on stderr, in one line, what went wrong; `--quiet` does not hide it."""
    if is_first():
        print_error(line)


def print_error(line: str) -> None:
    """Print a line on stderr, as each of several processes does with the error that ends it."""
    print(" ".join(visible(line).split()), file=Droppable(), flush=True)


def set_quiet(quiet: bool) -> None:
    """Hide progress and notes, or show them again."""
    stderr().quiet = quiet or not is_first()


@contextmanager
def waiting(what: str, *, seconds: bool = False) -> Iterator[None]:
    """Show on stderr what is being done, for work without countable steps.

    `seconds` means that it takes only seconds; without a terminal, it is then shown only after LONG_SECONDS.
    """
    if is_live():
        from rich.markup import escape

        with stderr().status(escape(what)):
            yield
        return
    line = f"{what} ..."
    if not seconds:
        note(line)
        yield
        return
    shown = threading.Timer(LONG_SECONDS, note, [line])
    shown.start()
    try:
        yield
    finally:
        shown.cancel()


@contextmanager
def loading() -> Iterator[None]:
    """Show on a terminal that torch is being loaded, which takes seconds.

    Ctrl-C takes effect afterwards: torch would stay half loaded if its import were interrupted.
    """
    asked: list[int] = []
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number)) if here else None
    try:
        with waiting("loading torch") if is_live() else nullcontext():
            yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


def _console(*, stderr: bool) -> Console:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class Legible(Console):
        """A console that draws tables with the characters of its encoding, and ignores control characters in text."""

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(legible(text, self.encoding), **options)

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else visible(text), style, control)

    # Rich's bars need ipywidgets in a notebook, which sets FORCE_COLOR too; progress is lines of text there.
    notebook = Console().is_jupyter
    console = Legible(
        file=cast(TextIO, Droppable()) if stderr else None,
        highlight=False,
        quiet=not is_first(),
        force_jupyter=False,
        force_terminal=False if notebook else None,
    )
    if not console.is_terminal:
        console.width = 160
    return console


def print_line(text: str, style: str | None = None) -> None:
    """Print a line of the answer on stdout as it is: whole, so that it can be copied, and without markup."""
    stdout().print(text, style=style, soft_wrap=True, markup=False)


def print_file(text: str) -> None:
    """Print on stdout what is the content of a file, such as CSV, as it is: in UTF-8 unless stdout is a terminal.

    Of several processes, only the first prints it.
    """
    if is_first():
        as_utf8(sys.stdout)
        print(visible(text) if sys.stdout.isatty() else text, end="")


def print_json(answer: Mapping[str, object]) -> None:
    """Print an answer as JSON on stdout."""
    print_file(json_text(answer))


def json_text(answer: Mapping[str, object]) -> str:
    """Return an answer as JSON text with the schema number first and a newline at the end.

    NaN and infinities become null: JSON has no such numbers, and strict readers refuse the whole text.
    """
    content = _without_nan({"schema": SCHEMA, **answer})
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
