"""A session: one call of `repro train`, from its start to its end or stop."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from repro.data.protocol import Protocol
from repro.paths import Folders
from repro.runtime import Runtime
from repro.training.progress import Watcher
from repro.training.tasks.task import Task


@dataclass(frozen=True)
class Session:
    """What all runs that are trained in one session share."""

    runtime: Runtime
    task: Task
    device: torch.device
    folders: Folders
    watcher: Watcher
    protocols: tuple[Protocol, ...] = ()
    """The protocols by which finished runs are tested, besides one crop."""
