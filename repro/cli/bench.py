"""`repro bench`: training speed on this machine, and how long the recipe would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro.bars import with_bar
from repro.benchmark import WINDOW_SECONDS
from repro.cli.check import check_device
from repro.cli.networks import chosen_experiment
from repro.cli.options.runtime import runtime_options
from repro.cli.options.shared import (
    AnswerFormat,
    Data,
    DatasetName,
    Format,
    Overrides,
    RecipeName,
    choice,
    completing,
    model_options,
)
from repro.cli.suggestion import suggest, with_folders
from repro.console import loading, print_json, stdout
from repro.errors import UserError
from repro.experiment import Experiment, check_network
from repro.models import MODELS
from repro.models.typed import typed_name, typed_options
from repro.paths import Folders, checked_folders
from repro.recipes import deviations
from repro.runtime import Precision, Runtime
from repro.store.command_text import command_of, needed_papers

if TYPE_CHECKING:
    from rich.console import RenderableType

    from repro.benchmark.bench import Speed

Precisions = Annotated[
    list[Precision] | None,
    choice("--precision", help="Precision to measure; can be given several times (default: fp32 and bf16)."),
]
StackedSeeds = Annotated[
    int | None,
    typer.Option("--seeds", min=1, max=100, metavar="N", help="Also measure N stacked seeds (default: none)."),
]
Window = Annotated[
    float | None,
    typer.Option(
        "--window",
        min=0.01,
        max=600,
        metavar="SECONDS",
        help=f"Length of one timing window (default: {WINDOW_SECONDS:g} seconds).",
    ),
]
CHECK_SECONDS = 220.0
"""How long --check takes at most, unless --seconds says otherwise."""
ADDING_VARIANTS = ("compile", "graph", "fused", "save_memory")
"""The switches that are measured in addition to the eager step; some exclude each other."""
BenchModel = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="Model that classifies images, such as densenet-bc; see repro list models. Or your own, as in repro "
        "train. Left out with --check.",
        autocompletion=completing(lambda: MODELS),
    ),
]
Check = Annotated[bool, typer.Option("--check", help="Check the device instead of measuring a model.")]
Seconds = Annotated[
    float | None,
    typer.Option(
        "--seconds",
        min=0,
        max=86_400,
        metavar="SECONDS",
        help=f"With --check: when to stop (default: {CHECK_SECONDS:g}).",
    ),
]
Only = Annotated[
    str,
    typer.Option(
        "--only",
        metavar="TEXT",
        help="With --check: run only the checks and measurements with this text in their names.",
    ),
]


@model_options
@runtime_options("device", "save_memory", "threads", "workers", "channels_last", "compile", "graph", "fused")
def bench(
    options: dict[str, Any],
    switches: dict[str, Any],
    model: BenchModel = None,
    dataset: DatasetName = None,
    recipe: RecipeName = None,
    overrides: Overrides = None,
    precision: Precisions = None,
    seeds: StackedSeeds = None,
    data: Data = None,
    window: Window = None,
    check: Check = False,
    seconds: Seconds = None,
    only: Only = "",
    format: Format = AnswerFormat.RICH,
) -> None:
    """Measure training speed against a baseline, and estimate how long the recipe would take.

    --compile, --graph, --fused and --save-memory are measured in addition to the eager step.

    With --check, compare this device with the CPU, graphs with eager steps, resumed runs with uninterrupted ones, and
    seeds at once with seeds alone, then time the steps of some networks.
    """
    if check:
        others = [name for name in switches if name != "device"]
        if any((model, options, others, precision, dataset, recipe, overrides, seeds, data, window)):
            raise UserError(
                "--check measures networks and variants of its own; give it only --device, --seconds and --only"
            )
        check_device(Runtime(**switches), CHECK_SECONDS if seconds is None else seconds, only, format)
        return
    if seconds is not None or only:
        raise UserError("--seconds and --only require --check")
    if model is None:
        raise UserError("the model is missing: name one, such as resnet20, or add --check to check the device")
    experiment = chosen_experiment(model, options, overrides or (), dataset=dataset, recipe=recipe)
    check_network(experiment)
    runtime, folders = Runtime(**switches), checked_folders(data)
    with loading():
        from repro.benchmark.bench import USUAL, bench

    precisions = list(dict.fromkeys(precision or [])) or USUAL
    measuring = partial(with_bar, what="measuring")
    speeds = bench(experiment, runtime, window or WINDOW_SECONDS, folders.data, seeds or 1, precisions, measuring)
    _show(experiment, runtime, speeds, format)
    if format != AnswerFormat.JSON:
        fixed = None if precision or runtime.fused else runtime.precision  # which has no fused kernels
        suggest(_training(experiment, switches, speeds, fixed, folders))


def _training(
    experiment: Experiment,
    switches: Mapping[str, Any],
    speeds: Sequence[Speed],
    precision: Precision | None,
    folders: Folders,
) -> str:
    """Return the command that trains what was measured in the fastest way; in any precision if that is None."""
    usual = {name: value for name, value in switches.items() if name not in ADDING_VARIANTS}
    found = [each for each in speeds if precision in (None, each.precision)]
    ways = [(each.images_per_second, each.switches) for each in found if each.switches is not None]
    _, fastest = max(ways, key=itemgetter(0), default=(0, {}))
    command = command_of(experiment, Runtime.from_values({**usual, **fastest}), {}, needed_papers(experiment))
    return with_folders(command, folders, "data") if command else "repro list recipes"


def _show(experiment: Experiment, runtime: Runtime, speeds: Sequence[Speed], format: AnswerFormat) -> None:
    """Print the speeds."""
    import torch

    from repro.training.machine.device import chosen_device, device_name

    device = device_name(torch.device(chosen_device(runtime)))
    if format == AnswerFormat.JSON:
        about = {"model": experiment.model, "options": dict(experiment.options)}
        followed = {"deviations": deviations(experiment.recipe), "device": device}
        print_json({**about, **followed, "speeds": [asdict(each) for each in speeds]})
        return
    stdout().print(_grid(experiment, device, speeds))
    for line in [*_input_speeds(speeds), *_notes(speeds)]:
        stdout().print(line, style="dim")


def _notes(speeds: Sequence[Speed]) -> list[str]:
    """Return what a reader should know of the columns and lines that are shown."""
    columns = {heading for heading, cell in COLUMNS.items() if any(map(cell, speeds))}
    return [text for about, text in NOTES if about in columns or any(about in each.name for each in speeds)]


def _grid(experiment: Experiment, device: str, speeds: Sequence[Speed]) -> RenderableType:
    """Return a line for each speed, without columns that are empty."""
    from repro.report.formats.fitted import Fitted, empty_grid

    recipe = experiment.recipe
    columns = {name: [cell(each) for each in speeds] for name, cell in COLUMNS.items()}
    columns = {name: cells for name, cells in columns.items() if any(cells)}  # a CPU reports no working memory
    followed = " with ".join(part for part in (recipe.name, ", ".join(deviations(recipe))) if part)
    network = f"{typed_name(experiment.model)} {typed_options(experiment.model, experiment.options)}".strip()
    grid = empty_grid()
    for heading in columns:
        grid.add_column(heading)
    for cells in zip(*columns.values(), strict=True):
        grid.add_row(*cells)
    return Fitted(grid, title=f"{network}, {followed}, batch size {recipe.batch}, on {device}")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _gibibytes(size: int | None) -> str:
    return "" if size is None else f"{size / 2**30:.2f} GiB"


COLUMNS: dict[str, Callable[[Speed], str]] = {
    "": lambda speed: speed.name,
    "Images/s": lambda speed: f"{speed.images_per_second:.0f}",
    "Range": lambda speed: f"{speed.slowest:.0f} to {speed.fastest:.0f}",
    "ms per step and run": lambda speed: "" if speed.milliseconds is None else f"{speed.milliseconds:.1f}",
    "Ratio": lambda speed: f"{speed.ratio:.2f}",
    "Time for recipe": lambda speed: str(timedelta(seconds=round(speed.recipe_seconds))),
    "% of peak matmul": lambda speed: _percent(speed.matmul_share),
    "% of peak bandwidth": lambda speed: _percent(speed.copy_share),
    "Saved activations": lambda speed: _gibibytes(speed.kept_bytes),
    "Working memory": lambda speed: _gibibytes(speed.peak_bytes),
}
NOTES = (
    ("Ratio", "Baseline: DataLoader, torchvision transforms and eager steps in fp32 without TF32."),
    ("Images/s", "Figures are medians over timing windows, taken in turn."),
    ("Ratio", "Ratio: speed relative to the baseline of the same work, the median over pairs of windows."),
    ("Time for recipe", "Time for recipe: training only, without tests and fine-tuning."),
    (
        "% of peak matmul",
        "Peak matmul and bandwidth: measured with a large matrix product and a large copy on this device.",
    ),
    (
        "threads spin",
        "Threads spin: OpenMP's threads wait in a loop, torch's default, which is slow beside other processes.",
    ),
    ("Saved activations", "Saved activations: what a step keeps for the backward pass."),
    ("Working memory", "Working memory: the peak on the GPU, eager steps."),
)
"""What a reader should know, each with the column, or the part of a line's name, that it is about."""


def _input_speeds(speeds: Sequence[Speed]) -> list[str]:
    """Return whether image files are read as fast as the model can process them, one line per precision."""
    from repro.benchmark.variants import VariantKind

    input = next((each for each in speeds if each.kind is VariantKind.INPUT), None)
    if input is None:
        return []
    usual = f"Reading alone is {input.ratio:.2f} times as fast as torchvision's loader and transforms in a DataLoader."
    networks = [each for each in speeds if each.kind is VariantKind.NETWORK]
    return [usual, *(_limit(each, input.images_per_second) for each in networks)]


def _limit(network: Speed, files: float) -> str:
    """Return what limits training in one precision: reading `files` images per second, or the model."""
    rate = network.images_per_second
    limit = "reading the images" if files < rate else "the model"
    speeds = f"{files:.0f} images/s are read, the model can process {rate:.0f}"
    return f"Training in {network.precision} is limited by {limit}: {speeds}."
