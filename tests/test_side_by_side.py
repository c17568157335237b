"""Several seeds trained at once: each gives the same results as alone."""

import csv
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch.utils._python_dispatch import TorchDispatchMode
from watching import Silent, assert_same, stop_at

from repro.errors import Stopped, UserError
from repro.experiment import Experiment
from repro.models import build
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.results import read_records
from repro.training.checkpoints import checkpoint
from repro.training.engine.average import Average
from repro.training.engine.engine import Engine
from repro.training.engine.optimizer import optimizer_for
from repro.training.engine.stacked import Stacked, as_networks
from repro.training.runs.resume import grouped_by_progress
from repro.training.runs.train import train
from repro.training.tasks.kinds import task_for

pytestmark = pytest.mark.usefixtures("small_digits")
TOGETHER = Runtime(device="cpu", together="stacked")
ALONE = replace(TOGETHER, together="off")
SEEDS = range(3)
Make = Callable[..., Experiment]


@pytest.fixture
def seeds(tiny: Make) -> list[Experiment]:
    return [tiny(seed=seed, dropout=0.0) for seed in SEEDS]


def largest_difference(one: Folders, other: Folders, experiment: Experiment) -> float:
    """Return the largest difference of all weights, BatchNorm statistics and momentum buffers."""
    states = []
    for folders in (one, other):
        saved = checkpoint.load(folders.runs / experiment.name / checkpoint.NEWEST)
        momenta = {f"momentum {key}": state["momentum_buffer"] for key, state in saved.optimizer["state"].items()}
        states.append({**saved.network, **momenta})
    assert states[0].keys() == states[1].keys()
    return max(float((states[0][key] - states[1][key]).abs().max()) for key in states[0])


@pytest.mark.usefixtures("float64")
def test_each_seed_equals_itself_alone(seeds: list[Experiment], folders: Folders, elsewhere: Folders) -> None:
    """12 steps in two epochs with a smaller last batch agree to 1e-12 in double precision."""
    together = train(seeds, TOGETHER, folders, Silent())
    alone = train(seeds, ALONE, elsewhere, Silent())
    assert [record.seed for record in together] == list(SEEDS)
    assert [record.error for record in together] == [record.error for record in alone]
    assert len({record.loss for record in together}) == len(SEEDS)
    assert {record.runtime["together"] for record in alone} == {"off"}
    for experiment in seeds:
        assert largest_difference(folders, elsewhere, experiment) < 1e-12


def test_each_seed_has_its_own_record_and_curve(seeds: list[Experiment], folders: Folders) -> None:
    records = train(seeds, TOGETHER, folders, Silent())
    assert read_records([folders.results]) == records
    assert [(record.runtime["together"], record.runtime["at_once"]) for record in records] == [("stacked", 3)] * 3
    for record in records:
        with (folders.results / "curves" / f"{record.name}.csv").open(newline="") as file:
            curve = list(csv.DictReader(file))
        assert [row["epoch"] for row in curve] == ["1", "2"]
        assert float(curve[-1]["test_error"]) == record.error


@pytest.mark.usefixtures("float64")
def test_seeds_stopped_together_resume_alone_or_together(
    seeds: list[Experiment], folders: Folders, elsewhere: Folders
) -> None:
    for each in (folders, elsewhere):
        with pytest.raises(Stopped):
            train(seeds, TOGETHER, each, stop_at(7))
    train(seeds, TOGETHER, folders, Silent())
    train(seeds, ALONE, elsewhere, Silent())
    for experiment in seeds:
        assert largest_difference(folders, elsewhere, experiment) < 1e-12


def test_seeds_that_resume_alone_or_stacked_keep_what_was_recorded_of_each(
    seeds: list[Experiment], folders: Folders
) -> None:
    """The first two were started alone, at other times; that a run was ever stacked is said once and recorded."""

    def resumed(stop: int, *runs: Experiment, together: str) -> list[str]:
        watcher = stop_at(stop)
        with pytest.raises(Stopped):
            train(runs, Runtime(device="cpu", channels_last=False, together=together), folders, watcher)
        return [line for line in watcher.said if "bit-identical" in line]

    assert resumed(3, seeds[0], together="off") == resumed(3, seeds[1], together="off") == []
    alone = [checkpoint.load(folders.runs / each.name / checkpoint.NEWEST) for each in seeds[:2]]
    end = "its result will not be bit-identical to that of an uninterrupted run"
    (line,) = resumed(5, *seeds[:2], together="stacked")
    assert line.endswith(f"and 1 other seed resumes with the seed stacked instead of alone; {end}")
    stacked = [checkpoint.load(folders.runs / each.name / checkpoint.NEWEST) for each in seeds[:2]]
    assert [each.started for each in stacked] == [each.started for each in alone]
    assert len({each.started for each in stacked}) == len({each.seconds_so_far for each in stacked}) == 2
    (line,) = resumed(7, seeds[0], together="off")
    assert line == f"warning: {seeds[0].name} resumes with the seed alone instead of stacked; {end}"
    assert resumed(9, seeds[0], together="off") == []
    (record,) = train(seeds[:1], replace(ALONE, channels_last=False), folders, Silent())
    assert (record.runtime["together"], record.sessions) == ("stacked", 5)


