"""Which tensor of a published state dict is which tensor of our network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from repro.errors import UserError
from repro.evaluation.channels import from_centred
from repro.evaluation.layouts import Layout, NamedNetworks, layouts, theirs
from repro.evaluation.state_dicts import StateDict
from repro.models import OptionValue
from repro.models.typed import typed_name
from repro.text import number_of


@dataclass(frozen=True)
class Receiver:
    """Our network, which receives the tensors of a file, and how its user chose it."""

    network: nn.Module
    model: str
    options: Mapping[str, OptionValue]
    """All options."""
    dataset: str

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The parameters and buffers that affect the output."""
        return {name: value for name, value in self.network.state_dict().items() if affects_output(name)}


@dataclass(frozen=True)
class TensorMapping:
    """The tensors of a file by those of our network."""

    layouts: tuple[Layout, ...]
    """The layouts whose names the file has; none if it was mapped by order and shape."""
    pairs: Mapping[str, str]
    """The name in the file by our name."""
    permuted: bool = False
    """Whether the channels of the file are in another order, as in `repro.evaluation.channels`."""


def affects_output(name: str) -> bool:
    """Whether a tensor affects the output; BatchNorm's count of batches does not, and old files lack it."""
    return not name.endswith("num_batches_tracked")


def insert(receiver: Receiver, found: StateDict) -> TensorMapping:
    """Load a state dict into our network, and return how it was mapped.

    The names of a known layout are used. Without one, the tensors must have our order, shapes and kinds.

    Raises:
        UserError: the state dict is not that of this network; the message names the first mismatch.
    """
    mapping = mapping_of(receiver, found)
    values = {ours: found.tensors[name] for ours, name in mapping.pairs.items()}
    own = receiver.tensors
    for ours in own:
        _check(receiver, found, mapping.pairs[ours], own[ours], is_last=ours in [*own][-2:])
    receiver.network.load_state_dict(from_centred(values) if mapping.permuted else values, strict=False)
    return mapping


def mapping_of(receiver: Receiver, found: StateDict) -> TensorMapping:
    """Return the mapping by names, else by order, kind and shape; UserError if there is neither."""
    names = [name for name in found.tensors if affects_output(name)]
    fits = [Fit.of(layout, networks, receiver, names) for layout, networks in _candidates(receiver)]
    whole = [fit for fit in fits if not fit.missing and not fit.surplus]
    if whole:
        permuted = whole[0].networks.is_centred(receiver.options)
        return TensorMapping(tuple(fit.layout for fit in whole), whole[0].pairs, permuted)
    nearest = max(fits, key=lambda fit: len(fit.pairs))
    if 2 * len(nearest.pairs) < len(receiver.tensors):
        return TensorMapping((), _by_order(receiver, found, names))
    raise UserError(f"{found.file} {_difference(nearest, receiver)}")


@dataclass(frozen=True)
class Fit:
    """How far the names in a file are those of a layout."""

    layout: Layout
    networks: NamedNetworks
    pairs: Mapping[str, str]
    """The name in the file by our name, for those that the file has."""
    missing: tuple[str, ...]
    """Names of the layout that the file does not have, in our order."""
    surplus: tuple[str, ...]
    """Names in the file that the layout does not have, in the file's order."""

    @classmethod
    def of(cls, layout: Layout, networks: NamedNetworks, receiver: Receiver, names: Sequence[str]) -> Fit:
        """Compare the names in a file with those of a layout."""
        expected = theirs(networks, receiver.tensors)
        current = layout.current(names)
        return cls(
            layout,
            networks,
            {ours: current[their] for ours, their in expected.items() if their in current},
            tuple(their for their in expected.values() if their not in current),
            tuple(name for their, name in current.items() if their not in set(expected.values())),
        )


def _candidates(receiver: Receiver) -> list[tuple[Layout, NamedNetworks]]:
    named = ((layout, layout.networks_of(receiver.model, receiver.options)) for layout in layouts().values())
    return [(layout, networks) for layout, networks in named if networks]


def _difference(fit: Fit, receiver: Receiver) -> str:
    """Return the first missing or surplus tensor of a file that has most names of a layout."""
    model = typed_name(receiver.model)
    first = f"has no {fit.missing[0]}" if fit.missing else f"has the unexpected tensor {fit.surplus[0]}"
    options = ", ".join(f"{name}={value}" for name, value in receiver.options.items())
    chosen = f"{model} ({options})" if options else model
    return f"{first} for {chosen} with the names of {fit.layout.name}; name another model, or its options with --set"


def _by_order(receiver: Receiver, found: StateDict, names: Sequence[str]) -> dict[str, str]:
    """Return the mapping by position; UserError for the first tensor of another shape or kind."""
    own = receiver.tensors
    for index, (ours, name) in enumerate(zip(own, names, strict=False), 1):
        shape, wanted = tuple(found.tensors[name].shape), tuple(own[ours].shape)
        if shape != wanted or _kind(name) != _kind(ours):
            raise UserError(
                f"{found.file} has the names of no known layout, and its tensor {index}, {name} {shape}, does not "
                f"match {ours} {wanted} of {typed_name(receiver.model)}; name another model, or its options with --set"
            )
    if len(names) != len(own):
        raise UserError(
            f"{found.file} has the names of no known layout and {number_of(len(names), 'tensor')}, "
            f"and {typed_name(receiver.model)} has {len(own)}; name another model, or its options with --set"
        )
    return dict(zip(own, names, strict=True))


FLOATING_POINT = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types of weights that are read."""


def _kind(name: str) -> str:
    """Return the last part of a name: weight, bias, running_mean or running_var, which have one shape in BatchNorm."""
    return name.rpartition(".")[2]


def _check(receiver: Receiver, found: StateDict, name: str, own: Tensor, *, is_last: bool) -> None:
    """Raise UserError if a tensor has another shape than ours, or values that are NaN or infinite.

    `is_last` says whether it is the weight or the bias of the last layer.
    """
    value = found.tensors[name]
    if value.shape != own.shape:
        if is_last and value.dim() == own.dim() and value.shape[1:] == own.shape[1:]:
            raise UserError(
                f"{found.file} has {len(value)} classes ({name}), and {receiver.dataset} has {len(own)}; "
                "name the dataset of these weights with --dataset"
            )
        raise UserError(
            f"{found.file}: {name} has the shape {tuple(value.shape)}, and {typed_name(receiver.model)} needs "
            f"{tuple(own.shape)}; name another model or dataset, or its options with --set"
        )
    if value.dtype not in {*FLOATING_POINT, own.dtype}:
        raise UserError(
            f"{found.file}: {name} has the type {value.dtype}; weights must be floating-point; save them in fp32"
        )
    if not value.isfinite().all() and own.isfinite().all():  # a mask of a network of one's own may be infinite
        raise UserError(f"{found.file}: {name} has NaN or infinite values; use other weights")
