"""BatchNorm on torch's meta device, where torch itself splits it into many operators, which takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class FastBatchNorm(TorchFunctionMode):
    """A context manager: BatchNorm on the meta device is one operator, with the same shapes and saved tensors."""

    def __torch_function__(
        self, called: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace `torch.nn.functional.batch_norm`, and call every other function as it is."""
        named = kwargs or {}
        if called is functional.batch_norm and args[0].is_meta:
            return _Normalised.apply(args[0], named["weight"], named["bias"])
        return called(*args, **named)


class _Normalised(Function):
    """Maps of the shape of the input, N x C x H x W, which depend on the input, a weight and a bias."""

    @staticmethod
    def forward(context: Any, maps: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        """Save what BatchNorm saves: the input, the weight, and mean and deviation of each channel."""
        context.save_for_backward(maps, weight, maps.new_empty(maps.shape[1]), maps.new_empty(maps.shape[1]))
        return maps.new_empty(maps.shape)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return gradients of the shapes of the inputs."""
        _, _, mean, deviation = context.saved_tensors
        return gradient, mean, deviation
