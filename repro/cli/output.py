"""The format of an answer, and writing it to a file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from repro.atomic import write_atomically
from repro.cli.options.shared import choice
from repro.console import note, print_file, stdout
from repro.encoding import REPLACED
from repro.errors import UserError, unwritten
from repro.report import SUFFIXES, ReportFormat
from repro.text import one_of

if TYPE_CHECKING:
    from rich.console import RenderableType


def format_option(known: Sequence[ReportFormat]) -> Any:
    """Return the option for the format of an answer that has these formats."""
    return choice(
        "--format",
        metavar="NAME",
        help=f"Output format: {one_of(known)} (default: by the extension of --output, else rich).",
    )


Format = Annotated[ReportFormat | None, format_option([*ReportFormat])]
Output = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write to a file.")]


def format_of(
    format: ReportFormat | None, output: Path | None, known: Sequence[ReportFormat] = tuple(ReportFormat)
) -> ReportFormat:
    """Return the format that was asked for, by name or by the extension of the file.

    Args:
        format: the name.
        output: the file.
        known: the formats of the answer.

    Raises:
        UserError: name and extension contradict each other, the answer does not have this format, or the file cannot
            be written.
    """
    by_ending = None
    if output:
        check_output(output)
        by_ending = SUFFIXES.get(output.suffix.lower())
        if format and by_ending and format != by_ending:
            raise UserError(
                f"{output} has the extension of {by_ending}, but --format is {format}; leave out one of them"
            )
        if not (format or by_ending):
            endings = ", ".join(each for each, of in SUFFIXES.items() if of in known)
            raise UserError(f"{output}: unknown extension (known: {endings}); or choose a --format")
    chosen = format or by_ending or ReportFormat.RICH
    if chosen not in known:
        raise UserError(f"this output has no format {chosen}; choose {one_of(known)}")
    return chosen


def check_output(output: Path, extensions: Collection[str] = ()) -> None:
    """Raise UserError if a file cannot be written, or has another extension than these; without any, all are right."""
    if output.is_dir():
        example = f", such as {output / f'NAME{next(iter(extensions))}'}" if extensions else ""
        raise UserError(f"{output} is a folder; name a file in it{example}")
    if not output.parent.is_dir():
        raise UserError(f"{output} cannot be written: there is no folder {output.parent}; create it")
    if extensions and output.suffix.lower() not in extensions:
        raise UserError(f"{output}: unknown extension (known: {', '.join(extensions)})")


class Answer(Protocol):
    """What an answer is shown from."""

    def rich(self) -> RenderableType:
        """Return it for a terminal."""

    def text(self, format: ReportFormat) -> str:
        """Return it in any other format."""


def show(report: Answer, format: ReportFormat, output: Path | None) -> None:
    """Print an answer, or write it to a file; UserError if it cannot be written."""
    if output:
        write_output(report.text(format).encode(errors=REPLACED), output)
        note(f"wrote {output}")
    elif format == ReportFormat.RICH:
        stdout().print(report.rich())
    else:
        print_file(report.text(format))


def write_output(content: bytes, output: Path) -> None:
    """Write the file of `--output`, or one that belongs to it; UserError if it cannot be written."""
    try:
        write_atomically(output, content)
    except OSError as error:
        raise unwritten(f"{output} cannot be written ({error.strerror})", error, "choose another --output") from error
