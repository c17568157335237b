"""Two processes on one run, as torchrun starts them, on the CPU with gloo."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from commands import repro
from forked import two_of
from torch import nn
from watching import Silent, shrink_digits, stop_at

from repro.cli.app import main
from repro.errors import UserError
from repro.experiment import Experiment
from repro.paths import Folders
from repro.recipes import recipe
from repro.runtime import Runtime
from repro.training import checkpoint, processes
from repro.training.engine import Engine
from repro.training.initialise import initialised
from repro.training.run import _check_shares, train
from repro.training.schedule import lr_at
from repro.training.signals import Stopped
from repro.training.tasks.task import Task, task_for

CPU = torch.device("cpu")
ALONE = Runtime(device="cpu")
TWO = Runtime(device="cpu", processes=2)
EPOCHS = 2


@pytest.fixture
def experiment(tiny: Callable[..., Experiment]) -> Experiment:
    """An experiment of 12 batches: five of 256 and one of 162 images, twice."""
    return tiny(epochs=EPOCHS, dropout=0.0)


def join_as(rank: int, port: int) -> None:
    """Make this process one of two, as torchrun would, in double precision."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)


def one_of_two(rank: int, port: int, experiment: Experiment, folders: Folders, stop: int | None) -> None:
    join_as(rank, port)
    shrink_digits()
    try:
        train([experiment], TWO, folders, stop_at(stop) if stop and rank == 1 else Silent())
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
@pytest.mark.usefixtures("small_digits")
def test_two_processes_equal_one_that_normalises_each_half_separately(
    experiment: Experiment, folders: Folders, tmp_path: Path
) -> None:
    """A run that a signal to the second process stops, and that is resumed, is equal up to rounding in fp64."""
    two_of(one_of_two, experiment, folders, 3)
    stopped = checkpoint.load(folders.runs / experiment.name / checkpoint.NEWEST)
    two_of(one_of_two, experiment, folders, None)
    torch.set_default_dtype(torch.float64)
    try:
        network = train_by_halves(experiment, task_for(experiment, folders.data, ALONE, CPU))
    finally:
        torch.set_default_dtype(torch.float32)
    saved = checkpoint.load(folders.runs / experiment.name / checkpoint.NEWEST)
    assert stopped.step < saved.step
    for name, value in network.state_dict().items():
        torch.testing.assert_close(saved.network[name], value, rtol=1e-9, atol=1e-9)


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


def test_processes_that_cannot_connect_are_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in ("RANK", "MASTER_ADDR"):
        monkeypatch.delenv(each, raising=False)
    for size, line in (
        ("2", "WORLD_SIZE is 2, and RANK is not set; unset WORLD_SIZE"),
        ("many", "WORLD_SIZE is 'many'"),
    ):
        monkeypatch.setenv("WORLD_SIZE", size)
        with pytest.raises(SystemExit) as end:
            main(["train", "densenet", "--dataset", "digits", "--device", "cpu"])
        assert end.value.code == 2
        assert line in capsys.readouterr().err


def test_a_dropped_last_batch_needs_no_shares() -> None:
    check = partial(_check_shares, images=50_005)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "count", lambda: 41)
        check(recipe("wrn-cifar10"))  # 50,005 = 390 x 128 + 85
        with pytest.raises(UserError, match="the smallest batch has 21 images, too few for 41 processes"):
            check(recipe("densenet-cifar10"))


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
