"""Which runs are trained at once on a device, and how they share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import nn

from repro.data import DATASETS, DatasetKind
from repro.experiment import Experiment, by_seeds, one_of_each
from repro.runtime import DEFAULT_BRANCHES, Runtime, Together
from repro.training.engine.stacked import why_one_at_a_time
from repro.training.machine.device_memory import free_memory_of
from repro.training.progress.watcher import Watcher
from repro.training.runs.memory import needed_bytes
from repro.training.sharing import allowed_sharing

Stack = Sequence[Experiment]
"""Runs of one engine: a single run, or seeds of one experiment in the same kernels."""
Group = Sequence[Stack]
"""What is trained at once: a stack, or several that each have one run, as branches."""
FREE_SHARE = 0.9
"""Share of the free memory that estimates may fill."""


def chosen_sharing(
    experiments: Sequence[Experiment],
    networks: Mapping[str, nn.Module],
    runtime: Runtime,
    device: torch.device,
    watcher: Watcher,
) -> Together:
    """Return how runs share a device, and why they are trained one after another if --together says otherwise.

    Args:
        experiments: the runs.
        networks: by `shared_id`, on any device.
        runtime: may ask for a mode.
        device: the device to train on.
        watcher: receives the reason.
    """
    if len(experiments) == 1:  # in a graph, like the others of its table, if branches are asked for
        detects = DATASETS[experiments[0].dataset].kind is DatasetKind.DETECTION
        return Together.BRANCHES if runtime.together == Together.BRANCHES and not detects else Together.OFF
    mode, reason = allowed_sharing(experiments, runtime, on_cpu=device.type == "cpu")
    if mode is not Together.OFF:
        why = (why_one_at_a_time(networks[key], each) for key, each in one_of_each(experiments).items())
        reason = next((each[0].upper() + each[1:] for each in why if each), "")
    if reason:
        watcher.say(f"{reason}, so runs are trained one after another.")
    return Together.OFF if reason else mode


def groups_of(experiments: Sequence[Experiment], runtime: Runtime, device: torch.device) -> list[Group]:
    """Return the runs in groups; `runtime.together` says how those of a group share the device."""
    if runtime.together == Together.BRANCHES:
        return in_groups([[each] for each in experiments], runtime.at_once or _fitting(experiments, runtime, device))
    if runtime.together == Together.STACKED:
        size = runtime.at_once or len(experiments)
        return [[each[first : first + size]] for each in by_seeds(experiments) for first in range(0, len(each), size)]
    return [[[each]] for each in experiments]


def members(group: Group) -> list[Experiment]:
    """Return the runs of a group."""
    return [*chain.from_iterable(group)]


def in_groups(stacks: Sequence[Stack], size: int) -> list[Group]:
    """Return stacks in groups of a size; the last group may be smaller."""
    return [stacks[first : first + size] for first in range(0, len(stacks), size)]


def _fitting(experiments: Sequence[Experiment], runtime: Runtime, device: torch.device) -> int:
    """Return how many branches the free memory holds by estimate, at least one and at most DEFAULT_BRANCHES."""
    if device.type == "cpu":
        return DEFAULT_BRANCHES
    free = free_memory_of(device) or 0
    largest = max(needed_bytes(each, runtime, device) for each in one_of_each(experiments).values())
    return max(1, min(DEFAULT_BRANCHES, int(FREE_SHARE * free / largest)))
