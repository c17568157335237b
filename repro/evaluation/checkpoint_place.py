"""Where the checkpoint is that a user means; loading this module does not load torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from repro.errors import UserError
from repro.models.registry import TORCHVISION
from repro.paths import Folders
from repro.store.results import RUNS, every_record
from repro.store.run_folders import DESCRIPTION, run_names, runs_in
from repro.store.run_names import model_of, run_named, runs_matching
from repro.tables.names import Network, network_called
from repro.text import first_of


def place_of_checkpoint(what: str, runs: Path, results: Sequence[Path] = ()) -> Path:
    """Return the file of a checkpoint, or the folder of a run, given its name, a prefix, its ID or the folder itself.

    Args:
        what: the file, the run or the folder.
        runs: the folder of the runs.
        results: folders of records, for the message on a run whose checkpoint is elsewhere.

    Raises:
        UserError: there is no such run, there are several, or it is a device or a pipe.
    """
    if not what:
        raise UserError("give a run, a checkpoint or a model; see repro list runs, repro list models")
    path = Path(what)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{what} is not a file; name a run or the file of a checkpoint")
    return path if path.exists() else _folder(what, runs, results)


def with_runs_of(what: str, folders: Folders) -> Folders:
    """Return the folders; if a run was named by its folder or by a file in it, the runs are in the folder above."""
    place = Path(what).absolute()
    run = place.parent if place.is_file() else place
    if not (run / DESCRIPTION).is_file() or run.parent == folders.runs.absolute():
        return folders
    beside = run.parent.is_relative_to(Path.cwd())
    return replace(folders, runs=run.parent.relative_to(Path.cwd()) if beside else run.parent)


def _folder(what: str, runs: Path, results: Sequence[Path]) -> Path:
    """Return the folder of a run; the message for a network without runs names its published weights."""
    names = run_names(runs)
    try:
        return runs / run_named(what, names, [runs], other="a checkpoint file")
    except UserError:
        network = _network(what)
        if network is None and not runs_matching(what, names):
            _check_recorded(what, runs, results)
        if network is None or (not network.options and any(model_of(name) == network.name for name in names)):
            raise
    found = [each for each in runs_in(runs) if each.description and network.fits(each.description.experiment)]
    if len(found) == 1:
        return found[0].folder
    if found:
        listed = first_of([each.folder.name for each in found])
        raise UserError(f"{what!r} matches {len(found)} runs; give the ID of one: {listed}")
    weights = ", or use --weights torchvision for its published weights" if network.name in TORCHVISION else ""
    typed = network.typed()
    raise UserError(f"there is no run of {typed} in {runs}; train one with repro train {typed}{weights}")


def _check_recorded(what: str, runs: Path, results: Sequence[Path]) -> None:
    """Raise UserError if a run that is not in its folder has a record; nothing if none or several match."""
    try:
        places = {record.name: folder / RUNS for folder in results for record in every_record(folder)}
        name = run_named(what, places, results)
    except UserError:
        return
    raise UserError(
        f"the record of {name} is in {places[name]}, but its checkpoint is not here; copy {runs / name} from the "
        "machine that trained it"
    )


def _network(what: str) -> Network | None:
    """Return the network that a user may mean; None if there is none."""
    try:
        return network_called(what)
    except UserError:
        return None