def test_seeds_killed_between_two_checkpoints_stay_together(seeds: list[Experiment], folders: Folders) -> None:
    with pytest.raises(Stopped):
        train(seeds, TOGETHER, folders, stop_at(7))
    ahead = seeds[0]
    device = torch.device("cpu")
    engine = Engine([ahead], ALONE, task_for(ahead, folders.data, ALONE, device), device)
    engine.restore([checkpoint.load(folders.runs / ahead.name / checkpoint.NEWEST)])
    next(engine.steps())
    checkpoint.save(engine.checkpoints()[0], folders.runs / ahead.name)
    ((together, saved),) = grouped_by_progress(seeds, folders.runs, Silent())
    assert together == seeds
    assert [each.step for each in saved] == [7, 7, 7]


@pytest.mark.usefixtures("float64")
def test_seeds_killed_between_their_last_checkpoints_record_the_last_epoch(
    seeds: list[Experiment], folders: Folders, elsewhere: Folders
) -> None:
    """One seed has the checkpoint after the last test, the other one that of the same step before it."""
    expected = train(seeds[:2], TOGETHER, elsewhere, Silent())
    with pytest.raises(Stopped):
        train(seeds[:2], TOGETHER, folders, stop_at(12))
    tested = elsewhere.runs / seeds[0].name / checkpoint.NEWEST
    checkpoint.save(checkpoint.load(tested), folders.runs / seeds[0].name)
    records = train(seeds[:2], TOGETHER, folders, Silent())
    assert [(record.epochs, record.error) for record in records] == [(each.epochs, each.error) for each in expected]


def test_networks_with_dropout_are_trained_one_after_another(tiny: Make, folders: Folders, elsewhere: Folders) -> None:
    seeds = [tiny(seed=seed, epochs=1, dropout=0.2) for seed in SEEDS]
    watcher = Silent()
    train(seeds, TOGETHER, folders, watcher)
    train(seeds, ALONE, elsewhere, Silent())
    assert any("uses dropout" in line for line in watcher.said)
    assert all(largest_difference(folders, elsewhere, experiment) == 0 for experiment in seeds)


def test_networks_that_save_memory_are_trained_one_after_another(tiny: Make, folders: Folders) -> None:
    seeds = [tiny(seed=seed, epochs=1, dropout=0.0) for seed in range(2)]
    watcher = Silent()
    assert len(train(seeds, replace(TOGETHER, save_memory=True), folders, watcher)) == 2
    assert any("--save-memory supports one network at a time" in line for line in watcher.said)


