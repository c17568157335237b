"""The options that several commands share, the model options, and how options are added to a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from repro.bounds import LARGEST_SEED, MOST_SEEDS
from repro.console import set_quiet
from repro.data import DATASETS
from repro.errors import UserError
from repro.models import MODELS, OPTIONS
from repro.papers import find_papers
from repro.recipes import RECIPES, Library, within
from repro.recipes.overrides import SETTABLE
from repro.tables import table_names

Command = Callable[..., Any]


class AnswerFormat(StrEnum):
    """How an answer is printed."""

    RICH = "rich"
    JSON = "json"


def completing(names: Callable[[], Iterable[str]]) -> Callable[[typer.Context, str], list[str]]:
    """Return a function that completes names in a shell, those of the `--papers` before them too."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        """Return the names that begin with what is typed, in either case."""
        try:
            with within(Library(find_papers([Path(each) for each in context.params.get("papers") or ()]))):
                return [name for name in names() if name.lower().startswith(incomplete.lower())]
        except UserError:  # a file that is wrong is refused when the command runs
            return []

    return complete


def command_group(text: str) -> typer.Typer:
    """Return a group of commands with this help, which it prints if none of them is named."""
    group = typer.Typer(help=text, add_completion=False)

    @group.callback(invoke_without_command=True)
    def print_help(context: typer.Context) -> None:
        """Print the help if no command is named."""
        if context.invoked_subcommand is None:
            print(context.get_help())

    return group


def choice(*names: str, **more: Any) -> Any:
    """Return an option whose values are those of an enum, matched without regard to case."""
    return typer.Option(*names, case_sensitive=False, **more)


def in_panel(panel: str) -> Callable[..., Any]:
    """Return what makes the types of the options in a panel of the help; one that is not given is None."""

    def option(kind: Any, names: str, text: str, **more: Any) -> Any:
        return Annotated[kind | None, choice(names, help=text, rich_help_panel=panel, **more)]

    return option


def number_of_seeds(help: str) -> Any:
    """Return the option for the number of seeds."""
    return typer.Option("--seeds", min=1, max=MOST_SEEDS, metavar="N", help=help)


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Model, such as densenet-bc, or the label of a table's row, such as WRN-28-10; see repro list models. Or "
        "your own: FILE.py:NAME, PACKAGE.MODULE:NAME, timm:NAME or torchvision:NAME.",
        autocompletion=completing(lambda: MODELS),
    ),
]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Dataset (default: the one in the model's paper).",
        autocompletion=completing(lambda: DATASETS),
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="Training recipe (default: the one in the model's paper); see repro list recipes.",
        autocompletion=completing(lambda: RECIPES),
    ),
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder of the datasets (default: $REPRO_DATA, or data).")
]
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder of the results.")]
Runs = Annotated[
    Path | None, typer.Option("--runs", metavar="DIR", help="Folder of the runs and their checkpoints (default: runs).")
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs", metavar="N", help="Number of epochs (default: the recipe's; any other is marked as a deviation)."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Option of the model, such as depth=20, or value that replaces the recipe's, such as batch=32 "
        "(marked as a deviation); repeat it for several. Where both have the name: model.NAME=VALUE or "
        "recipe.NAME=VALUE. With epochs=N, iterations and epochs of fine-tuning change in proportion.",
        autocompletion=completing(lambda: [f"{name}=" for name in SETTABLE]),
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Option of the model, such as depth=20; repeat it for several."),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        min=0,
        max=LARGEST_SEED,
        metavar="S",
        help="Seed of weights, data order and augmentation (default: 0).",
    ),
]
Seeds = Annotated[int | None, number_of_seeds("Train the seeds 0 to N - 1.")]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="Run (name or ID, a prefix of either, or folder) or checkpoint file.")
]
SeedsPerRow = Annotated[
    int | None,
    number_of_seeds("Seeds to train for each row (default: as many as in the paper; with --try, those of its runs)."),
]
TableName = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        help="Table, such as cifar100, or the file of one; see repro list tables.",
        autocompletion=completing(table_names),
    ),
]
Rows = Annotated[
    str,
    typer.Option("--rows", metavar="PATTERN", help="Rows to include: a part of the label, or a pattern with * and ?."),
]
Format = Annotated[AnswerFormat, choice("--format", help="Output format.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no notes, only errors.")]


_model_option = in_panel("Model options")
MODEL_OPTIONS = {
    name: _model_option(kind, f"--{name}/--no-{name}" if kind is bool else f"--{name}", text)
    for name, (kind, text) in OPTIONS.items()
}


def model_options(command: Command) -> Command:
    """Add the options of all models to a command, which receives the given ones as `options`."""
    return with_options(command, MODEL_OPTIONS, lambda given: {"options": given})


def with_quiet(command: Command) -> Command:
    """Add `--quiet` to a command; it may also be given before the command's name."""
    return with_options(command, {"quiet": Quiet}, _silence)


def _silence(given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("quiet"):
        set_quiet(True)
    return {}


def with_options(
    command: Command, options: Mapping[str, Any], passed: Callable[[dict[str, Any]], dict[str, Any]]
) -> Command:
    """Return a command with more options, which it receives as `passed` gives them.

    Args:
        command: the function of the command.
        options: the type of each option, by name.
        passed: turns the options that the user gave into arguments of the command.
    """

    @wraps(command)
    def collected(**arguments: Any) -> Any:
        given = {name: value for name in options if (value := arguments.pop(name)) is not None}
        return command(**passed(given), **arguments)

    own = inspect.signature(command, eval_str=True).parameters
    kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, each in own.items() if name not in passed({})]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=each)
        for name, each in options.items()
    ]
    collected.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
    collected.__annotations__ = {each.name: each.annotation for each in [*kept, *added]}
    return collected
