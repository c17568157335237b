"""The program `repro`: its commands and how it ends. Nothing heavy is imported at module level."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from repro import __version__
from repro.cli import figure, new, runs
from repro.cli.bench import bench
from repro.cli.count import count
from repro.cli.data import data
from repro.cli.evaluate import evaluate
from repro.cli.export import export
from repro.cli.listing import list_
from repro.cli.merge import merge
from repro.cli.options import Command, Quiet, with_quiet
from repro.cli.papers import with_papers
from repro.cli.plan import plan
from repro.cli.table import table
from repro.cli.train import train
from repro.cli.validate import validate
from repro.cli.work import work
from repro.console import Droppable, open_closed_streams, set_quiet
from repro.encoding import never_fail, visible
from repro.errors import RunFailed, UserError, explained, said
from repro.runtime import let_threads_sleep
from repro.torchrun import check_process

INTERRUPTED = 130
COMMANDS: dict[str, Command] = {
    "count": count,
    "train": train,
    "eval": evaluate,
    "table": table,
    "list": list_,
    "plan": plan,
    "bench": bench,
    "data": data,
    "merge": merge,
    "export": export,
}
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn"}
"""Names on the package index of packages that are imported under another name."""

app = typer.Typer(
    name="repro",
    help="Reproduce published tables of CNN papers, and report which results were reproduced.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for name, command in COMMANDS.items():
    app.command(name)(with_quiet(with_papers(command)))
app.command("work", hidden=True)(work)
app.command("validate")(with_quiet(validate))  # it goes on after a mistake, at which other commands end
app.add_typer(figure.app, name="figure")
app.add_typer(new.app, name="new")
app.add_typer(runs.app, name="runs")


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
    except UserError as error:
        _end(f"error: {error}", 2)
    except usage_error as error:
        command = error.ctx.command_path if error.ctx else "repro"
        message = error.format_message().replace(": Value error, ", ": ")  # a prefix of newer versions of Typer
        _end(f"error: {message} ({command} --help)", 2)
    except RunFailed as error:
        _end(f"failed: {error}", 1)
    except RuntimeError as error:
        line = explained(error)
        if line is None:
            raise
        _end(f"failed: {line}", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _end(f"failed: {said(error)}", 1)
    except ModuleNotFoundError as error:
        _end(f"failed: {_missing(error)}", 1)
    except (KeyboardInterrupt, typer.Abort):
        _end("interrupted", INTERRUPTED)
    if status == INTERRUPTED:  # Typer's own status for Ctrl-C; a stopped training has reported it and exited
        _end("interrupted", INTERRUPTED)
    sys.exit(status or 0)


def _missing(error: ModuleNotFoundError) -> str:
    """Return which package is missing and how to install it; an error in the program itself is raised again."""
    package = (error.name or "").split(".")[0]
    if package in ("", "repro"):
        raise error
    return f"the package {package} is not installed: pip install {DISTRIBUTIONS.get(package, package)}"


def _end(line: str, status: int) -> NoReturn:
    print(" ".join(visible(line).split()), file=Droppable(), flush=True)
    sys.exit(status)
