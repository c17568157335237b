"""How long a training step takes in each variant, and what the device and the work around the steps cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from repro.benchmark.random_images import random_data
from repro.benchmark.roofline import copy_rate, matmul_rate
from repro.benchmark.switches import Switches, switch_words
from repro.benchmark.variants import DTYPES, endless, endless_together
from repro.benchmark.windows import measure_window, seconds_of, synchronise
from repro.check.jobs import Quiet
from repro.check.results import FactResult, TimeResult
from repro.check.setting import DATASET, Network, Setting, branches, engine, experiments
from repro.runtime import Precision, Together
from repro.training.checkpoints import checkpoint
from repro.training.engine.engine import Engine
from repro.training.machine.device import set_products
from repro.training.schedule import total_steps

WINDOWS = 3
WARM_UP = 8
"""Steps before the first window: a graph is captured at the fourth."""


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    images: int
    """Images of an epoch; the learning rate and the order of the images change at its end."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Changes to the recipe."""
    seconds: float = 0.5
    """Shortest time of a window."""
    steps: int = 20
    """Steps between two readings of the clock."""


FULL = Extent(images=200 * 64)
LITTLE = Extent(images=64, changes={"batch": 8}, seconds=0.05, steps=1)


@dataclass(frozen=True)
class StepTiming:
    """A variant of training whose step is timed."""

    network: Network
    seeds: int
    switches: Switches
    """Those that differ from the defaults; `together` says whether several seeds are branches."""
    setting: Setting
    extent: Extent

    @property
    def needs(self) -> float:
        """Seconds that must be left for it to be started."""
        return self.setting.needs(12.0)

    @property
    def name(self) -> str:
        """The variant in words, as `resnet110, tf32, graph, 5 seeds`."""
        words = switch_words(self.switches)
        words += [f"{self.seeds} {'branches' if self.branched else 'seeds'}"] if self.seeds > 1 else []
        return ", ".join([str(self.network), self.switches.get("precision", "fp32"), *words])

    @property
    def branched(self) -> bool:
        """Whether the seeds are branches of a graph instead of stacked."""
        return self.switches.get("together") == Together.BRANCHES

    def _steps(self) -> Iterator[int]:
        """Take steps of all seeds."""
        group = experiments(self.network, self.seeds, **self.extent.changes)
        data = random_data(DATASET, self.extent.images)
        if self.branched:
            return endless_together(branches(self.setting.device, group, data, **self.switches))
        return endless(engine(self.setting.device, group, data, **self.switches))

    def run(self, quiet: Quiet) -> TimeResult:
        """Return the time of a step; the first ones, which compile and capture, come before the device is quiet."""
        begin, device, on_gpu = time.monotonic(), torch.device(self.setting.device), self.setting.on_gpu
        steps = self._steps()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        for _ in range(WARM_UP):
            next(steps)
        synchronise(device)
        note = f"{time.monotonic() - begin:.1f} s until the first window"
        quiet()
        windows = [
            measure_window(steps, device, self.extent.seconds, between=self.extent.steps).step_seconds
            for _ in range(WINDOWS)
        ]
        return self._result(
            time.monotonic() - begin,
            note,
            milliseconds=1000 * statistics.median(windows),
            spread=max(windows) / min(windows),
            gibibytes=torch.cuda.max_memory_reserved() / 2**30 if on_gpu else None,
        )

    def without(self, note: str, seconds: float, *, failed: bool = True) -> TimeResult:
        """Return that no time was measured."""
        return self._result(seconds, note, milliseconds=None, spread=None, gibibytes=None)

    def _result(self, seconds: float, note: str, **facts: float | None) -> TimeResult:
        (experiment,) = experiments(self.network, **self.extent.changes)
        steps = total_steps(experiment.recipe, experiment.train_images)
        return TimeResult(self.name, str(self.network), self.seeds, steps=steps, seconds=seconds, note=note, **facts)


