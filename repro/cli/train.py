"""`repro train`: one run, or one per seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from repro.console import loading, print_json, stderr, stdout
from repro.errors import UserError
from repro.experiment import Experiment
from repro.paths import Folders
from repro.runtime import Runtime
from repro.text import choose

if TYPE_CHECKING:
    from repro.store.results import Record


def run(experiments: Sequence[Experiment], runtime: Runtime, folders: Folders, format: str) -> None:
    """Train experiments that differ in the seed alone and show their records."""
    format = choose("format", format, ("rich", "json"))
    if runtime.side_by_side and len(experiments) == 1:
        raise UserError("--side-by-side trains several seeds at once; say how many with --seeds")
    records = train_all(experiments, runtime, folders)
    if format == "json":
        content = [asdict(record) for record in records]
        print_json(content[0] if len(content) == 1 else content)
        return
    for record in records:
        stdout().print(summary(record), soft_wrap=True, markup=False)


def train_all(experiments: Sequence[Experiment], runtime: Runtime, folders: Folders) -> list[Record]:
    """Return the records of the experiments, in order; a stopped run ends the program after saying how to go on."""
    with loading():
        from repro.training.progress import watcher
        from repro.training.run import train
        from repro.training.signals import Stopped

    try:
        return train(experiments, runtime, folders, watcher())
    except Stopped as stop:
        stderr().print(f"stopped: {stop}; the same command goes on from there", soft_wrap=True, markup=False)
        raise SystemExit(stop.exit_status) from stop


def summary(record: Record) -> str:
    """Return a record as one line."""
    deviation = f"; deviates: {', '.join(record.deviations)}" if record.deviations else ""
    return (
        f"{record.name}: test error {record.error:.2f} % after epoch {record.reported_epoch or record.epochs} "
        f"({record.recipe}, seed {record.seed}, {record.precision}, {record.seconds:.0f} s){deviation}"
    )
