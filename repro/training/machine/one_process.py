"""Switches and tasks that support one process only, not the several of torchrun or of a job with several GPUs."""

from __future__ import annotations

from repro.data import DatasetKind
from repro.errors import UserError
from repro.runtime import Runtime, Together


def check_switches(runtime: Runtime) -> None:
    """Raise UserError for a switch that several processes do not support."""
    alone = {
        "--graph": runtime.graph,
        "--together branches": runtime.together == Together.BRANCHES,
        "--fused": runtime.fused,
    }
    for name, asked in alone.items():
        if asked and runtime.processes > 1:
            raise UserError(f"{name} works with one process only, and this run has {runtime.processes}; leave it out")


def check_kind(kind: DatasetKind, runtime: Runtime) -> None:
    """Raise UserError if several processes cannot train on a kind of dataset."""
    if runtime.processes > 1 and kind in (DatasetKind.SEGMENTATION, DatasetKind.DETECTION):
        raise UserError(f"a {kind} run works with one process only; start it without torchrun or --gpus")
