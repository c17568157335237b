"""Pre-activation ResNet: its architecture, layer by layer, a step of training, and the same step in less memory."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.counting.demand import saved_bytes
from repro.models import build, save_memory
from repro.models.preact_resnet import PreActivationBlock, preresnet_cifar

CIFAR = (3, 32, 32)
BLOCKS = {"preresnet164": 18, "preresnet1001": 111}


def shallow() -> nn.Module:
    """Return the network of 11 layers: one block a stage."""
    torch.manual_seed(0)
    return preresnet_cifar(depth=11, classes=10)


@pytest.mark.parametrize("model", BLOCKS)
def test_three_stages_of_bottlenecks_with_a_projection_at_the_start_of_each(model: str) -> None:
    with torch.device("meta"):
        network = build(model, {}, classes=10, input=CIFAR)
    blocks = [each for each in network.modules() if isinstance(each, PreActivationBlock)]
    n = BLOCKS[model]
    assert [each.conv3.out_channels for each in blocks] == [64] * n + [128] * n + [256] * n
    assert [each.conv2.in_channels for each in blocks] == [16] * n + [32] * n + [64] * n
    assert [place for place, each in enumerate(blocks) if each.projection] == [0, n, 2 * n]
    assert [place for place, each in enumerate(blocks) if each.conv1.stride == (2, 2)] == [n, 2 * n]
    convolutions = [each for each in network.modules() if isinstance(each, nn.Conv2d)]
    assert len(convolutions) - 3 + 1 == int(model.removeprefix("preresnet"))  # no projections, but the classifier
    assert all(each.bias is None for each in convolutions)


def unit_by_hand(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Return BN-ReLU-convolution in training, while BatchNorm has its initial weights."""
    active = F.relu(F.batch_norm(x, None, None, training=True))
    return F.conv2d(active, weight, stride=stride, padding=weight.shape[-1] // 2)


@pytest.mark.parametrize(("in_channels", "stride"), [(16, 1), (32, 1), (16, 2)])
def test_a_block_is_three_times_bn_relu_convolution(in_channels: int, stride: int) -> None:
    """Figure 4e: nothing follows the addition; a projection follows the first BN-ReLU, an identity precedes it."""
    torch.manual_seed(0)
    block = PreActivationBlock(in_channels, 32, stride).train()
    x = torch.randn(4, in_channels, 8, 8)
    y = unit_by_hand(x, block.conv1.weight, stride)
    y = unit_by_hand(unit_by_hand(y, block.conv2.weight), block.conv3.weight)
    shortcut = unit_by_hand(x, block.projection.weight, stride) if block.projection else x
    assert (block.projection is None) == (in_channels == 32)
    torch.testing.assert_close(block(x), shortcut + y)


def test_the_input_of_the_classifier_is_the_mean_of_a_last_bn_relu() -> None:
    network = shallow().train()
    seen: list[Tensor] = []
    network.stages.register_forward_hook(lambda _module, _inputs, output: seen.append(output))  # type: ignore[union-attr]
    output = network(torch.randn(4, *CIFAR))
    assert seen[0].shape == (4, 256, 8, 8)
    means = F.relu(F.batch_norm(seen[0], None, None, training=True)).mean((2, 3))
    torch.testing.assert_close(output, network.classifier(means))  # type: ignore[operator]


def step(network: nn.Module, images: Tensor) -> float:
    """Take a step of gradient descent; return the loss before it."""
    labels = torch.arange(len(images)) % 10
    loss = F.cross_entropy(network(images), labels)
    network.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 0.5 * parameter.grad
    return loss.item()


def test_gradient_steps_lower_the_loss() -> None:
    network = shallow().train()
    images = torch.randn(20, *CIFAR, generator=torch.Generator().manual_seed(1))
    losses = [step(network, images) for _ in range(8)]
    assert losses[-1] < 0.5 * losses[0]


def test_saving_memory_changes_no_number() -> None:
    """Losses, weights and BatchNorm statistics are equal; each batch updates the statistics once."""
    plain = shallow().train()
    saving = copy.deepcopy(plain)
    save_memory("preresnet164", saving)
    images = torch.randn(8, *CIFAR, generator=torch.Generator().manual_seed(1))
    assert [step(plain, images) for _ in range(2)] == [step(saving, images) for _ in range(2)]
    for key, tensor in plain.state_dict().items():
        torch.testing.assert_close(saving.state_dict()[key], tensor)


def test_saving_memory_keeps_little_more_than_half_of_the_activations() -> None:
    """BatchNorm's inputs are still saved, the inputs of convolutions are not."""
    kept = {}
    for saves in (False, True):
        with torch.device("meta"):
            network = build("preresnet164", {}, classes=10, input=CIFAR)
        if saves:
            save_memory("preresnet164", network)
        kept[saves] = saved_bytes(network, CIFAR, 64)
    assert 0.45 * kept[False] < kept[True] < 0.55 * kept[False]


@pytest.mark.parametrize("depth", [2, 10, 163])
def test_an_impossible_depth_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=rf"depth {depth} is invalid: a bottleneck ResNet for CIFAR has 9n \+ 2"):
        preresnet_cifar(depth=depth, classes=10)
