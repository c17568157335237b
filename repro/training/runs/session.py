"""A session: one call of `training.runs.train`, from its start to its end or stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from repro.data.inputs.protocol import Protocol
from repro.experiment import Experiment
from repro.paths import Folders
from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.training.machine import processes
from repro.training.progress.watcher import Watcher
from repro.training.tasks.kinds import MakeTask
from repro.training.tasks.task import Task


@dataclass(frozen=True)
class Session:
    """What all runs that are trained in one session share."""

    runtime: Runtime
    device: torch.device
    folders: Folders
    watcher: Watcher
    protocols: Mapping[str, tuple[Protocol, ...]]
    """The protocols by which finished runs are tested, besides one crop, by `shared_id`."""
    make_task: MakeTask
    """Makes the task of each recipe, once."""
    tasks: list[tuple[Recipe, Task]] = field(default_factory=list)
    """The tasks so far, each with its recipe."""

    def protocols_of(self, experiment: Experiment) -> tuple[Protocol, ...]:
        """Return the protocols by which a run is tested at its end, besides one crop."""
        return self.protocols[experiment.shared_id]

    def task_of(self, experiment: Experiment) -> Task:
        """Return the task of an experiment; those that follow one recipe share it, and the images on the device.

        Raises:
            UserError: the images are missing, or are not the published ones.
            RunFailed: they cannot be downloaded.
        """
        for recipe, task in self.tasks:
            if recipe == experiment.recipe:
                return task
        with processes.first_alone():
            made = self.make_task(experiment, self.folders.data, self.runtime, self.device)
        self.tasks.append((experiment.recipe, made))
        return made
