"""A submission as plain data: the tasks of its jobs, and the folders and switches of the command that made it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from repro.atomic import write_atomically
from repro.errors import UserError
from repro.experiment import Experiment, by_seeds
from repro.paths import Folders, stated_data
from repro.recipes import within
from repro.runtime import Runtime, Together
from repro.store.run_folders import SUBMISSIONS, Description, library_with
from repro.training.sharing import expected_sharing_of_seeds

FILE, JOBS = "submission.json", "jobs"


class Where(StrEnum):
    """Where jobs run."""

    SLURM = "slurm"
    LOCAL = "local"
    """In the background of the machine that the command runs on."""


@dataclass(frozen=True)
class Submission:
    """The jobs of one command. Its folder is in SUBMISSIONS."""

    folder: Path
    where: Where
    host: str
    """The machine that the command ran on."""
    submitted: str
    """UTC."""
    tasks: Sequence[Sequence[str]]
    """The names of the experiments that each job trains."""
    experiments: Mapping[str, Mapping[str, Any]]
    """All experiments as plain data, by name."""
    runtime: Mapping[str, Any]
    """The values of a Runtime."""
    folders: Folders
    papers: Mapping[str, str | None]
    """The copied folders of the papers that the jobs need, each with the folder that only `--papers` named, if so."""
    jobs: Sequence[str] = ()
    """The ID of each job; empty until they are submitted."""

    def __post_init__(self) -> None:
        """Require tasks of known experiments, and switches that a Runtime has."""
        if unknown := {name for names in self.tasks for name in names} - self.experiments.keys():
            raise ValueError(f"a task has the unknown experiment {min(unknown)}")
        Runtime.from_values(self.runtime, ignore_unknown=True)

    @property
    def shared(self) -> bool:
        """Whether several jobs of this machine share their runs: each takes the next one that no other trains."""
        return self.where is Where.LOCAL and len(self.jobs) > 1

    def experiments_of(self, task: int) -> list[Experiment]:
        """Return what a job trains; the current library must have the submission's papers.

        Raises:
            UserError: there is no such task, or an experiment is not one of this version of the program.
        """
        if not 0 <= task < len(self.tasks):
            raise UserError(f"{self.folder} has no task {task}; its tasks are 0 to {len(self.tasks) - 1}")
        return [Experiment.from_json(self.experiments[name]) for name in self.tasks[task]]

    def description_of(self, name: str) -> Description | None:
        """Return what a run would train, and how; None if the current library or this version lacks part of it."""
        papers = [named for named in self.papers.values() if named]
        data, results = stated_data(self.folders.data), str(self.folders.results)
        with suppress(UserError), within(library_with(papers)):
            experiment = Experiment.from_json(self.experiments[name])
            return Description(experiment, self.trained_by, data, results, papers=papers)
        return None

    @property
    def trained_by(self) -> Runtime:
        """How the jobs train; UserError for a switch that only another version has."""
        try:
            return Runtime.from_values(self.runtime)
        except msgspec.ValidationError as error:
            raise UserError(
                f"{self.folder} was submitted by another version of the program ({error}); submit its runs again"
            ) from error

    def write(self) -> None:
        """Write the submission into its folder."""
        folders = {name: str(folder) for name, folder in vars(self.folders).items()}
        content = {**vars(self), "folder": str(self.folder), "folders": folders}
        write_atomically(self.folder / FILE, json.dumps(content, indent=1, allow_nan=False).encode())


def read_submission(folder: Path) -> Submission:
    """Return the submission in a folder; UserError if there is none."""
    try:
        found = msgspec.json.decode(
            (folder / FILE).read_bytes(), type=Submission, dec_hook=lambda kind, value: kind(value)
        )
    except (OSError, ValueError, RecursionError, UserError) as error:
        raise UserError(f"{folder} has no readable {FILE} ({error}); submit its runs again") from error
    return replace(found, folder=folder.absolute())


def submissions_in(runs: Path) -> list[Submission]:
    """Return the submissions of a folder of runs whose jobs have IDs; unreadable ones are left out."""
    found = []
    for file in sorted((runs / SUBMISSIONS).glob(f"*/{FILE}")):
        try:
            found.append(read_submission(file.parent))
        except UserError:
            continue
    return [each for each in found if each.jobs]


def split(experiments: Sequence[Experiment], runtime: Runtime) -> list[list[Experiment]]:
    """Return the experiments of each task: the seeds of one experiment if they are trained at once, else a single one.

    Args:
        experiments: what is trained, the seeds of one experiment in a row.
        runtime: how the tasks train.
    """
    rows = by_seeds(experiments)
    tasks = [[seeds] if trains_seeds_at_once(seeds[0], runtime) else [[each] for each in seeds] for seeds in rows]
    return [*chain.from_iterable(tasks)]


def trains_seeds_at_once(experiment: Experiment, runtime: Runtime) -> bool:
    """Whether several seeds of an experiment are trained at once.

    Several processes train one seed, unless the user says how seeds share the device.
    """
    if runtime.at_once == 1 or (runtime.processes > 1 and not runtime.shares):
        return False
    return expected_sharing_of_seeds(experiment, runtime, on_cpu=runtime.device == "cpu") is not Together.OFF
