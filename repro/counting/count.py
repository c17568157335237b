"""Counting a network, the only place that uses fvcore."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repro.counting.conventions import EXTRA_HANDLES, PRODUCTS, Convention, total
from repro.errors import PackageMissing, UserError, first_line, is_out_of_memory
from repro.memory import free_host_memory
from repro.models import OptionValue, build, building_without_memory, is_outside
from repro.models.options import Shape, shape_text
from repro.models.outside.factory import check_output
from repro.text import size

if TYPE_CHECKING:
    from torch import nn

SMALL_BYTES, SMALL_INPUT = 2**28, 2**20
"""Weights in bytes and values of an image below which counting always fits into memory."""


@dataclass(frozen=True)
class Count:
    """Exact counts of one network for one image."""

    params: int
    flops: dict[str, int]
    """FLOPs by convention."""


@dataclass(frozen=True)
class ModuleCount:
    """The counts of one module, including its children."""

    name: str
    kind: str
    params: int
    flops: int


@dataclass(frozen=True)
class Subject:
    """A network to count, and the shape of its input."""

    model: str
    options: Mapping[str, OptionValue]
    input: Shape
    """C, H, W of an image."""
    classes: int


def without_memory(subject: Subject) -> nn.Module:
    """Return the network on torch's meta device; one from outside the package on the CPU."""
    with building_without_memory(subject.model):
        return build(subject.model, subject.options, classes=subject.classes, input=subject.input)


def parameters_of(network: nn.Module) -> int:
    """Return the number of a network's parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def empty_network(subject: Subject) -> nn.Module:
    """Return the network in evaluation mode with uninitialised weights."""
    network = without_memory(subject)
    check_countable(network, subject)
    if is_outside(subject.model):
        check_output(subject.model, network.eval(), subject.classes, subject.input)
        return network
    try:
        return network.to_empty(device="cpu").eval()
    except RuntimeError as error:
        raise UserError(f"{subject.model} with these options does not fit into memory") from error


def check_countable(network: nn.Module, subject: Subject) -> None:
    """Raise UserError for a network that cannot be counted in the memory that is free.

    fvcore needs its weights and maps. Small ones are not estimated, which would take time, nor are those of code from
    outside the package that does not compute on the meta device.
    """
    weights = sum(each.numel() * each.element_size() for each in network.parameters())
    free = free_host_memory()
    if free is None or (weights < SMALL_BYTES and math.prod(subject.input) < SMALL_INPUT):
        return
    try:
        needed = weights + (0 if weights > free else _map_bytes(network.eval(), subject))
    except Exception:  # code from outside raises errors of all kinds
        if is_outside(subject.model):
            return
        raise
    if needed > free:
        what = f"counting {subject.model} with images of {shape_text(subject.input)} needs about {size(needed)}"
        raise UserError(f"{what} of memory, and {size(free)} are free; choose smaller images or a smaller network")


def _map_bytes(network: nn.Module, subject: Subject) -> int:
    """Return the bytes of an image and of the maps that a network makes of it, of which a trace keeps all."""
    import torch

    without_values = copy.deepcopy(network).to("meta")
    found = [4 * math.prod(subject.input)]

    def note(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        """Add the output of a layer, unless the layer works in place."""
        if isinstance(output, torch.Tensor) and not any(output is each for each in inputs):
            found.append(output.nbytes)

    layers = [each for each in without_values.modules() if not [*each.children()]]
    for each in layers:
        each.register_forward_hook(note)
    with torch.no_grad(), refusing(subject.model, subject.input):
        without_values(torch.zeros(1, *subject.input, device="meta"))
    return sum(found)


@contextmanager
def refusing(called: str, input: Shape) -> Iterator[None]:
    """Raise UserError where a network does not accept an input of C, H, W, or it does not fit into memory."""
    try:
        yield
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise UserError(f"{called} with an input of {shape_text(input)} does not fit into memory") from error
        refused = f"{called} does not accept an input of {shape_text(input)} (CxHxW)"
        raise UserError(f"{refused}: {first_line(error)}") from error


def flop_counter() -> Any:
    """Return the class of fvcore's analysis.

    Raises:
        PackageMissing: fvcore, or a package that it imports, is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore compiles TorchScript on import, which torch deprecates
        try:
            from fvcore.nn import FlopCountAnalysis
        except ImportError as error:
            raise PackageMissing((error.name or "fvcore").split(".")[0], "counting FLOPs") from error
    return FlopCountAnalysis


def analysis(network: nn.Module, input: Shape, called: str) -> Any:
    """Return fvcore's analysis of a network, each operator counted by the rules in conventions.py.

    Args:
        network: in evaluation mode.
        input: C, H, W of an image.
        called: the network's name in messages.

    Raises:
        PackageMissing: fvcore is not installed.
        UserError: the network does not accept this input.
    """
    import torch

    counter = flop_counter()
    device = next((each.device for each in network.parameters()), None)
    with warnings.catch_warnings(), refusing(called, input), _one_thread():
        warnings.simplefilter("ignore")  # fvcore traces, which torch deprecates
        flops = counter(network, torch.zeros(1, *input, device=device))
        flops.set_op_handle(**EXTRA_HANDLES, **PRODUCTS)
        flops.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        flops.total()
    return flops


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread: the operators of one image are so short that others would mostly wait."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def count(subject: Subject) -> Count:
    """Return parameters and FLOPs of a network in every convention.

    Raises:
        PackageMissing: fvcore is not installed.
        UserError: the network does not accept this input.
    """
    flop_counter()  # reported before a network is built
    return count_network(empty_network(subject), subject.input, subject.model)


def count_network(network: nn.Module, input: Shape, called: str) -> Count:
    """Return the counts of a network that is built; arguments and errors as in `analysis`."""
    operators = analysis(network, input, called).by_operator()
    return Count(parameters_of(network), {each.value: total(operators, each) for each in Convention})


def count_modules(network: nn.Module, input: Shape, called: str, convention: Convention) -> list[ModuleCount]:
    """Return the counts of every module of a network that is built, outermost first; the network has the name ''."""
    operators = analysis(network, input, called).by_module_and_operator()
    return [
        ModuleCount(
            name,
            type(module).__name__,
            parameters_of(module),
            total(operators[name], convention),
        )
        for name, module in network.named_modules()
    ]


@contextmanager
def in_evaluation(network: nn.Module) -> Iterator[None]:
    """Put a user's network into evaluation mode, and each of its modules back into its own mode afterwards."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
