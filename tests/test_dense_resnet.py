"""The gate of DenseResNet as its paper defines it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from repro.models.dense_resnet import (
    DenseResNet,
    Gate,
    Map,
    densemobilenet_v2,
    denseresnet34,
    denseresnet_cifar,
    fit_channels,
)


def mapped(x: Tensor) -> Map:
    return Map(x, x.mean((2, 3), keepdim=True))


@pytest.fixture
def gate() -> Gate:
    torch.manual_seed(0)
    return Gate(8, [8, 8, 8], 2).eval()


def test_w_ik_sums_to_1_over_the_inputs_of_a_block(gate: Gate) -> None:
    branch, *maps = (torch.randn(5, 8, 4, 4) for _ in range(4))
    own, w = gate.weights(branch, [mapped(x) for x in maps])
    assert w.shape == (5, 3, 8, 1, 1)
    torch.testing.assert_close(w.sum(dim=1), torch.ones(5, 8, 1, 1))
    assert ((own > 0) & (own < 1)).all()


def test_the_junction_is_the_weighted_sum(gate: Gate) -> None:
    branch, *maps = (torch.randn(2, 8, 4, 4) for _ in range(4))
    joined = [mapped(x) for x in maps]
    own, w = gate.weights(branch, joined)
    expected = own * branch + sum(w[:, k] * x for k, x in enumerate(maps))
    torch.testing.assert_close(gate(branch, joined), expected)


def test_hidden_width_is_a_multiple_of_eight() -> None:
    assert Gate(16, [16, 16], 2).body[0].out_channels == 8
    assert Gate(24, [24, 24], 4).body[0].out_channels == 8
    assert Gate(320, [320, 320], 4).body[0].out_channels == 80


def test_channels_are_cut_or_filled_with_zeros() -> None:
    x = torch.randn(1, 3, 2, 2)
    assert torch.equal(fit_channels(x, -1), x[:, :2])
    assert torch.equal(fit_channels(x, 2)[:, :3], x)
    assert not fit_channels(x, 2)[:, 3:].any()
    assert fit_channels(x, 0) is x


@pytest.mark.parametrize("N", [1, 2, 8, 100])
def test_a_block_sees_at_most_n_earlier_maps(N: int) -> None:
    network = denseresnet_cifar(depth=20, N=N, classes=10).eval()
    means = network.mean_gate_weights(torch.randn(2, 3, 32, 32))
    assert [len(each) for each in means] == [min(i + 1, N) for i in range(9)]
    for each in means:
        assert each.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("build", [denseresnet34, densemobilenet_v2])
@pytest.mark.parametrize("size", [(41, 56), (56, 41), (100, 100)])
def test_an_image_of_an_odd_size_is_accepted(build: Callable[..., DenseResNet], size: tuple[int, int]) -> None:
    """As in a dense test: the sides of the maps become odd and are rounded up, as convolutions of stride 2 do."""
    network = build(classes=5, N=4).eval()
    assert network(torch.zeros(1, 3, *size)).shape == (1, 5)
