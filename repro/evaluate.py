"""The test error of a checkpoint or a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from repro.console import with_bar
from repro.errors import UserError
from repro.experiment import Experiment
from repro.folders import Folders
from repro.picture import draw_prediction
from repro.runtime import Runtime
from repro.training import checkpoint as checkpoints
from repro.training.device import placed, prepare
from repro.training.engine import network_of
from repro.training.task import Metrics, task_for


@dataclass(frozen=True)
class Evaluation:
    """What `repro eval` found."""

    experiment: Experiment
    steps: int
    epochs: int
    """Whole epochs that the network was trained for."""
    metrics: Metrics
    recorded: float | None
    """The test error in % that the run itself measured with these weights, if it did."""


def evaluate(what: str, folders: Folders, device: str, picture: Path | None = None) -> Evaluation:
    """Return the test error of a run (its name, the beginning of its identity, or its folder) or of a checkpoint.

    It is measured in the precision in which the run was trained. Of a segmentation a picture is drawn, if asked for.

    Raises:
        UserError: no such run, or a broken checkpoint.
    """
    saved = _load(what, folders.runs)
    experiment = saved.experiment
    runtime = Runtime(**{**saved.runtime.values(), "device": device})
    where = prepare(runtime)
    network = network_of(experiment)
    try:
        network.load_state_dict(saved.network)
    except RuntimeError as error:
        raise UserError(
            f"{what}: its weights are not those of {experiment.model} {dict(experiment.options)}"
        ) from error
    task = task_for(experiment, folders.data, runtime, where)
    network = placed(network, where, runtime)
    metrics = task.test(network, lambda begins: with_bar(begins, "testing"))
    if picture:
        draw_prediction(task, network, picture)
    last = saved.history[-1] if saved.history else None
    recorded = last.test_error if last and last.step == saved.step else None
    return Evaluation(experiment, saved.step, len(saved.history), metrics, recorded)


def _load(what: str, runs: Path) -> checkpoints.Checkpoint:
    path = Path(what)
    if path.is_file():
        return checkpoints.load(path)
    folder = path if path.is_dir() else find_run(what, runs)
    saved, _ = checkpoints.load_newest(folder)
    if saved is None:
        raise UserError(f"{folder} holds no checkpoint; repro train writes one")
    return saved


def find_run(what: str, runs: Path) -> Path:
    """Return the folder of the run that a name or the beginning of an identity means."""
    known = sorted(each.name for each in runs.iterdir() if each.is_dir()) if runs.is_dir() else []
    found = [name for name in known if name == what or name.rsplit("-", 1)[-1].startswith(what)]
    if len(found) == 1:
        return runs / found[0]
    if found:
        raise UserError(f"{what!r} means {len(found)} runs: {', '.join(found)}")
    hint = f"its runs: {', '.join(known)}" if known else "there are no runs there yet"
    raise UserError(f"{what!r} is no run in {runs} and no checkpoint file; {hint}")
