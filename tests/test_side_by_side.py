"""Several seeds in one process: each is the run that it is alone."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch.utils._python_dispatch import TorchDispatchMode
from watching import Silent, stop_at

from repro.errors import UserError
from repro.experiment import Experiment
from repro.models import build
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.results import read_records
from repro.training import checkpoint
from repro.training.engine import Engine
from repro.training.resume import equally_far
from repro.training.run import train
from repro.training.signals import Stopped
from repro.training.stacked import Stacked
from repro.training.tasks.task import task_for

pytestmark = pytest.mark.usefixtures("small_digits")
TOGETHER = Runtime(device="cpu", side_by_side=True)
ALONE = replace(TOGETHER, side_by_side=False)
SEEDS = range(3)
Make = Callable[..., Experiment]


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def seeds(tiny: Make) -> list[Experiment]:
    return [tiny(seed=seed, dropout=0.0) for seed in SEEDS]


def elsewhere(folders: Folders, tmp_path: Path) -> Folders:
    return replace(folders, runs=tmp_path / "other", results=tmp_path / "elsewhere")


def largest_difference(one: Folders, other: Folders, experiment: Experiment) -> float:
    """Of all weights, BatchNorm statistics and momentum buffers."""
    states = []
    for folders in (one, other):
        saved = checkpoint.load(folders.runs / experiment.name / checkpoint.NEWEST)
        momenta = {f"momentum {key}": state["momentum_buffer"] for key, state in saved.optimizer["state"].items()}
        states.append({**saved.network, **momenta})
    assert states[0].keys() == states[1].keys()
    return max(float((states[0][key] - states[1][key]).abs().max()) for key in states[0])


@pytest.mark.usefixtures("float64")
def test_each_seed_is_what_it_is_alone(seeds: list[Experiment], folders: Folders, tmp_path: Path) -> None:
    """Over 12 steps of two epochs with a smaller last batch, to 1e-12 in double precision."""
    other = elsewhere(folders, tmp_path)
    together = train(seeds, TOGETHER, folders, Silent())
    alone = train(seeds, ALONE, other, Silent())
    assert [record.seed for record in together] == list(SEEDS)
    assert [record.error for record in together] == [record.error for record in alone]
    assert len({record.loss for record in together}) == len(SEEDS)
    assert not any(record.runtime["side_by_side"] for record in alone)
    for experiment in seeds:
        assert largest_difference(folders, other, experiment) < 1e-12


def test_each_seed_has_its_own_record_and_curve(seeds: list[Experiment], folders: Folders) -> None:
    records = train(seeds, TOGETHER, folders, Silent())
    assert read_records([folders.results]) == records
    assert [record.runtime["side_by_side"] for record in records] == [True] * 3
    for record in records:
        with (folders.results / "curves" / f"{record.name}.csv").open(newline="") as file:
            curve = list(csv.DictReader(file))
        assert [row["epoch"] for row in curve] == ["1", "2"]
        assert float(curve[-1]["test_error"]) == record.error


@pytest.mark.usefixtures("float64")
def test_stopped_together_they_go_on_alone_or_together(
    seeds: list[Experiment], folders: Folders, tmp_path: Path
) -> None:
    other = elsewhere(folders, tmp_path)
    for each in (folders, other):
        with pytest.raises(Stopped):
            train(seeds, TOGETHER, each, stop_at(7))
    train(seeds, TOGETHER, folders, Silent())
    train(seeds, ALONE, other, Silent())
    for experiment in seeds:
        assert largest_difference(folders, other, experiment) < 1e-12


def test_killed_between_two_checkpoints_they_stay_together(seeds: list[Experiment], folders: Folders) -> None:
    with pytest.raises(Stopped):
        train(seeds, TOGETHER, folders, stop_at(7))
    ahead = seeds[0]
    device = torch.device("cpu")
    engine = Engine([ahead], ALONE, task_for(ahead, folders.data, ALONE, device), device)
    engine.restore([checkpoint.load(folders.runs / ahead.name / checkpoint.NEWEST)])
    next(engine.steps())
    checkpoint.save(engine.checkpoints()[0], folders.runs / ahead.name)
    ((together, saved),) = equally_far(seeds, folders.runs, Silent())
    assert together == seeds
    assert [each.step for each in saved] == [7, 7, 7]


def test_networks_that_drop_out_are_trained_one_after_the_other(tiny: Make, folders: Folders, tmp_path: Path) -> None:
    other = elsewhere(folders, tmp_path)
    seeds = [tiny(seed=seed, epochs=1, dropout=0.2) for seed in SEEDS]
    watcher = Silent()
    train(seeds, TOGETHER, folders, watcher)
    train(seeds, ALONE, other, Silent())
    assert any("uses dropout" in line for line in watcher.said)
    assert all(largest_difference(folders, other, experiment) == 0 for experiment in seeds)


def test_what_saves_memory_is_trained_one_after_the_other(tiny: Make, folders: Folders) -> None:
    seeds = [tiny(seed=seed, epochs=1, dropout=0.0) for seed in range(2)]
    watcher = Silent()
    assert len(train(seeds, replace(TOGETHER, save_memory=True), folders, watcher)) == 2
    assert any("--save-memory supports one network at a time" in line for line in watcher.said)


class Calls(TorchDispatchMode):
    """Notes the operators that reach the device, each with its tensors' shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[tuple[int, ...]]]] = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.seen.append((operator.__name__, [tuple(each.shape) for each in args if isinstance(each, Tensor)]))
        return operator(*args, **(kwargs or {}))


