"""The gate of a dense block and the ReLU after it, in three launches forward and four backward.

Autograd adds up the gradients of a tensor's users in kernels of its own. A gate therefore passes its maps on: the next
block uses the passed map instead of the map itself, so that each map has one user, and the gate adds the gradient of
the passed map where it writes the gradient of the map. For the same reason it returns its output twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import triton  # type: ignore[import-untyped]
from torch import Tensor, nn

from repro.kernels.gate_function import Gating, NormBuffers, channels_last
from repro.kernels.gate_maps import SUM_TILE, join, tile_pixels
from repro.models.dense_resnet import Gate, GatedBlock, Map, halved

CHANNELS = (16, 32, 64)
"""Channels of the outputs for which the kernels are made, those of the stages of DenseResNet-110."""
MAX_IMAGES, MAX_HIDDEN, MAX_MAPS, MAX_TILES = 128, 64, 8, 32
"""Above these, the tensors that one program holds would not fit into its registers."""
INTERPRETED = not isinstance(join, triton.JITFunction)
"""Whether the kernels run in Triton's interpreter, on the CPU."""


class Newest(NamedTuple):
    """A block's output as the newest map of the next block."""

    features: Tensor
    """(B, C, H, W): the same values as the output."""
    sums: Tensor
    """(B, tiles, C), without gradient: sums over the pixels of each tile."""


class Window(list[Map]):
    """The earlier maps for the next block, with this block's output as a map if a fused gate made it."""

    newest: Newest | None = None


class FusedGate(nn.Module):
    """A `Gate` and the activation after it.

    It shares the gate's parameters, buffers and their names. In evaluation mode, or where the kernels don't fit, it
    computes with the gate itself.
    """

    def __init__(self, gate: Gate, activation: nn.Module | None = None) -> None:
        """Fuse `gate` with `activation`, a ReLU by default."""
        super().__init__()
        self.n = gate.n
        self.channels = gate.channels
        self.missing = gate.missing
        self.body = gate.body
        # In a tuple, modules are not registered: the names of parameters stay those of the gate.
        self._reference = (gate, nn.ReLU() if activation is None else activation)

    def forward(self, branch: Tensor, maps: list[Map]) -> tuple[Tensor, list[Map]]:
        """Return the activated output (B, C, H, W) and the `maps` for the next block, which it must use instead.

        Each map's mean must be the mean of its features: that of the newest is computed here.
        """
        if not self.fits(branch, [each.features for each in maps]):
            gate, activation = self._reference
            return activation(gate(branch, maps)), maps
        out, window = self.joined(branch, [each.features for each in maps], [each.mean for each in maps[:-1]])
        return out, window

    def joined(
        self, branch: Tensor, features: Sequence[Tensor], means: Sequence[Tensor], sums: Tensor | None = None
    ) -> tuple[Tensor, Window]:
        """Return the output and the maps for the next block, from inputs that fit.

        Args:
            branch: (B, C, H, W).
            features: of the n maps.
            means: (B, C_k, 1, 1): of the maps but the newest.
            sums: of the newest map, if a fused gate made it.
        """
        layers: Any = self.body
        first, norm, _, second = layers
        buffers = NormBuffers(norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.eps, norm.momentum)
        parameters = (first.weight, norm.weight, norm.bias, second.weight, second.bias)
        maps = [channels_last(each) for each in features]
        n = self.n
        out, again, new_sums, *passed = Gating.apply(
            buffers, sums, n, channels_last(branch), *parameters, *maps, *means
        )
        window = Window(map(Map, passed[:n], passed[n:]))
        window.newest = Newest(again, new_sums)
        return out, window

    def fits(self, branch: Tensor, features: Sequence[Tensor]) -> bool:
        """Return whether the kernels can compute the gate of a batch."""
        return self._network_fits() and self._maps_fit(branch, features)

    def _network_fits(self) -> bool:
        norm, activation = self.body[1], self.body[2]
        return (
            type(norm) is nn.BatchNorm2d
            and norm.training
            and norm.affine
            and norm.track_running_stats
            and norm.momentum is not None
            and norm.num_features <= MAX_HIDDEN
            and type(activation) is type(self._reference[1]) is nn.ReLU
            and self.channels in CHANNELS
            and min(self.missing) >= 0
            and self.n <= MAX_MAPS
        )

    def _maps_fit(self, branch: Tensor, features: Sequence[Tensor]) -> bool:
        pixels = branch.shape[2] * branch.shape[3]
        return (
            (branch.is_cuda or (INTERPRETED and branch.device.type == "cpu"))
            and branch.is_floating_point()
            and 2 <= len(branch) <= MAX_IMAGES
            and triton.cdiv(pixels, tile_pixels(pixels, self.channels, SUM_TILE)) <= MAX_TILES
            and all(each.shape[2:] == branch.shape[2:] for each in features)
        )


class FusedGatedBlock(nn.Module):
    """A `GatedBlock` with a fused gate; it shares the block's parameters, buffers and their names."""

    def __init__(self, block: GatedBlock) -> None:
        """Fuse the gate of `block`."""
        super().__init__()
        self.stride = block.stride
        self.branch = block.branch
        self.downsample = block.downsample
        self.gate = FusedGate(block.gate, block.activation)
        self.activation = block.activation

    def forward(self, earlier: list[Map], x: Tensor) -> tuple[list[Map], Tensor]:
        """Return the earlier maps for the next block, and the next block's input."""
        newest = earlier.newest if isinstance(earlier, Window) else None
        if newest is not None and newest.features.data_ptr() != x.data_ptr():
            newest = None
        again = x if newest is None else newest.features
        branch, last = self.branch(x), self.downsample(again)
        window = earlier[len(earlier) + 1 - self.gate.n :]
        if self.stride > 1:
            window = [halved(each) for each in window]
        features = [*(each.features for each in window), last]
        if not self.gate.fits(branch, features):
            maps = [*window, Map(last, last.mean((2, 3), keepdim=True))]
            out, maps = self.gate(branch, maps)
            return maps, out
        known = newest is not None and last is again and last.shape == branch.shape
        sums = newest.sums if newest is not None and known else None
        out, maps = self.gate.joined(branch, features, [each.mean for each in window], sums)
        return maps, out
