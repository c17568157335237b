"""How several runs share a device, for training and for plans; loading this module does not load torch."""

from __future__ import annotations

from collections.abc import Sequence

from repro.data import DATASETS, DatasetKind
from repro.experiment import Experiment
from repro.runtime import Runtime, Together


def allowed_sharing(experiments: Sequence[Experiment], runtime: Runtime, *, on_cpu: bool) -> tuple[Together, str]:
    """Return how runs share a device, unless their networks exclude it.

    Args:
        experiments: the runs.
        runtime: may ask for a mode.
        on_cpu: whether the device is a CPU.

    Returns:
        The mode, and why runs are trained one after another if --together says otherwise.
    """
    files = any(DATASETS[each.dataset].kind is DatasetKind.IMAGE_FILES for each in experiments)
    mode = runtime.wanted_sharing(on_cpu=on_cpu, files=files)
    if mode is Together.OFF:
        return mode, ""
    stacked = mode is Together.STACKED
    plateaus = any(each.recipe.schedule == "plateau" for each in experiments)
    reasons = {
        "The learning rate falls at the plateaus of each seed": stacked and plateaus,
        "--save-memory supports one network at a time": stacked and runtime.save_memory,
        "--fused supports one network at a time": stacked and runtime.fused,
        "Image files are read for one run at a time": files and not stacked,
    }
    reason = next((each for each, applies in reasons.items() if applies), "")
    return (Together.OFF, reason) if reason else (mode, "")


def expected_sharing_of_seeds(experiment: Experiment, runtime: Runtime, *, on_cpu: bool) -> Together:
    """Return how several seeds of an experiment share a device, as far as its network need not be built for that.

    Those that draw random numbers do not, see `repro.training.engine.stacked.why_one_at_a_time`.

    Args:
        experiment: one of the seeds.
        runtime: may ask for a mode.
        on_cpu: whether the device is a CPU.
    """
    detects = DATASETS[experiment.dataset].kind is DatasetKind.DETECTION
    if detects or experiment.recipe.dropout or experiment.options.get("dropout"):
        return Together.OFF
    return allowed_sharing([experiment], runtime, on_cpu=on_cpu)[0]
