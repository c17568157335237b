"""`repro table NAME --run --on`: the missing runs of a table as jobs of Slurm or of this machine."""

from __future__ import annotations

from repro.campaign.jobs import Jobs
from repro.cli.suggestion import suggest, with_folders
from repro.cluster.tasks import JOBS, Where
from repro.console import note, print_line
from repro.paths import Folders
from repro.text import number_of


def has_runs(jobs: Jobs, folders: Folders) -> bool:
    """Return whether there are runs to submit; say which are left out, and what to look at if there are none."""
    for what, number in jobs.left_out.items():
        if number:
            note(f"{jobs.table}: {number_of(number, 'run')} {what}")
    if not jobs.runs:
        note(f"{jobs.table}: no run to submit")
        suggest(with_folders("repro list runs", folders, "runs"))
    return bool(jobs.runs)


def list_jobs(jobs: Jobs, command: str) -> None:
    """Print the jobs, each with its runs, and the command that submits them."""
    print_line(f"{jobs.table}: would submit {_counted(jobs)}; {', '.join(jobs.resources.words)}")
    for number, task in enumerate(jobs.tasks):
        runs = f"starts with {task[0].name}" if jobs.shared else ", ".join(each.name for each in task)
        print_line(f"job {number}: {runs}")
    if jobs.shared:
        print_line("Each job then takes the next run that no other job trains.")
    suggest(command)


def submit_missing(jobs: Jobs, folders: Folders) -> None:
    """Submit the missing runs of a table, and say how to watch them; UserError if the jobs cannot be submitted."""
    submission = jobs.submit(folders)
    array = submission.jobs[0].split("_")[0]
    job = f"array {array}" if jobs.resources.where is Where.SLURM else f"processes {', '.join(submission.jobs)}"
    print_line(f"{jobs.table}: submitted {_counted(jobs)}: {job}")
    note(f"logs: {submission.folder / JOBS}")
    suggest(with_folders("repro list runs --watch", folders, "runs"))


def _counted(jobs: Jobs) -> str:
    """Return the numbers of runs and jobs in words."""
    return f"{number_of(len(jobs.runs), 'run')} in {number_of(len(jobs.tasks), 'job')}"
