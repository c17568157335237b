"""The memory that runs need on their device, and what a user can do when it is too small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from repro.counting.cache import demanded
from repro.counting.demand import demand_of, saved_bytes_per_image
from repro.experiment import Experiment, one_of_each
from repro.models import is_outside, spec_of
from repro.runtime import Runtime
from repro.text import one_of, size
from repro.training.checkpoints.checkpoint import kept
from repro.training.estimate import peak_bytes, trained_subject
from repro.training.initialise import network_without_memory
from repro.training.machine.device_memory import free_memory_of
from repro.training.progress.watcher import Watcher


def with_memory_choice(
    experiments: Sequence[Experiment], runtime: Runtime, device: torch.device, watcher: Watcher
) -> Runtime:
    """Return the runtime with `save_memory` chosen if the user left it open: where a run would not fit without it."""
    if runtime.save_memory is not None:
        return runtime
    plain, free = replace(runtime, save_memory=False), free_memory_of(device)
    able = [each for each in one_of_each(experiments).values() if spec_of(each.model).saves_memory]
    if runtime.compile or free is None or not able:
        return plain
    needed = max(needed_bytes(each, plain, device) for each in able)
    if needed <= free:
        return plain
    watcher.say(
        f"memory is short (about {size(needed)} needed, {size(free)} free), so activations are recomputed in the "
        "backward pass, with the same results; --no-save-memory keeps them"
    )
    return replace(runtime, save_memory=True)


def warn_if_short(group: Sequence[Experiment], runtime: Runtime, device: torch.device, watcher: Watcher) -> None:
    """Warn before training if runs that are trained at once will probably not fit into the memory that is free."""
    free = free_memory_of(device)
    if free is None or any(is_outside(each.model) for each in group):
        return
    needed = sum(needed_bytes(each, runtime, device) for each in group)
    if needed > free:
        watcher.say(
            f"warning: training needs about {size(needed)} of memory and {size(free)} are free, so it may fail; "
            f"what helps: {_help(group, runtime, on_gpu=device.type == 'cuda')}"
        )


def needed_bytes(experiment: Experiment, runtime: Runtime, device: torch.device) -> int:
    """Return the estimated peak of the memory that one run takes on a device, in bytes."""
    subject = trained_subject(experiment)
    demand = demand_of(subject) if is_outside(experiment.model) else demanded(subject)
    saved = _bytes_if_recomputed(experiment) if runtime.save_memory else demand.saved_bytes
    return peak_bytes(experiment, demand, runtime, on_gpu=device.type == "cuda", saved_bytes=saved)


def _bytes_if_recomputed(experiment: Experiment) -> float:
    """Return the bytes of activations in fp32 that an image adds if some are recomputed."""
    return saved_bytes_per_image(network_without_memory(experiment, memory_saved=True), experiment.input)


def too_small(group: Sequence[Experiment], runtime: Runtime, runs: Path, *, on_gpu: bool) -> str:
    """Return in one line that the memory is too small, and which switches need less.

    Args:
        group: the runs, which were trained at once if they are several.
        runtime: how they were trained.
        runs: the folder of the runs.
        on_gpu: whether the device is a GPU.
    """
    names = ", ".join(each.name for each in group)
    saved = kept(runs / each.name for each in group)
    helps = _help(group, runtime, on_gpu=on_gpu)
    return f"the device's memory is too small for {names}{saved}; what helps: {helps}"


def _help(group: Sequence[Experiment], runtime: Runtime, *, on_gpu: bool) -> str:
    """Return what needs less memory, or has more."""
    ways = []
    if len(group) > 1:
        ways.append("--together off (one run at a time)")
    if spec_of(group[0].model).saves_memory and not runtime.save_memory:
        ways.append(f"--save-memory{' without --compile' if runtime.compile else ''}")
    if on_gpu:
        alone = [f"--{name}" for name in ("graph", "fused") if getattr(runtime, name)]
        without = f", without {' and '.join(alone)}" if alone else ""
        ways.append(f"torchrun on more GPUs{without} (a smaller share of each batch)")
    return one_of(ways) if ways else "a machine with more memory"
