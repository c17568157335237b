"""`repro count`: parameters and FLOPs next to the published ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from repro.api.counts import count_named
from repro.cli.networks import Chosen, chosen_network
from repro.cli.options.shared import AnswerFormat, DatasetName, Format, Settings, choice, completing, model_options
from repro.cli.suggestion import after_count, suggest
from repro.console import print_json, print_line, stdout
from repro.counting.conventions import ALL, Convention, conventions_of
from repro.data import DATASETS, find_dataset
from repro.errors import UserError
from repro.models import MODELS, spec_of
from repro.models.options import OF_MODEL, Shape
from repro.models.typed import has_option, typed_name
from repro.report.counts import CountReport, CountReports
from repro.tables.names import dataset_called, network_called

InputShape = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="CxHxW|SIDE",
        help="Input shape, or the side of a square with the dataset's channels (default: the dataset's shape).",
    ),
]
Classes = Annotated[
    int | None, typer.Option("--classes", min=1, metavar="N", help="Number of classes (default: the dataset's).")
]


RGB = 3
"""Channels of an image for a network from outside the package, which has no dataset of its own."""


class Flops(StrEnum):
    """The conventions of FLOPs to show."""

    PAPER = Convention.PAPER.value
    FVCORE = Convention.FVCORE.value
    MACS = Convention.MACS.value
    ALL = ALL


Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL",
        help="Models, such as resnet20 wrn, or labels of a table's rows, such as WRN-28-10; see repro list models. Or "
        "your own: FILE.py:NAME, PACKAGE.MODULE:NAME, timm:NAME or torchvision:NAME. An option applies to the models "
        "that have it.",
        autocompletion=completing(lambda: MODELS),
    ),
]
FlopsChoice = Annotated[
    Flops,
    choice(
        "--flops",
        help=f"FLOPs convention: {'; '.join(f'{each}, {each.meaning}' for each in Convention)}; or all, side by side.",
    ),
]
ByModule = Annotated[bool, typer.Option("--by-module", help="Also show the counts of every module (of one model).")]


@model_options
def count(
    models: Models,
    options: dict[str, Any],
    settings: Settings = None,
    dataset: DatasetName = None,
    input: InputShape = None,
    classes: Classes = None,
    flops: FlopsChoice = Flops.PAPER,
    by_module: ByModule = False,
    format: Format = AnswerFormat.RICH,
) -> None:
    """Count the parameters and FLOPs of models and compare them with the published counts."""
    if by_module and len(models) > 1:
        raise UserError("--by-module shows the modules of one model; leave out the others")
    chosen = _chosen(models, options, settings or ())
    named = [dataset or dataset_called(each) for each in models]
    reports = [
        count_named(
            each.name,
            each.options,
            where,
            _shape(input, each.name, where) if input else None,
            classes,
            conventions_of(flops),
            by_module,
        )
        for each, where in zip(chosen, named, strict=True)
    ]
    answer = reports[0] if len(reports) == 1 else CountReports(reports)
    if format == AnswerFormat.JSON:
        print_json(answer.to_json())
        return
    if isinstance(answer, CountReport):
        print_line(answer.title, "bold")
    stdout().print(answer.rich())
    first = reports[0]
    trained_on = first.dataset or _dataset_of(first.model, named[0])
    suggest(after_count(models[0], first.model, first.options, trained_on, resized=first.dataset is None))


def _chosen(typed: Sequence[str], options: Mapping[str, Any], settings: Sequence[str]) -> list[Chosen]:
    """Return the models, each with those of the options that it has; UserError for an option that none of them has."""
    if len(typed) == 1:
        return [chosen_network(typed[0], options, settings, without_recipe=True)]
    names = [network_called(each).name for each in typed]
    keys = {each: each.partition("=")[0].strip().removeprefix(OF_MODEL) for each in settings}
    for option in (*options, *keys.values()):
        if not any(has_option(name, option) for name in names):
            raise UserError(f"none of {', '.join(map(typed_name, names))} has an option {option}; leave it out")
    return [
        chosen_network(
            each,
            {option: value for option, value in options.items() if has_option(name, option)},
            [setting for setting, option in keys.items() if has_option(name, option)],
            without_recipe=True,
        )
        for each, name in zip(typed, names, strict=True)
    ]


def _shape(text: str, model: str, dataset: str | None) -> Shape:
    """Parse `CxHxW`, or the side of a square with the channels of a model's dataset, and return C, H, W."""
    if re.fullmatch(r"[1-9]\d*", text):
        where = _dataset_of(model, dataset)
        return DATASETS[where].input[0] if where else RGB, int(text), int(text)
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise UserError(f"--input {text!r} is not a shape; expected CxHxW, such as 3x32x32, or a side, such as 160")
    channels, height, width = map(int, match.groups())
    return channels, height, width


def _dataset_of(model: str, dataset: str | None) -> str:
    """Return the dataset that is named, else that of the model's paper; empty if it has none."""
    return find_dataset(dataset) if dataset else spec_of(model).dataset
