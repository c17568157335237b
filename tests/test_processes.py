"""Two processes on one run, as torchrun starts them, on the CPU with gloo."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
from commands import repro
from forked import TWO, join_as, two_of
from torch import nn
from watching import Silent, shrink_digits, stop_at, weights

from repro.errors import Stopped, UserError
from repro.evaluation.evaluate import evaluate
from repro.experiment import Experiment
from repro.paths import Folders
from repro.recipes import RECIPES
from repro.runtime import Runtime
from repro.store.results import Record, read_records
from repro.training.checkpoints import checkpoint
from repro.training.engine.engine import Engine
from repro.training.initialise import initialised
from repro.training.machine import processes
from repro.training.runs import train as train_module
from repro.training.runs.train import _check_shares, train
from repro.training.schedule import lr_at
from repro.training.tasks.kinds import task_for
from repro.training.tasks.task import Batch, Task

CPU = torch.device("cpu")
ALONE = Runtime(device="cpu")
EPOCHS = 2


@pytest.fixture
def experiment(tiny: Callable[..., Experiment]) -> Experiment:
    """An experiment of 12 batches: five of 256 and one of 162 images, twice."""
    return tiny(epochs=EPOCHS, dropout=0.0)


def one_of_two(
    rank: int, port: int, experiments: Sequence[Experiment], runtime: Runtime, folders: Folders, stop: int | None
) -> None:
    join_as(rank, port)
    shrink_digits()
    try:
        train(experiments, runtime, folders, stop_at(stop) if stop and rank == 1 else Silent())
    except Stopped:
        assert stop


def train_by_halves(experiment: Experiment, task: Task) -> nn.Module:
    """Train in one process, normalising each half of a batch separately; the statistics are those of the first half."""
    recipe, network = experiment.recipe, initialised(experiment)
    optimizer = torch.optim.SGD(
        network.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=recipe.nesterov
    )
    step = 0
    for epoch in range(EPOCHS):
        for inputs, targets in task.batches(experiment.seed, epoch, 0):
            optimizer.param_groups[0]["lr"] = lr_at(recipe, step, task.images)
            half = len(targets) // 2
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs[:half]), targets[:half], reduction="sum")
            statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
            loss += nn.functional.cross_entropy(network(inputs[half:]), targets[half:], reduction="sum")
            (loss / len(targets)).backward()
            for name, buffer in network.named_buffers():
                buffer.copy_(statistics[name])
            optimizer.step()
            step += 1
    return network


@pytest.mark.slow
@pytest.mark.usefixtures("small_digits", "float64")
def test_two_processes_equal_one_that_normalises_each_half_separately(experiment: Experiment, folders: Folders) -> None:
    """A run that a signal to the second process stops, and that is resumed, is equal up to rounding in fp64.

    Its metrics are those of one process that tests all images.
    """
    two_of(one_of_two, [experiment], TWO, folders, 3)
    stopped = load_newest(folders, experiment)
    two_of(one_of_two, [experiment], TWO, folders, None)
    network = train_by_halves(experiment, task_for(experiment, folders.data, ALONE, CPU))
    saved = load_newest(folders, experiment)
    assert stopped.step < saved.step
    for name, value in network.state_dict().items():
        torch.testing.assert_close(saved.network[name], value, rtol=1e-9, atol=1e-9)
    (record,) = read_records([folders.results])
    tested = evaluate(experiment.name, folders, ALONE).metrics
    assert tested.images == 355
    assert (record.error, record.error5, record.loss) == pytest.approx((tested.error, tested.error5, tested.loss))


@pytest.mark.slow
@pytest.mark.usefixtures("small_digits")
def test_stacked_seeds_of_two_processes_equal_each_seed_trained_alone_by_two(
    tiny: Callable[..., Experiment], folders: Folders, elsewhere: Folders
) -> None:
    """They are stopped by a signal to the second process, and resumed."""
    seeds = [tiny(seed, epochs=EPOCHS, dropout=0.0) for seed in (0, 1)]
    stacked, alone = (replace(TWO, together=each) for each in ("stacked", "off"))
    two_of(one_of_two, seeds, stacked, folders, 3)
    assert all(0 < load_newest(folders, each).step < EPOCHS * 6 for each in seeds)
    two_of(one_of_two, seeds, stacked, folders, None)
    two_of(one_of_two, seeds, alone, elsewhere, None)
    for each in seeds:
        torch.testing.assert_close(weights(folders, each), weights(elsewhere, each), rtol=1e-9, atol=1e-9)
    found, expected = (read_records([each.results]) for each in (folders, elsewhere))
    assert [(each.runtime["together"], each.runtime["processes"]) for each in found] == [("stacked", 2)] * 2
    assert [each.error for each in found] == [each.error for each in expected]
    assert [each.loss for each in found] == pytest.approx([each.loss for each in expected])


def show_of_two(rank: int, port: int, experiment: Experiment, record: Record, folders: Folders) -> None:
    """Show a record that only the first process finds, and then what only the first one refuses."""

    def refused(*_: object) -> None:
        if rank == 0:
            raise UserError("it was started in another way")

    join_as(rank, port)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "WAIT", timedelta(seconds=60))
        patch.setattr(train_module, "recorded", lambda *_: None if rank else record)
        assert train([experiment], TWO, folders, Silent()) == [record]
        patch.setattr(train_module, "recorded", refused)
        with pytest.raises(UserError, match="it was started in another way"):
            train([experiment], TWO, folders, Silent())


@pytest.mark.slow
def test_processes_train_what_the_first_one_finds_unfinished(
    tiny: Callable[..., Experiment], record: Callable[..., Record], folders: Folders
) -> None:
    two_of(show_of_two, tiny(), record(), folders)


def load_newest(folders: Folders, experiment: Experiment) -> checkpoint.Checkpoint:
    return checkpoint.load(folders.runs / experiment.name / checkpoint.NEWEST)


@pytest.mark.slow
def test_torchrun_trains_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is one record; every test image counts once; another number of processes cannot resume."""
    train_digits = ["-m", "repro", "train", "densenet", "--depth", "7", "--k", "4", "--dataset", "digits"]
    train_digits += ["--epochs", "1", "--format", "json"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *train_digits]
    done = subprocess.run(torchrun, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["runtime"]["processes"] == 2
    with (tmp_path / "results" / "runs.csv").open(newline="") as file:
        assert [line["id"] for line in csv.DictReader(file)] == [record["id"]]
    monkeypatch.chdir(tmp_path)
    measured = json.loads(repro(capsys, "eval", record["id"], "--format", "json")[1])
    assert measured["images"] == 355
    assert measured["error"] == pytest.approx(record["error"])
    status, _, refused = repro(capsys, *train_digits[2:])
    assert status == 2
    assert "was started with 2 processes" in refused


def test_a_dropped_last_batch_needs_no_shares() -> None:
    check = partial(_check_shares, images=50_005)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "count", lambda: 41)
        check(RECIPES["wrn-cifar10"])  # 50,005 = 390 x 128 + 85
        with pytest.raises(UserError, match="the smallest batch has 21 images, too few for 41 processes"):
            check(RECIPES["densenet-cifar10"])


