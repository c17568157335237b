"""`repro eval`: the test error of a run, a checkpoint, or a network with published weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from repro.console import loading, print_json, stderr, stdout
from repro.data import find as find_dataset
from repro.errors import UserError
from repro.paths import Folders
from repro.runtime import Runtime
from repro.text import choose, number_of

if TYPE_CHECKING:
    from repro.data.views import Protocol
    from repro.evaluation.evaluate import Evaluation, PublishedEvaluation
    from repro.training.tasks.task import Metrics


def run(
    what: str,
    folders: Folders,
    runtime: Runtime,
    *,
    weights: str | None,
    dataset: str | None,
    crops: int,
    picture: Path | None,
    format: str,
) -> None:
    """Evaluate and show."""
    format = choose("format", format, ("rich", "json"))
    if dataset and not weights:
        raise UserError("--dataset goes with --weights; a run is tested on the data set that it was trained on")
    if picture and weights:
        raise UserError("--picture draws a run of a U-Net; leave it out with --weights")
    with loading():
        from repro.evaluation.evaluate import evaluate, evaluate_published

    if weights:
        where = find_dataset(dataset or "imagenet")
        _show_published(evaluate_published(what, weights, folders.data, runtime, dataset=where, crops=crops), format)
    else:
        found = evaluate(what, folders, runtime, crops=crops, picture=picture)
        if picture:
            stderr().print(f"drawn to {picture}", soft_wrap=True, markup=False)
        _show(found, format)


def _show(found: Evaluation, format: str) -> None:
    experiment, metrics = found.experiment, found.metrics
    if format == "json":
        print_json(
            {
                "run": experiment.name,
                **experiment.to_json(),
                "dataset": experiment.dataset,
                "steps": found.steps,
                "epochs": found.epochs,
                "finished": found.finished,
                **_figures(metrics),
                "recorded_error": found.recorded,
                "protocol": found.protocol and _protocol(found.protocol),
            }
        )
        return
    shown = f", {found.protocol}" if found.protocol else ""
    recorded = f"; the run itself measured {found.recorded:.2f} %" if found.recorded is not None else ""
    if found.protocol and found.protocol.crops > 1 and recorded:
        recorded += " with 1 crop"
    top5 = "" if metrics.error5 is None else f", top-5 {metrics.error5:.2f} %"
    extra = "".join(f", {name} {value:.4f}" for name, value in metrics.extra.items())
    _say(
        f"{experiment.name}: test error {metrics.error:.2f} %{top5}{extra}, on {metrics.images:,} "
        f"images of {experiment.dataset}{shown}, {_trained(found)}{recorded}"
    )


def _trained(found: Evaluation) -> str:
    """Return how long the network was trained, and whether that is all of its recipe."""
    of = found.experiment.recipe.all_epochs
    steps = f"({number_of(found.steps, 'step')})"
    if found.finished:
        return f"finished: after {number_of(of, 'epoch')} {steps}"
    return f"not finished: after {found.epochs} of {number_of(of, 'epoch')} {steps}"


def _show_published(found: PublishedEvaluation, format: str) -> None:
    weights, metrics = found.published, found.metrics
    if format == "json":
        print_json(
            {
                "model": found.model,
                "dataset": found.dataset,
                "weights": weights.name,
                "url": weights.url,
                "protocol": _protocol(found.protocol),
                **_figures(metrics),
                "published_error": weights.error,
                "published_error5": weights.error5,
            }
        )
        return
    _say(
        f"{found.model} with {weights.name}: error {metrics.error:.3f} %, top-5 {metrics.error5:.3f} %, "
        f"on {metrics.images:,} images of {found.dataset}, {found.protocol}; "
        f"torchvision reports {weights.error:.3f} % and {weights.error5:.3f} % with 1 crop"
    )


def _figures(metrics: Metrics) -> dict[str, object]:
    """Return the metrics as one dictionary; what a task measures besides stands beside the rest."""
    figures = asdict(metrics)
    return {**figures, **figures.pop("extra")}


def _protocol(protocol: Protocol) -> dict[str, object]:
    return {**asdict(protocol), "antialias": True}


def _say(text: str) -> None:
    stdout().print(text, soft_wrap=True, markup=False)
