"""Checkpoints: written atomically with the previous one kept, and read without executing any code in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch

from repro.atomic import write_atomically
from repro.errors import UserError
from repro.experiment import Experiment
from repro.runtime import Runtime
from repro.store.results import EpochRow
from repro.tensor_file import Damaged, read_tensors, save_tensors
from repro.training.checkpoints.stored_checkpoint import FORMAT, StoredCheckpoint, checked, checksum_of, is_intact
from repro.training.schedule import total_steps

NEWEST, BEFORE = "checkpoint.pt", "checkpoint.previous.pt"


@dataclass
class Checkpoint:
    """The state from which a run resumes as if it had not stopped."""

    experiment: Experiment
    runtime: Runtime
    network: dict[str, Any]
    """The weights that are trained."""
    optimizer: dict[str, Any]
    step: int
    """Steps taken so far."""
    sums: torch.Tensor
    """(2,): loss and errors summed over the images of the current epoch."""
    rng: list[torch.Tensor]
    """States of torch's default generators, the CPU's first."""
    history: list[EpochRow]
    seconds: float
    """Wall time of the finished epochs, in all sessions."""
    epoch_seconds: float
    """Wall time of the current epoch so far."""
    sessions: int
    """Number of sessions so far, including the current one."""
    started: str
    data: str
    """Fingerprint of the dataset."""
    total: int = 0
    """Steps of the whole run; 0 in checkpoints older than this field."""
    machine: dict[str, str] = field(default_factory=dict)
    """Hardware and versions of all sessions, as in a record."""
    peak_bytes: int | None = None
    """Peak of the memory allocated on the GPU in all sessions, as in a record."""
    average: dict[str, Any] | None = None
    """The moving average of the weights, if the recipe tests one."""
    statistics: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """`mean` and `std` by channel with which pixels in 0..1 are normalised; empty with a preprocessing, and in
    checkpoints older than this field."""

    @property
    def tested(self) -> dict[str, Any]:
        """The weights that the run tests: their moving average, if the recipe has one."""
        return self.average or self.network

    @property
    def seconds_so_far(self) -> float:
        """Wall time of all sessions up to this checkpoint."""
        return self.seconds + self.epoch_seconds

    @property
    def finished(self) -> bool:
        """Whether the last epoch of the run is trained and tested."""
        total = self.total or total_steps(self.experiment.recipe, self.experiment.train_images)
        return bool(self.history) and self.step == self.history[-1].step == total

    @property
    def reached(self) -> tuple[int, int]:
        """Epochs tested and steps taken: after the last step of an epoch there are states before and after its test."""
        return len(self.history), self.step

    @property
    def error(self) -> float | None:
        """Test error in % that the run measured with these weights; None within an epoch."""
        last = self.history[-1] if self.history else None
        return last.test_error if last and last.step == self.step else None


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a run's checkpoint; the previous one stays until the new one is complete on disk.

    Raises:
        OSError: it could not be written, for example because the disk is full; the last one is unchanged.
    """
    content = {
        **vars(checkpoint),
        "format": FORMAT,
        "experiment": checkpoint.experiment.to_json(),
        "runtime": checkpoint.runtime.values(),
        "history": [vars(row) for row in checkpoint.history],
    }
    if checkpoint.average is None:
        del content["average"]
    content["checksum"] = checksum_of(content)
    new = folder / "checkpoint.new.pt"
    write_atomically(new, partial(save_tensors, content))
    newest = folder / NEWEST
    if newest.exists():
        newest.replace(folder / BEFORE)
    new.replace(newest)


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has a checkpoint."""
    return any((folder / name).exists() for name in (NEWEST, BEFORE))


def kept(folders: Iterable[Path]) -> str:
    """Return what is added to the reason why runs ended: that their last checkpoints are kept, if all have one."""
    return "; the last checkpoint is kept" if all(map(has_checkpoint, folders)) else ""


def load(path: Path) -> Checkpoint:
    """Return the checkpoint in a file.

    Raises:
        UserError: the file cannot be read, or is not a checkpoint of this version of the program.
        Damaged: its content is not what was written.
        RunFailed: the memory is too small.
    """
    content = read_tensors(path)
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise UserError(
            f"{path} holds tensors but is not a checkpoint of repro train; if they are weights, test them: repro eval "
            f"MODEL --weights {path}"
        )
    if content["format"] > FORMAT:
        raise UserError(f"{path} was written by a later version of repro (format {content['format']}); update repro")
    try:
        stored = checked(content)
    except msgspec.ValidationError as error:
        raise UserError(
            f"{path} is not a checkpoint of this version of repro ({error}); a later version may have written it"
        ) from error
    if stored.checksum and not is_intact(content, stored.checksum):
        raise Damaged(f"{path} is damaged (checksum of its content)")
    return _parsed(content, stored, path)


def _parsed(content: Mapping[str, Any], stored: StoredCheckpoint, path: Path) -> Checkpoint:
    try:
        experiment = Experiment.from_stored(stored.experiment)
    except UserError as error:
        raise UserError(f"{path} cannot be used: {error}") from error
    kept = {"network", "optimizer", "average"} & content.keys()
    states = {name: content[name] for name in kept}  # with what torch adds to a dictionary
    values = {each.name: getattr(stored, each.name) for each in fields(Checkpoint)}
    return Checkpoint(**{**values, **states, "experiment": experiment})


def load_newest(folder: Path) -> tuple[Checkpoint | None, str | None]:
    """Return a run's newest checkpoint that is not damaged, if there is one, and a warning if a newer one is damaged.

    Raises:
        UserError: the newest one that is not damaged cannot be used, for example because it cannot be read.
        Damaged: there are checkpoints and all of them are damaged.
    """
    damaged = []
    for name in (NEWEST, BEFORE):
        if (folder / name).exists():
            try:
                saved = load(folder / name)
            except Damaged as error:
                damaged.append(str(error))
            else:
                return saved, f"{damaged[0]}; using the previous checkpoint" if damaged else None
    if damaged:
        raise Damaged(f"all checkpoints are damaged: {'; '.join(damaged)}; remove {folder} to start again")
    return None, None


def load_before(folder: Path, reached: tuple[int, int]) -> Checkpoint | None:
    """Return the previous checkpoint if it is intact and has reached these epochs and steps."""
    try:
        saved = load(folder / BEFORE)
    except UserError:
        return None
    return saved if saved.reached == reached else None


def set_aside_newest(folder: Path) -> None:
    """Rename a broken newest checkpoint, so that the next one does not replace the good previous one."""
    if (folder / NEWEST).exists():
        (folder / NEWEST).replace(folder / "checkpoint.broken.pt")