def step_timings(setting: Setting) -> list[StepTiming]:
    """Return the variants that are timed one after another, the most important first."""
    if not setting.on_gpu:
        graph = {"graph": True}
        kinds: list[tuple[int, dict[str, Any]]] = [(1, {}), (2, {})]
        if setting.graphs:
            kinds = [(1, {}), (1, graph), (2, graph), (2, BRANCHED)]
        return [StepTiming(setting.small, seeds, switches, setting, LITTLE) for seeds, switches in kinds]
    deep, (two, four, six, eight) = setting.deep, (_dense(N) for N in (2, 4, 6, 8))
    fused, fused_bf16 = ({"graph": True, "fused": True, "precision": each} for each in ("tf32", "bf16"))
    tf32, bf16, fp32 = ({"graph": True, "precision": each} for each in ("tf32", "bf16", "fp32"))
    eager = {"precision": "tf32"}
    wanted: list[tuple[Network, int, dict[str, Any]]] = [
        (deep, 1, fused), (four, 1, fused), (eight, 1, fused), (deep, 1, fused_bf16), (deep, 1, tf32), (two, 1, fused),
        *((deep, number, fused | BRANCHED) for number in (3, 6, 2, 4)), (four, 3, fused | BRANCHED),
        (deep, 3, tf32 | BRANCHED), (four, 3, tf32 | BRANCHED), (deep, 6, fused_bf16 | BRANCHED),
        (six, 1, fused), (four, 1, tf32), (two, 1, tf32), (deep, 1, bf16), (deep, 5, tf32), (deep, 5, bf16),
        (four, 5, tf32), (deep, 1, tf32 | NCHW), (four, 1, bf16), (deep, 1, eager), (deep, 1, fp32), (two, 5, tf32),
        (six, 1, tf32), (eight, 1, tf32), (deep, 3, tf32), (deep, 10, tf32), (four, 1, eager), (four, 1, tf32 | NCHW),
        (two, 1, bf16), (four, 5, bf16), (deep, 1, bf16 | NCHW), (four, 1, fp32), (eight, 5, tf32), (deep, 1, {}),
        (two, 1, eager), (deep, 1, fp32 | NCHW), (four, 1, {}),
    ]  # fmt: skip
    return [StepTiming(network, seeds, switches, setting, FULL) for network, seeds, switches in wanted]


def compiled_timings(setting: Setting) -> list[StepTiming]:
    """Return the variants that are compiled in parallel with everything else, which takes minutes."""
    switches = {"compile": True, "graph": True, "precision": "tf32"}
    return [StepTiming(each, 1, switches, setting, FULL) for each in (setting.deep, setting.dense)]


NCHW = {"channels_last": False}
BRANCHED = {"graph": True, "together": "branches"}


def _dense(N: int) -> Network:
    return Network("denseresnet110", {"N": N})


@dataclass(frozen=True)
class Fact:
    """One figure about the device, or about what a run does outside its steps."""

    name: str
    unit: str
    measure: Callable[[Setting], float]
    setting: Setting

    @property
    def needs(self) -> float:
        """Seconds that must be left for it to be started."""
        return self.setting.needs(8.0)

    def run(self, quiet: Quiet) -> FactResult:
        """Return the figure."""
        begin = time.monotonic()
        value = self.measure(self.setting)
        return FactResult(self.name, value, self.unit, time.monotonic() - begin)

    def without(self, note: str, seconds: float, *, failed: bool = True) -> FactResult:
        """Return that the figure is not known."""
        return FactResult(self.name, None, self.unit, seconds, note)


def facts(setting: Setting) -> list[Fact]:
    """Return the facts that are measured."""
    precisions = [*Precision] if setting.on_gpu else [Precision.FP32]
    listed: list[tuple[str, str, Callable[[Setting], float]]] = [
        ("copy", "GB/s", copies),
        *((f"matrix product, {each}", "TFLOP/s", partial(products, precision=each)) for each in precisions),
        ("test after an epoch", "ms", partial(beside_steps, action=_test)),
        ("checkpoint", "ms", partial(beside_steps, action=_save)),
        ("check of the weights", "ms", partial(beside_steps, action=Engine.check_weights)),
    ]
    return [Fact(name, unit, measure, setting) for name, unit, measure in listed]


def copies(setting: Setting) -> float:
    """Return the rate of a large copy in GB/s."""
    return copy_rate(torch.device(setting.device)) / 1e9


def products(setting: Setting, *, precision: Precision) -> float:
    """Return the rate of a large matrix product in TFLOP/s."""
    set_products(precision)
    return matmul_rate(torch.device(setting.device), DTYPES[precision]) / 1e12


def beside_steps(setting: Setting, *, action: Callable[[Engine], object]) -> float:
    """Return the milliseconds that a run of the deep network takes for an action outside its steps, the second time."""
    extent = FULL if setting.on_gpu else LITTLE
    data = random_data(DATASET, 10_000 if setting.on_gpu else extent.images)
    started = engine(setting.device, experiments(setting.deep, **extent.changes), data)
    next(started.steps())
    action(started)
    return 1000 * seconds_of(lambda: action(started), torch.device(setting.device))


def _test(started: Engine) -> None:
    started.task.test(started.alone(0))


def _save(started: Engine) -> None:
    with TemporaryDirectory() as folder:
        checkpoint.save(started.checkpoints()[0], Path(folder))
