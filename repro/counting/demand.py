"""What training demands of a device, without any training: networks on torch's meta device, which computes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from repro.counting.count import Subject, parameters_of, refusing, without_memory
from repro.models.options import Shape

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 2
"""Images with which saved activations are counted: BatchNorm refuses one image once its maps are a single pixel."""


@dataclass(frozen=True)
class Work:
    """The work of training on one image."""

    flops: float
    """2 per multiply-add of convolutions and linear layers, once forward and twice backward."""
    elements: float
    """Outputs of all modules that do not work in place, each written and read once forward and twice backward."""


@dataclass(frozen=True)
class Demand:
    """What training a network demands of a device."""

    params: int
    flops: float
    """FLOPs of an image, as in Work."""
    saved_bytes: float
    """Bytes of activations in fp32 that an image adds to what a step saves for its backward pass."""


def demand_of(subject: Subject) -> Demand:
    """Return what training a network demands; UserError if it cannot be built, or does not accept its input."""
    network = without_memory(subject)
    with refusing(subject.model, subject.input):
        saved = saved_bytes_per_image(network, subject.input)
        return Demand(parameters_of(network), work_of(network, subject.input).flops, saved)


def work_of(network: nn.Module, shape: Shape) -> Work:
    """Return the work of a network, which is best on the meta device, for an input of C, H, W."""
    from torch import Tensor
    from torch.utils.flop_counter import FlopCounterMode

    from repro.counting.meta_batchnorm import FastBatchNorm

    outputs = 0

    def note(module: nn.Module, inputs: object, output: object) -> None:
        """Add the output of a module without children, unless the module works in place."""
        nonlocal outputs
        if isinstance(output, Tensor) and not list(module.children()) and not getattr(module, "inplace", False):
            outputs += output.numel()

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    with FastBatchNorm(), FlopCounterMode(display=False) as counter:
        network.eval()(_images(network, 1, shape))
    for hook in hooks:
        hook.remove()
    return Work(flops=3 * counter.get_total_flops(), elements=3 * 2 * outputs)


def saved_bytes_per_image(network: nn.Module, shape: Shape) -> float:
    """Return the bytes of activations in fp32 that an image of C, H, W adds to what a step saves for its backward pass.

    The network is best on the meta device.
    """
    return saved_bytes(network, shape, BATCH) / BATCH


def saved_bytes(network: nn.Module, shape: Shape, batch: int) -> int:
    """Return the bytes that a training step saves for its backward pass, in addition to parameters and buffers.

    Args:
        network: a network, best on the meta device.
        shape: C, H, W of an image.
        batch: images per step.
    """
    import torch

    from repro.counting.meta_batchnorm import FastBatchNorm

    resting = {each.untyped_storage()._cdata for each in [*network.parameters(), *network.buffers()]}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        """Add the storage of a tensor, once."""
        storage = tensor.untyped_storage()
        if storage._cdata not in resting:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    with FastBatchNorm(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = network.train()(_images(network, batch, shape))
    del outputs
    return sum(saved.values())


def _images(network: nn.Module, batch: int, shape: Shape) -> Tensor:
    """Return black images on the device of a network."""
    import torch

    return torch.zeros(batch, *shape, device=next(network.parameters()).device)
