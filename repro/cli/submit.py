"""`repro table NAME --run --on`: the missing runs of a table as jobs of Slurm or of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from repro.api.selection import Selection
from repro.cli.options import Command, choice, with_options
from repro.cli.suggestion import suggest, with_folders
from repro.cluster.resources import Resources
from repro.cluster.submit import SET_HERE, submit
from repro.cluster.tasks import JOBS, Where, split
from repro.console import loading, note, print_line
from repro.data import DATASETS
from repro.errors import UserError
from repro.experiment import Experiment, check_network, one_of_each
from repro.paths import Folders
from repro.planning.needed import missing
from repro.planning.state import jobs_of, quick_status_of
from repro.runtime import Runtime, cores
from repro.store.results import read_records, result_folders
from repro.store.run_state import RunState
from repro.tables import RunsPerRow
from repro.text import number_of
from repro.training.machine import one_process

NOT_SUBMITTED = {
    "queued or running": (RunState.QUEUED, RunState.RUNNING),
    "diverged and not submitted again": (RunState.DIVERGED,),
}
"""The states of needed runs that are not submitted, in words."""
OF_SLURM = ("hours", "partition", "slurm")
"""The options that jobs of this machine do not have."""
PARALLEL = {Where.SLURM: 16, Where.LOCAL: 2}
"""Jobs that run at once, unless the user says otherwise."""


def _option(kind: Any, *names: str, text: str, **more: Any) -> Any:
    return Annotated[kind | None, typer.Option(*names, help=text, rich_help_panel="Cluster options", **more)]


CLUSTER_OPTIONS = {
    "on": Annotated[
        Where | None,
        choice(
            "--on",
            metavar="slurm|local",
            help="With --run, submit the missing runs as jobs and return: to Slurm, or to the background of this "
            "machine.",
            rich_help_panel="Cluster options",
        ),
    ],
    "hours": _option(
        float,
        "--hours",
        text="Time limit of each job in hours, with --on slurm, which requires it; at the limit the job's runs are "
        "saved, and it is requeued until they are done.",
        min=0.02,
        max=8760,
    ),
    "partition": _option(
        str, "--partition", text="Partition of Slurm (default: the cluster's); with --on slurm.", metavar="NAME"
    ),
    "parallel": _option(
        int, "--parallel", text="Jobs that run at once (default: 16; on this machine 2).", min=1, metavar="N"
    ),
    "gpus": _option(
        int,
        "--gpus",
        text="GPUs of each job; all of them train each of its runs together (default: 1).",
        min=1,
        metavar="N",
    ),
    "slurm": _option(
        list[str],
        "--slurm",
        text="Option of sbatch by its long name, such as account=x or mem=16G, with --on slurm; repeat it for several.",
        metavar="NAME=VALUE",
    ),
}


def cluster_options(command: Command) -> Command:
    """Add the options for a cluster to a command, which receives the given ones as `cluster`."""
    return with_options(command, CLUSTER_OPTIONS, lambda given: {"cluster": given})


def resources_of(cluster: Mapping[str, Any], runtime: Runtime) -> Resources:
    """Return what the jobs may use.

    Args:
        cluster: the cluster options that were given, at least one.
        runtime: how the jobs train.

    Raises:
        UserError: an option is missing, has no effect, or is invalid.
    """
    if "on" not in cluster:
        name = next(iter(cluster))
        raise UserError(f"--{name} requires --on slurm{'' if name in OF_SLURM else ' or --on local'}")
    where = Where(cluster["on"])
    if runtime.device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {runtime.device} cannot be used with --on: a job sees only its own GPU; use cuda")
    if where is Where.SLURM and "hours" not in cluster:
        raise UserError("--on slurm requires --hours, the time limit of each job; longer runs are requeued and resumed")
    for name in OF_SLURM:
        if where is Where.LOCAL and name in cluster:
            raise UserError(f"--{name} requires --on slurm")
    if runtime.device == "cpu" and "gpus" in cluster:
        raise UserError("--gpus cannot be used with --device cpu; leave out one of them")
    use = Resources(
        where=where,
        parallel=cluster.get("parallel", PARALLEL[where]),
        hours=cluster.get("hours"),
        gpus=0 if runtime.device == "cpu" else cluster.get("gpus", 1),
        partition=cluster.get("partition"),
        options=dict(map(_name_and_value, cluster.get("slurm", ()))),
    )
    if use.gpus and (requested := use.requested_gpus) not in (None, use.gpus):
        asked = number_of(requested, "GPU")
        raise UserError(f"--slurm asks for {asked}, but a job uses {use.gpus}; set --gpus to the same number")
    return use


def _name_and_value(option: str) -> tuple[str, str]:
    name, equals, value = option.partition("=")
    if not (name and equals):
        raise UserError(f"--slurm {option!r} has no value; write NAME=VALUE, such as account=x")
    name = name.lstrip("-").replace("_", "-")
    if name in SET_HERE:
        raise UserError(f"--slurm {option} cannot be used: {SET_HERE[name]}")
    return name, value


def submit_missing(
    selection: Selection,
    per_row: RunsPerRow,
    runtime: Runtime,
    folders: Folders,
    use: Resources,
    later: str | None = None,
) -> None:
    """Submit the runs of some rows that are neither recorded nor queued nor diverged, and say how to watch them.

    Args:
        selection: the table with the rows.
        per_row: the runs of each printed error.
        runtime: how the jobs train.
        folders: of the runs.
        use: what the jobs may use.
        later: the command that submits the jobs: they are only listed now.

    Raises:
        UserError: a network cannot be trained, or the jobs cannot be submitted.
    """
    runtime = replace(runtime, processes=use.processes)
    one_process.check_switches(runtime)
    name, left = selection[0].name, _to_submit(selection, per_row, folders)
    if not left:
        note(f"{name}: no run to submit")
        suggest(with_folders("repro list runs", folders, "runs"))
        return
    for each in one_of_each(left).values():  # a mistake is reported before the jobs are submitted
        one_process.check_kind(DATASETS[each.dataset].kind, runtime)
        check_network(each)
    tasks, runtime = _tasks(left, runtime, use)
    counted = f"{number_of(len(left), 'run')} in {number_of(len(tasks), 'job')}"
    if later is not None:
        _show_jobs(f"{name}: would submit {counted}", tasks, use)
        suggest(later)
        return
    submission = submit(tasks, runtime, folders, use, f"repro-{name}")
    array = submission.jobs[0].split("_")[0]
    job = f"array {array}" if use.where is Where.SLURM else f"processes {', '.join(submission.jobs)}"
    print_line(f"{name}: submitted {counted}: {job}")
    note(f"logs: {submission.folder / JOBS}")
    suggest(with_folders("repro list runs --watch", folders, "runs"))


def _to_submit(selection: Selection, per_row: RunsPerRow, folders: Folders) -> list[Experiment]:
    """Return the runs of some rows that no job trains and that can be trained, and say how many others there are."""
    table, rows = selection
    jobs = jobs_of(read_records(result_folders(folders.results)), folders.runs)
    needed = missing(table, rows, folders.results, per_row)
    found = [quick_status_of(each, (), folders.runs, jobs) for each in needed]
    for what, states in NOT_SUBMITTED.items():
        if count := sum(each.state in states for each in found):
            note(f"{table.name}: {number_of(count, 'run')} {what}")
    return [each.experiment for each in found if each.state.to_train]


def _show_jobs(counted: str, tasks: Sequence[Sequence[Experiment]], use: Resources) -> None:
    """Print the jobs of some tasks, each with its runs."""
    print_line(f"{counted}; {', '.join(use.words)}")
    shared = use.where is Where.LOCAL and len(tasks) > 1
    for number, task in enumerate(tasks):
        runs = f"starts with {task[0].name}" if shared else ", ".join(each.name for each in task)
        print_line(f"job {number}: {runs}")
    if shared:
        print_line("Each job then takes the next run that no other job trains.")


def _tasks(left: Sequence[Experiment], runtime: Runtime, use: Resources) -> tuple[list[list[Experiment]], Runtime]:
    """Return the experiments of each job, and how the jobs train.

    Jobs of Slurm have one row each, or one of its seeds. On this machine `parallel` jobs share all runs, and the cores:
    each begins with another row and takes what no other job trains.
    """
    if use.where is Where.SLURM:
        return split(left, runtime), runtime
    with loading():
        from repro.training.machine.device import chosen_device

    rows = split(left, replace(runtime, device=chosen_device(runtime)))
    jobs = min(use.parallel, len(rows))
    turned = [rows[first:] + rows[:first] for first in (len(rows) * job // jobs for job in range(jobs))]
    threads = runtime.threads or max(1, cores() // (jobs * use.processes))
    return [[each for row in order for each in row] for order in turned], replace(runtime, threads=threads)
