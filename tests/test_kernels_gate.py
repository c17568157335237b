"""The kernels of the fused gate compute what the modules compute, in Triton's interpreter."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

pytest.importorskip("triton")  # not every system has it

from repro.kernels.gate import FusedGate, FusedGatedBlock, Window
from repro.models.dense_resnet import DenseResNet, Gate, Map, denseresnet_cifar, residual_blocks

ODD = 17
"""Height and width of maps with several tiles, the last of which is not full."""


def fused(model: DenseResNet) -> DenseResNet:
    """Return a copy of `model` with fused blocks."""
    model = copy.deepcopy(model)
    model.blocks = nn.ModuleList(FusedGatedBlock(block) for block in model.blocks)
    return model


def assert_equal(found: Tensor | None, expected: Tensor | None) -> None:
    """Check that two tensors differ by at most 1e-10 of the largest element, or of 1e-6 if all are smaller."""
    assert found is not None
    assert expected is not None
    assert found.dtype == expected.dtype
    scale = max(expected.abs().max().item(), 1e-6)
    assert (found - expected).abs().max().item() <= 1e-10 * scale


def maps(channels: list[int], *, size: int = 4, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return random maps of 3 images, with gradients."""
    generator = torch.Generator().manual_seed(sum(channels) + size)
    shapes = [(3, each, size, size) for each in channels]
    return [torch.randn(each, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for each in shapes]


def with_mean(features: Tensor) -> Map:
    return Map(features, features.mean((2, 3), keepdim=True))


def gate(channels: int, earlier: list[int]) -> Gate:
    """Return a gate whose weights differ from image to image."""
    torch.manual_seed(1)
    made = Gate(channels, earlier, reduction=2).double()
    nn.init.normal_(made.body[1].weight, 1.0, 0.3)
    nn.init.normal_(made.body[1].bias, 0.0, 0.3)
    nn.init.normal_(made.body[3].weight, 0.0, 0.5)
    return made


def step(model: DenseResNet, images: Tensor) -> Tensor:
    """Return the loss after a forward and a backward pass."""
    loss = F.cross_entropy(model(images), torch.arange(len(images)) % 10)
    loss.backward()
    return loss.detach()


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "N"), [(8, 2), (14, 4)])
def test_a_network_with_fused_gates_has_the_loss_and_the_gradients_of_its_modules(depth: int, N: int) -> None:
    torch.manual_seed(0)
    reference = denseresnet_cifar(depth=depth, N=N, classes=10).double().to(memory_format=torch.channels_last)
    model = fused(reference)
    assert list(model.state_dict()) == list(reference.state_dict())
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    images, same = x.clone().requires_grad_(), x.clone().requires_grad_()
    assert_equal(step(model, images), step(reference, same))
    assert_equal(images.grad, same.grad)
    for found, expected in zip(model.parameters(), reference.parameters(), strict=True):
        assert_equal(found.grad, expected.grad)
    for found, expected in zip(model.buffers(), reference.buffers(), strict=True):
        assert_equal(found, expected)


def test_one_map_of_an_odd_size_twice() -> None:
    reference = gate(16, [16])
    model = FusedGate(copy.deepcopy(reference))
    results = []
    for _ in range(2):
        branch, features = maps([16, 16], size=ODD)
        model.zero_grad()
        out, passed = model(branch, [with_mean(features)])
        (out.square().sum() + (passed[0].features ** 3).sum() + passed[0].mean.exp().sum()).backward()
        results.append([out, branch.grad, features.grad, *(each.grad for each in model.parameters())])
    branch, features = maps([16, 16], size=ODD)
    last = with_mean(features)
    out = reference(branch, [last]).relu()
    (out.square().sum() + (features**3).sum() + last.mean.exp().sum()).backward()
    expected = [out, branch.grad, features.grad, *(each.grad for each in reference.parameters())]
    for first, second, each in zip(*results, expected, strict=True):
        assert torch.equal(first, second)
        assert_equal(first, each)


