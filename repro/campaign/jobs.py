"""The missing runs of a table as jobs of Slurm or of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from repro.cluster.resources import Resources
from repro.cluster.submit import submit
from repro.cluster.tasks import Submission, Where, split
from repro.console import loading
from repro.data import DATASETS
from repro.experiment import Experiment, check_network, one_of_each
from repro.paths import Folders
from repro.planning.needed import missing
from repro.planning.state import RunStatus, jobs_of, quick_status_of
from repro.runtime import Runtime, cores
from repro.store.results import read_records, result_folders
from repro.store.run_state import RunState
from repro.tables import RunsPerRow, Selection
from repro.training.machine import one_process

NOT_SUBMITTED = {
    "queued or running": (RunState.QUEUED, RunState.RUNNING),
    "diverged and not submitted again": (RunState.DIVERGED,),
}
"""The states of needed runs that are not submitted, in words."""


@dataclass(frozen=True)
class Jobs:
    """What is submitted of the runs of a table, and how."""

    table: str
    runs: Sequence[Experiment]
    tasks: Sequence[Sequence[Experiment]]
    """The runs of each job, in the order in which it trains them."""
    left_out: Mapping[str, int]
    """The numbers of needed runs that are not submitted, by their state in words."""
    runtime: Runtime
    """How each job trains."""
    resources: Resources

    @property
    def shared(self) -> bool:
        """Whether each job takes the next run that no other job trains."""
        return self.resources.where is Where.LOCAL and len(self.tasks) > 1

    def submit(self, folders: Folders) -> Submission:
        """Submit the jobs; UserError if they cannot be submitted."""
        return submit(self.tasks, self.runtime, folders, self.resources, f"repro-{self.table}")


def jobs_for(
    selection: Selection, per_row: RunsPerRow, runtime: Runtime, folders: Folders, resources: Resources
) -> Jobs:
    """Return the jobs for the runs of some rows that are neither complete nor queued nor diverged.

    Args:
        selection: the table with the rows.
        per_row: the runs of each printed error.
        runtime: how the jobs train.
        folders: of the runs.
        resources: what the jobs may use.

    Raises:
        UserError: a network cannot be trained, or not in this way.
    """
    runtime = replace(runtime, processes=resources.processes)
    found = _states(selection, per_row, folders)
    left_out = {what: sum(each.state in states for each in found) for what, states in NOT_SUBMITTED.items()}
    runs = [each.experiment for each in found if each.state.to_train]
    tasks = list[list[Experiment]]()
    if runs:
        device = _device(runtime, resources.where)
        _check(runs, runtime, device)
        tasks, runtime = _tasks(runs, runtime, resources, device)
    return Jobs(selection.table.name, runs, tasks, left_out, runtime, resources)


def _states(selection: Selection, per_row: RunsPerRow, folders: Folders) -> list[RunStatus]:
    """Return the states of the runs of some rows that have no complete record."""
    experiments = missing(selection, folders, per_row)
    records = read_records(result_folders(folders.results))
    jobs = jobs_of(records, {each.id for each in experiments}, folders.runs)
    return [quick_status_of(each, (), folders.runs, jobs) for each in experiments]


def _device(runtime: Runtime, where: Where) -> str:
    """Return the name of the jobs' device; UserError if this machine, on which they run, does not have it."""
    if where is Where.SLURM:
        return "cpu" if runtime.device == "cpu" else "cuda"
    with loading():
        from repro.training.machine.device import chosen_device

    return chosen_device(runtime)


def _check(runs: Sequence[Experiment], runtime: Runtime, device: str) -> None:
    """Raise UserError for runs that the jobs could not train, so that no job is submitted."""
    with loading():
        import torch

        from repro.data.inputs.normalise import with_declared
        from repro.training.machine.device import check_switches
        from repro.training.progress.tensorboard import check_log
        from repro.training.runs.final_tests import final_protocols
        from repro.training.runs.train import check_networks, networks_for
        from repro.training.tasks.task import check_task_values

    on = torch.device(device)
    check_switches(runtime, on)
    check_log(runtime.log)
    for each in one_of_each(runs).values():
        kind = DATASETS[each.dataset].kind
        one_process.check_kind(kind, runtime)
        check_network(each)
        check_task_values(with_declared(each.recipe), kind)
        final_protocols(each)
    check_networks(runs, networks_for(runs, runtime), runtime, on)


def _tasks(
    runs: Sequence[Experiment], runtime: Runtime, resources: Resources, device: str
) -> tuple[list[list[Experiment]], Runtime]:
    """Return the experiments of each job, and how the jobs train.

    Jobs of Slurm have one row each, or one of its seeds. On this machine `parallel` jobs share all runs, and the cores:
    each begins with another row and takes what no other job trains.
    """
    rows = split(runs, replace(runtime, device=device))
    if resources.where is Where.SLURM:
        return rows, runtime
    jobs = min(resources.parallel, len(rows))
    turned = [rows[first:] + rows[:first] for first in (len(rows) * job // jobs for job in range(jobs))]
    threads = runtime.threads or max(1, cores() // (jobs * resources.processes))
    return [[each for row in order for each in row] for order in turned], replace(runtime, threads=threads)
