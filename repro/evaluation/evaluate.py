"""The test error of a checkpoint, a run, or a network with published weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from repro.bars import with_bar
from repro.console import note
from repro.data import DATASETS, DatasetKind, load
from repro.data.inputs.procedure import Procedure, procedure_of
from repro.data.readers.folder import ImageFolder
from repro.errors import RunFailed, UserError
from repro.evaluation.checkpoint_place import place_of_checkpoint
from repro.evaluation.mapping import Receiver, insert
from repro.evaluation.prediction import draw_prediction
from repro.evaluation.pretrained import Published, fetch, published
from repro.evaluation.protocols import NO_REQUEST, RequestedProtocol, protocol_for, protocol_of_run
from repro.experiment import Experiment
from repro.models import build, resolve_options
from repro.models.registry import IMAGENET
from repro.paths import Folders
from repro.runtime import Precision, Runtime
from repro.store.gates import GateRow
from repro.store.run_folders import check_papers
from repro.tables.names import network_called
from repro.training.checkpoints import checkpoint as checkpoints
from repro.training.engine.finite import check_finite
from repro.training.initialise import network_of
from repro.training.machine.device import chosen_device, placed, prepare
from repro.training.runs.gates import measured_gates
from repro.training.tasks.file_test import FileTest
from repro.training.tasks.from_files import with_statistics
from repro.training.tasks.kinds import task_for
from repro.training.tasks.segmentation import Segmentation
from repro.training.tasks.task import Metrics


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a run or a checkpoint."""

    experiment: Experiment
    steps: int
    epochs: int
    """Complete epochs of training."""
    finished: bool
    """Whether the recipe's training is complete."""
    metrics: Metrics
    recorded: float | None
    """Test error in % that the run itself measured with these weights and one crop; None if it did not."""
    procedure: Procedure | None
    """How image files were tested; None for other datasets, whose images are shown whole."""


@dataclass(frozen=True)
class PublishedEvaluation:
    """The evaluation of published weights."""

    model: str
    published: Published
    procedure: Procedure
    metrics: Metrics


def evaluate(
    what: str,
    folders: Folders,
    runtime: Runtime,
    *,
    requested: RequestedProtocol = NO_REQUEST,
    picture: Path | None = None,
) -> Evaluation:
    """Return the test error of a run or a checkpoint, in the precision in which it was trained.

    Args:
        what: run (name, prefix, ID or folder) or checkpoint file.
        folders: datasets and runs.
        runtime: how to run the network; its precision is replaced.
        requested: the protocol of image files (default: the printed one).
        picture: PNG file for a picture of a segmentation.

    Raises:
        UserError: there is no such run, the checkpoint is broken, or `requested` or `picture` does not apply to this
            dataset.
        RunFailed: the weights or the test loss are NaN or infinite.
    """
    saved = load_run(what, folders.runs)
    experiment = saved.experiment
    if picture and DATASETS[experiment.dataset].kind is not DatasetKind.SEGMENTATION:
        raise UserError("--picture is for segmentations, and this run is none; leave it out")
    network, runtime = _as_trained(saved, runtime)
    metrics, procedure = test(network, experiment, folders.data, runtime, requested, picture)
    check_loss(metrics, experiment.name)
    return Evaluation(experiment, saved.step, len(saved.history), saved.finished, metrics, saved.error, procedure)


def test(
    network: nn.Module,
    experiment: Experiment,
    root: Path,
    runtime: Runtime,
    requested: RequestedProtocol,
    picture: Path | None,
) -> tuple[Metrics, Procedure | None]:
    """Return the metrics on a dataset's test images, and how image files were tested (else None).

    Raises:
        UserError: the images are missing, or a protocol is requested of images that are shown whole.
    """
    device = prepare(runtime)
    network = placed(network, device, runtime)
    if DATASETS[experiment.dataset].kind is not DatasetKind.IMAGE_FILES:
        check_shown_whole(requested, experiment.dataset)
        task = task_for(experiment, root, runtime, device)
        metrics = task.test(network, shown_progress)
        if picture:
            assert isinstance(task, Segmentation)
            draw_prediction(task, network, picture)
        return metrics, None
    protocol = protocol_of_run(requested, experiment)
    data = load(experiment.dataset, root)
    assert isinstance(data, ImageFolder)
    procedure = replace(procedure_of(with_statistics(experiment.recipe, data, runtime)), protocol=protocol)
    return FileTest(data.test, procedure, runtime, device).test(network, shown_progress), procedure


