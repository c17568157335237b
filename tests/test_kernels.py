"""The Triton kernels compute what the modules compute, in Triton's interpreter; in fp64 to the last digits."""

import copy
import itertools
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from commands import repro
from marking import slow_or_nightly
from torch import Tensor, nn
from watching import Silent

pytest.importorskip("triton")  # not every system has it

from gpu.launches import TABLES, Candidate, candidates, fastest
from gpu.passes import Passes

from repro.benchmark.random_images import random_data
from repro.data import Images
from repro.errors import UserError
from repro.experiment import experiment_for
from repro.kernels import batchnorm, batchnorm_gradient, convolution, number_format, weight_gradient
from repro.kernels.ahead import on_grid
from repro.kernels.batchnorm import BeforeNorm
from repro.kernels.batchnorm_gradient import NormGradient
from repro.kernels.convolution import BeforeRelu, Convolution
from repro.kernels.fuse import FusedBranch, has_kernels, use_kernels
from repro.kernels.launch import (
    BACKWARD,
    FORWARD,
    GRADIENT,
    LARGEST_TILE,
    MERGED,
    NORM,
    GradientLaunch,
    Launch,
    NormLaunch,
    forward_launch,
)
from repro.kernels.residual import fits
from repro.kernels.side_streams import SIDE_STREAMS
from repro.models.dense_resnet import denseresnet_cifar
from repro.models.resnet import BasicBlock, resnet_bottleneck, resnet_cifar
from repro.paths import Folders
from repro.recipes import RECIPES
from repro.runtime import Runtime
from repro.training.engine.engine import Engine
from repro.training.engine.exact_batchnorm import take_exact_statistics
from repro.training.machine import device as devices
from repro.training.machine.device import check_fused
from repro.training.runs.gates import write_run_gates
from repro.training.tasks.in_memory import InMemoryClassification

LAUNCHES = {
    16: Launch(tile=32, warps=4),
    32: Launch(tile=16, warps=4, stages=3),
    64: Launch(tile=16, warps=4, stages=2, share=32),
}
"""Small tiles, so that small images have several, the last of which is not full."""
GRADIENT_LAUNCHES = {
    16: GradientLaunch(tile=16, taps=2, warps=4, parts=3, layers=3),
    32: GradientLaunch(tile=16, taps=4, warps=4, parts=2, stages=1, layers=3),
    64: GradientLaunch(tile=16, taps=1, warps=4, parts=2),
}
NORMS = dict.fromkeys(LAUNCHES, NormLaunch(values=1024, warps=4))
NUMBERS = [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.float16, 2e-3)]
"""Number formats and how far results may be from those of the modules; the interpreter multiplies no bf16."""
Make = Callable[[], nn.Module]
NETWORKS: dict[str, Make] = {
    "ResNet-14, option A": lambda: resnet_cifar(depth=14, classes=10),
    "ResNet-8, option A": lambda: resnet_cifar(depth=8, classes=10),
    "ResNet-8, option B": lambda: resnet_cifar(depth=8, classes=10, shortcut="B"),
    "DenseResNet-8, N = 2": lambda: denseresnet_cifar(depth=8, N=2, classes=10),
}


def cases(switches: Sequence[tuple[bool, ...]]) -> list[Any]:
    """Return each width and number format with each setting of a test's switches.

    CI runs the smallest width in fp64 with every setting, and elsewhere all switches on: each width in fp64, and each
    format with the smallest width.
    """

    def is_slow(case: tuple[Any, ...]) -> bool:
        width, numbers, *values = case
        first = (width == min(LAUNCHES), numbers is NUMBERS[0])
        return all(first) or (any(first) and all(values))

    formats = itertools.product(LAUNCHES, NUMBERS)
    return slow_or_nightly([(*each, *values) for each in formats for values in switches], is_slow)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    for table, launches in ((FORWARD, LAUNCHES), (BACKWARD, LAUNCHES), (GRADIENT, GRADIENT_LAUNCHES), (NORM, NORMS)):
        for channels, launch in launches.items():
            monkeypatch.setitem(table, channels, launch)
    monkeypatch.setattr(weight_gradient, "ADDED", 256)


