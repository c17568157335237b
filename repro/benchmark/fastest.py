"""The fastest switches for runs on a GPU: measured once for each network and GPU, and then read from the cache."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from repro.bars import with_bar
from repro.benchmark.random_images import random_data
from repro.benchmark.switches import OF_STEPS, Switches, switch_words
from repro.benchmark.variants import BRANCHES, Variant, VariantKind, in_memory_steps
from repro.benchmark.windows import measure_window
from repro.cached import read_cached, write_cached
from repro.console import note
from repro.data import DATASETS, DatasetKind
from repro.errors import UserError, first_line
from repro.experiment import Experiment, one_of_each
from repro.models import as_typed
from repro.models.outside.location import version_of
from repro.paths import cache_folder
from repro.runtime import MEASURED, Precision, Runtime, Together
from repro.training.engine.stacked import why_one_at_a_time
from repro.training.initialise import network_without_memory
from repro.training.machine.device import check_fused, chosen_device, device_name, prepare
from repro.training.machine.device_memory import release_memory
from repro.training.sharing import allowed_sharing

LIMIT_SECONDS = 50.0
"""After this time nothing further is measured; the next session measures the rest."""
WARM_UP, MEASURED_SECONDS = 8, 0.7
"""Steps before the clock starts, which also capture graphs, and between its readings; and the time that is measured."""
STACKED = 5
"""Seeds in the stack that is measured."""
ALONE: Sequence[Switches] = (
    {"graph": False, "fused": False, "compile": False, "channels_last": True},
    {"graph": True, "fused": False, "compile": False, "channels_last": True},
    {"graph": True, "fused": False, "compile": False, "channels_last": False},
    {"graph": True, "fused": True, "compile": False, "channels_last": True},
)
"""What is measured for one run. Compiling takes minutes: it is chosen only if `repro bench --compile` measured it."""


@dataclass(frozen=True)
class SwitchTimes:
    """The times of a step with different switches, of one network on one model of GPU; they are kept in the cache."""

    path: Path
    known: list[tuple[Switches, float]]
    """Switches, and the milliseconds of a step divided by the runs that take it at once."""

    def of(self, switches: Switches) -> float | None:
        """Return the time with these switches; None if it is not known."""
        return next((each for known, each in self.known if known == switches), None)

    def add(self, switches: Switches, milliseconds: float) -> None:
        """Add a time, also to the cache if that can be written."""
        others = [each for each in self.known if each[0] != switches]
        self.known[:] = [*others, (dict(switches), milliseconds)]
        write_cached(self.path, self.known)


def switch_times(experiment: Experiment, runtime: Runtime, gpu: str) -> SwitchTimes:
    """Return the known times of a network; a damaged file counts as missing."""
    about: list[object] = [gpu, torch.__version__, experiment.model, dict(experiment.options), experiment.dataset]
    about += [experiment.recipe.batch, runtime.precision, bool(runtime.save_memory), runtime.deterministic]
    about += [version_of(experiment.model)]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    path = cache_folder() / "step-times" / f"{digest}.json"
    return SwitchTimes(path, read_cached(path, list[tuple[Switches, float]]) or [])


def remember(experiment: Experiment, runtime: Runtime, gpu: str, variants: Sequence[Variant]) -> None:
    """Keep the step times of training variants, which `repro bench` measured, for later sessions."""
    for each in variants:
        if each.kind is VariantKind.TRAINING and each.precision:
            switches: dict[str, Any] = {name: name in each.switches for name in OF_STEPS}
            switches["channels_last"] = runtime.channels_last
            if each.seeds > 1:
                switches |= {"together": each.together, "at_once": each.seeds}
            milliseconds = 1000 * experiment.recipe.batch / statistics.median(each.rates)
            measured = replace(runtime, precision=each.precision, save_memory="save_memory" in each.switches)
            switch_times(experiment, measured, gpu).add(switches, milliseconds)


def step_milliseconds(experiment: Experiment, runtime: Runtime, device: torch.device) -> float:
    """Return the time of a step on random images, divided by the runs that take it at once."""
    prepare(runtime)
    experiment = replace(experiment, recipe=replace(experiment.recipe, validation_images=0))
    data = random_data(experiment.dataset, 20 * experiment.recipe.batch)
    steps = in_memory_steps(experiment, runtime, data, device)
    for _ in range(WARM_UP):
        next(steps)
    window = measure_window(steps, device, MEASURED_SECONDS, between=WARM_UP)
    return 1000 * window.step_seconds / (runtime.at_once or 1)


Measure = Callable[[Experiment, Runtime, torch.device], float]


def fastest(experiments: Sequence[Experiment], runtime: Runtime, measure: Measure = step_milliseconds) -> Runtime:
    """Return the runtime with its `unset` switches as is fastest on the GPU.

    It is unchanged on a CPU, for image files and with several processes. Precision is never changed. What is not in the
    cache is measured first, for the first of the runs.

    Args:
        experiments: what is trained.
        runtime: its `unset` names the switches that may be chosen.
        measure: returns the milliseconds of a step with some switches.
    """
    device = torch.device(chosen_device(runtime))
    files = any(DATASETS[each.dataset].kind is not DatasetKind.IN_MEMORY for each in experiments)
    if device.type == "cpu" or not runtime.unset or files or runtime.processes > 1:
        return runtime
    gpu = device_name(device)
    times = switch_times(experiments[0], runtime, gpu)
    chooser = Chooser(experiments, runtime, device, times, measure)
    chosen = chooser.chosen()
    if not chosen:
        return runtime
    note(f"{experiments[0].model} on {gpu}: {chooser.reason(chosen)}")
    off = chooser.compared and "together" not in chosen and "together" in runtime.unset
    together: dict[str, Any] = {"together": Together.OFF} if off else {}
    return replace(runtime, **together, **chosen)


@dataclass
class Chooser:
    """Chooses among the switches that some runs can have."""

    experiments: Sequence[Experiment]
    runtime: Runtime
    device: torch.device
    times: SwitchTimes
    measure: Measure
    deadline: float = field(init=False, default_factory=lambda: time.monotonic() + LIMIT_SECONDS)
    """The time on the monotonic clock after which nothing further is measured."""
    compared: bool = field(init=False, default=False)
    """Whether runs at once were compared with a run alone, or the user asked for one at a time."""

    def chosen(self) -> Switches:
        """Return the fastest switches; none if no time is known."""
        alone = self._best(self._alone())
        if not alone:
            return {}
        together = self._together(alone)
        best = self._best([alone, *together])
        self.compared = self.runtime.at_once == 1 or any(self.times.of(each) is not None for each in together)
        return best

    def reason(self, chosen: Switches) -> str:
        """Return what was chosen, and the speed with other switches relative to the slowest."""
        slowest = max(each for _, each in self.times.known)
        ratios = [f"{_words(of)} {slowest / each:.1f}" for of, each in self.times.known]
        given = as_typed(
            {key.replace("_", "-"): value for key, value in chosen.items() if value != vars(Runtime())[key]}
        )
        milliseconds = self.times.of(chosen) or 0.0
        return (
            f"chose {given or 'eager steps'}, {milliseconds:.1f} ms per step and run (relative speeds: "
            f"{', '.join(ratios)}); options override this"
        )

    def _best(self, candidates: Sequence[Switches]) -> Switches:
        """Return the fastest candidate, measuring those whose time is not known yet; {} if none can be measured."""
        missing = [each for each in candidates if self.times.of(each) is None]
        for each in with_bar(missing, f"measuring the switches for {self.experiments[0].model}"):
            self._measure(each)
        known = {place: self.times.of(each) for place, each in enumerate(candidates)}
        found = {place: each for place, each in known.items() if each is not None}
        return candidates[min(found, key=lambda place: found[place])] if found else {}

    def _measure(self, switches: Switches) -> None:
        """Measure switches if there is time; those that fail are left out."""
        if time.monotonic() > self.deadline:
            return
        failure = ""
        try:
            self.times.add(switches, self.measure(self.experiments[0], self._runtime(switches), self.device))
        except Exception as error:  # compilers and GPUs raise all kinds of errors
            failure = first_line(error)
        if failure:
            note(f"{_words(switches)} is left out: {failure}")
        release_memory()

    def _runtime(self, switches: Switches) -> Runtime:
        """Return the runtime with switches, as an engine has it."""
        runtime = replace(self.runtime, **{"together": None, "at_once": None, **switches})
        number = runtime.at_once or 1
        return runtime.branched(number) if runtime.together == Together.BRANCHES else runtime.stacked(number)

    def _alone(self) -> list[Switches]:
        """Return the candidates for a run alone that the user's own switches allow."""
        compiled = [{**each, "compile": True} for each in ALONE if not each["fused"]]
        candidates = [*ALONE, *(each for each in compiled if self.times.of(each) is not None)]
        fuses = self._fuses() and not self._to_be_stacked()
        return [each for each in candidates if self._possible(each) and (fuses or not each["fused"])]

    def _together(self, alone: Switches) -> list[Switches]:
        """Return the candidates for several runs at once, which have the layout and kernels of a run alone."""
        if self._one_at_a_time():
            return []
        runs = len(self.experiments)
        graphed = {**alone, "graph": True}
        branches = [{**graphed, "together": Together.BRANCHES, "at_once": n} for n in BRANCHES if n <= runs]
        stacks = [{**graphed, "together": Together.STACKED, "at_once": min(runs, STACKED)}]
        stackable = runs > 1 and len(self._networks) == 1 and not (self.runtime.save_memory or alone["fused"])
        return [each for each in [*branches, *(stacks if stackable else [])] if self._possible(each)]

    def _one_at_a_time(self) -> bool:
        """Whether a network excludes that several runs share the device."""
        return any(why_one_at_a_time(self._networks[key], each) for key, each in one_of_each(self.experiments).items())

    def _to_be_stacked(self) -> bool:
        """Whether the user asked for stacked seeds, which have no fused kernels, and there are seeds to stack."""
        mode, _ = allowed_sharing(self.experiments, self.runtime, on_cpu=False)
        seeds = len(self.experiments) > len(self._networks)
        return mode is Together.STACKED and seeds and not self._one_at_a_time()

    @cached_property
    def _networks(self) -> dict[str, nn.Module]:
        """The networks of the runs on the meta device, by `shared_id`."""
        return {key: network_without_memory(each).to("meta") for key, each in one_of_each(self.experiments).items()}

    def _possible(self, switches: Switches) -> bool:
        """Whether the switches are those that the user set."""
        set_by_user = set(MEASURED) - self.runtime.unset
        return all(getattr(self.runtime, key) == switches[key] for key in set_by_user & switches.keys())

    def _fuses(self) -> bool:
        """Whether there are fused kernels for all networks."""
        try:
            for each in self.experiments:
                check_fused(self._networks[each.shared_id], each.recipe)
        except UserError:
            return False
        return self.runtime.precision != Precision.FP32


def _words(switches: Switches) -> str:
    """Return switches in a few words, as `graph, fused, 3 branches`."""
    eager = [] if any(switches[name] for name in OF_STEPS) else ["eager"]
    words = [*eager, *switch_words(switches)]
    if mode := switches.get("together"):
        words.append(f"{switches['at_once']} {'branches' if mode == Together.BRANCHES else 'stacked seeds'}")
    return ", ".join(words)
