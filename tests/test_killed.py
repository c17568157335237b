"""A run that is killed twenty times equals an uninterrupted one."""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection

import pytest
import torch
from forked import SERVER
from watching import Silent, shrink_digits, train_one

from repro.experiment import Experiment
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.results import read_records
from repro.training.checkpoints import checkpoint
from repro.training.runs.train import train

KILLS = 20
EVERY_STEP = Runtime(device="cpu", checkpoint_seconds=0.0)


def train_and_report(experiment: Experiment, folders: Folders, steps: Connection) -> None:
    torch.set_num_threads(1)
    shrink_digits()
    train([experiment], EVERY_STEP, folders, Silent(steps.send))


@pytest.mark.slow
@pytest.mark.usefixtures("small_digits")
def test_twenty_kills_change_nothing(tiny: Callable[..., Experiment], folders: Folders) -> None:
    """SIGKILL is sent at random moments, also while a checkpoint is written; `pytest -s` shows when."""
    experiment = tiny(epochs=30)
    draws = random.Random(0)
    for kill in range(KILLS):
        received, sent = SERVER.Pipe(duplex=False)
        process = SERVER.Process(target=train_and_report, args=(experiment, folders, sent))
        process.start()
        sent.close()
        for _ in range(draws.randint(1, 4)):
            step = received.recv()
        time.sleep(draws.uniform(0, 0.03))
        assert process.is_alive()
        process.kill()
        process.join()
        left = sorted(each.name for each in (folders.runs / experiment.name).iterdir())
        print(f"kill {kill + 1}: after step {step}; left behind: {', '.join(left)}")
    whole = replace(folders, runs=folders.runs / "whole", results=folders.results / "whole")
    records = [train_one(experiment, Runtime(device="cpu"), each, Silent()) for each in (folders, whole)]
    assert records[0].sessions > KILLS / 2  # a session killed before its first checkpoint is not counted
    assert not list((folders.runs / experiment.name).glob(".*.part"))
    assert records[0].error == records[1].error
    assert read_records([folders.results]) == records[:1]
    saved, expected = (checkpoint.load(each.runs / experiment.name / checkpoint.NEWEST) for each in (folders, whole))
    assert [vars(row) | {"seconds": 0} for row in saved.history] == [
        vars(row) | {"seconds": 0} for row in expected.history
    ]
    for name, value in expected.network.items():
        assert torch.equal(saved.network[name], value), name
    for index, state in expected.optimizer["state"].items():
        assert torch.equal(saved.optimizer["state"][index]["momentum_buffer"], state["momentum_buffer"])
