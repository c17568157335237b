"""The memory that runs need on their device, and what a user can do when it is too small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from repro.counting.cache import demanded
from repro.counting.demand import saved_bytes
from repro.experiment import Experiment
from repro.models import MODELS, is_outside
from repro.runtime import Runtime
from repro.text import one_of, size
from repro.training.device import free_memory_of
from repro.training.estimate import resting_bytes, trained_subject
from repro.training.initialise import network_of
from repro.training.progress import Watcher

GAPS = 0.5
"""What a step allocates and frees again, and the gaps between tensors, as a share of all activations.

On a CPU, the steps of DenseNet (k = 12, L = 100, batch size 64), whose activations take 7.0 GiB, took 9.6 GiB; if these
are recomputed, 0.4 GiB are saved and the steps took 4.4 GiB.
"""
IMAGES = 2
"""Images with which saved activations are counted."""


def with_memory_choice(experiment: Experiment, runtime: Runtime, device: torch.device, watcher: Watcher) -> Runtime:
    """Return the runtime with `save_memory` chosen if the user left it open: where one run would not fit without it."""
    if runtime.save_memory is not None:
        return runtime
    plain = replace(runtime, save_memory=False)
    if runtime.compile or is_outside(experiment.model) or not MODELS[experiment.model].saves_memory:
        return plain
    needed, free = needed_bytes(experiment, plain, device), free_memory_of(device)
    if free is None or needed <= free:
        return plain
    watcher.say(
        f"memory is short (about {size(needed)} needed, {size(free)} free), so activations are recomputed in the "
        "backward pass, with the same results; --no-save-memory keeps them"
    )
    return replace(runtime, save_memory=True)


def warn_if_short(group: Sequence[Experiment], runtime: Runtime, device: torch.device, watcher: Watcher) -> None:
    """Warn before training if runs that are trained at once will probably not fit into the memory that is free."""
    free = free_memory_of(device)
    if free is None or is_outside(group[0].model):
        return
    needed = len(group) * needed_bytes(group[0], runtime, device)
    if needed > free:
        watcher.say(
            f"warning: training needs about {size(needed)} of memory and {size(free)} are free, so it may fail; "
            f"what helps: {_help(group, runtime, on_gpu=device.type == 'cuda')}"
        )


def needed_bytes(experiment: Experiment, runtime: Runtime, device: torch.device) -> int:
    """Return the estimated peak of the memory that one run takes on a device, in bytes.

    Processes of torchrun share the memory of a machine, and each has a GPU and a share of every batch.
    """
    demand = demanded(trained_subject(experiment))
    saved = _bytes_if_recomputed(experiment) if runtime.save_memory else demand.saved_bytes
    batch = experiment.recipe.batch / (runtime.processes if device.type == "cuda" else 1)
    narrow = 0.5 if runtime.precision == "bf16" else 1.0
    return round(resting_bytes(experiment, demand) + narrow * batch * (saved + GAPS * demand.saved_bytes))


def _bytes_if_recomputed(experiment: Experiment) -> float:
    """Return the bytes of activations in fp32 that an image adds if some are recomputed."""
    with torch.device("meta"):
        network = network_of(experiment, memory_saved=True)
    return saved_bytes(network, experiment.input, IMAGES) / IMAGES


def too_small(runs: str, group: Sequence[Experiment], runtime: Runtime, *, on_gpu: bool) -> str:
    """Return in one line that the memory is too small, and which switches need less.

    Args:
        runs: the names of the runs.
        group: the runs, which were trained at once if they are several.
        runtime: how they were trained.
        on_gpu: whether the device is a GPU.
    """
    helps = _help(group, runtime, on_gpu=on_gpu)
    return f"the device's memory is too small for {runs}; the last checkpoint is kept; what helps: {helps}"


def _help(group: Sequence[Experiment], runtime: Runtime, *, on_gpu: bool) -> str:
    """Return what needs less memory, or has more."""
    ways = _ways(group, runtime, on_gpu)
    return one_of(ways) if ways else "a machine with more memory"


def _ways(group: Sequence[Experiment], runtime: Runtime, on_gpu: bool) -> list[str]:
    """Return the switches that need less memory."""
    ways = []
    if len(group) > 1:
        ways.append("--one-by-one (one seed at a time)")
    if MODELS[group[0].model].saves_memory and not runtime.save_memory:
        ways.append(f"--save-memory{' without --compile' if runtime.compile else ''}")
    if on_gpu:
        alone = [f"--{name}" for name in ("graph", "fused") if getattr(runtime, name)]
        without = f", without {' and '.join(alone)}" if alone else ""
        ways.append(f"torchrun on more GPUs{without} (a smaller share of each batch)")
    return ways