def apart(found: Tensor, expected: Tensor) -> float:
    """Return ||a - b|| / ||b||."""
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return random maps, or a weight, in the channels-last layout."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).to(memory_format=torch.channels_last)


@pytest.fixture(params=NUMBERS, ids=str)
def numbers(request: pytest.FixtureRequest) -> tuple[torch.dtype, float]:
    found: tuple[torch.dtype, float] = request.param
    return found


def norm_of(channels: int, dtype: torch.dtype) -> nn.BatchNorm2d:
    """Return a BatchNorm that scales and shifts, in the number format of sums."""
    norm = nn.BatchNorm2d(channels, dtype=torch.promote_types(dtype, torch.float32))
    norm.weight.data = random(channels, 1, 1, 1).flatten().abs().to(norm.weight)
    norm.bias.data = random(channels, 1, 1, 2)[..., 0].flatten().to(norm.bias) / 2
    return norm


@pytest.mark.parametrize(("channels", "numbers", "with_added"), cases([(True,), (False,)]))
def test_a_convolution_of_normalised_maps(with_added: bool, channels: int, numbers: tuple[torch.dtype, float]) -> None:
    dtype, limit = numbers
    images, weight = random(2, channels, 5, 6, dtype=dtype) * 2 + 3, random(channels, channels, 3, 3) / channels**0.5
    added = random(2, channels, 5, 6, dtype=dtype).flip(0) if with_added else None
    norm, plain = norm_of(channels, dtype), norm_of(channels, torch.float64)
    normed = F.relu(plain(images.double()) + (0 if added is None else added.double()))
    out, (mean, inverse) = BeforeNorm.of(images, norm, added=added, relu=True).normalised()
    convolved, partial = Convolution(weight.to(dtype)).with_statistics(out)
    assert apart(out, normed) < limit
    assert apart(convolved, F.conv2d(normed, weight, padding=1)) < 2 * limit
    assert apart(mean_of(partial, 60, LAUNCHES[channels].tile), convolved.double().mean((0, 2, 3))) < 1e-6
    assert apart(mean, images.double().mean((0, 2, 3))) < 1e-6
    assert apart(inverse, (images.double().var((0, 2, 3), correction=0) + norm.eps).rsqrt()) < 1e-6
    assert apart(norm.running_mean, plain.running_mean) < 1e-6
    assert apart(norm.running_var, plain.running_var) < 1e-6


@pytest.mark.parametrize(
    ("channels", "numbers", "with_before", "with_direct"), cases([*itertools.product((True, False), repeat=2)])
)
def test_gradients_of_a_convolution(
    with_before: bool, with_direct: bool, channels: int, numbers: tuple[torch.dtype, float]
) -> None:
    """Of x in norm(conv(x)) + x, or of z in the same of x = relu(normalised z); the latter needs the sums too."""
    dtype, limit = numbers
    z, weight = random(2, channels, 5, 6, dtype=dtype) * 2 + 1, random(channels, channels, 3, 3) / channels**0.5
    above, norm = random(2, channels, 5, 6, dtype=dtype).flip(1), norm_of(channels, torch.float64)
    before = random(2, channels, 5, 6).flip(0).requires_grad_()
    x = (F.relu(before) if with_before else before).to(dtype).double()
    x.retain_grad()
    factors = weight.to(dtype).double().requires_grad_()
    out = F.conv2d(x, factors, padding=1).to(dtype).double()
    (norm(out) + (x if with_direct else 0)).backward(above.double())
    sums = torch.promote_types(dtype, torch.float32)
    saved = torch.stack([out.mean((0, 2, 3)), (out.var((0, 2, 3), correction=0) + norm.eps).rsqrt()]).detach().to(sums)
    after = NormGradient.of(above, out.detach().to(dtype), saved, norm.weight.detach().to(sums), out=None)
    z_saved = random(2, channels, 1, 1).flatten(1).abs().contiguous().to(sums)
    conv, active, of_norm = Convolution(weight.to(dtype)), x.detach().to(dtype), after.of_inputs()
    with SIDE_STREAMS.joined():
        found = conv.input_gradient(
            of_norm.images,
            before=BeforeRelu(active, z, z_saved) if with_before else None,
            direct=above if with_direct else None,
        )
        of_weight = weight_gradient.weight_gradient(active, of_norm.images, conv.weight)
    assert (before if with_before else x).grad is not None
    assert apart(found.images, (before if with_before else x).grad) < 4 * limit
    assert apart(of_weight, factors.grad) < 4 * limit
    assert apart(of_norm.weight, norm.weight.grad) < 4 * limit
    assert apart(of_norm.bias, norm.bias.grad) < 4 * limit
    if with_before:
        scaled = (z.double() - z_saved[0].double().view(1, -1, 1, 1)) * z_saved[1].double().view(1, -1, 1, 1)
        expected = [each.sum((0, 2, 3)) for each in (found.images.double(), found.images.double() * scaled)]
        assert apart(found.partial.sum(1), torch.stack(expected)) < max(limit, 1e-6)


