"""`repro eval`: the test error of a run, a checkpoint, or a model with published weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro.cli.options.protocol import Scales, ViewsName, requested_protocol
from repro.cli.options.runtime import runtime_options
from repro.cli.options.shared import AnswerFormat, Data, Format, Results, Runs, Settings
from repro.cli.output import check_output
from repro.cli.suggestion import after_run, suggest
from repro.cli.weights import Given, show_weights
from repro.console import loading, note, print_json, print_line
from repro.data import find_dataset
from repro.data.inputs.protocol import ONE_CROP
from repro.errors import UserError
from repro.evaluation.checkpoint_place import place_of_checkpoint, with_runs_of
from repro.evaluation.protocols import RequestedProtocol
from repro.models.registry import IMAGENET
from repro.paths import DEFAULT_RESULTS, Folders, FolderUse, checked_folders
from repro.runtime import Runtime
from repro.store.results import error5_text, error_text, result_folders
from repro.tables import shares_text
from repro.text import number_of

if TYPE_CHECKING:
    from repro.evaluation.evaluate import Evaluation, PublishedEvaluation
    from repro.training.tasks.task import Metrics

TORCHVISION = "torchvision"
What = Annotated[
    str,
    typer.Argument(
        metavar="RUN|CHECKPOINT|MODEL",
        help="Run (name or ID, a prefix of either, or folder), checkpoint file, or, with --weights, a model.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="torchvision|FILE",
        help="Test the model with the weights that torchvision publishes, or with a state dict that others published "
        "(.pt, .pth, .th or .safetensors).",
    ),
]
WeightsDataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Dataset for --weights (default: imagenet for torchvision; for a file, that of the exported run, else the "
        "one in the model's paper).",
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean",
        metavar="R,G,B",
        help="Per-channel mean that is subtracted from pixels in 0..1, for weights in a file (default: that of the "
        "exported run, else of the repository whose tensor names the file has).",
    ),
]
Std = Annotated[
    str | None, typer.Option("--std", metavar="R,G,B", help="Per-channel standard deviation; as for --mean.")
]
Record = Annotated[
    bool,
    typer.Option(
        "--record",
        help="Record the test of --weights FILE in --results; tables and forest plots show it, but no verdict uses it.",
    ),
]
Source = Annotated[str, typer.Option("--source", metavar="URL", help="Where the weights are published, for --record.")]
Picture = Annotated[
    Path | None,
    typer.Option(
        "--picture", metavar="FILE", help="Also draw a test image, its mask and the prediction as PNG (U-Net only)."
    ),
]


@runtime_options("device", "threads", "workers")
def evaluate(
    what: What,
    switches: dict[str, Any],
    weights: Weights = None,
    settings: Settings = None,
    dataset: WeightsDataset = None,
    mean: Mean = None,
    std: Std = None,
    protocol: ViewsName = None,
    scales: Scales = None,
    data: Data = None,
    runs: Runs = None,
    record: Record = False,
    source: Source = "",
    results: Results = DEFAULT_RESULTS,
    picture: Picture = None,
    format: Format = AnswerFormat.RICH,
) -> None:
    """Test a run, a checkpoint, or a model with published weights."""
    if dataset and not weights:
        raise UserError("--dataset requires --weights; a run is tested on the dataset that it was trained on")
    if picture and weights:
        raise UserError("--picture needs a run of a U-Net and cannot be combined with --weights")
    if picture:
        check_output(picture, [".png"])
    file = _file(weights)
    if not file:
        _check_only_for_files({"--set": settings, "--mean": mean, "--std": std, "--record": record})
    if source and not record:
        raise UserError("--source requires --record, which stores it with the test")
    if weights and not file:
        _check_published(dataset, runs, results)
    requested = requested_protocol(protocol, scales)
    use = FolderUse.WRITE_RESULTS if record else FolderUse.READ
    folders, runtime = checked_folders(data, runs, results, use), Runtime(**switches)
    if file:
        chosen = dataset and find_dataset(dataset)
        given = Given(
            model=what,
            settings=settings or (),
            file=file,
            dataset=chosen,
            mean=mean,
            std=std,
            requested=requested,
            record=record,
            source=source,
        )
        show_weights(given, folders, runtime, format)
    elif weights:
        _evaluate_published(what, requested, folders, runtime, format)
    else:
        _evaluate_run(what, requested, picture, folders, runtime, format)


def _file(weights: str | None) -> Path | None:
    """Return the file of `--weights`; None for torchvision."""
    return None if weights is None or weights.lower() == TORCHVISION else Path(weights)


def _check_only_for_files(given: Mapping[str, object]) -> None:
    """Raise UserError for options that describe the weights in a file."""
    for option, value in given.items():
        if value:
            raise UserError(f"{option} requires --weights FILE; leave it out for a run or for torchvision's weights")


def _check_published(dataset: str | None, runs: Path | None, results: Path) -> None:
    """Raise UserError for options that the weights of torchvision exclude."""
    if runs or results != DEFAULT_RESULTS:
        raise UserError("--weights torchvision uses no run and no result; leave out --runs and --results")
    if dataset and (found := find_dataset(dataset)) != IMAGENET:
        raise UserError(f"the weights of torchvision are for {IMAGENET}, not for {found}; leave out --dataset")


def _evaluate_run(
    what: str,
    requested: RequestedProtocol,
    picture: Path | None,
    folders: Folders,
    runtime: Runtime,
    format: AnswerFormat,
) -> None:
    place_of_checkpoint(what, folders.runs, result_folders(folders.results))  # a wrong name is refused at once
    with loading():
        from repro.evaluation.evaluate import evaluate

    found = evaluate(what, folders, runtime, requested=requested, picture=picture)
    if picture:
        note(f"wrote {picture}")
    if format == AnswerFormat.JSON:
        print_json(_run_answer(found))
        return
    print_line(_run_line(found))
    experiment = found.experiment
    suggest(after_run(experiment.model, experiment.options, experiment.recipe.name, with_runs_of(what, folders)))


def _run_answer(found: Evaluation) -> dict[str, object]:
    experiment = found.experiment
    return {
        "run": experiment.name,
        **experiment.to_json(),
        "dataset": experiment.dataset,
        "steps": found.steps,
        "epochs": found.epochs,
        "finished": found.finished,
        **_figures(found.metrics),
        "recorded_error": found.recorded,
        "protocol": found.procedure and found.procedure.to_json(),
    }


def _run_line(found: Evaluation) -> str:
    experiment, metrics = found.experiment, found.metrics
    shown = f", {found.procedure}" if found.procedure else ""
    detection = "ap" in metrics.extra
    measured = None if found.recorded is None else error_text(found.recorded, detection)
    recorded = f"; recorded during training: {measured}" if measured else ""
    if found.procedure and found.procedure.protocol != ONE_CROP and recorded:
        recorded += " with 1 crop"
    further = f"AP50 {metrics.extra['ap50']:.2f} %" if detection else shares_text(metrics.extra)
    extra = f", {further}" if further else ""
    return (
        f"{experiment.name}: {error_text(metrics.error, detection)}{error5_text(metrics.error5)}{extra}, on "
        f"{metrics.images:,} images of {experiment.dataset}{shown}, {_trained(found)}{recorded}"
    )


def _trained(found: Evaluation) -> str:
    """Return how long the model was trained, and whether that is the whole recipe."""
    of = found.experiment.recipe.all_epochs
    steps = f"({number_of(found.steps, 'step')})"
    if found.finished:
        return f"finished: {number_of(of, 'epoch')} {steps}"
    return f"not finished: {found.epochs} of {number_of(of, 'epoch')} {steps}"


def _evaluate_published(
    model: str, requested: RequestedProtocol, folders: Folders, runtime: Runtime, format: AnswerFormat
) -> None:
    with loading():
        from repro.evaluation.evaluate import evaluate_published

    found = evaluate_published(model, folders.data, runtime, requested=requested)
    if format == AnswerFormat.JSON:
        print_json(_published_answer(found))
        return
    print_line(_published_line(found))
    suggest(f"repro count {found.model}")


def _published_answer(found: PublishedEvaluation) -> dict[str, object]:
    weights = found.published
    return {
        "model": found.model,
        "dataset": IMAGENET,
        "weights": weights.name,
        "url": weights.url,
        "protocol": found.procedure.to_json(),
        **_figures(found.metrics),
        "published_error": weights.error,
        "published_error5": weights.error5,
    }


def _published_line(found: PublishedEvaluation) -> str:
    weights, metrics = found.published, found.metrics
    return (
        f"{found.model} with {weights.name}: test error {metrics.error:.3f} %{error5_text(metrics.error5, 3)}, "
        f"on {metrics.images:,} images of {IMAGENET}, {found.procedure}; "
        f"torchvision reports {weights.error:.3f} % and {weights.error5:.3f} % with 1 crop"
    )


def _figures(metrics: Metrics) -> dict[str, object]:
    """Return the metrics as one dictionary, including those that only some tasks have."""
    figures = asdict(metrics)
    extra = figures.pop("extra")
    return {**figures, **extra}
