"""The task of each kind of dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from repro.data import DATASETS, DatasetKind, load
from repro.data.readers.coco import DetectionFolder
from repro.data.readers.folder import ImageFolder
from repro.experiment import Experiment
from repro.runtime import Runtime
from repro.training.tasks.detection import Detection
from repro.training.tasks.from_files import FileClassification
from repro.training.tasks.in_memory import in_memory_task
from repro.training.tasks.segmentation import Segmentation
from repro.training.tasks.task import Task

MakeTask = Callable[[Experiment, Path, Runtime, torch.device], Task]
"""Makes an experiment's task, for the folder of the datasets, a runtime and a device."""


def task_for(experiment: Experiment, root: Path, runtime: Runtime, device: torch.device) -> Task:
    """Return an experiment's task, with the images read from `root`.

    Raises:
        UserError: the images are missing, or are not the published ones.
        RunFailed: they cannot be downloaded.
    """
    recipe, data = experiment.recipe, load(experiment.dataset, root)
    if isinstance(data, ImageFolder):
        return FileClassification(recipe, data, runtime, device)
    if isinstance(data, DetectionFolder):
        return Detection(recipe, data, runtime, device)
    if DATASETS[experiment.dataset].kind is DatasetKind.SEGMENTATION:
        return Segmentation(recipe, data, runtime, device)
    return in_memory_task(recipe, data, runtime, device)
