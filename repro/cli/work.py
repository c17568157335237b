"""`repro work`: the training of one job of a submission. Jobs run it; it is not in the help."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from repro.campaign.training import train_runs
from repro.cluster.job import resuming
from repro.cluster.tasks import read_submission
from repro.errors import Stopped, raise_joined
from repro.papers import paper_in, shipped
from repro.paths import data_in
from repro.recipes import Library, within


def work(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the submission.")],
    task: Annotated[int, typer.Argument(metavar="TASK", min=0, help="Number of the task.")],
) -> None:
    """Train the runs of one job of a submission."""
    submission = read_submission(folder)
    papers = [
        replace(paper_in(Path(copy)), named=Path(named) if named else None) for copy, named in submission.papers.items()
    ]
    with data_in(submission.folders.data), within(Library((shipped(), *papers))):
        experiments = submission.experiments_of(task)
        try:
            raise_joined(train_runs(experiments, submission.trained_by, submission.folders).failures)
        except Stopped as stop:
            requeued = stop.exit_status == 128 + signal.SIGUSR2
            stop.after = (
                "its job is queued again and trains what is left" if requeued else resuming(submission.folders.runs)
            )
            raise
