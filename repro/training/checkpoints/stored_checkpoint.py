"""The structure of a checkpoint file: its keys, the types of their values, and their checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import msgspec
import torch
from torch import Tensor

from repro.bounds import Amount, Positive, Whole
from repro.runtime import Runtime
from repro.store.csv_rows import RENAMED
from repro.store.results import EpochRow
from repro.stored_experiment import Scalar, StoredExperiment
from repro.tensor_file import SAVED

FORMAT = 1
EXPANDED = 1 << 26
"""Bytes up to which a tensor may repeat its values, as buffers of a network may."""


class StoredOptimizer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What `optimizer_state_of` returns; the settings in `param_groups` are not used, since a recipe states them."""

    state: dict[int, dict[str, Tensor]]
    param_groups: list[dict[str, Scalar | tuple[int, ...]]]


class StoredCheckpoint(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The keys of a checkpoint; those with a default are missing in older ones. See `Checkpoint`."""

    format: int
    experiment: StoredExperiment
    runtime: Runtime
    network: dict[str, Tensor]
    optimizer: StoredOptimizer
    step: Whole
    sums: Tensor
    rng: list[Tensor]
    history: list[EpochRow]
    seconds: Amount
    epoch_seconds: Amount
    sessions: Positive
    started: str
    data: str
    total: Whole = 0
    machine: dict[str, str] = {}
    peak_bytes: Whole | None = None
    average: dict[str, Tensor] | None = None
    statistics: dict[str, tuple[Amount, ...]] = {}
    checksum: str | None = None

    def __post_init__(self) -> None:
        """Require a progress that a run can have."""
        steps = [0, *(row.step for row in self.history)]
        if [row.epoch for row in self.history] != list(range(1, len(steps))) or steps != sorted({*steps}):
            raise ValueError("the epochs of its history do not follow each other")
        if self.step < steps[-1] or (self.total and self.step > self.total):
            raise ValueError(f"step {self.step} is invalid: {steps[-1]} are tested, and the run has {self.total}")
        if self.sums.shape != (2,):
            raise ValueError(f"sums has the shape {tuple(self.sums.shape)}, not (2,)")
        kinds, left = divmod(len(self.rng), self.runtime.processes)
        if left or not kinds or any(each.dtype != torch.uint8 for each in self.rng):
            raise ValueError("rng has no state for each process")


def checked(content: Mapping[str, Any]) -> StoredCheckpoint:
    """Return the content of a checkpoint with the types that it must have.

    Raises:
        msgspec.ValidationError: a key is missing or unknown, or a value has another type or is invalid.
    """
    content = {RENAMED.get(key, key): value for key, value in content.items()}
    try:
        if isinstance(content.get("runtime"), dict):
            content["runtime"] = Runtime.from_values(content["runtime"])
        found = msgspec.convert(content, StoredCheckpoint, dec_hook=_tensor)
    except AttributeError as error:  # msgspec takes a tensor for a dictionary
        raise msgspec.ValidationError("a tensor is in the place of plain values") from error
    columns = {each.name for each in fields(EpochRow)}
    for row in content["history"]:
        if unknown := row.keys() - columns:
            raise msgspec.ValidationError(f"history has an unknown key {min(unknown)}")
    return found


def _tensor(_: type, value: object) -> Tensor:
    """Return a plain tensor; TypeError for other values, and for views that are much larger than their memory."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        raise TypeError(f"Expected a tensor, got {type(value).__name__}")
    if value.dtype not in SAVED:
        raise TypeError(f"a tensor has the type {value.dtype}")
    if value.nbytes > max(EXPANDED, value.untyped_storage().nbytes()):
        raise TypeError(f"a tensor of {value.nbytes:,} bytes repeats fewer values")
    return value


def checksum_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the tensors and plain values of a checkpoint, or of weights, without a key `checksum`."""
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(msgspec.msgpack.encode(rest, enc_hook=_digest)).hexdigest()


def is_intact(content: Mapping[str, Any], checksum: str) -> bool:
    """Whether the content of a checkpoint has a checksum; what no checksum can be of was never written."""
    try:
        return checksum_of(content) == checksum
    except (OverflowError, TypeError, ValueError, RecursionError):
        return False


def _digest(tensor: object) -> tuple[str, tuple[int, ...], str]:
    """Return type, shape and hash of the values of a tensor."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"a checkpoint cannot hold {type(tensor).__name__}")
    values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return str(tensor.dtype), tuple(tensor.shape), hashlib.sha256(values.numpy().data).hexdigest()