def mean_of(partial: Tensor, rows: int, tile: int) -> Tensor:
    """Return the mean of each channel from the means of its tiles."""
    counts = torch.tensor([min(tile, rows - begin) for begin in range(0, rows, tile)], dtype=partial.dtype)
    return (partial[0] * counts[:, None]).sum(0) / rows


@pytest.mark.parametrize("with_added", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_batchnorm_and_its_gradients(with_added: bool, relu: bool, numbers: tuple[torch.dtype, float]) -> None:
    dtype, limit = numbers
    images = random(3, 32, 5, 6, dtype=dtype) * 2 + 3
    added = random(3, 32, 5, 6, dtype=dtype).flip(0) if with_added else None
    norm, plain = norm_of(32, dtype), norm_of(32, dtype)
    inputs = images.to(plain.weight.dtype).requires_grad_()
    expected = plain(inputs) + (0 if added is None else added)
    expected = F.relu(expected) if relu else expected
    above = random(3, 32, 5, 6, dtype=dtype).flip(1)
    expected.backward(above.to(expected.dtype))
    assert inputs.grad is not None
    out, saved = BeforeNorm.of(images, norm, added=added, relu=relu).normalised()
    assert apart(out, expected.detach()) < limit
    assert apart(norm.running_mean, plain.running_mean) < 1e-6
    assert apart(norm.running_var, plain.running_var) < 1e-6
    after = NormGradient.of(above, images, saved, norm.weight, out=out if relu else None)
    found = after.of_inputs()
    assert apart(found.images, inputs.grad) < 5 * limit
    assert apart(found.weight, plain.weight.grad) < 5 * limit
    assert apart(found.bias, plain.bias.grad) < 5 * limit
    assert apart(after.gradient, above * (expected > 0) if relu else above) < limit


def test_statistics_lose_no_digits_when_the_mean_is_large() -> None:
    images = (random(3, 16, 5, 6) + 10_000).float()
    norm = nn.BatchNorm2d(16)
    BeforeNorm.of(images, norm, added=None, relu=False).normalised()
    expected = 0.9 + 0.1 * images.double().var((0, 2, 3))
    assert apart(norm.running_var, expected) < 1e-4  # of 1e8 - 1e8 in fp32 nothing would be left


def test_many_parts_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every program reads the table of all parts, which would not fit for large maps."""
    images, above = random(3, 32, 5, 6) * 2 + 3, random(3, 32, 5, 6).flip(1)
    ends = []
    for limit in (8192, 32):
        for module in (batchnorm, batchnorm_gradient):
            monkeypatch.setattr(module, "MERGED", limit)
        norm = nn.BatchNorm2d(32, dtype=torch.float64)
        before = BeforeNorm.of(images, norm, added=None, relu=True)
        assert before.partial.shape[1] > 1
        out, saved = before.normalised()
        found = NormGradient.of(above, images, saved, norm.weight, out=out).of_inputs()
        ends.append((out, saved, norm.running_var, *found))
    assert all(apart(one, other) < 1e-13 for one, other in zip(*ends, strict=True))


@pytest.mark.parametrize(("shape", "tile"), [((3, 16, 32, 32), 32), ((128, 16, 32, 32), 256), ((64, 32, 16, 16), 64)])
def test_large_maps_have_larger_tiles(shape: tuple[int, ...], tile: int) -> None:
    """Merging the sums of many tiles took six launches for each BatchNorm of a batch of 128."""
    launch = forward_launch(torch.empty(shape, device="meta"))
    assert launch.tile == tile <= LARGEST_TILE
    assert math.prod(shape) / tile <= MERGED


def test_nan_stays_visible() -> None:
    """Torch's ReLU keeps NaN, from which a run's divergence is seen."""
    images, norm = random(3, 16, 5, 6), nn.BatchNorm2d(16, dtype=torch.float64)
    images[0, 3, 2, 2] = torch.nan
    conv = Convolution(random(16, 16, 3, 3))
    out, saved = BeforeNorm.of(images, norm, added=None, relu=True).normalised()
    convolved, _ = conv.with_statistics(out)
    assert out[:, 3].isnan().all()
    assert not out[:, :3].isnan().any()
    assert convolved.isnan().all()
    above = random(3, 16, 5, 6).flip(1)
    of_images = NormGradient.of(above, images, saved, norm.weight, out=out).of_inputs().images
    assert of_images[:, 3].isnan().all()
    assert conv.input_gradient(of_images).images.isnan().all()
    assert conv.input_gradient(above, before=BeforeRelu(out, images, saved)).images.isfinite().all()
    assert conv.input_gradient(above, direct=images).images[0, 3, 2, 2].isnan()


def test_one_value_per_channel_has_no_deviation() -> None:
    images, norm = random(1, 16, 1, 1), nn.BatchNorm2d(16, dtype=torch.float64)
    with pytest.raises(ValueError, match="more than one value per channel"):
        BeforeNorm.of(images, norm, added=None, relu=True).normalised()


def test_which_batchnorms_fit() -> None:
    assert fits(nn.BatchNorm2d(64))
    for other in (nn.BatchNorm2d(24), nn.BatchNorm2d(512), nn.BatchNorm2d(16, track_running_stats=False)):
        assert not fits(other)
    assert not fits(nn.BatchNorm2d(16, affine=False))
    assert not fits(nn.BatchNorm2d(16).eval())


def trained_once(network: nn.Module, images: Tensor) -> Tensor:
    """Return the outputs of a network that has gradients now."""
    out: Tensor = network(images)
    with SIDE_STREAMS.joined():
        out.square().sum().backward()
    return out.detach()


@pytest.mark.parametrize("name", slow_or_nightly(NETWORKS, lambda name: "8" in name))
def test_a_network_with_kernels_is_the_network(name: str) -> None:
    torch.manual_seed(0)
    plain = NETWORKS[name]().to(dtype=torch.float64, memory_format=torch.channels_last)
    for each in plain.parameters():
        each.data += 0.05 * torch.randn_like(each)
    fused, images = copy.deepcopy(plain), random(3, 3, 4, 4)
    use_kernels(fused)
    assert list(fused.state_dict()) == list(plain.state_dict())
    assert apart(trained_once(fused, images), trained_once(plain, images)) < 1e-13
    for (key, one), other in zip(fused.named_parameters(), plain.parameters(), strict=True):
        assert one.grad is not None, key
        assert other.grad is not None, key
        assert apart(one.grad, other.grad) < 1e-12, key
    for (key, one), other in zip(fused.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(one, other) if "num_batches" in key else apart(one, other) < 1e-7, key
    fused.load_state_dict(plain.state_dict())
    assert apart(fused.eval()(images), plain.eval()(images)) < 1e-13


def test_launches_of_a_residual_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each launch takes longer than its arithmetic."""
    launched: Counter[str] = Counter()

    def counted(module: ModuleType, kernel: Any, grid: Sequence[int]) -> Callable[..., Any]:
        launched["beside" if module is weight_gradient else "in turn"] += 1
        return on_grid(kernel, grid)

    for module in (batchnorm, batchnorm_gradient, convolution, weight_gradient):
        monkeypatch.setattr(module, "on_grid", partial(counted, module))
    monkeypatch.setitem(GRADIENT, 16, replace(GRADIENT[16], layers=6))
    found = []
    for blocks in (1, 4):
        stage = nn.Sequential(*(BasicBlock(16, 16, stride=1, shortcut="A") for _ in range(blocks)))
        use_kernels(stage.to(memory_format=torch.channels_last))
        trained_once(stage, random(2, 16, 4, 4, dtype=torch.float32))
        found.append(Counter(launched))
        launched.clear()
    more = found[1] - found[0]
    assert more == {"in turn": 3 * 8, "beside": 2}  # weight gradients of six layers are one launch


def test_exact_statistics_are_those_of_the_modules() -> None:
    """While they are taken, BatchNorm averages over all batches, for which there is no kernel."""
    torch.manual_seed(0)
    plain = resnet_cifar(depth=8, classes=10).to(dtype=torch.float64, memory_format=torch.channels_last)
    fused, batches = copy.deepcopy(plain), [random(5, 3, 8, 8), random(4, 3, 8, 8)]
    use_kernels(fused)
    for each in (fused, plain):
        take_exact_statistics(each, batches)
    assert all(torch.equal(one, other) for one, other in zip(fused.buffers(), plain.buffers(), strict=True))


def test_which_networks_have_kernels() -> None:
    dense = denseresnet_cifar(depth=8, N=1, classes=10).to(memory_format=torch.channels_last)
    assert has_kernels(dense)
    assert not has_kernels(resnet_bottleneck(depth=50, classes=10, small=True))
    with pytest.raises(UserError, match=r"^--fused has kernels for DenseResNet and for ResNet with basic blocks;"):
        check_fused(nn.Linear(2, 2), RECIPES["miru2020-cifar100"])
    for changed, line in (
        ({"dataset": "imagenet"}, "the kernels of --fused are for small images, not for imagenet"),
        ({"batchnorm_images": 64}, "--fused normalises over the whole batch, not over batchnorm_images=64"),
    ):
        with pytest.raises(UserError, match=f"^{line}; leave it out"):
            check_fused(dense, replace(RECIPES["miru2020-cifar100"], **changed))
    use_kernels(dense)
    assert [type(each.branch).__name__ for each in dense.blocks] == ["FusedBranch", "Sequential", "Sequential"]
    assert isinstance(dense.blocks[0].branch, FusedBranch)


def test_a_copy_counts_its_own_batches_and_weights_are_channels_last() -> None:
    network = resnet_cifar(depth=8, classes=10).to(memory_format=torch.channels_last)
    use_kernels(network)
    other = copy.deepcopy(network)
    other(random(2, 3, 8, 8, dtype=torch.float32))
    counts = [{int(each) for name, each in one.named_buffers() if "batches" in name} for one in (network, other)]
    assert counts == [{0}, {1}]
    with pytest.raises(ValueError, match=r"^stem\.0\.weight is not channels-last"):
        use_kernels(resnet_cifar(depth=8, classes=10))


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the interpreter run the kernels where they need a GPU."""
    monkeypatch.setattr(devices, "_check_fused_switches", lambda runtime, device: None)
    yield
    devices.set_products("fp32")


def test_the_gates_of_a_network_with_kernels_are_measured(on_cpu: None, folders: Folders) -> None:
    experiment = experiment_for("denseresnet110", {"N": 2}, seed=0)
    cpu, data = torch.device("cpu"), random_data("cifar100", 4)
    small = replace(data, test=Images(data.test.pixels[:, :, :8, :8], data.test.labels))

    def gates_of(runtime: Runtime, name: str) -> list[str]:
        engine = Engine([experiment], runtime, InMemoryClassification(experiment.recipe, small, runtime, cpu), cpu)
        write_run_gates(engine, folders.results / name, Silent())
        (path,) = (folders.results / name).rglob("*.csv")
        return path.read_text().splitlines()

    with_kernels = gates_of(Runtime(device="cpu", fused=True), "fused")
    assert with_kernels == gates_of(Runtime(device="cpu"), "plain")
    assert len(with_kernels) == 1 + 1 + 2 * 53


def test_a_machine_without_gpu_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["train", "resnet20", "--dataset", "digits", "--fused", "--device", "cpu"]
    assert repro(capsys, *command) == (2, "", "error: --fused needs a GPU, and this run uses the CPU\n")


@pytest.mark.parametrize(
    ("runtime", "line"),
    [
        (Runtime(fused=True), "--fused computes in TF32 or bf16; add --precision tf32 or --precision bf16"),
        (Runtime(fused=True, precision="bf16", compile=True), "--fused and --compile cannot be combined"),
        (Runtime(fused=True, precision="tf32", channels_last=False), "--fused and --no-channels-last cannot"),
        (replace(Runtime(fused=True, precision="tf32"), processes=2), "--fused works with one process only"),
    ],
)
def test_switches_that_the_kernels_exclude(runtime: Runtime, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=f"^{line}"):
        devices.checked_device(replace(runtime, device="cuda"))


def test_products_are_in_tf32_only_where_the_runtime_allows_it() -> None:
    half, single, double = (torch.zeros(1, dtype=each) for each in (torch.bfloat16, torch.float32, torch.float64))
    try:
        devices.set_products("tf32")
        assert [number_format.precision(each) for each in (half, single, double)] == ["ieee", "tf32", "ieee"]
    finally:
        devices.set_products("fp32")
    assert number_format.precision(single) == "ieee"


@pytest.mark.nightly
def test_kernels_are_compiled_ahead_for_a_gpu(tmp_path: Path) -> None:
    """The interpreter does not compile, so this is what shows without a GPU that a kernel can be compiled."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    script = Path(__file__).with_name("compiled_kernels.py")
    ended = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    ahead, after, shared = map(int, ended.stdout.split())
    assert ahead > 60
    assert after == ahead, "a step compiled a kernel that was not compiled ahead"
    assert shared <= 227 * 1024, "an H100 has no more shared memory for a program"


def test_a_backward_pass_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    network = resnet_cifar(depth=8, classes=10).to(memory_format=torch.channels_last)
    use_kernels(network)
    images, computed = random(2, 3, 8, 8, dtype=torch.float32), weight_gradient.PartialGradients.gradient
    monkeypatch.setattr(weight_gradient.PartialGradients, "gradient", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trained_once(network, images)
    assert SIDE_STREAMS.waiting == []
    monkeypatch.setattr(weight_gradient.PartialGradients, "gradient", computed)
    network.zero_grad()
    trained_once(network, images)
    assert all(each.grad is not None and each.grad.isfinite().all() for each in network.parameters())


@pytest.mark.parametrize("table", TABLES.values(), ids=["norm", "forward", "backward", "gradient"])
def test_launches_are_timed_if_their_results_are_right(
    table: dict[int, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    passes, right = Passes(16, batch=2, side=4, device="cpu"), Candidate(table, 16, table[16])
    (found,) = fastest([right], passes, "cpu")
    assert found.microseconds > 0
    assert found.apart < 1e-5
    assert found.candidate is right
    for name in ("_forward", "_backward", "_weight_gradients"):
        wrong = getattr(passes, f"expected{name}")
        monkeypatch.setattr(passes, f"expected{name}", lambda *of, wrong=wrong: [each * 1.01 for each in wrong(*of)])
    assert fastest([right], passes, "cpu") == []
    monkeypatch.setattr(Candidate, "use", lambda _: 1 / 0)
    assert fastest([right], passes, "cpu") == []
    assert f"ZeroDivisionError: {right.launch}" in capsys.readouterr().out


def test_launches_to_time() -> None:
    assert len({(id(each.table), each.launch) for each in candidates(64)}) > 50