def stacked_resnet(seeds: int) -> tuple[Stacked, list[nn.Module]]:
    """Several networks with other weights and other statistics, and the same ones stacked."""
    torch.manual_seed(0)
    networks = [build("resnet20", {}, classes=10) for _ in range(seeds)]
    for network in networks:
        network(torch.randn(2, 3, 8, 8) + 1)
    return Stacked(networks), networks


def test_a_batch_norm_of_all_seeds_is_one_kernel() -> None:
    """And of an activation's size nothing but the images is copied or multiplied apart."""
    network, _ = stacked_resnet(2)
    with Calls() as calls:
        network(torch.randn(2, 4, 3, 8, 8)).sum().backward()
    names = [name for name, _ in calls.seen]
    assert sum("batch_norm" in name and "backward" not in name for name in names) == 19
    assert sum("batch_norm_backward" in name for name in names) == 19
    assert (4, 2 * 16, 8, 8) in [shapes[0] for name, shapes in calls.seen if "batch_norm" in name]
    large = [name for name, shapes in calls.seen if shapes and max(map(len, shapes)) >= 4]
    assert [name for name in large if name.startswith(("mul", "copy_", "clone"))] == ["clone.default"]


@pytest.mark.parametrize("training", [True, False])
def test_batch_norms_of_several_seeds_are_those_of_each(training: bool) -> None:
    network, networks = stacked_resnet(3)
    inputs = torch.randn(3, 4, 3, 8, 8)
    outputs = network.train(training)(inputs)
    for seed, (alone, own) in enumerate(zip(networks, inputs, strict=True)):
        torch.testing.assert_close(outputs[seed], alone.train(training)(own))
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(network.state_of(seed)[name], value)
        tested = network.alone(seed)
        assert {type(each) for each in tested.modules()} == {type(each) for each in alone.modules()}
        torch.testing.assert_close(tested.eval()(own), alone.eval()(own))


def test_a_batch_norm_of_several_seeds_takes_bf16_beside_fp32_statistics() -> None:
    network = Stacked([nn.Sequential(nn.BatchNorm2d(3)) for _ in range(2)])
    inputs = torch.randn(2, 4, 3, 5, 5)
    outputs = network(inputs.bfloat16())
    assert outputs.dtype == torch.bfloat16
    torch.testing.assert_close(outputs.float(), network(inputs), atol=0.05, rtol=0.02)
    assert network.state_of(0)["0.running_mean"].dtype == torch.float32


def test_torch_compile_sees_one_batch_norm_of_all_seeds() -> None:
    """In one graph, followed as far as autograd: no compiler is needed."""
    network, _ = stacked_resnet(2)
    operators: list[str] = []

    def note(graph: torch.fx.GraphModule, inputs: object) -> torch.fx.GraphModule:
        operators.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    compiled = torch.compile(network, backend=aot_autograd(fw_compiler=note), fullgraph=True, dynamic=False)
    inputs = torch.randn(2, 4, 3, 8, 8)
    torch.testing.assert_close(compiled(inputs), network(inputs))
    assert sum("batch_norm" in each for each in operators) == 19
    assert not any("repro" in each for each in operators)


def test_bf16_side_by_side_is_refused_on_a_cpu(seeds: list[Experiment], folders: Folders) -> None:
    with pytest.raises(UserError, match="on a CPU their convolutions stay in fp32; use --one-by-one"):
        train(seeds, replace(TOGETHER, precision="bf16"), folders, Silent())
    assert not folders.runs.exists()
