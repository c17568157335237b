"""The test of weights in a file: those that others published, or those that `repro export` wrote.

Such a test is shown beside the printed error of a row. It is never a run: verdicts count runs of the paper's recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from repro.data import DATASETS, Dataset, load
from repro.data.inputs.normalise import Normalise
from repro.data.inputs.procedure import Procedure, procedure_of
from repro.data.inputs.protocol import ONE_CROP, Protocol
from repro.data.readers.folder import ImageFolder
from repro.encoding import legible
from repro.errors import UserError
from repro.evaluation.evaluate import check_loss, check_shown_whole, shown_progress, test
from repro.evaluation.layouts import Normalisation
from repro.evaluation.mapping import Receiver, TensorMapping, insert
from repro.evaluation.normalisation import Normalised, exported_normalisation, normalised
from repro.evaluation.pretrained import published
from repro.evaluation.protocols import NO_REQUEST, RequestedProtocol, protocol_for
from repro.evaluation.state_dicts import StateDict, exported_experiment, read_state_dict
from repro.experiment import Experiment, check_task, classifies, own_dataset
from repro.models import OptionValue, build, is_outside, resolve_options
from repro.models.outside.location import bare, check_current, outside
from repro.models.registry import TORCHVISION
from repro.models.typed import typed_name
from repro.recipes import RECIPES, default_recipe
from repro.runtime import Runtime
from repro.store.weights_tests import WeightsTest
from repro.tables.lookup import errors_of
from repro.training.initialise import set_batchnorm
from repro.training.machine.device import placed, prepare
from repro.training.machine.provenance import machine
from repro.training.tasks.file_test import FileTest
from repro.training.tasks.in_memory import WholeTest
from repro.training.tasks.task import Metrics


@dataclass(frozen=True)
class Printed:
    """A printed error of the network on the dataset that weights were tested on."""

    table: str
    row: str
    column: str
    error: str
    """In %, as printed."""


@dataclass(frozen=True)
class TestedWeights:
    """What a test of weights in a file found."""

    file: str
    sha256: str
    model: str
    options: Mapping[str, OptionValue]
    dataset: str
    key: str
    """The key of the state dict in the file; empty if the file has nothing else."""
    prefix: str
    """What was removed from all names in the file."""
    layouts: tuple[str, ...]
    """The layouts whose names the file has; empty if it was mapped by order and shape."""
    permuted: bool
    """Whether channels were reordered, since the file's shortcuts pad on both sides."""
    mapping: Mapping[str, str]
    """The name of a tensor in the file by ours."""
    mean: tuple[float, ...]
    """What was subtracted from pixels in 0..1, by channel; empty if a run's recipe says it in another way."""
    std: tuple[float, ...]
    normalised_as: str
    """Where the normalisation is from."""
    procedure: Procedure | None
    """How image files were tested; None for images that are shown whole."""
    error: float
    """Top-1 error in %."""
    error5: float | None
    """Top-5 error in %; None for five classes or fewer."""
    images: int
    run: str | None
    """The run, if `repro export` wrote the file."""
    printed: tuple[Printed, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the test as plain data."""
        values = {name: value for name, value in asdict(self).items() if name != "procedure"}
        return {**values, "protocol": self.procedure.to_json() if self.procedure else None}

    def recorded(self, source: str, device: torch.device) -> WeightsTest:
        """Return the test as a line of weights.csv.

        Args:
            source: the URL where the weights are published; may be empty.
            device: the device that tested them.
        """
        made = machine(device)
        return WeightsTest(
            sha256=self.sha256,
            file=legible(Path(self.file).name, "utf-8"),
            source=legible(source, "utf-8"),
            model=self.model,
            options=self.options,
            dataset=self.dataset,
            protocol=msgspec.to_builtins(self.procedure.protocol if self.procedure else ONE_CROP),
            normalised_as=self.normalised_as,
            mean=self.mean,
            std=self.std,
            error=self.error,
            error5=self.error5,
            images=self.images,
            tested=datetime.now(UTC).isoformat(timespec="seconds"),
            **{name: made[name] for name in ("device", "torch", "version", "commit")},
        )


def evaluate_weights(
    model: str,
    options: Mapping[str, OptionValue],
    file: Path,
    root: Path,
    runtime: Runtime,
    *,
    dataset: str | None = None,
    normalisation: Normalisation | None = None,
    requested: RequestedProtocol = NO_REQUEST,
    of_others: bool = False,
) -> TestedWeights:
    """Return the test error of one of our networks with the weights in a file.

    Args:
        model: its name.
        options: the options that the user gave.
        file: a state dict, written by `torch.save` or as safetensors.
        root: the datasets.
        runtime: how to run the network.
        dataset: its name (default: that of the exported run, else that of the model's paper).
        normalisation: that of the weights (default: that of the exported file, else that of the layout).
        requested: the protocol of image files (default: one crop; of an exported run, the printed one).
        of_others: whether an exported run is refused, since the test is for the record of published weights.

    Raises:
        UserError: the file or the images cannot be read, the weights are not those of the network, or are refused, or
            their normalisation is unknown.
    """
    found = read_state_dict(file)
    exported = exported_experiment(found)
    of_run = exported if exported and exported.model == model and dataset in (None, exported.dataset) else None
    if exported and of_others:
        raise UserError(f"--record is for weights published elsewhere; {file} was exported from run {exported.name}")
    if exported and not (of_run or dataset):
        _check_version(model, exported)
    receiver = _receiver(model, options, dataset, of_run)
    found = found.for_network(receiver.tensors)
    mapping = insert(receiver, found)
    if exported:
        set_batchnorm(receiver.network, exported.recipe)
    if of_run and not normalisation:
        shown = _stated(of_run, found)
    else:
        shown = normalised(normalisation, found, mapping.layouts, receiver)
    if of_run:
        as_trained = _normalised_by(of_run, shown.values, instead=normalisation is not None)
        metrics, procedure = test(receiver.network, as_trained, root, runtime, requested, None)
    else:
        metrics, procedure = _tested(receiver, shown.values, root, runtime, requested)
    check_loss(metrics, str(file))
    return _answer(found, receiver, mapping, shown, procedure, metrics, of_run)


def _stated(of_run: Experiment, found: StateDict) -> Normalised:
    """Return the normalisation that the file of an exported run states; that of the recipe if the file is older."""
    recipe = of_run.recipe
    if stated := exported_normalisation(found, DATASETS[recipe.dataset].input[0]):
        return Normalised(stated, "the exported file")
    return Normalised(Normalisation(recipe.mean, recipe.std), f"the recipe {recipe.name} of the exported run")


def _normalised_by(of_run: Experiment, values: Normalisation, *, instead: bool) -> Experiment:
    """Return an exported run with a normalisation, which may be `instead` of its recipe's preprocessing."""
    recipe = replace(of_run.recipe, mean=values.mean, std=values.std)
    return replace(of_run, recipe=replace(recipe, preprocessing="") if instead else recipe)


def _receiver(
    model: str, options: Mapping[str, OptionValue], dataset: str | None, of_run: Experiment | None
) -> Receiver:
    """Return the network that gets the weights, by default as an exported run has it; UserError if it is invalid."""
    where = dataset or (of_run.dataset if of_run else own_dataset(model))
    _check(model, where)
    chosen = resolve_options(model, {**(of_run.options if of_run else {}), **options}, where)
    data = DATASETS[where]
    return Receiver(build(model, chosen, classes=data.classes, input=data.input), model, chosen, where)


def _check_version(model: str, exported: Experiment) -> None:
    """Raise UserError if a network is the one of an exported run, but its code has changed since or is missing."""
    if is_outside(model) and is_outside(exported.model) and bare(model) == bare(exported.model):
        check_current(outside(exported.model))


def printed_beside(receiver: Receiver, protocol: Protocol) -> tuple[Printed, ...]:
    """Return the printed top-1 errors of a network on its dataset by this protocol, in all tables."""
    wanted = receiver.model, dict(receiver.options), receiver.dataset, protocol
    return tuple(
        Printed(each.table.name, each.table.called(each.row), each.column.label, each.cell.text)
        for each in errors_of(receiver.model)
        if each.is_of_network(*wanted)
    )


def _check(model: str, dataset: str) -> None:
    """Raise UserError if a model does not classify the images of a dataset, or cannot be tested on it."""
    check_task(model, dataset)
    if not classifies(dataset):
        raise UserError(f"--weights FILE is for models that classify images, which {typed_name(model)} does not")


def _tested(
    receiver: Receiver, normalisation: Normalisation, root: Path, runtime: Runtime, requested: RequestedProtocol
) -> tuple[Metrics, Procedure | None]:
    """Return the metrics on the test images, and how image files were tested (else None)."""
    device = prepare(runtime)
    network: nn.Module = placed(receiver.network, device, runtime)
    data = load(receiver.dataset, root)
    if isinstance(data, ImageFolder):
        protocol = protocol_for(requested, receiver.model)
        procedure = replace(_procedure(receiver, normalisation), protocol=protocol)
        return FileTest(data.test, procedure, runtime, device).test(network, shown_progress), procedure
    check_shown_whole(requested, receiver.dataset)
    assert isinstance(data, Dataset)
    mean, std = (torch.tensor(each, device=device) for each in (normalisation.mean, normalisation.std))
    tester = WholeTest(data.test.to(device), Normalise(mean, std), runtime, device, DATASETS[receiver.dataset].classes)
    return tester.test(network, shown_progress), None


def _procedure(receiver: Receiver, normalisation: Normalisation) -> Procedure:
    """Return how image files are scaled: as torchvision tests its own weights on ImageNet, else as in the recipe.

    Raises:
        UserError: there is neither.
    """
    model, dataset = receiver.model, receiver.dataset
    name = default_recipe(model, dataset, receiver.options)
    if dataset == "imagenet" and model in TORCHVISION:
        found = published(model).procedure
    elif name:
        found = procedure_of(RECIPES[name])
    else:
        raise UserError(
            f"no recipe says how {typed_name(model)} is tested on {dataset}; see repro list recipes for others"
        )
    return replace(found, mean=normalisation.mean, std=normalisation.std)


def _answer(
    found: StateDict,
    receiver: Receiver,
    mapping: TensorMapping,
    shown: Normalised,
    procedure: Procedure | None,
    metrics: Metrics,
    of_run: Experiment | None,
) -> TestedWeights:
    return TestedWeights(
        file=str(found.file),
        sha256=found.sha256,
        model=receiver.model,
        options=dict(receiver.options),
        dataset=receiver.dataset,
        key=found.key,
        prefix=found.prefix,
        layouts=tuple(each.name for each in mapping.layouts),
        permuted=mapping.permuted,
        mapping=mapping.pairs,
        mean=shown.values.mean,
        std=shown.values.std,
        normalised_as=shown.source,
        procedure=procedure,
        error=metrics.error,
        error5=metrics.error5,
        images=metrics.images,
        run=of_run.name if of_run else None,
        printed=printed_beside(receiver, procedure.protocol if procedure else ONE_CROP),
    )
