"""What counts as a FLOP: three conventions, each a selection from the operators of one fvcore analysis.

- `macs`: multiply-adds of convolutions, linear layers and other matrix products, 1 each. ResNet, ResNeXt and MobileNet
  print these.
- `fvcore`: fvcore's default rules: macs, 2 per BatchNorm element (in evaluation mode), 5 per element of another
  normalisation (4 without weights), 1 per element of an adaptive average pooling or an upsampled map, 4 if it is
  interpolated.
- `paper`: the rules of pthflops, with which the DenseResNet paper counts: macs without biases; 2 per element
  of BatchNorm and ReLU; 1 per element of an addition, multiplication or global pooling; k^2 per output of an
  average pooling and k^2 - 1 of a max pooling; 4 per element of a sigmoid; ReLU6, softmax and the gate's means
  are free. A gate's weighted sum of n maps counts 2 n per element of the nearest map before its channels are adapted,
  as in the author's src/flops.py. pthflops has no rule for other normalisations and upsampled maps: they count as in
  `fvcore`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from math import prod
from typing import Any

from repro.text import choose


class Convention(StrEnum):
    """What is counted as a FLOP."""

    PAPER = "paper"
    FVCORE = "fvcore"
    MACS = "macs"

    @property
    def meaning(self) -> str:
        """A short description of the convention."""
        return _MEANINGS[self]


ALL = "all"
"""Asks for every convention, side by side."""


def conventions_of(asked: str) -> tuple[Convention, ...]:
    """Return the conventions that `all` or the name of one asks for; UserError for another name."""
    chosen = choose("FLOPs convention", asked, [*Convention, ALL])
    return tuple(Convention) if chosen == ALL else (Convention(chosen),)


_MEANINGS = {
    Convention.PAPER: "the rules of the DenseResNet paper",
    Convention.FVCORE: "fvcore's default rules",
    Convention.MACS: "multiply-adds of convolutions, linear layers and other matrix products",
}


Handle = Callable[[list[Any], list[Any]], int]


def shape(value: Any) -> tuple[int, ...]:
    """Return the shape of a traced value."""
    return tuple(value.type().sizes())


def per_element(flops: int) -> Handle:
    """Return a handle that counts `flops` for each element of the output, which broadcasting may enlarge."""

    def handle(inputs: list[Any], outputs: list[Any]) -> int:
        return flops * prod(shape(outputs[0]))

    return handle


def pooling(saved: int) -> Handle:
    """Return a handle that counts k^2 - `saved` for each output of a pooling with a k x k window."""

    def handle(inputs: list[Any], outputs: list[Any]) -> int:
        """Return the count of one pooling."""
        window = [side.toIValue() for side in inputs[1].node().inputs()]
        if None in window:  # the network computes it from the size of the maps, as for a global pooling
            window = [of // to for of, to in zip(shape(inputs[0])[-2:], shape(outputs[0])[-2:], strict=True)]
        return (prod(window) - saved) * prod(shape(outputs[0]))

    return handle


def attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Return the multiply-adds of both products of scaled dot-product attention."""
    *batch, queries, width = shape(inputs[0])
    keys, values = shape(inputs[1])[-2], shape(inputs[2])[-1]
    return prod(batch) * queries * keys * (width + values)


def weighted_sum(inputs: list[Any], outputs: list[Any]) -> int:
    """Return the count of a gate's whole sum at its last addition, and 0 at earlier ones."""
    kind = outputs[0].node().kind()
    if any(use.user.kind() == kind for use in outputs[0].uses()):
        return 0
    maps, before = 1, inputs[0].node()
    while before.kind() == kind:
        maps, before = maps + 1, next(before.inputs()).node()
    nearest = inputs[2]
    if nearest.node().kind() == "aten::pad":
        nearest = next(nearest.node().inputs())
    return 2 * maps * prod(shape(nearest))


EXTRA_HANDLES: dict[str, Handle] = {
    "aten::relu": per_element(2),
    "aten::relu_": per_element(2),
    "aten::add": per_element(1),
    "aten::add_": per_element(1),
    "aten::mul": per_element(1),
    "aten::addcmul": weighted_sum,
    "aten::sigmoid": per_element(4),
    "aten::avg_pool2d": pooling(0),
    "aten::max_pool2d": pooling(1),
}
"""Operators that `paper` counts in addition to fvcore's defaults."""
PRODUCTS: dict[str, Handle] = {"aten::scaled_dot_product_attention": attention}
"""Operators that every convention counts, as it counts the matrix products that they stand for."""

_EXTRA = frozenset(operator.removeprefix("aten::") for operator in EXTRA_HANDLES)
_MATRIX_PRODUCTS = frozenset({"conv", "linear", "addmm", "mm", "matmul", "bmm", "einsum"}).union(
    operator.removeprefix("aten::") for operator in PRODUCTS
)
_COUNTED: dict[Convention, Callable[[str], bool]] = {
    Convention.PAPER: lambda operator: True,
    Convention.FVCORE: lambda operator: operator not in _EXTRA,
    Convention.MACS: lambda operator: operator in _MATRIX_PRODUCTS,
}


def total(flops_by_operator: Mapping[str, float], convention: Convention) -> int:
    """Return the FLOPs of a network or module in a convention, from the FLOPs of each operator."""
    is_counted = _COUNTED[convention]
    return round(sum(flops for operator, flops in flops_by_operator.items() if is_counted(operator)))
