"""The weights of a run in a safetensors file, which any program can read without executing code in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from repro import __version__
from repro.atomic import write_atomically
from repro.errors import UserError, unwritten
from repro.evaluation.channels import to_centred
from repro.evaluation.layouts import OWN, layout_named, theirs
from repro.evaluation.mapping import Receiver, insert
from repro.evaluation.normalisation import normalisation_of, to_metadata
from repro.evaluation.state_dicts import exported_experiment, read_state_dict
from repro.experiment import Experiment
from repro.models import OptionValue
from repro.training.checkpoints.checkpoint import Checkpoint
from repro.training.initialise import network_of


def write_weights(saved: Checkpoint, path: Path, *, names: str = OWN) -> None:
    """Write the weights of a checkpoint, and in the file's metadata the experiment, its error and its normalisation.

    Args:
        saved: the checkpoint.
        path: the file, which is replaced.
        names: the layout whose names the tensors get; the file states it.

    Raises:
        ModuleNotFoundError: the package safetensors is missing.
        UserError: the layout has no names for the network, or the file cannot be written.
    """
    from safetensors.torch import save

    experiment = saved.experiment
    renamed = with_names(saved.tested, names, experiment.model, experiment.options)
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in renamed.items()}  # none shares memory
    try:
        write_atomically(path, save(tensors, _metadata(saved, names)))
    except OSError as error:
        raise unwritten(f"{path} cannot be written ({error.strerror})", error, "choose another --output") from error


def with_names(
    tensors: Mapping[str, Tensor], names: str, model: str, options: Mapping[str, OptionValue]
) -> dict[str, Tensor]:
    """Return all tensors of our network, with all its options, as a layout has them; UserError if it has no names."""
    _, networks = layout_named(names, model, options)
    if networks.is_centred(options):
        tensors = to_centred(tensors)
    return {their: tensors[ours] for ours, their in theirs(networks, tensors).items()}


def _metadata(saved: Checkpoint, names: str) -> dict[str, str]:
    return {
        "format": "pt",
        "run": saved.experiment.name,
        "experiment": json.dumps(saved.experiment.to_json(), allow_nan=False),
        "error": "" if saved.error is None else str(saved.error),
        "epochs": str(len(saved.history)),
        "steps": str(saved.step),
        "finished": str(saved.finished).lower(),
        "names": names,
        "version": __version__,
        **to_metadata(normalisation_of(saved)),
    }


def exported_network(path: Path) -> tuple[nn.Module, Experiment]:
    """Return the network of an exported file with its weights, in evaluation mode on the CPU, and its experiment.

    Raises:
        UserError: the file is broken, was not exported by this program, or does not match its network.
    """
    found = read_state_dict(path)
    experiment = exported_experiment(found)
    if experiment is None:
        raise UserError(f"{path} was not written by repro export; test it with repro eval MODEL --weights {path}")
    network = network_of(experiment)
    receiver = Receiver(network, experiment.model, experiment.options, experiment.dataset)
    insert(receiver, found.for_network(receiver.tensors))
    return network.eval(), experiment
