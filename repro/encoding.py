"""Text in encodings that lack some of its characters, such as cp1252 and ASCII, and text of others in a terminal."""

from __future__ import annotations

import codecs
import io
import re
from typing import TextIO

ASCII = {
    "✓": "=",
    "✗": "x",
    "≠": "!",
    "≈": "~",
    "↓": "<",
    "⇓": "v",
    "↗": "/",
    "↘": "\\",
    "◇": "*",
    "◈": "#",
    "○": "o",
    "–": "-",
    "·": "|",
    "−": "-",
    "”": '"',
    "×": "x",
    "±": "+-",
    "≤": "<=",
    "≥": ">=",
    "…": "...",
}
"""What replaces a character that an encoding lacks. Two marks never become the same one."""
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters of terminals and of text direction, and lone surrogates; not \\n and \\t."""
REPLACED = "repro.ascii"
"""The name of the codec error handler that replaces characters by those in ASCII."""


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Return what replaces the characters that cannot be encoded, and the position after them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(ASCII.get(character, "?") for character in missing), error.end


codecs.register_error(REPLACED, _replaced)


def visible(text: str) -> str:
    """Return a text of a file or a folder's name with U+FFFD in place of each control character."""
    return STEERING.sub("\ufffd", text)


def legible(text: str, encoding: str) -> str:
    """Return a text with the characters that an encoding lacks replaced."""
    return text.encode(encoding, REPLACED).decode(encoding)


def never_fail(stream: TextIO) -> None:
    """Let a stream replace what its encoding lacks, so that a terminal without a mark still shows the table."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=REPLACED)


def as_utf8(stream: TextIO) -> None:
    """Let a stream write UTF-8 unless it is a terminal: files and pipes of CSV, JSON and the like are in UTF-8."""
    if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
        stream.reconfigure(encoding="utf-8", errors=REPLACED)
