"""The training of runs on this machine, above all of those that a table still needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from repro.api.selection import count_networks
from repro.atomic import remove_unfinished
from repro.console import loading, note, problem
from repro.errors import OneRunFailed, UserError, raise_joined
from repro.experiment import Experiment, by_seeds, check_network, one_of_each
from repro.paths import Folders
from repro.planning.needed import incomplete, missing
from repro.runtime import Runtime, Together
from repro.store.results import Record, read_records, result_folders
from repro.store.run_folders import run_names
from repro.tables import RunsPerRow, Selection
from repro.text import number_of
from repro.torchrun import process_count
from repro.training.runs.outcome import Outcome


def train_missing(selection: Selection, per_row: RunsPerRow, runtime: Runtime, folders: Folders) -> bool:
    """Train the runs that some rows of a table still need; after a stop, finished runs are not repeated.

    Returns:
        whether all are trained: other processes may still train some of them.

    Raises:
        OneRunFailed: a run failed; it is raised after all other runs are trained.
    """
    count_networks([selection])  # an error in counting is reported before days of training
    experiments = missing(selection, folders, per_row)
    without = sum(each.recipe is None for each in selection.errors)
    omitted = f"; no recipe is implemented for {number_of(without, 'result')}" if without else ""
    to_test = len(_recorded(experiments, folders))
    tested = f", {number_of(to_test, 'run')} to test" if to_test else ""
    note(f"{selection.table.name}: {number_of(len(experiments) - to_test, 'run')} to train{tested}{omitted}")
    for name in run_names(folders.runs):  # also of recorded runs, whose folders are not entered again
        remove_unfinished(folders.runs / name)
    outcome = train_runs(experiments, runtime, folders)
    raise_joined(outcome.failures)
    return not outcome.holders


def train_all(experiments: Sequence[Experiment], runtime: Runtime, folders: Folders) -> list[Record]:
    """Return the records of experiments, in order.

    Raises:
        Stopped: a signal came; the runs are saved.
    """
    with loading():
        from repro.benchmark.fastest import fastest
        from repro.training.progress.watcher import watcher
        from repro.training.runs.train import train

    return train(experiments, runtime, folders, watcher(), fastest)


def train_all_unheld(experiments: Sequence[Experiment], runtime: Runtime, folders: Folders) -> Outcome:
    """Train those experiments that no other process trains.

    Raises:
        Stopped: a signal came; the runs are saved.
    """
    with loading():
        from repro.benchmark.fastest import fastest
        from repro.training.progress.watcher import watcher
        from repro.training.runs.train import train_unheld

    return train_unheld(experiments, runtime, folders, watcher(), fastest)


def train_runs(experiments: Sequence[Experiment], runtime: Runtime, folders: Folders) -> Outcome:
    """Train experiments and return what was not trained to its end.

    Runs that other processes train are tried again at the end, and reported if they are still being trained.

    Raises:
        UserError: a network cannot be trained.
    """
    for each in one_of_each(experiments).values():  # a mistake is reported before days of training
        check_network(each)
    recorded = _recorded(experiments, folders)
    untrained = [each for each in experiments if each.id not in recorded]
    outcome = _train_sets(untrained, runtime, folders, lambda line: note(f"{line}; it is retried at the end"))
    outcome = outcome.retried(untrained, lambda held: _train_sets(held, runtime, folders, problem))
    for each in experiments:
        if each.id in recorded:
            outcome.add(_tested(each, runtime, folders))
    return outcome


def _tested(experiment: Experiment, runtime: Runtime, folders: Folders) -> Outcome:
    """Test a run that is recorded already; what excludes that is a failure of this run and keeps no other from being
    trained.
    """
    try:
        return _train_sets([experiment], runtime, folders, problem)
    except UserError as error:
        failure = OneRunFailed(f"{experiment.name} is not tested: {error}")
        problem(f"failed: {failure}")
        return Outcome(failures=[failure])


def _recorded(experiments: Sequence[Experiment], folders: Folders) -> set[str]:
    """Return the IDs of those that are trained, and only lack a test; several processes treat all alike."""
    if process_count() > 1:
        return set()
    records = {each.id for each in read_records(result_folders(folders.results))}
    return records & {each.id for each in experiments}


def _train_sets(
    experiments: Sequence[Experiment], runtime: Runtime, folders: Folders, report: Callable[[str], None]
) -> Outcome:
    """Train the experiments that no other process trains or has recorded meanwhile.

    Args:
        experiments: what is trained, the seeds of one experiment in a row.
        runtime: as for `train_all`, like the next one.
        folders: of the runs.
        report: called with who trains a run.
    """
    outcome = Outcome()
    for each in _sets(experiments, runtime):
        if left := _incomplete(each, folders):
            trained = train_all_unheld(left, runtime, folders)
            for name, holder in trained.holders.items():
                report(f"{name} is being trained by {holder}")
            for failure in trained.failures:
                problem(f"failed: {failure}")
            outcome.add(trained)
    return outcome


def _incomplete(experiments: list[Experiment], folders: Folders) -> list[Experiment]:
    """Return what is not complete yet; several processes may read different records, but must train the same."""
    return incomplete(experiments, folders) if process_count() == 1 else experiments


def _sets(experiments: Sequence[Experiment], runtime: Runtime) -> list[list[Experiment]]:
    """Return the experiments in sets that one call trains: all where any runs share the device, else seeds of one."""
    if experiments and _shares_among_all(runtime):
        return [list(experiments)]
    return by_seeds(experiments)


def _shares_among_all(runtime: Runtime) -> bool:
    """Whether runs of different networks share the device."""
    with loading():
        from repro.training.machine.device import chosen_device

    return runtime.wanted_sharing(on_cpu=chosen_device(runtime) == "cpu") is Together.BRANCHES
