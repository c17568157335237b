"""How this machine runs an experiment. Only `processes` changes the mathematics of a recipe."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum, StrEnum
from typing import Any, TypeVar

import msgspec

from repro.errors import UserError
from repro.torchrun import process_count

E = TypeVar("E", bound=StrEnum)
DEVICES = r"auto|cpu|cuda(:\d+)?"
OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
"""How threads of OpenMP wait for each other: they sleep, in GNU's OpenMP after some microseconds in a loop.

By default they wait in a loop for milliseconds, on cores that other processes need: beside these, a ResNet-20 trains
at little more than half the speed (docs/running.md). The short loop saves the time of waking a thread that waits only
for a moment, as on a quiet machine.
"""
OPENMP_WAITS = {*OPENMP, "KMP_BLOCKTIME"}
"""The variables by which a user may say how OpenMP's threads wait."""


def let_threads_sleep() -> None:
    """Set how OpenMP's threads wait in this process, unless the user set it; torch reads it when it is loaded."""
    if "torch" not in sys.modules and not OPENMP_WAITS & set(os.environ):
        os.environ.update(OPENMP)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Precision(StrEnum):
    """The number format of convolutions and matrix products."""

    FP32 = "fp32"
    TF32 = "tf32"
    """Matrix products on a GPU with 10-bit mantissas."""
    BF16 = "bf16"
    """Autocast, with weights in fp32."""


class Together(StrEnum):
    """How several runs share a device."""

    STACKED = "stacked"
    """Seeds of one experiment in the same kernels, as one network whose parameters have one more dimension."""
    BRANCHES = "branches"
    """Any runs, each on its own stream; a CUDA graph launches a step of each. Each is bit-identical to the
    same run alone."""
    OFF = "off"
    """One after another."""


class Log(StrEnum):
    """A log for other programs, written next to a run's checkpoints."""

    TENSORBOARD = "tensorboard"


DEFAULT_BRANCHES = 3
"""Branches where no measurement says how many are fastest: three ResNet-110 in TF32 took 7.2 ms a step and run on an
H100, and one alone 10.2 ms."""
MEASURED = ("channels_last", "compile", "graph", "fused", "together", "at_once")
"""Switches whose best values depend on the network and the GPU."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Switches for speed. They are recorded with a run but are not part of its experiment."""

    device: str = "auto"
    """`auto` (the first GPU if there is one, else the CPU), `cpu`, `cuda`, `cuda:1`, ..."""
    precision: Precision = Precision.FP32
    channels_last: bool = True
    """Whether images and weights have the channels-last layout; stacked seeds never have it."""
    compile: bool = False
    """Whether the network is compiled with torch.compile."""
    graph: bool = False
    """Whether the whole step is replayed as one CUDA graph; GPU only."""
    fused: bool = False
    """Whether Triton kernels compute narrow convolutions, BatchNorm and gates; GPU only, in TF32 or bf16."""
    together: Together | None = None
    """How several runs share the device; None: off on a CPU; on a GPU branches, or stacked for image files and with
    several processes."""
    at_once: int | None = None
    """Largest number of runs that share the device; None: as many as were measured to be fastest, else up to
    DEFAULT_BRANCHES branches, or all stacked seeds."""
    deterministic: bool = False
    """Whether a GPU uses only kernels that give the same bits every time; a CPU always does."""
    processes: int = field(default_factory=process_count)
    """Processes that torchrun started; each gets a share of every batch, and BatchNorm normalises over that share."""
    log: Log | None = None
    threads: int | None = None
    """CPU threads; None: torch's default."""
    save_memory: bool | None = None
    """Whether activations are recomputed in the backward pass instead of saved; not every network can.

    None: where memory is short. A run is recorded with what was chosen.
    """
    workers: int | None = None
    """Processes that read and augment image files; None: one per core, 0: the training process itself."""
    checkpoint_seconds: float = 60.0
    """Within an epoch, a checkpoint is written when the last one is this old."""
    unset: frozenset[str] = frozenset()
    """Switches of MEASURED that the user did not set, so that a measurement may choose them; not recorded."""

    def __post_init__(self) -> None:
        chosen = {
            "precision": _member(Precision, self.precision, "precision"),
            "together": None if self.together is None else _member(Together, self.together, "--together"),
            "log": None if self.log is None else _member(Log, self.log, "log"),
        }
        for name, value in chosen.items():
            object.__setattr__(self, name, value)
        if not re.fullmatch(DEVICES, self.device):
            raise UserError(f"unknown device {self.device!r}; known: auto, cpu, cuda, cuda:1, ...")

    def wanted_sharing(self, *, on_cpu: bool, files: bool = False) -> Together:
        """Return how several runs share a device where nothing excludes it: as the user asks, or by default.

        Args:
            on_cpu: whether the device is a CPU.
            files: whether images are read from files while the networks train.
        """
        if self.together is not None:
            return self.together
        if on_cpu:
            return Together.OFF
        if files or self.processes > 1:
            return Together.STACKED
        without_graphs = "together" in self.unset and "graph" not in self.unset and not self.graph
        return Together.OFF if without_graphs else Together.BRANCHES

    @property
    def shares(self) -> bool:
        """Whether it is known that several runs share the device."""
        return self.together in (Together.STACKED, Together.BRANCHES)

    def stacked(self, seeds: int) -> Runtime:
        """Return the switches for `seeds` seeds in the same kernels, whose grouped convolutions need NCHW."""
        together = Together.STACKED if seeds > 1 else Together.OFF
        channels_last = self.channels_last and seeds == 1
        return replace(self, together=together, at_once=seeds, channels_last=channels_last)

    def branched(self, runs: int) -> Runtime:
        """Return the switches for each of `runs` runs that share a CUDA graph."""
        together = Together.BRANCHES if runs > 1 else Together.OFF
        return replace(self, together=together, at_once=runs, graph=True)

    def values(self) -> dict[str, Any]:
        """Return the switches as plain data, which a checkpoint may hold."""
        kept = {name: value for name, value in asdict(self).items() if name != "unset"}
        return {name: value.value if isinstance(value, Enum) else value for name, value in kept.items()}

    @staticmethod
    def from_values(values: Mapping[str, Any], *, ignore_unknown: bool = False) -> Runtime:
        """Return the switches that `values` returned in this version of the program or in another one.

        A switch that is missing has its default; runs of versions without `processes` had one.

        Args:
            values: the switches by name.
            ignore_unknown: whether those that this version does not know are left out.

        Raises:
            msgspec.ValidationError: a value is invalid, or a switch is unknown.
            UserError: the name of the device is invalid.
        """
        known = {"processes": 1, **switches_today(values)}
        found = msgspec.convert(known, Runtime)
        if not ignore_unknown and (unknown := known.keys() - {each.name for each in fields(Runtime)}):
            raise msgspec.ValidationError(f"runtime has an unknown key {min(unknown)}")
        return found


def _member(kind: type[E], text: str, what: str) -> E:
    """Return the member of an enumeration that text names; UserError if there is none."""
    if text not in [*kind]:
        raise UserError(f"unknown {what} {text!r}; known: {', '.join(kind)}")
    return kind(text)


def switches_today(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded switches under today's names: older versions recorded `side_by_side` instead of `together`."""
    known = {name: value for name, value in values.items() if name != "side_by_side"}
    beside = values.get("side_by_side")
    return known if beside is None else {"together": str(Together.STACKED if beside else Together.OFF), **known}
