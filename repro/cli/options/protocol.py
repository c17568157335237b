"""The options that say how image files are tested."""

from __future__ import annotations

from typing import Annotated

import typer

from repro.cli.options.shared import choice
from repro.data.inputs.protocol import Views
from repro.errors import UserError
from repro.evaluation.protocols import RequestedProtocol

ViewsName = Annotated[
    Views | None,
    choice(
        "--protocol",
        help="Test protocol of image files (default: the one with which the run's error is printed, else one crop; "
        "for published weights, one crop).",
    ),
]
Scales = Annotated[
    str | None,
    typer.Option(
        "--scales",
        metavar="PIXELS",
        help="Lengths of the shorter side for --protocol dense, such as 384 or 256,384,512 (default: the printed "
        "ones).",
    ),
]


def requested_protocol(views: Views | None, scales: str | None) -> RequestedProtocol:
    """Return what the two options say; UserError for scales that are no lengths."""
    return RequestedProtocol(views, _lengths(scales) if scales is not None else ())


def _lengths(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(each.strip().isdecimal() and int(each) > 0 for each in parts):
        raise UserError(f"--scales {text} is invalid: give lengths in pixels, separated by commas")
    return tuple(map(int, parts))
