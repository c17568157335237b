"""Curves for TensorBoard, written next to a run's checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

from repro.errors import PackageMissing
from repro.runtime import Log
from repro.store.results import EpochRow

SHOWN = [each.name for each in fields(EpochRow) if each.name not in ("epoch", "step")]


class Board:
    """Writers of TensorBoard files, one per run; no writers without `--log tensorboard`."""

    def __init__(self, writers: Sequence[Any]) -> None:
        self.writers = writers

    def epoch(self, rows: Sequence[EpochRow]) -> None:
        """Add the metrics of an epoch, one row per run."""
        for writer, row in zip(self.writers, rows, strict=bool(self.writers)):
            for name in SHOWN:
                value = getattr(row, name)
                if value is not None:
                    writer.add_scalar(name.replace("_", "/", 1), value, row.epoch)
            writer.flush()


def viewer(runs: Path) -> str:
    """Return the command that shows the curves of the runs in a folder."""
    return f"tensorboard --logdir {quote(str(runs))}"


def check_log(log: Log | None) -> None:
    """Raise PackageMissing if the package of a log is not installed."""
    if log and find_spec("tensorboard") is None:
        raise PackageMissing("tensorboard", "--log tensorboard")


@contextmanager
def board(log: Log | None, runs: Sequence[Path], epochs: int) -> Iterator[Board]:
    """Provide the board of runs that have completed `epochs` epochs; entries of later epochs are removed."""
    if not log:
        yield Board([])
        return
    from torch.utils.tensorboard import SummaryWriter

    with ExitStack() as open_writers:
        yield Board(
            [open_writers.enter_context(SummaryWriter(run / "tensorboard", purge_step=epochs + 1)) for run in runs]
        )