def check_average(rank: int, port: int, experiment: Experiment, folders: Folders) -> None:
    """Train two steps with a moving average, each process with its own statistics, and compare them after a test."""
    join_as(rank, port)
    shrink_digits()
    processes.join(CPU)
    engine = Engine([experiment], TWO, task_for(experiment, folders.data, TWO, CPU), CPU)
    for _ in engine.steps():
        pass
    states = [each.state_dict() for each in (engine.networks, engine.tested)]
    apart = [gathered_difference(each) for each in states]
    assert all(apart), "otherwise the rest shows nothing"
    engine.end_epoch()
    assert [gathered_difference(each) for each in states] == [0, 0]
    saved = engine.checkpoints()[0]
    assert gathered_difference(saved.network) == gathered_difference(saved.average or {}) == 0
    assert any(not torch.equal(value, (saved.average or {})[name]) for name, value in saved.network.items())


def gathered_difference(state: Mapping[str, torch.Tensor]) -> float:
    """Return the largest difference between the values of two processes."""
    found = 0.0
    for value in state.values():
        one, other = processes.of_all([value.clone()])
        found = max(found, float((one - other).abs().max()))
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("small_digits")
def test_all_processes_test_the_same_moving_average(tiny: Callable[..., Experiment], folders: Folders) -> None:
    two_of(check_average, tiny(epochs=2, dropout=0.0, ema=0.5), folders)


def check_exact_statistics(rank: int, port: int, experiment: Experiment, folders: Folders) -> None:
    """Train an epoch, and compare the statistics with the mean of those of all halves of batches."""
    join_as(rank, port)
    shrink_digits()
    processes.join(CPU)
    task = task_for(experiment, folders.data, TWO, CPU)
    engine = Engine([experiment], TWO, task, CPU)
    for _ in engine.steps():
        pass
    engine.end_epoch()
    assert gathered_difference(engine.networks.state_dict()) == 0
    norms = norms_of(engine.alone(0))
    found = {name: torch.stack([each.running_mean, each.running_var]) for name, each in norms.items()}
    own = statistics_of_batches(engine.alone(0), task.batches(experiment.seed, 0, 0))
    assert gathered_difference(own) > 0, "otherwise the rest shows nothing"
    for name, each in own.items():
        torch.testing.assert_close(found[name], sum(processes.of_all([each])) / 2, rtol=1e-9, atol=1e-9)


def norms_of(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: each for name, each in network.named_modules() if isinstance(each, nn.BatchNorm2d)}


def statistics_of_batches(network: nn.Module, batches: Iterable[Batch]) -> dict[str, torch.Tensor]:
    """Return mean and variance of what each BatchNorm is given, averaged over batches."""
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in norms_of(network)}

    def look(name: str, inputs: torch.Tensor) -> None:
        seen[name].append(torch.stack([inputs.mean((0, 2, 3)), inputs.var((0, 2, 3))]))

    for name, norm in norms_of(network).items():
        norm.register_forward_pre_hook(lambda _, inputs, name=name: look(name, *inputs))
    network.train()
    with torch.no_grad():
        for each in batches:
            network(each.inputs)
    return {name: torch.stack(values).mean(0) for name, values in seen.items()}


@pytest.mark.slow
@pytest.mark.usefixtures("small_digits")
def test_exact_statistics_are_means_over_the_batches_of_all_processes(
    tiny: Callable[..., Experiment], folders: Folders
) -> None:
    two_of(check_exact_statistics, tiny(epochs=1, dropout=0.0, batchnorm_statistics="exact"), folders)
