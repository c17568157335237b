"""Easily mistaken details of the papers' blocks: the place of dropout, and inputs and outputs of shortcuts."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.models import build
from repro.models.resnet import BasicBlock
from repro.models.wide_resnet import WideBlock

CIFAR = (3, 32, 32)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_densenet_has_dropout_after_every_convolution_except_the_first(bottleneck: bool) -> None:
    """The 1x1 convolutions of bottlenecks and of transitions are included."""
    options = {"depth": 16, "k": 4, "bottleneck": bottleneck}
    network = build("densenet", options, classes=10, input=CIFAR, dropout=0.2).train()
    given: list[Tensor] = []
    dropped: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: given.append(output))
        if isinstance(module, nn.Dropout):
            assert module.p == 0.2
            module.register_forward_hook(lambda _module, inputs, _output: dropped.append(inputs[0]))
    network(torch.zeros(2, *CIFAR))
    assert len(given) == 15
    assert [id(each) for each in dropped] == [id(each) for each in given[1:]]


def wide_by_hand(block: WideBlock, x: Tensor, stride: int, dropout: float) -> Tensor:
    """Return the output of a Wide ResNet block in training, while BatchNorm has its initial weights."""
    first, second, *projections = [each for each in block.parameters() if each.dim() == 4]
    active = F.relu(F.batch_norm(x, None, None, training=True))
    y = F.conv2d(active, first, stride=stride, padding=1)
    y = F.dropout(F.relu(F.batch_norm(y, None, None, training=True)), dropout)
    shortcut = F.conv2d(active, projections[0], stride=stride) if projections else x
    return shortcut + F.conv2d(y, second, padding=1)


def test_wide_resnets_have_dropout_between_the_two_convolutions_of_a_block() -> None:
    torch.manual_seed(0)
    network = build("wrn", {"depth": 10, "k": 1, "dropout": 0.3}, classes=10, input=CIFAR).train()
    assert [each.p for each in network.modules() if isinstance(each, nn.Dropout)] == [0.3, 0.3, 0.3]
    block = next(each for each in network.modules() if isinstance(each, WideBlock))
    x = torch.randn(4, 16, 8, 8)
    torch.manual_seed(1)
    given = block(x)
    torch.manual_seed(1)
    torch.testing.assert_close(given, wide_by_hand(block, x, stride=1, dropout=0.3))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_wide_projection_has_the_input_of_the_first_convolution(stride: int) -> None:
    """A projection's input is after BatchNorm and ReLU; an identity's input is before them."""
    torch.manual_seed(0)
    block = WideBlock(8, 16, stride, [3, 3], 0.0).train()
    x = torch.randn(4, 8, 6, 6)
    torch.testing.assert_close(block(x), wide_by_hand(block, x, stride, dropout=0.0))


def test_resnets_shortcut_on_cifar_is_every_second_pixel_with_maps_of_zeros() -> None:
    """Option A. Each block's branch is zeroed, so that its output is its shortcut."""
    torch.manual_seed(0)
    network = build("resnet20", {}, classes=10, input=CIFAR).eval()
    x = torch.rand(2, 16, 32, 32)
    blocks = [each for each in network.modules() if isinstance(each, BasicBlock)]
    assert len(blocks) == 9
    for number, block in enumerate(blocks):
        assert len(list(block.parameters())) == 6  # two convolutions and their BatchNorms
        nn.init.zeros_(block.bn2.weight)
        given = block(x)
        if number in (3, 6):
            half = x[:, :, ::2, ::2]
            x = torch.cat([half, torch.zeros_like(half)], dim=1)
        assert torch.equal(given, x)
