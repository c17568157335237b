"""Helpers for tests that train: a silent watcher, small images, single runs."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from repro.console import stderr
from repro.data import SHIPPED, Dataset, Images, load
from repro.experiment import Experiment
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.results import Record
from repro.training.checkpoints import checkpoint
from repro.training.engine.engine import Engine
from repro.training.progress.watcher import Lines, Watcher
from repro.training.runs.train import train
from repro.training.tasks import kinds
from repro.training.tasks.in_memory import in_memory_task
from repro.training.tasks.kinds import task_for


class Silent(Lines):
    """Collects lines instead of printing them, and can call a function after each step."""

    def __init__(self, after: Callable[[int], None] = lambda step: None) -> None:
        super().__init__(stderr())
        self.said: list[str] = []
        self.after = after

    def say(self, text: str) -> None:
        self.spoken = time.monotonic()
        self.said.append(text)

    def step(self, step: int, loss: float | None) -> None:
        super().step(step, loss)
        self.after(step)


def stop_at(step: int) -> Silent:
    """Return a watcher that sends SIGINT to this process after a step."""
    return Silent(lambda now: signal.raise_signal(signal.SIGINT) if now == step else None)


def small(data: Dataset) -> Dataset:
    """Return the digits with their original 8x8 pixels, a sixteenth of the work."""
    train, test = (Images(each.pixels[:, :, ::4, ::4], each.labels) for each in (data.train, data.test))
    return replace(data, train=train, test=test)


def correlated_images(n: int, seed: int = 0) -> Images:
    """Return images of 3x6x6 whose neighbouring pixels are correlated."""
    noise = torch.rand(n, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(noise, 4, stride=1)
    return Images((smooth * 255).to(torch.uint8), torch.zeros(n, dtype=torch.int64))


def shrink_digits() -> None:
    """Let training read the digits with 8x8 pixels."""

    def load_small(name: str, root: Path) -> Dataset:
        data = load(name, root)
        assert isinstance(data, Dataset)
        return small(data)

    kinds.load = load_small


def shrink_images() -> None:
    """Let Tiny ImageNet be twenty training and six test images of two classes."""
    SHIPPED["tiny-imagenet-10"] = replace(SHIPPED["tiny-imagenet-10"], classes=2, train_images=20, test_images=6)


def train_one(experiment: Experiment, runtime: Runtime, folders: Folders, watcher: Watcher) -> Record:
    """Train one run."""
    return train([experiment], runtime, folders, watcher)[0]


def engine_of(experiment: Experiment, data: Dataset | None = None, seeds: Sequence[int] = ()) -> Engine:
    """Return an engine on the CPU: of an experiment or of some seeds of it, on its dataset unless another is given."""
    device, runtime = torch.device("cpu"), Runtime(device="cpu")
    if data is None:
        shown = task_for(experiment, Path(os.environ.get("REPRO_DATA", "data")), runtime, device)
    else:
        shown = in_memory_task(experiment.recipe, data, runtime, device)
    return Engine([replace(experiment, seed=each) for each in seeds] or [experiment], runtime, shown, device)


def train_to_end(engine: Engine) -> None:
    """Train all epochs of an engine, and write nothing."""
    while not engine.finished:
        for _ in engine.steps():
            pass
        engine.end_epoch()


def weights(folders: Folders, experiment: Experiment) -> dict[str, torch.Tensor]:
    saved = checkpoint.load(folders.runs / experiment.name / checkpoint.NEWEST)
    return {**saved.network, **{f"momentum.{k}": v["momentum_buffer"] for k, v in saved.optimizer["state"].items()}}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
