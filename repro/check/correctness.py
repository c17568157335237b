"""Checks of two ways of computing the same thing: on the GPU and the CPU, from a graph and eagerly, and so on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from repro.check.branches import branches_and_alone
from repro.check.jobs import Quiet
from repro.check.results import CheckResult
from repro.check.setting import (
    BATCH,
    EXACT,
    IMAGES,
    SHORT,
    STEPS,
    Network,
    Setting,
    State,
    difference,
    double_precision,
    engine,
    experiments,
    forward,
    gradient,
    states,
    trained,
)
from repro.check.stopping import stopped_and_uninterrupted
from repro.training.checkpoints import checkpoint

SEEDS = 3
FORWARD, GRADIENT = 1e-4, 0.2
"""Limits of one step in fp32. Between two layouts on a CPU ResNet-110 differs by 5e-6 and 0.04, since an activation
near 0 that changes its sign changes the gradient abruptly; with factors rounded as in TF32 it is 1e-3 and 0.6."""
ROUNDED = 0.1
"""Limit of a gradient of ResNet-20 in TF32: on a CPU, with factors rounded as in TF32, it differs by 0.04."""
LARGE = 128
"""Images of a batch whose maps have so many pixels that the fused kernels cut them into larger tiles."""


@dataclass(frozen=True)
class Check:
    """Two ways of computing the same thing, which must not differ by more than a limit."""

    name: str
    measure: Callable[[Setting], float]
    limit: float
    setting: Setting

    @property
    def needs(self) -> float:
        """Seconds that must be left for it to be started."""
        return self.setting.needs(15.0)

    def run(self, quiet: Quiet) -> CheckResult:
        """Return whether the two agree."""
        begin = time.monotonic()
        found = self.measure(self.setting)
        finite = math.isfinite(found)
        note = "" if finite else f"the difference is {found}"
        seconds = time.monotonic() - begin
        return CheckResult(
            self.name, finite and found <= self.limit, found if finite else None, self.limit, seconds, note
        )

    def without(self, note: str, seconds: float, *, failed: bool = True) -> CheckResult:
        """Return a failed result, or that of a check that did not run."""
        return CheckResult(self.name, False if failed else None, None, self.limit, seconds, note)


Listed = tuple[str, Callable[[Setting], float], float]
"""Name, measure and limit of a check."""


def checks(setting: Setting) -> list[Check]:
    """Return all checks but those that compile, the most important first."""
    kinds = _device_checks, _graph_checks, _run_checks, _precision_checks, _kernel_checks
    return [Check(name, measure, limit, setting) for kind in kinds for name, measure, limit in kind(setting)]


def _device_checks(setting: Setting) -> list[Listed]:
    """Return the checks of the device against the CPU."""
    small, deep = setting.small, setting.deep
    return [
        (f"fp64: {small} trains as on the CPU", partial(seven_steps, network=small), 1e-7),
        (f"fp32: forward pass of {deep} as on the CPU", partial(one_step, network=deep, part=forward), FORWARD),
        (f"fp32: gradient of {deep} as on the CPU", partial(one_step, network=deep, part=gradient), GRADIENT),
    ]


def _graph_checks(setting: Setting) -> list[Listed]:
    """Return the checks of replayed steps against eager ones, and of the branches of a graph against runs alone."""
    if not setting.graphs:
        return []
    small = setting.small
    variants: dict[str, dict[str, Any]] = {
        f"{setting.deep}": {"network": setting.deep},
        f"{setting.dense}": {"network": setting.dense},
        f"{small}, momentum reset": {"network": small, **RESET},
        f"{small}, {SEEDS} seeds together": {"network": small, "seeds": SEEDS},
    }
    if setting.on_gpu:
        variants |= {f"{each}, fused": {"network": each, "switches": FUSED} for each in (setting.deep, setting.dense)}
    return [
        *((f"graph and eager: {name}", partial(graph_and_eager, **each), 0.0) for name, each in variants.items()),
        ("branches and alone: runs of several lengths", branches_and_alone, 0.0),
    ]


def _run_checks(setting: Setting) -> list[Listed]:
    """Return the checks of whole runs: stopped, resumed, stacked."""
    small, resumed = setting.small, {"eager": False} | ({"graph": True} if setting.graphs else {})
    return [
        (f"SIGTERM saves and the run resumes: {small}, {[*resumed][-1]}", stopped_and_uninterrupted, 0.0),
        *(
            (f"resumed and uninterrupted: {small}, {name}", partial(resumed_and_uninterrupted, graph=graph), 0.0)
            for name, graph in resumed.items()
        ),
        (f"fp64: {SEEDS} seeds of {small} together and alone", together_and_alone, 1e-7),
    ]


def _precision_checks(setting: Setting) -> list[Listed]:
    """Return the checks of lower precisions against fp32; TF32 needs a GPU."""
    small, limits = setting.small, {"tf32": 0.01, "bf16": 0.03} if setting.on_gpu else {"bf16": 0.03}
    listed: list[Listed] = [
        (f"{name}: loss of {small} near fp32's", partial(losses_apart, network=small, precision=name), limit)
        for name, limit in limits.items()
    ]
    for network in (small, setting.dense) if setting.on_gpu else ():
        for name, limit in limits.items():
            measure = partial(losses_apart, network=network, precision=name, fused=True)
            listed.append((f"{name}, fused: loss of {network} near fp32's", measure, limit))
    return listed


def _kernel_checks(setting: Setting) -> list[Listed]:
    """Return the checks of the fused kernels: in fp64, which Triton compiles for a minute, and on large batches."""
    if not setting.on_gpu:
        return []
    small = setting.small
    large: dict[str, Any] = {"network": small, "batch": LARGE}
    name, trains = f"{small} on batches of {LARGE}", "trains as on the CPU"
    return [
        (f"tf32, fused: gradient of {name} near fp32's", partial(one_step, part=gradient, **large, **FUSED), ROUNDED),
        *(
            (f"fp64, fused: {each} {trains}", partial(seven_steps, network=each, **FUSED), 1e-7)
            for each in (small, setting.dense)
        ),
        (f"fp64, fused: {name} {trains}", partial(seven_steps, **large, **FUSED), 1e-7),
    ]


def compiled_checks(setting: Setting) -> list[Check]:
    """Return the checks that compile first, which takes long on the CPU and needs little of the GPU."""
    name = f"compile and eager: the loss of {setting.small} after {STEPS} steps"
    return [Check(name, partial(losses_apart, network=setting.small, compile=True), 0.01, setting)]


RESET: dict[str, Any] = {"schedule": "steps", "milestones": (0.4,), "momentum_reset": True}
"""The momentum is reset before the seventh step, which is a replay."""
FUSED: dict[str, Any] = {"precision": "tf32", "fused": True}


def seven_steps(setting: Setting, *, network: Network, batch: int = BATCH, **switches: Any) -> float:
    """Return how far some steps in fp64 on the device are from those on the CPU."""
    with double_precision():
        here, there = _here_and_there(setting, network, batch, 7, switches)
        return difference(here, there)


def one_step(
    setting: Setting, *, network: Network, part: Callable[[State], State], batch: int = BATCH, **switches: Any
) -> float:
    """Return how far a part of one step on the device is from that on the CPU in fp32."""
    here, there = _here_and_there(setting, network, batch, 1, switches)
    return difference([part(each) for each in here], [part(each) for each in there])


def _here_and_there(
    setting: Setting, network: Network, batch: int, steps: int, switches: dict[str, Any]
) -> tuple[list[State], list[State]]:
    """Return the states after some steps on the device and on the CPU; the switches apply only to the device."""
    group, images = experiments(network, **SHORT | {"batch": batch}), setting.images(IMAGES * batch // BATCH)
    here = states(trained(engine(setting.device, group, images, **switches), steps))
    return here, states(trained(engine("cpu", group, images), steps))


def graph_and_eager(
    setting: Setting, *, network: Network, seeds: int = 1, switches: Mapping[str, Any] | None = None, **changes: Any
) -> float:
    """Return how far replayed steps are from eager ones: captured, replayed, a smaller batch, another rate."""
    group, chosen = experiments(network, seeds, **SHORT | changes), {**EXACT, **(switches or {})}
    ends = [
        states(trained(engine(setting.device, group, setting.images(), graph=graph, **chosen), STEPS))
        for graph in (True, False)
    ]
    return difference(*ends)


def resumed_and_uninterrupted(setting: Setting, *, graph: bool) -> float:
    """Return how far a run that was saved, read and resumed within an epoch is from one without a stop."""
    group, images = experiments(setting.small, **SHORT), setting.images()
    fresh = partial(engine, setting.device, group, images, graph=graph, **EXACT)
    whole, half, resumed = trained(fresh(), STEPS), trained(fresh(), 4), fresh()
    with TemporaryDirectory() as folder:
        checkpoint.save(half.checkpoints()[0], Path(folder))
        resumed.restore([checkpoint.load(Path(folder) / checkpoint.NEWEST)])
    return difference(states(trained(resumed, STEPS)), states(whole))


def together_and_alone(setting: Setting) -> float:
    """Return how far seeds that are trained in one step are from each trained alone."""
    with double_precision():
        group, images = experiments(setting.small, SEEDS, **SHORT), setting.images()
        together = states(trained(engine(setting.device, group, images), 7))
        alone = [states(trained(engine(setting.device, [each], images), 7))[0] for each in group]
        return difference(together, alone)


def losses_apart(setting: Setting, *, network: Network, **switches: Any) -> float:
    """Return how far switches move the loss, relative to it, summed over some steps of 64 images at a small rate."""
    group = experiments(network, **SHORT | {"batch": 64, "lr": 0.01})
    images = setting.images(64 * (STEPS + 1))
    one, other = (
        float(trained(engine(setting.device, group, images, **each), STEPS).sums[0, 0]) for each in (switches, {})
    )
    return abs(one / other - 1)
