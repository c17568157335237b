"""The options that several commands share, those of the networks, and the switches of the runtime."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from repro.models import OPTIONS

Command = Callable[..., Any]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A network, such as denseresnet110; repro list models.")]
DatasetName = Annotated[str | None, typer.Option("--dataset", help="Its paper's own unless given.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of the data sets: $REPRO_DATA, else data/.")]
Results = Annotated[Path, typer.Option("--results", help="Folder of the records.")]
Runs = Annotated[Path | None, typer.Option("--runs", help="Folder of the checkpoints: runs/.")]
RecipeName = Annotated[str | None, typer.Option("--recipe", help="Its paper's own unless given; repro list recipes.")]
Epochs = Annotated[
    int | None, typer.Option("--epochs", help="Other than the recipe's: the run is marked as deviating.")
]
Precisions = Annotated[
    list[str] | None,
    typer.Option("--precision", help="Of our ways, again for each: fp32, tf32, bf16; else fp32 and bf16."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of weights, data order and augmentation; 0.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Train seeds 0 to N - 1.")]
Flops = Annotated[
    str, typer.Option("--flops", help="What a FLOP is: paper (the DenseResNet paper's rules), fvcore or macs.")
]
Crops = Annotated[
    int, typer.Option("--crops", help="Crops of each image file: 1, or 10, averaged as the model's paper does.")
]
TableName = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A table, such as cifar100; repro list tables.")
]
Rows = Annotated[str, typer.Option("--rows", help="Only rows whose label matches; * and ? allowed.")]
ShortFormat = Annotated[str, typer.Option("--format", help="rich or json.")]


def _network(name: str, kind: type, text: str) -> Any:
    names = f"--{name}/--no-{name}" if kind is bool else f"--{name}"
    return Annotated[kind | None, typer.Option(names, help=text, rich_help_panel="Network")]


def _switch(kind: type, names: str, text: str, **more: Any) -> Any:
    return Annotated[kind | None, typer.Option(names, help=text, rich_help_panel="Runtime", **more)]


def _lower(value: str | None) -> str | None:
    return value and value.lower()


NETWORK = {name: _network(name, kind, text) for name, (kind, text) in OPTIONS.items()}
RUNTIME = {
    "device": _switch(
        str, "--device", "cpu, cuda, cuda:1, ...; auto, which is a GPU where there is one.", callback=_lower
    ),
    "precision": _switch(str, "--precision", "fp32, tf32 or bf16, recorded and shown; fp32.", callback=_lower),
    "save_memory": _switch(bool, "--save-memory", "Compute again what DenseNet would keep; slower."),
    "threads": _switch(int, "--threads", "CPU threads.", min=1),
    "workers": _switch(int, "--workers", "Processes that read image files; one per core.", min=0),
    "side_by_side": _switch(bool, "--side-by-side/--one-by-one", "Train several seeds at once; on a GPU they are."),
    "channels_last": _switch(
        bool,
        "--channels-last/--no-channels-last",
        "Memory layout of one seed's images and weights; several have NCHW.",
    ),
    "compile": _switch(bool, "--compile", "Compile the network first, in a minute or more: faster steps."),
    "graph": _switch(bool, "--graph", "Replay each step as one CUDA graph."),
    "deterministic": _switch(bool, "--deterministic", "The same bits each time on a GPU too."),
    "log": _switch(str, "--log", "tensorboard: curves beside the checkpoints.", callback=_lower),
}
"""The fields of Runtime that a user may set."""


def model_options(command: Command) -> Command:
    """Give a command one option for each option that a network can have, as `options`."""
    return _collecting(command, "options", NETWORK)


def runtime_options(*names: str) -> Callable[[Command], Command]:
    """Give a command switches of the runtime, all or those of the names, as `switches`."""
    chosen = {name: RUNTIME[name] for name in names or RUNTIME}
    return lambda command: _collecting(command, "switches", chosen)


def _collecting(command: Command, into: str, options: Mapping[str, Any]) -> Command:
    """Give a command options, of which it gets those that the user gave, by name, in one dictionary `into`."""

    @wraps(command)
    def collected(**arguments: Any) -> Any:
        given = {name: arguments.pop(name) for name in options}
        return command(**{into: {name: value for name, value in given.items() if value is not None}}, **arguments)

    own = inspect.signature(command, eval_str=True).parameters
    kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, each in own.items() if name != into]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=each)
        for name, each in options.items()
    ]
    collected.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
    collected.__annotations__ = {each.name: each.annotation for each in [*kept, *added]}
    return collected
