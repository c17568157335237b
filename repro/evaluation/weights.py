"""The weights of a run in a safetensors file, which any program can read without executing code in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from repro import __version__
from repro.atomic import write_atomically
from repro.errors import UserError
from repro.experiment import Experiment
from repro.training.initialise import network_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from repro.training.checkpoint import Checkpoint

OWN_NAMES = "repro"
Renamed = Callable[[Mapping[str, "Tensor"]], dict[str, "Tensor"]]
NAMES: dict[str, Renamed] = {OWN_NAMES: dict}
"""How the tensors of a file may be named: functions from our names of all tensors. The file states which was used."""


def write_weights(saved: Checkpoint, path: Path, *, names: str = OWN_NAMES) -> None:
    """Write the weights of a checkpoint, and in the file's metadata the experiment, its error and the version.

    Args:
        saved: the checkpoint.
        path: the file, which is replaced.
        names: one of NAMES.

    Raises:
        ModuleNotFoundError: the package safetensors is missing.
        UserError: the file cannot be written.
    """
    from safetensors.torch import save

    renamed = NAMES[names](saved.network)
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in renamed.items()}  # none shares memory
    try:
        write_atomically(path, save(tensors, _metadata(saved, names)))
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror})") from error


def _metadata(saved: Checkpoint, names: str) -> dict[str, str]:
    return {
        "format": "pt",
        "run": saved.experiment.name,
        "experiment": json.dumps(saved.experiment.to_json()),
        "error": "" if saved.error is None else str(saved.error),
        "epochs": str(len(saved.history)),
        "steps": str(saved.step),
        "finished": str(saved.finished).lower(),
        "names": names,
        "version": __version__,
    }


def load_weights(path: Path) -> tuple[nn.Module, Experiment]:
    """Return the network of an exported file with its weights, in evaluation mode on the CPU, and its experiment.

    Raises:
        UserError: the file is broken, was not exported by this program, or does not match its network.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read as a safetensors file ({error})") from error
    if metadata.get("names") != OWN_NAMES:
        raise UserError(f"{path} was not written by repro export with the names of repro")
    try:
        experiment = Experiment.from_json(json.loads(metadata["experiment"]))
        network = network_of(experiment)
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"the weights in {path} do not match the network of this version of repro") from error
    return network.eval(), experiment
