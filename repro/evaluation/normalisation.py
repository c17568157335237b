"""The normalisation of weights: what their images were normalised with in training, and where it is stated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from repro.data import DATASETS
from repro.data.inputs.normalise import with_declared
from repro.errors import UserError
from repro.evaluation.layouts import Layout, Normalisation
from repro.evaluation.mapping import Receiver
from repro.evaluation.state_dicts import StateDict
from repro.text import number_of
from repro.training.checkpoints.checkpoint import Checkpoint

NAMES = ("mean", "std")
"""The keys of a normalisation in a checkpoint and in the metadata of an exported file."""


@dataclass(frozen=True)
class Normalised:
    """A normalisation and where it is from."""

    values: Normalisation
    source: str


def normalisation_of(saved: Checkpoint) -> Normalisation | None:
    """Return the mean and std that a run is trained with; None for a preprocessing, or if an older checkpoint has none.

    Those of the recipe and of the declared dataset have all their digits.
    """
    recipe = with_declared(saved.experiment.recipe)
    if recipe.mean:
        return Normalisation(recipe.mean, recipe.std)
    mean, std = (saved.statistics.get(name, ()) for name in NAMES)
    return _valid(mean, std, DATASETS[recipe.dataset].input[0])


def to_metadata(normalisation: Normalisation | None) -> dict[str, str]:
    """Return what an exported file says of its normalisation."""
    return {
        name: json.dumps(values, allow_nan=False) for name, values in msgspec.to_builtins(normalisation or {}).items()
    }


def exported_normalisation(found: StateDict, channels: int) -> Normalisation | None:
    """Return the normalisation that `repro export` wrote into a file; None in older files and for a file of others.

    Args:
        found: what the file holds.
        channels: those of the images to be normalised; for another number there is no normalisation.
    """
    if "experiment" not in found.metadata:
        return None
    try:
        mean, std = (msgspec.json.decode(found.metadata.get(name, "[]"), type=tuple[float, ...]) for name in NAMES)
    except (ValueError, RecursionError):
        return None
    return _valid(mean, std, channels)


def _valid(mean: tuple[float, ...], std: tuple[float, ...], channels: int) -> Normalisation | None:
    """Return a mean and std of pixels in 0..1 as a normalisation; None if they cannot be of so many channels."""
    possible = all(0 <= each <= 1 for each in (*mean, *std)) and all(std)
    return Normalisation(mean, std) if possible and len(mean) == len(std) == channels else None


def normalised(
    given: Normalisation | None, found: StateDict, layouts: Sequence[Layout], receiver: Receiver
) -> Normalised:
    """Return the normalisation of weights in a file.

    Args:
        given: the one that the user states, which is used.
        found: an exported file states its own, which is used next.
        layouts: the repositories of these train the network with these names on the dataset with their own.
        receiver: the network that gets the weights, and its dataset.

    Raises:
        UserError: there is none or more than one, or it has another number of channels than the images.
    """
    dataset, channels = receiver.dataset, DATASETS[receiver.dataset].input[0]
    if given:
        if {len(given.mean), len(given.std)} != {channels}:
            raise UserError(f"--mean and --std need {number_of(channels, 'number')} each for {dataset}, as 0.5,0.5,0.5")
        return Normalised(given, "--mean and --std")
    if exported := exported_normalisation(found, channels):
        return Normalised(exported, "the exported file")
    known = _of_layouts(layouts, receiver)
    if len(set(known.values())) != 1:
        raise UserError(
            f"the normalisation of {found.file} is unknown: no known repository trains this network with these names "
            f"on {dataset}; state it for pixels in 0..1, as --mean 0.5,0.5,0.5 --std 0.25,0.25,0.25"
        )
    return Normalised(next(iter(known.values())), ", ".join(known))


def _of_layouts(layouts: Sequence[Layout], receiver: Receiver) -> Mapping[str, Normalisation]:
    """Return the normalisations with which repositories train a network on a dataset, by repository."""
    asked = receiver.model, receiver.options, receiver.dataset
    return {each.source: values for each in layouts if (values := each.normalisation_of(*asked))}