class Calls(TorchDispatchMode):
    """Records the operators that reach the device with the shapes of their tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[tuple[int, ...]]]] = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.seen.append((operator.__name__, [tuple(each.shape) for each in args if isinstance(each, Tensor)]))
        return operator(*args, **(kwargs or {}))


def stacked_resnet(seeds: int) -> tuple[Stacked, list[nn.Module]]:
    """Return several networks with different weights and statistics, stacked and separately."""
    torch.manual_seed(0)
    networks = [build("resnet20", {}, classes=10) for _ in range(seeds)]
    for network in networks:
        network(torch.randn(2, 3, 8, 8) + 1)
    return Stacked(networks), networks


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_network_and_several_have_the_same_interface(seeds: int) -> None:
    networks = [nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)) for _ in range(seeds)]
    states = [{name: each.clone() for name, each in network.state_dict().items()} for network in networks]
    together = as_networks(networks)
    inputs = [torch.randn(4, 3, 5, 5) for _ in networks]
    outputs = together.eval()(together.joined(inputs))
    assert outputs.shape[together.batch_dim] == 4
    for seed, (own, state) in enumerate(zip(together.apart(outputs), states, strict=True)):
        torch.testing.assert_close(own, together.alone(seed).eval()(inputs[seed]))
        assert_same(dict(together.state_of(seed)), state)
        assert list(together.parameters_by_name()) == [name for name in state if name.endswith(("weight", "bias"))]
        assert torch.equal(together.of_seed(together.joined(inputs), seed), inputs[seed])
    together.load_state_of(seeds - 1, {name: torch.ones_like(each) for name, each in states[0].items()})
    assert all(bool((each == 1).all()) for each in together.state_of(seeds - 1).values())
    assert set(together.layers_by_name()) == {"", "0", "1"}


class Unusual(nn.Module):
    """One layer under two names, a frozen weight, and random values that are not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.again = nn.Linear(3, 3)
        self.last = nn.Linear(3, 3)
        self.last.weight.requires_grad_(False)
        self.register_buffer("unsaved", torch.randn(3), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.last(self.again(self.first(inputs))) * self.unsaved
        return outputs


def test_frozen_weights_are_not_trained_by_stacked_seeds(tiny: Make) -> None:
    network = Stacked([Unusual(), Unusual()])
    parameters = network.parameters_by_name()
    assert {name: each.requires_grad for name, each in parameters.items()} == {
        "first.weight": True,
        "first.bias": True,
        "last.weight": False,
        "last.bias": True,
    }
    trained = optimizer_for(network, tiny().recipe).param_groups
    assert not any(each is parameters["last.weight"] for group in trained for each in group["params"])


def test_stacked_seeds_save_layers_under_all_names_and_only_what_is_saved() -> None:
    networks = [Unusual(), Unusual()]
    together, inputs = Stacked(networks), torch.randn(2, 4, 3)
    outputs = together(inputs)
    for seed, network in enumerate(networks):
        assert_same(together.state_of(seed), network.state_dict())
        torch.testing.assert_close(outputs[seed], network(inputs[seed]))
        torch.testing.assert_close(together.alone(seed)(inputs[seed]), network(inputs[seed]))
    together.load_state_of(1, networks[0].state_dict())
    assert_same(together.state_of(1), networks[0].state_dict())


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_average_of_a_layer_under_two_names_moves_once_per_step(seeds: int) -> None:
    networks = as_networks([Unusual() for _ in range(seeds)])
    average = Average(networks, decay=0.1)
    start = [{name: each.clone() for name, each in networks.state_of(seed).items()} for seed in range(seeds)]
    with torch.no_grad():
        for each in networks.parameters():
            each.add_(1)
    average.update(steps=1)
    for seed, state in enumerate(start):
        for name, each in average.networks.state_of(seed).items():
            torch.testing.assert_close(each, state[name] + 0.9)


def test_a_batch_norm_of_all_seeds_is_one_kernel() -> None:
    """Among tensors of an activation's size, only the images are copied or multiplied separately."""
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
def test_merged_batch_norms_equal_those_of_each_seed(training: bool) -> None:
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


def test_merged_batch_norms_of_vectors_equal_those_of_each_seed() -> None:
    networks = [nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 2)) for _ in range(2)]
    together, inputs = Stacked(networks), torch.randn(2, 4, 5)
    outputs = together(inputs)
    for seed, network in enumerate(networks):
        torch.testing.assert_close(outputs[seed], network(inputs[seed]))
        torch.testing.assert_close(together.state_of(seed), dict(network.state_dict()))


@pytest.mark.parametrize(
    ("norm", "shape"), [(nn.BatchNorm1d, ()), (nn.BatchNorm2d, (5, 5)), (nn.BatchNorm3d, (5, 5, 5))]
)
def test_a_merged_batch_norm_accepts_bf16_with_fp32_statistics(norm: type[nn.Module], shape: tuple[int, ...]) -> None:
    network = Stacked([nn.Sequential(norm(3)) for _ in range(2)])
    inputs = torch.randn(2, 4, 3, *shape)
    outputs = network(inputs.bfloat16())
    assert outputs.dtype == torch.bfloat16
    torch.testing.assert_close(outputs.float(), network(inputs), atol=0.05, rtol=0.02)
    assert network.state_of(0)["0.running_mean"].dtype == torch.float32


@pytest.mark.nightly
def test_torch_compile_sees_one_batch_norm_of_all_seeds() -> None:
    """One graph is traced up to autograd, which needs no compiler."""
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


def test_stacked_seeds_in_bf16_are_refused_on_a_cpu(seeds: list[Experiment], folders: Folders) -> None:
    with pytest.raises(UserError, match="on a CPU their convolutions stay in fp32; use --together off"):
        train(seeds, replace(TOGETHER, precision="bf16"), folders, Silent())
    assert not folders.runs.exists()
