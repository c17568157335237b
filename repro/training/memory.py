"""What a user can do when a run does not fit into the memory of the device."""

from __future__ import annotations

from collections.abc import Sequence

from repro.experiment import Experiment
from repro.models import MODELS
from repro.runtime import Runtime
from repro.text import one_of


def too_small(runs: str, group: Sequence[Experiment], runtime: Runtime, *, on_gpu: bool) -> str:
    """Return in one line that the memory is too small, and which switches need less.

    Args:
        runs: the names of the runs.
        group: the runs, which were trained at once if they are several.
        runtime: how they were trained.
        on_gpu: whether the device is a GPU.
    """
    ways = _ways(group, runtime, on_gpu)
    helps = one_of(ways) if ways else "a machine with more memory"
    return f"the device's memory is too small for {runs}; the last checkpoint is kept; what helps: {helps}"


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
