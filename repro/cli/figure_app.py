"""The commands of `repro figure`: parse, call one function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from repro.cli.options import Data, Results, Rows, Runs, runtime_options
from repro.paths import folders

figure = typer.Typer(help="Draw training curves, or what the gates of a DenseResNet weigh.")
Picture = Annotated[
    Path | None, typer.Option("--output", help=".png, .svg or .pdf; the numbers go to the .csv beside it.")
]


@figure.callback(invoke_without_command=True)
def figures(context: typer.Context) -> None:
    """Show the help if nothing is asked for."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@figure.command("curves", help="Draw the test error of a table's rows, epoch by epoch.")
def curves(
    name: Annotated[str, typer.Argument(metavar="TABLE", help="repro list tables.")],
    rows: Rows = "*",
    train: Annotated[bool, typer.Option("--train", help="Draw the training error too, dashed.")] = False,
    output: Picture = None,
    results: Results = Path("results"),
) -> None:
    """Parse, draw."""
    from repro.cli import figure as command

    command.curves(name, rows, train, output, folders(results=results, shows=True).results)


@figure.command("gates", help="Draw the mean weights of a DenseResNet's gates, of a finished run or a stopped one.")
@runtime_options("device", "threads", "workers")
def gates(
    switches: dict[str, Any],
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's name, a beginning of it, its identity or folder; a file.")
    ],
    output: Picture = None,
    data: Data = None,
    results: Results = Path("results"),
    runs: Runs = None,
) -> None:
    """Parse, measure if need be, draw."""
    from repro.cli import figure as command
    from repro.runtime import Runtime

    command.gates(run, output, folders(data, runs, results), Runtime(**switches))
