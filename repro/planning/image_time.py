"""How long a training image takes on a device, from the best measurements that there are.

In this order: the run's own steps so far, records of the same network, the steps so far of another seed, measured steps
of the same network, and at last a guess: FLOPs at the rate of other networks on the device whose steps are about as
large, or at an assumed rate. Each answer says what it rests on.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple

from repro.comparison.match import all_options
from repro.counting.cache import demanded
from repro.counting.count import Subject
from repro.data import DATASETS, DatasetKind
from repro.data.suitable import training_input
from repro.errors import UserError
from repro.experiment import Experiment
from repro.models import MODELS
from repro.models.options import Shape
from repro.planning.state import RunStatus
from repro.recipes import RECIPES
from repro.runtime import DEFAULT_BRANCHES, Runtime, Together
from repro.store.results import Record, is_cpu
from repro.store.step_times import StepTime
from repro.text import number_of
from repro.training.estimate import trained_subject
from repro.training.sharing import expected_sharing_of_seeds

STATED = {"CPU": 1.5e11, "GPU": 5e12}
"""FLOPs per second of training for a guess, 2 per multiply-add, once forward and twice backward.

CPU: ResNet-20 at 601 images/s on two cores (docs/running.md). GPU: between DenseResNet-110, N = 4, at 22.7 ms a step
and ResNet-110 at 10.2 ms, both on an H100 (docs/measurements/h100.json). Wider networks are faster.
"""
LEAST_SECONDS = 60.0
"""Seconds of a training whose rate is used for a guess; a shorter one mostly starts."""
COMPARABLE = 100.0
"""Largest ratio between the FLOPs of a step and those of a step whose rate is used for a guess: short steps mostly wait
for the launches of their operators."""
SIZES = {"scaled_crop", "random_crop", "tile", "margin"}
"""The values of a recipe that set the size of its training images."""
CUT = (DatasetKind.IMAGE_FILES, DatasetKind.SEGMENTATION)
"""The kinds of datasets whose images a recipe cuts; others are shown whole."""
SWITCHES = ("precision", "compile", "graph", "fused", "deterministic", "save_memory", "processes", "threads")
"""The runtime options that change the time of a step the most."""


class Basis(Enum):
    """What an estimate rests on, best first."""

    OWN = "its own steps so far"
    RECORDS = "{} on this device"
    SEED = "steps so far of another seed"
    STEPS = "step time on this device"
    RATE = "guess from FLOPs ({} on this device)"
    STATED = "guess from FLOPs ({} assumed)"

    @property
    def guess(self) -> bool:
        """Whether the network itself was not measured."""
        return self in (Basis.RATE, Basis.STATED)


@dataclass(frozen=True)
class ImageTime:
    """The time of a training image, and what it rests on."""

    seconds: float
    """Seconds per image, including the tests after the epochs."""
    basis: Basis
    detail: str = ""
    """How many records, or which rate."""
    alike: bool = True
    """Whether the measurement had the same switches, such as precision, and the same value of `together`."""

    @property
    def text(self) -> str:
        """What the estimate rests on, in words."""
        return f"{self.basis.value.format(self.detail)}{'' if self.alike else ', other switches'}"


class _Rate(NamedTuple):
    """The FLOPs of a recorded training."""

    per_second: float
    per_step: float


@dataclass(frozen=True)
class Measurements:
    """What was measured on one device, and how the runs will be trained there."""

    device: str
    """Its name, as in records."""
    runtime: Runtime
    records: Sequence[Record]
    """Only those of the device."""
    times: Sequence[StepTime]
    """Only those of the device."""

    def seeds_at_once(self, experiment: Experiment, seeds: int) -> int:
        """Return how many of several seeds of an experiment will be trained at once."""
        mode = self._sharing(experiment)
        if mode is Together.OFF:
            return 1
        return min(seeds, self.runtime.at_once or (DEFAULT_BRANCHES if mode is Together.BRANCHES else seeds))

    def _sharing(self, experiment: Experiment) -> Together:
        """Return how several seeds of an experiment will share the device."""
        return expected_sharing_of_seeds(experiment, self.runtime, on_cpu=is_cpu(self.device))

    def image_time(self, status: RunStatus, together: bool, seeds: Sequence[RunStatus] = ()) -> ImageTime:
        """Return the time of an image of a run.

        Args:
            status: the run, and how far it is.
            together: whether it is trained at once with other seeds.
            seeds: all runs of the same experiment.
        """
        return (
            self._own(status, Basis.OWN)
            or self._of_records(status.experiment, together)
            or next(filter(None, (self._own(each, Basis.SEED) for each in seeds)), None)
            or self._of_steps(status.experiment, together)
            or self._guess(status.experiment, together)
        )

    def _own(self, status: RunStatus, basis: Basis) -> ImageTime | None:
        """Return the time of an image up to the last checkpoint of a run on this device."""
        if status.device != self.device or not (status.seconds and status.images_so_far):
            return None
        return ImageTime(status.seconds / status.images_so_far, basis)

    def _of_records(self, experiment: Experiment, together: bool) -> ImageTime | None:
        found, alike = self.alike(self.of_network(experiment), experiment, together)
        if not found:
            return None
        seconds = sum(self._seconds(each) for each in found) / sum(map(images_trained, found))
        return ImageTime(seconds, Basis.RECORDS, number_of(len(found), "record"), alike)

    def of_network(self, experiment: Experiment) -> list[Record]:
        """Return the records of the network of an experiment that have the batch size of their recipe."""
        same = [each for each in self.records if _is_network(each, experiment) and images_trained(each)]
        return [each for each in same if not _may_change(each, {"batch"})]

    def _of_steps(self, experiment: Experiment, together: bool) -> ImageTime | None:
        same = [each for each in self.times if _is_network(each, experiment)]
        exact = [each for each in same if each.precision == self.runtime.precision]
        images, data = experiment.train_images, DATASETS[experiment.dataset]
        if not same or not images:
            return None
        step = statistics.median(each.seconds / each.batch for each in exact or same)
        # A test image is shown forward only, a third of the work of a training image.
        return ImageTime(step * (1 + data.test_images / images / 3), Basis.STEPS, alike=bool(exact) and not together)

    def _guess(self, experiment: Experiment, together: bool) -> ImageTime:
        flops = demanded(trained_subject(experiment)).flops
        step = flops * experiment.recipe.batch
        others, alike = self.alike(self._comparable(step), experiment, together)
        if not others:
            kind = "CPU" if is_cpu(self.device) else "GPU"
            return ImageTime(flops / STATED[kind], Basis.STATED, f"{STATED[kind] / 1e12:g} TFLOP/s")
        rate = statistics.median(self._rates[each.id].per_second for each in others)
        return ImageTime(flops / rate, Basis.RATE, number_of(len(others), "record"), alike)

    def _comparable(self, step: float) -> list[Record]:
        """Return the records whose rate may be that of steps of so many FLOPs."""
        steps = {id: sorted((step, rate.per_step)) for id, rate in self._rates.items()}
        alike = {id for id, (smaller, larger) in steps.items() if larger <= COMPARABLE * smaller}
        return [each for each in self.records if each.id in alike]

    @cached_property
    def _rates(self) -> dict[str, _Rate]:
        """The rates of the records of at least LEAST_SECONDS whose FLOPs are known, by ID."""
        long = [each for each in self.records if each.seconds >= LEAST_SECONDS]
        work = {each.id: (each, _flops(each) * images_trained(each)) for each in long}
        known = {id: (each, flops) for id, (each, flops) in work.items() if flops}
        return {id: _Rate(flops / self._seconds(each), flops / each.steps) for id, (each, flops) in known.items()}

    def alike(self, records: Sequence[Record], experiment: Experiment, together: bool) -> tuple[Sequence[Record], bool]:
        """Return the records with the switches that an experiment will have and True; without any, all and False."""
        mode = self._sharing(experiment) if together else Together.OFF
        runtime = self.runtime.branched(2) if mode is Together.BRANCHES else self.runtime
        planned = _switches(replace(runtime, together=mode))
        exact = [each for each in records if _switches(each.trained_by) == planned]
        return (exact, True) if exact else (records, False)

    def _seconds(self, record: Record) -> float:
        """Return the device time of a run: runs that were trained at once share their wall time."""
        return record.seconds / self.at_once(record)

    def at_once(self, record: Record) -> int:
        """Return the number of runs that were trained at once in the last session of a record."""
        if not record.trained_by.shares:
            return 1
        return record.trained_by.at_once or Counter(map(_session, self.records))[_session(record)]


def measurements_on(
    device: str, runtime: Runtime, records: Sequence[Record], times: Sequence[StepTime]
) -> Measurements:
    """Return what was measured on a device; runs that changed their device are left out."""
    return Measurements(
        device, runtime, [each for each in records if each.device == device], [t for t in times if t.device == device]
    )


def images_trained(record: Record) -> int:
    """Return the number of training images that a run showed, its tuning included; 0 if unknown."""
    if record.dataset not in DATASETS:
        return 0
    held_out = RECIPES[record.recipe].validation_images if record.recipe in RECIPES else 0
    return record.epochs * max(0, DATASETS[record.dataset].train_images - held_out)


def _is_network(measured: Record | StepTime, experiment: Experiment) -> bool:
    """Whether a measurement is of the network of an experiment, on images of the same size; classes may differ."""
    if measured.model != experiment.model or measured.dataset not in DATASETS:
        return False
    return _input(measured) == experiment.input and all_options(measured) == experiment.options


def _input(measured: Record | StepTime) -> Shape | None:
    """Return C, H, W of what a measured network was shown; None if a run may have cut its images in another way.

    Steps are measured on whole images.
    """
    data = DATASETS[measured.dataset]
    if isinstance(measured, StepTime) or data.kind not in CUT:
        return data.input
    known = measured.recipe in RECIPES and not _may_change(measured, SIZES)
    return training_input(RECIPES[measured.recipe]) if known else None


def _may_change(record: Record, names: Collection[str]) -> bool:
    """Whether a run has, or may have, other values of these names than its recipe today."""
    deviations = (each.partition("=") for each in record.deviations)
    return any(not equals or name in names for name, equals, _ in deviations)


def _flops(record: Record) -> float:
    """Return the FLOPs of an image of a run; 0 if its size is unknown, or the package cannot build the network."""
    if record.model not in MODELS or not images_trained(record) or not (input := _input(record)):
        return 0.0
    try:
        return demanded(Subject(record.model, record.options, input, DATASETS[record.dataset].classes)).flops
    except UserError:  # an option that was removed
        return 0.0


def _switches(runtime: Runtime) -> dict[str, Any]:
    """Return the runtime options that change the time of a step; what was not chosen is off."""
    values = {name: getattr(runtime, name) for name in SWITCHES}
    return {**values, "save_memory": bool(runtime.save_memory), "together": runtime.together or Together.OFF}


def _session(record: Record) -> tuple[str, ...]:
    """Return what seeds that were trained at once have in common."""
    return (record.started, record.model, str(sorted(record.options.items())), record.recipe)