def chain(first: nn.Module, second: nn.Module, third: nn.Module, given: list[Tensor]) -> Tensor:
    """Return a loss of three gates, all connected to the oldest map, which a convolution and pooling use, too."""
    oldest, newer, *branches = given
    weight = torch.linspace(-1, 1, 16 * 16, dtype=oldest.dtype).view(16, 16, 1, 1)
    branches[0] = branches[0] + F.conv2d(newer, weight)
    a, window = first(branches[0], [with_mean(oldest), with_mean(newer)])
    b, window = second(branches[1] + F.conv2d(a, weight), [*window, with_mean(a)])
    halves = [Map(F.avg_pool2d(each.features, 2), each.mean) for each in window]
    wide = F.pad(F.avg_pool2d(b, 2), (0, 0, 0, 0, 0, 16))
    c, window = third(branches[2], [*halves, with_mean(wide)])
    return (c**2).sum() + (b**3).sum() + (window[0].features ** 2).sum() + (window[0].mean * 3).sum()


class Apart(nn.Module):
    """A gate and a ReLU with the interface of `FusedGate`."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, branch: Tensor, maps: list[Map]) -> tuple[Tensor, list[Map]]:
        return self.gate(branch, maps).relu(), maps


def test_the_gradients_of_a_map_of_several_blocks_are_summed() -> None:
    gates = [gate(16, [16, 16]), gate(16, [16, 16, 16]), gate(32, [16, 16, 16, 32])]
    models = [FusedGate(copy.deepcopy(each)) for each in gates]
    given, same = ([*maps([16, 16, 16, 16]), *maps([32], size=2)] for _ in range(2))
    loss, expected = chain(*models, given), chain(*map(Apart, gates), same)
    loss.backward()
    expected.backward()
    assert_equal(loss.detach(), expected.detach())
    for found, each in zip(given, same, strict=True):
        assert_equal(found.grad, each.grad)
    for model, reference in zip(models, gates, strict=True):
        for found, parameter in zip(model.parameters(), reference.parameters(), strict=True):
            assert_equal(found.grad, parameter.grad)


def test_results_in_bfloat16_are_near_those_in_double_precision() -> None:
    reference = gate(16, [16, 16])
    model = FusedGate(copy.deepcopy(reference).float())
    low = maps([16, 16, 16], dtype=torch.bfloat16)
    high = [each.detach().double().requires_grad_() for each in low]
    out, passed = model(low[0], [with_mean(low[1]), with_mean(low[2])])
    expected = reference(high[0], [with_mean(high[1]), with_mean(high[2])]).relu()
    assert out.dtype == passed[0].features.dtype == torch.bfloat16
    (out.square().sum() + passed[1].features.sum()).backward()
    (expected.square().sum() + high[2].sum()).backward()
    pairs = [(out, expected), *((each.grad, same.grad) for each, same in zip(low, high, strict=True))]
    pairs += [(a.grad, b.grad) for a, b in zip(model.parameters(), reference.parameters(), strict=True)]
    for found, each in pairs:
        assert (found.double() - each).norm() <= 0.03 * each.norm()


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Identity()])
def test_in_evaluation_and_without_a_relu_the_modules_compute(activation: nn.Module) -> None:
    reference = gate(16, [16])
    model = FusedGate(copy.deepcopy(reference), activation)
    branch, features = maps([16, 16])
    if isinstance(activation, nn.ReLU):
        reference.eval()
        model.eval()
    out, passed = model(branch, [with_mean(features)])
    assert torch.equal(out, activation(reference(branch, [with_mean(features)])))
    assert passed[0].features is features


@pytest.mark.parametrize("factor", [1, 2])
def test_a_block_takes_the_sums_of_the_previous_output_only_if_that_is_its_input(factor: int) -> None:
    torch.manual_seed(0)
    blocks = [each.double() for each in residual_blocks([16], [2], N=2, reduction=2)]
    first, second = (FusedGatedBlock(each) for each in copy.deepcopy(blocks))
    (x,) = maps([16], size=ODD)
    window, out = first([], x)
    assert isinstance(window, Window)
    earlier, expected = blocks[0]([], x)
    out, expected = (each if factor == 1 else each * factor for each in (out, expected))
    assert_equal(second(window, out)[1], blocks[1](earlier, expected)[1])
