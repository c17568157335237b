"""`repro bench`: images a second here, and how long the recipe would take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from repro.console import loading, print_json, stdout, with_bar
from repro.experiment import Experiment
from repro.runtime import PRECISIONS, Runtime
from repro.text import choose

if TYPE_CHECKING:
    from repro.benchmark.bench import Speed


def run(
    experiment: Experiment,
    runtime: Runtime,
    precisions: Sequence[str],
    seeds: int,
    window_seconds: float,
    root: Path,
    format: str,
) -> None:
    """Measure and show; without precisions those that are measured by default."""
    format = choose("format", format, ("rich", "json"))
    with loading():
        from repro.benchmark.bench import USUAL, bench
        from repro.training.device import device_name, prepare

    asked = list(dict.fromkeys(each.lower() for each in precisions)) or USUAL
    speeds = bench(
        experiment, runtime, window_seconds, root, seeds, asked, lambda rounds: with_bar(rounds, "measuring")
    )
    device = device_name(prepare(runtime))
    if format == "json":
        print_json({"model": experiment.model, "device": device, "speeds": [asdict(each) for each in speeds]})
    else:
        _show(experiment, device, speeds)


def _show(experiment: Experiment, device: str, speeds: Sequence[Speed]) -> None:
    from repro.report.grid import Fitted, empty_grid

    recipe = experiment.recipe
    title = f"{experiment.model}, {recipe.name}, batch {recipe.batch}, on {device}"
    columns = {name: [cell(each) for each in speeds] for name, cell in COLUMNS.items()}
    columns = {name: cells for name, cells in columns.items() if any(cells)}  # working memory is a GPU's alone
    grid = empty_grid(title)
    for heading in columns:
        grid.add_column(heading)
    for line in zip(*columns.values(), strict=True):
        grid.add_row(*line)
    stdout().print(Fitted(grid))
    _say_what_waits({each.name: each.images_per_second for each in speeds})
    stdout().print("plain loop: DataLoader, torchvision transforms, eager steps in fp32 without TF32", style="dim")
    stdout().print("medians of windows taken in turn; recipe: training alone, without tests and tuning", style="dim")
    stdout().print("of matmul, of copy: of the rates of a large matrix product and a large copy here", style="dim")
    stdout().print("kept: what a step keeps for its backward pass; working memory: the GPU's peak, eager", style="dim")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _gibibytes(size: int | None) -> str:
    return "" if size is None else f"{size / 2**30:.2f} GiB"


COLUMNS: dict[str, Callable[[Speed], str]] = {
    "": lambda speed: speed.name,
    "Images/s": lambda speed: f"{speed.images_per_second:.0f}",
    "Range": lambda speed: f"{speed.slowest:.0f} to {speed.fastest:.0f}",
    "Ratio": lambda speed: f"{speed.ratio:.2f}",
    "Recipe takes": lambda speed: str(timedelta(seconds=round(speed.recipe_seconds))),
    "Of matmul": lambda speed: _percent(speed.matmul_share),
    "Of copy": lambda speed: _percent(speed.copy_share),
    "Kept": lambda speed: _gibibytes(speed.kept_bytes),
    "Working memory": lambda speed: _gibibytes(speed.peak_bytes),
}


def _say_what_waits(rates: dict[str, float]) -> None:
    """Say whether image files are read as fast as the network takes them."""
    for precision in PRECISIONS:
        network, files = rates.get(f"network alone, {precision}"), rates.get("input alone")
        if network and files:
            waits = "waits for its input" if files < network else "is fed in time"
            stdout().print(f"the network in {precision} {waits}: {files:.0f} images/s are read, {network:.0f} taken")
