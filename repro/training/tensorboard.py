"""Curves for TensorBoard, beside a run's checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.store.results import EpochRow

LOGS = ("tensorboard",)
SHOWN = [each.name for each in fields(EpochRow) if each.name not in ("epoch", "step")]


class Board:
    """Writers of TensorBoard files, one for each of the runs side by side; none at all where none is asked for."""

    def __init__(self, writers: Sequence[Any]) -> None:
        self.writers = writers

    def epoch(self, rows: Sequence[EpochRow]) -> None:
        """Add an epoch's figures, by epoch."""
        for writer, row in zip(self.writers, rows, strict=bool(self.writers)):
            for name in SHOWN:
                value = getattr(row, name)
                if value is not None:
                    writer.add_scalar(name.replace("_", "/", 1), value, row.epoch)
            writer.flush()


def check_log(log: str | None) -> None:
    """Raise UserError if a log is asked for that cannot be written."""
    if log and log not in LOGS:
        raise UserError(f"unknown log {log!r}; known: {', '.join(LOGS)}")
    if log and find_spec("tensorboard") is None:
        raise UserError("--log tensorboard needs TensorBoard: pip install 'repro[tensorboard]'")


@contextmanager
def board(log: str | None, runs: Sequence[Path], epochs: int) -> Iterator[Board]:
    """Give the board of runs that have so many epochs behind them; what was shown of later ones is withdrawn."""
    if not log:
        yield Board([])
        return
    from torch.utils.tensorboard import SummaryWriter

    with ExitStack() as open_writers:
        yield Board(
            [open_writers.enter_context(SummaryWriter(run / "tensorboard", purge_step=epochs + 1)) for run in runs]
        )
