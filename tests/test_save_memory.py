"""Training DenseNet in less memory: the same results, and far fewer saved activations."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from commands import repro
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from watching import Silent, assert_same, train_one, weights

from repro.counting.demand import saved_bytes
from repro.errors import UserError
from repro.experiment import Experiment
from repro.models import OptionValue, build, save_memory
from repro.paths import Folders
from repro.runtime import Runtime

KINDS: list[tuple[str, dict[str, OptionValue], float]] = [
    ("densenet", {"depth": 13, "k": 6}, 0.2),
    ("densenet-bc", {"depth": 22, "k": 6}, 0.0),
    ("densenet-bc", {"depth": 22, "k": 6}, 0.2),
    ("densenet121", {}, 0.0),
]


def step(network: nn.Module, images: Tensor) -> Tensor:
    """Take a step's forward and backward pass with the same random numbers each time."""
    torch.manual_seed(3)
    outputs = network(images)
    outputs.logsumexp(1).mean().backward()
    return outputs


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]} dropout {kind[2]}")
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    """A network, and one with the same weights that saves memory; both have taken two steps."""
    name, options, dropout = request.param
    torch.manual_seed(0)
    plain = build(name, options, classes=10, input=(3, 32, 32), dropout=dropout).train()
    saving = copy.deepcopy(plain)
    save_memory(name, saving)
    for seed in (1, 2):
        images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(step(plain, images), step(saving, images))
    return plain, saving


def test_gradients_are_the_same(pair: tuple[nn.Module, nn.Module]) -> None:
    for ours, theirs in zip(*(network.parameters() for network in pair), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_batchnorm_statistics_are_updated_once_per_batch(pair: tuple[nn.Module, nn.Module]) -> None:
    plain, saving = (network.state_dict() for network in pair)
    assert plain.keys() == saving.keys()
    assert all(torch.equal(plain[key], saving[key]) for key in plain)
    assert {int(each) for key, each in saving.items() if key.endswith("num_batches_tracked")} == {2}


def test_evaluation_is_the_same(pair: tuple[nn.Module, nn.Module]) -> None:
    plain, saving = (network.eval() for network in pair)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(step(plain, images), step(saving, images))
    with torch.no_grad():
        assert torch.equal(plain(images), saving(images))


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bits_in_every_precision_and_layout(bf16: bool, layout: torch.memory_format) -> None:
    """BatchNorm is computed again in evaluation mode, from statistics that the forward pass took."""
    plain = build("densenet-bc", {"depth": 16, "k": 5}, classes=10).train().to(memory_format=layout)
    for each in plain.parameters():
        each.data += 0.2 * torch.randn_like(each)
    saving = copy.deepcopy(plain)
    save_memory("densenet-bc", saving)
    images = torch.randn(3, 3, 20, 20).to(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        outputs = [step(network, images) for network in (plain, saving)]
    assert torch.equal(*outputs)
    for ours, theirs in zip(plain.parameters(), saving.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


class Operators(TorchDispatchMode):
    """Names what torch computes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def test_no_convolution_is_computed_twice() -> None:
    network = build("densenet-bc", {"depth": 10, "k": 4}, classes=10).train()
    save_memory("densenet-bc", network)
    loss = network(torch.randn(2, 3, 32, 32)).sum()
    with Operators() as backward:
        loss.backward()
    assert "aten.native_batch_norm.default" in backward.seen
    assert "aten.convolution.default" not in backward.seen


def test_densenet_bc_100_keeps_less_than_a_quarter_of_its_activations() -> None:
    """Without save_memory they take 2.1 GiB with batches of 64."""
    saved = {}
    for saving in (False, True):
        with torch.device("meta"):
            network = build("densenet-bc", {}, classes=10, input=(3, 32, 32))
        if saving:
            save_memory("densenet-bc", network)
        saved[saving] = saved_bytes(network, (3, 32, 32), 64)
    assert 2**31 < saved[False] < 1.1 * 2**31
    assert saved[True] < 0.25 * saved[False]


def test_saved_bytes_are_those_that_backward_needs() -> None:
    """ReLU saves its output and the convolution its input; the weight is a parameter and takes no further memory."""
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(3, 5, 1, bias=False), nn.ReLU())
    assert saved_bytes(network, (3, 8, 8), 2) == 4 * 2 * 8 * 8 * (3 + 5)


@pytest.mark.usefixtures("small_digits")
def test_a_run_that_saves_memory_is_the_same_run(tiny: Callable[..., Experiment], folders: Folders) -> None:
    plain = train_one(tiny(epochs=1), Runtime(device="cpu"), folders, Silent())
    elsewhere = replace(folders, runs=folders.runs / "saving", results=folders.results / "saving")
    saving = train_one(tiny(epochs=1), Runtime(device="cpu", save_memory=True), elsewhere, Silent())
    assert (saving.id, saving.runtime["save_memory"]) == (plain.id, True)
    assert_same(*(weights(each, tiny(epochs=1)) for each in (folders, elsewhere)))


def test_a_model_that_cannot_save_memory_names_those_that_can(capsys: pytest.CaptureFixture[str]) -> None:
    with torch.device("meta"):
        network = build("resnet20", {}, classes=10)
    with pytest.raises(UserError, match=r"^resnet20 does not support --save-memory; models that do: densenet, "):
        save_memory("resnet20", network)
    status, _, err = repro(capsys, "train", "resnet20", "--save-memory", "--dataset", "digits")
    assert (status, err.count("\n")) == (2, 1)
