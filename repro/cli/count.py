"""`repro count`: parameters and FLOPs next to the published ones."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from repro.api.counts import count_named
from repro.cli.networks import chosen_network
from repro.cli.options import AnswerFormat, DatasetName, Format, Model, Settings, choice, model_options
from repro.cli.suggestion import after_count, suggest
from repro.console import print_json, stdout
from repro.counting.conventions import Convention
from repro.data import find as find_dataset
from repro.errors import UserError
from repro.models import spec_of

InputShape = Annotated[
    str | None, typer.Option("--input", metavar="CxHxW", help="Input shape (default: the dataset's).")
]
Classes = Annotated[
    int | None, typer.Option("--classes", min=1, metavar="N", help="Number of classes (default: the dataset's).")
]
Flops = Annotated[
    Convention,
    choice("--flops", help=f"FLOPs convention: {'; '.join(f'{each}, {each.meaning}' for each in Convention)}."),
]
ByModule = Annotated[bool, typer.Option("--by-module", help="Also show the counts of every module.")]


@model_options
def count(
    model: Model,
    options: dict[str, Any],
    settings: Settings = None,
    dataset: DatasetName = None,
    input: InputShape = None,
    classes: Classes = None,
    flops: Flops = Convention.PAPER,
    by_module: ByModule = False,
    format: Format = AnswerFormat.RICH,
) -> None:
    """Count a model's parameters and FLOPs and compare them with the published counts."""
    name, options, _ = chosen_network(model, options, settings or (), counting=True)
    answer = count_named(name, options, dataset, _shape(input) if input else None, classes, flops, by_module)
    if format == AnswerFormat.JSON:
        print_json(answer.data())
        return
    stdout().print(answer.title, style="bold", soft_wrap=True, markup=False)  # on one line, so that it can be copied
    stdout().print(answer.rich())
    where = find_dataset(dataset) if dataset else spec_of(name).dataset
    suggest(after_count(name, answer.options, where))


def _shape(text: str) -> tuple[int, int, int]:
    """Parse `CxHxW` and return C, H, W."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise UserError(f"--input {text!r} is not a shape; expected CxHxW, such as 3x32x32")
    channels, height, width = map(int, match.groups())
    return channels, height, width
