"""The commands: parse, call one function, render. Nothing heavy is imported at module level."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from repro import __version__
from repro.cli.figure_app import figure
from repro.cli.options import (
    Crops,
    Data,
    DatasetName,
    Epochs,
    Flops,
    Model,
    Precisions,
    RecipeName,
    Results,
    Rows,
    Runs,
    Seed,
    Seeds,
    ShortFormat,
    TableName,
    model_options,
    runtime_options,
)
from repro.errors import RunFailed, UserError, explained
from repro.paths import folders

INTERRUPTED = 130

app = typer.Typer(
    name="repro",
    help="Reproduce the published tables of CNN papers, and say honestly whether they were reproduced.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(figure, name="figure")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    """Show the version if asked for, and the help if nothing is asked for."""
    if version:
        print(f"repro {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command(help="Count parameters and FLOPs of a network, exactly.")
@model_options
def count(
    model: Model,
    options: dict[str, Any],
    dataset: DatasetName = None,
    input: Annotated[str | None, typer.Option("--input", help="CxHxW instead of a data set's.")] = None,
    classes: Annotated[int | None, typer.Option("--classes", min=1, help="Instead of a data set's.")] = None,
    flops: Flops = "paper",
    by_module: Annotated[bool, typer.Option("--by-module", help="Show the counts of every module too.")] = False,
    format: ShortFormat = "rich",
) -> None:
    """Parse, count, render."""
    from repro.cli import count as command

    command.run(model, options, dataset, input, classes, flops, by_module, format)


@app.command(help="Train a network as its paper did; the same command goes on where it stopped.")
@model_options
@runtime_options()
def train(
    model: Model,
    options: dict[str, Any],
    switches: dict[str, Any],
    dataset: DatasetName = None,
    recipe: RecipeName = None,
    epochs: Epochs = None,
    seed: Seed = None,
    seeds: Seeds = None,
    data: Data = None,
    results: Results = Path("results"),
    runs: Runs = None,
    format: ShortFormat = "rich",
) -> None:
    """Parse, train, render."""
    from repro.cli import train as command
    from repro.experiment import experiment_for
    from repro.runtime import Runtime

    if seeds and seed is not None:
        raise UserError("--seed and --seeds exclude each other: one seed, or seeds 0 to N - 1")
    chosen = range(seeds) if seeds else [seed or 0]
    experiments = [
        experiment_for(model, options, seed=each, dataset=dataset, recipe_name=recipe, epochs=epochs) for each in chosen
    ]
    command.run(experiments, Runtime(**switches), folders(data, runs, results, trains=True), format)


@app.command("eval", help="Test a run, a checkpoint, or a network with published weights.")
@runtime_options("device", "threads", "workers")
def evaluate(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|CHECKPOINT|MODEL",
            help="A run's name, a beginning of it, its identity or folder; a file; a network.",
        ),
    ],
    switches: dict[str, Any],
    weights: Annotated[str | None, typer.Option("--weights", help="torchvision: a network's published ones.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="With --weights; imagenet.")] = None,
    crops: Crops = 1,
    data: Data = None,
    runs: Runs = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="PNG of a test slice, its label and the prediction (U-Net).")
    ] = None,
    format: ShortFormat = "rich",
) -> None:
    """Parse, evaluate, render."""
    from repro.cli import evaluate as command
    from repro.runtime import Runtime

    command.run(
        what,
        folders(data, runs),
        Runtime(**switches),
        weights=weights,
        dataset=dataset,
        crops=crops,
        picture=picture,
        format=format,
    )


@app.command(help="Show a printed table beside our counts and measured errors; without NAME, the summary of all.")
@runtime_options()
def table(
    switches: dict[str, Any],
    name: TableName = None,
    run: Annotated[bool, typer.Option("--run", help="Train what is not measured yet.")] = False,
    time: Annotated[
        bool, typer.Option("--time", help="Measure a training step of every row with a printed time, in turn.")
    ] = False,
    rows: Rows = "*",
    check: Annotated[
        bool, typer.Option("--check", help="Name the cells that are off, and exit with 1 if there is one.")
    ] = False,
    format: Annotated[str | None, typer.Option("--format", help="rich, csv, json, md, latex or html.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write to a file, whose ending tells the format.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="With --run: seeds a row; the paper's number.")
    ] = None,
    epochs: Epochs = None,
    data: Data = None,
    results: Results = Path("results"),
    runs: Runs = None,
) -> None:
    """Parse, compare, render."""
    from repro.cli import table as command
    from repro.runtime import Runtime

    timed = {key: switches[key] for key in ("device", "precision", "threads") if key in switches}
    if not run:
        only_trained = {"seeds": seeds, "epochs": epochs, "data": data, "runs": runs, **switches}
        _refuse_without_run({key: value for key, value in only_trained.items() if not (time and key in timed)})
    if name is None and (run or time or rows != "*"):
        raise UserError("--run, --time and --rows go with the name of a table; repro list tables")
    tables = command.all_tables() if name is None else [command.choose(name, rows)]
    command.format_of(format, output)  # refused before days of training
    places = folders(data, runs, results, trains=run, measures=time, shows=not (run or time))
    if time:
        command.check_timed(tables[0])  # refused before days of training, too
    if run:
        command.train_missing(tables[0], seeds, epochs, Runtime(**switches), places)
    if time:
        command.measure_times(tables[0], Runtime(**timed), results)
    off = command.show(tables, results, format, output, summary=name is None)
    if check and command.tell_off(off):
        raise typer.Exit(1)


def _refuse_without_run(options: Mapping[str, Any]) -> None:
    """Raise UserError for the first option that was given and would do nothing."""
    for name, value in options.items():
        if value is not None:
            raise UserError(f"--{name.replace('_', '-')} goes with --run; without it, nothing is trained")


@app.command(help="Measure images a second here beside the plain loop, and how long the recipe would take.")
@model_options
@runtime_options("device", "save_memory", "threads", "workers", "channels_last", "compile", "graph")
def bench(
    model: Model,
    options: dict[str, Any],
    switches: dict[str, Any],
    dataset: DatasetName = None,
    recipe: RecipeName = None,
    precision: Precisions = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Measure so many side by side too.")] = 1,
    data: Data = None,
    window: Annotated[float, typer.Option("--window", min=0.01, max=600, help="Seconds of a window.")] = 2.0,
    format: ShortFormat = "rich",
) -> None:
    """Parse, measure, render."""
    from repro.cli import bench as command
    from repro.experiment import experiment_for
    from repro.runtime import Runtime

    experiment = experiment_for(model, options, seed=0, dataset=dataset, recipe_name=recipe)
    command.run(experiment, Runtime(**switches), precision or [], seeds, window, folders(data).data, format)


@app.command("list", help="List models, tables, datasets, recipes, or the runs here and how to go on with them.")
def list_(
    what: Annotated[
        str, typer.Argument(metavar="models|tables|datasets|recipes|runs", help="What to list; models.")
    ] = "models",
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of a recipe, to see every value and where it is from.")
    ] = None,
    runs: Runs = None,
    format: ShortFormat = "rich",
) -> None:
    """Parse, list."""
    from repro.cli import listing

    listing.run(what, name, runs, format)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; what the user got wrong is one line on stderr and exit status 2."""
    usage_error: Any = typer.BadParameter.__base__  # click's, which newer versions of Typer carry within
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without the mark of a match still shows the table
    try:
        status = app(arguments, prog_name="repro", standalone_mode=False)
    except UserError as error:
        _end(f"error: {error}", 2)
    except usage_error as error:
        command = error.ctx.command_path if error.ctx else "repro"
        _end(f"error: {error.format_message()} ({command} --help)", 2)
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
        _end(f"failed: {error}", 1)
    except ModuleNotFoundError as error:
        _end(f"failed: this needs the package {error.name}, which is not installed: pip install repro", 1)
    except (KeyboardInterrupt, typer.Abort):
        _end("interrupted", INTERRUPTED)
    if status == INTERRUPTED:  # of Ctrl-C, which Typer takes for itself; a run that was stopped has said so and exited
        _end("interrupted", INTERRUPTED)
    sys.exit(status or 0)


def _end(line: str, status: int) -> NoReturn:
    print(" ".join(line.split()), file=sys.stderr)
    sys.exit(status)
