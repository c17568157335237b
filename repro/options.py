"""The options that several commands share, and those of the networks, taken from the registry."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from repro.models import OPTIONS

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A network, such as denseresnet110; repro list models.")]
DatasetName = Annotated[str | None, typer.Option("--dataset", help="Its paper's own unless given.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of the data sets: $REPRO_DATA, else data/.")]
Results = Annotated[Path, typer.Option("--results", help="Folder of the records.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of the checkpoints.")]
RecipeName = Annotated[str | None, typer.Option("--recipe", help="Its paper's own unless given; repro list recipes.")]
Epochs = Annotated[
    int | None, typer.Option("--epochs", help="Other than the recipe's: the run is marked as deviating.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
Precision = Annotated[str, typer.Option("--precision", help="fp32, tf32 or bf16; recorded and shown.")]
Precisions = Annotated[
    list[str] | None,
    typer.Option("--precision", help="Of our ways, again for each: fp32, tf32, bf16; else fp32 and bf16."),
]
SaveMemory = Annotated[bool, typer.Option("--save-memory", help="Compute again what DenseNet would keep; slower.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Train seeds 0 to N - 1.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")]
SideBySide = Annotated[
    bool | None,
    typer.Option("--side-by-side/--one-by-one", help="Train several seeds at once; on a GPU they are."),
]
Compile = Annotated[bool, typer.Option("--compile", help="Put the network through torch.compile.")]
ChannelsLast = Annotated[
    bool,
    typer.Option(
        "--channels-last/--no-channels-last", help="Memory layout of one seed's images and weights; several have NCHW."
    ),
]
Graph = Annotated[bool, typer.Option("--graph", help="Replay each step as one CUDA graph.")]
Workers = Annotated[int | None, typer.Option("--workers", min=0, help="Processes that read image files; one per core.")]
Log = Annotated[str | None, typer.Option("--log", help="tensorboard: curves beside the checkpoints.")]
Deterministic = Annotated[bool, typer.Option("--deterministic", help="The same bits each time on a GPU too.")]
ShortFormat = Annotated[str, typer.Option("--format", help="rich or json.")]


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for each option that a network can have.

    The command has a parameter `options`; it gets those that the user gave, by name.
    """

    @wraps(command)
    def with_options(**arguments: Any) -> Any:
        given = {name: arguments.pop(name) for name in OPTIONS}
        return command(options={name: value for name, value in given.items() if value is not None}, **arguments)

    own = inspect.signature(command, eval_str=True).parameters
    kept = [each for name, each in own.items() if name != "options"]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, typer.Option(f"--{name}", help=text, rich_help_panel="Network")],
        )
        for name, (kind, text) in OPTIONS.items()
    ]
    kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in kept]
    with_options.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in [*kept, *added]}
    return with_options