def check_shown_whole(requested: RequestedProtocol, dataset: str) -> None:
    """Raise UserError if a protocol is requested for images that are shown whole."""
    if requested != NO_REQUEST:
        raise UserError(f"--protocol is for image files; the images of {dataset} are shown whole")


def evaluate_published(
    model: str, root: Path, runtime: Runtime, *, requested: RequestedProtocol = NO_REQUEST
) -> PublishedEvaluation:
    """Return the validation error on ImageNet of one of our networks with published weights.

    The scaling and normalisation are those published with the weights, and so is the protocol, one crop, by default.

    Raises:
        UserError: there is no such network, there are no such weights, or the images are missing.
        RunFailed: the weights cannot be downloaded, or they or the test loss are NaN or infinite.
    """
    model, options = network_called(model)
    weights = published(model)
    procedure = replace(weights.procedure, protocol=protocol_for(requested, model))
    data = load(IMAGENET, root)
    assert isinstance(data, ImageFolder)
    files, device = data.test, prepare(runtime)
    options = resolve_options(model, options, IMAGENET)
    network = build(model, options, classes=DATASETS[IMAGENET].classes)
    insert(Receiver(network, model, options, IMAGENET), fetch(weights.url))
    check_finite(network.state_dict(), weights.name)
    tester = FileTest(files, procedure, runtime, device)
    metrics = tester.test(placed(network, device, runtime), shown_progress)
    check_loss(metrics, weights.name)
    return PublishedEvaluation(model, weights, procedure, metrics)


def check_loss(metrics: Metrics, whose: str) -> None:
    """Raise RunFailed if outputs were NaN or infinite: counted as wrong, they would pass for an error rate."""
    if metrics.loss is not None and not math.isfinite(metrics.loss):
        raise RunFailed(f"{whose} has outputs that are NaN or infinite on the test images: the loss is {metrics.loss}")


def shown_progress(begins: range) -> Iterable[int]:
    """Show the progress of a test over the first places of its batches."""
    return with_bar(begins, "testing")


def mean_gates(saved: checkpoints.Checkpoint, root: Path, runtime: Runtime) -> list[GateRow]:
    """Return the mean gate weights of a checkpoint over the test images, in the precision of its run.

    Raises:
        UserError: the images are missing.
    """
    experiment = saved.experiment
    network, runtime = _as_trained(saved, runtime)
    device = prepare(runtime)
    task = task_for(experiment, root, runtime, device)
    network = placed(network, device, runtime)

    def progress(begins: range) -> Iterable[int]:
        return with_bar(begins, "computing mean gate weights on the test images")

    return measured_gates(network, experiment, task, saved.step, saved.history, progress=progress)


def load_run(what: str, runs: Path) -> checkpoints.Checkpoint:
    """Return the newest checkpoint of a run (name, prefix, ID or folder), or the checkpoint in a file.

    Raises:
        UserError: there is no such run, or the checkpoint is broken.
    """
    place = place_of_checkpoint(what, runs)
    if place.is_file():
        return checkpoints.load(place)
    check_papers(place)
    saved, warning = checkpoints.load_newest(place)
    if warning:
        note(f"warning: {warning}")
    if saved is None:
        raise UserError(f"{place} has no checkpoint; repro train writes one")
    return saved


def _as_trained(saved: checkpoints.Checkpoint, runtime: Runtime) -> tuple[nn.Module, Runtime]:
    """Return the network of a checkpoint, and the runtime with the precision of its training."""
    network, experiment = network_of(saved.experiment), saved.experiment
    check_finite(saved.tested, experiment.name, network.state_dict())
    try:
        network.load_state_dict(saved.tested)
    except RuntimeError as error:
        raise UserError(
            f"the weights of {experiment.name} do not match the model {experiment.model} {dict(experiment.options)}; "
            "test the run with the version of repro that trained it"
        ) from error
    precision = saved.runtime.precision
    if precision == Precision.TF32 and not chosen_device(runtime).startswith("cuda"):
        precision = Precision.FP32  # nearer to TF32 than bf16, the only other precision on a CPU
    return network, replace(runtime, precision=precision, channels_last=saved.runtime.channels_last)
