"""The program `repro`: its commands and how it ends. Nothing heavy is imported at module level."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from repro import __version__
from repro.cli.commands import COMMANDS, Commands, built
from repro.cli.options.shared import Quiet
from repro.console import open_closed_streams, point_to_nowhere, print_error, problem, set_quiet
from repro.encoding import never_fail
from repro.errors import Diverged, RunFailed, Stopped, UserError, explained, os_error_text, package_missing
from repro.runtime import let_threads_sleep
from repro.torchrun import check_process

INTERRUPTED = 130

app = typer.Typer(
    name="repro",
    cls=Commands,
    help="Reproduce published tables of CNN papers, and report which results were reproduced.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    quiet: Quiet = False,
) -> None:
    """Print the version if asked for, and the help if no command is given."""
    set_quiet(quiet)
    if version:
        print(f"repro {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; a user's mistake is reported in one line on stderr, with exit status 2."""
    usage_error: Any = typer.BadParameter.__base__  # click's class, which newer versions of Typer bundle
    try:
        open_closed_streams()
        let_threads_sleep()
        for stream in (sys.stdout, sys.stderr):
            never_fail(stream)
        check_process()
        status = app(arguments, prog_name="repro", standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        _end(f"error: {error}", 2)
    except usage_error as error:
        command = error.ctx.command_path if error.ctx else _command_in(arguments or sys.argv[1:])
        _end(f"error: {_usage_text(error)} ({command} --help)", 2)
    except Stopped as stop:
        problem(f"stopped: {stop}; {stop.after}")
        sys.exit(stop.exit_status)
    except Diverged as error:
        _end(f"failed: {error}; to try a lower learning rate, as a new run: repro train MODEL --set lr=LR", 1)
    except RunFailed as error:
        _end(f"failed: {error}", 1)
    except (KeyboardInterrupt, typer.Abort):  # newer versions of Typer make Abort a RuntimeError
        _end("interrupted", INTERRUPTED)
    except RuntimeError as error:
        line = explained(error)
        if line is None:
            raise
        _end(f"failed: {line}", 1)
    except BrokenPipeError:
        point_to_nowhere(sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _drop_what_is_left()
        _end(f"failed: {os_error_text(error)}", 1)
    except ModuleNotFoundError as error:
        _end(f"error: {package_missing(error)}", 2)
    if status == INTERRUPTED:  # Typer's own status for Ctrl-C; a stopped training has reported it and exited
        _end("interrupted", INTERRUPTED)
    sys.exit(status or 0)


def _drop_what_is_left() -> None:
    """Let stdout be flushed, or drop its text: else Python's own flush at its end fails too, with exit status 120."""
    try:
        sys.stdout.flush()
    except OSError:
        point_to_nowhere(sys.stdout.fileno())


def _command_in(arguments: Sequence[str]) -> str:
    """Return the command that the arguments name, for the errors of a parser, which have no context."""
    words = [each for each in arguments if not each.startswith("-")]
    if not words or words[0] not in COMMANDS:
        return "repro"
    inner = getattr(built(words[0]), "commands", {})
    return " ".join(["repro", words[0], *(each for each in words[1:2] if each in inner)])


def _usage_text(error: Any) -> str:
    """Return what is wrong with an option or an argument.

    Newer versions of Typer pass on the words of pydantic, which do not name the value.
    """
    message = str(error.format_message()).replace(": Value error, ", ": ")
    details = getattr(error.__cause__ or error.__context__, "errors", None)
    if details is None:
        return message
    detail = details()[0]
    kind, bounds = detail["type"], detail.get("ctx", {})
    reasons = {
        "int_parsing": "is not a whole number",
        "float_parsing": "is not a number",
        "greater_than_equal": f"is below {bounds.get('ge')}",
        "less_than_equal": f"is above {bounds.get('le')}",
    }
    return message.replace(detail["msg"], f"{detail['input']!r} {reasons[kind]}") if kind in reasons else message


def _end(line: str, status: int) -> NoReturn:
    print_error(line)
    sys.exit(status)
