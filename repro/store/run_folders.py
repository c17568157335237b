"""The runs in a folder: their names, experiments, progress, and the commands that resume them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from repro.atomic import write_atomically
from repro.errors import UnknownName, UserError
from repro.experiment import Experiment, check_declaration
from repro.locks import holder_of
from repro.models import as_typed, is_outside
from repro.models.outside.location import is_current, outside
from repro.paths import Folders, stated_data
from repro.recipes import RECIPES, Library, current_library, overrides_of, within
from repro.runtime import Runtime
from repro.store.command_text import command_of, needed_papers
from repro.store.curves import read_curve
from repro.store.results import EpochRow
from repro.store.run_state import Ending, RunState
from repro.stored_experiment import StoredExperiment

DESCRIPTION, CURVE, LOCK = "run.json", "curve.csv", ".lock"
LOCK_SECONDS = 1.0
"""Wait for a run's lock, which `repro list runs` may hold for a moment."""
SUBMISSIONS = "submissions"
"""The folder of submitted jobs, next to those of the runs."""


@dataclass(frozen=True)
class Description:
    """The description of a run in its folder."""

    experiment: Experiment
    runtime: Runtime
    """How the last session trained the run."""
    data: str | None
    """Folder of the datasets; None if $REPRO_DATA named it."""
    results: str
    """Folder of the results."""
    ended: Ending | None = None
    """None while the run can be resumed."""
    papers: Sequence[str] = ()
    """Folders of papers that only `--papers` named, and that have the recipe or say how the run is tested."""
    device: str | None = None
    """The device of the sessions so far; None in descriptions by older versions."""

    def papers_to_name(self) -> Sequence[Path]:
        """Return the folders that a command which resumes the run must name today; no code of its network runs."""
        library, known = current_library(), {Path(each).resolve() for each in self.papers}
        return library.needed_by(self.experiment.recipe) or [each for each in library.named if each.resolve() in known]


@dataclass(frozen=True)
class Run:
    """The state of a run as seen in its folder."""

    folder: Path
    description: Description | None
    """The description; None if there is none, or it cannot be read."""
    unread: str | None
    """Why there is no description; None if there is one."""
    last: EpochRow | None
    """The last complete epoch."""
    holder: str | None
    """The process that trains the run, in words; None if there is none."""
    changed: datetime
    """When an epoch or a session of it last began or ended."""

    @property
    def epochs(self) -> int | None:
        """Epochs of the whole run; None if unknown."""
        return self.description.experiment.recipe.all_epochs if self.description else None

    @property
    def state(self) -> RunState:
        """The state, without what a scheduler knows."""
        if self.holder:
            return RunState.RUNNING
        if self.description is None:
            return RunState.UNKNOWN
        return self.description.ended.state if self.description.ended else RunState.STOPPED

    @property
    def seconds_left(self) -> float | None:
        """Time that is left at the pace of the last epoch; None before the first epoch or if the length is unknown."""
        if self.last is None or self.epochs is None:
            return None
        return (self.epochs - self.last.epoch) * self.last.seconds

    @property
    def reason(self) -> str | None:
        """Why the run can neither be resumed nor tested as it was; None if nothing of it has changed."""
        if self.description is None:
            return None if self.holder else self.unread  # a run that begins has none yet
        if not is_outside(model := self.description.experiment.model):
            return None
        network = outside(model)
        if is_current(network):
            return None
        return f"its network {'file' if network.file else 'package'} has changed"

    @property
    def command(self) -> str | None:
        """The command that resumes the run; None if it cannot be resumed, or no command gives this experiment."""
        if self.description is None or self.state is not RunState.STOPPED:
            return None
        named = {"data": self.description.data, "runs": str(self.folder.parent), "results": self.description.results}
        places = {option: folder for option, folder in named.items() if folder not in (None, option)}
        with within(library_with(self.description.papers)):
            papers = self.description.papers_to_name()
            return command_of(self.description.experiment, self.description.runtime, places, papers)


def describe(
    experiment: Experiment,
    runtime: Runtime,
    folders: Folders,
    *,
    ended: Ending | None = None,
    device: str | None = None,
) -> None:
    """Write the description of a run into its folder, when a session starts and when the run ends."""
    stored = run_at(folders.runs / experiment.name).description if ended else None  # tables may be edited meanwhile
    papers = stored.papers if stored else [str(each) for each in needed_papers(experiment)]
    data, results = stated_data(folders.data), str(folders.results)
    written = Description(experiment, runtime, data, results, ended, papers, device)
    content = {**vars(written), "experiment": experiment.to_json(), "runtime": runtime.values()}
    write_atomically(
        folders.runs / experiment.name / DESCRIPTION, json.dumps(content, indent=2, allow_nan=False).encode()
    )


def runs_in(folder: Path) -> Iterator[Run]:
    """Yield the runs of a folder, sorted by name."""
    for name in run_names(folder):
        if any((folder / name / each).exists() for each in (DESCRIPTION, CURVE)):
            yield run_at(folder / name)


def of_other_lengths(experiment: Experiment, folder: Path) -> list[Run]:
    """Return the runs of a folder that differ from an experiment only in their number of epochs, sorted by name."""
    begin, _, _ = experiment.name.rpartition("-")
    names = [each for each in run_names(folder) if each.startswith(f"{begin}-") and each != experiment.name]
    return [
        run
        for run in (run_at(folder / each) for each in names)
        if run.description and _differ_only_in_length(run.description.experiment, experiment)
    ]


def _differ_only_in_length(one: Experiment, other: Experiment) -> bool:
    """Whether two experiments differ at most in the epochs and the values that follow from them."""
    first, second = ((each.model, dict(each.options), each.recipe.name, each.seed) for each in (one, other))
    if first != second:  # the library need not have the recipe of any other run
        return False
    own = RECIPES[one.recipe.name]
    one_values, other_values = (overrides_of(each.recipe, own) for each in (one, other))
    return {**one_values, "epochs": ""} == {**other_values, "epochs": ""}


def run_at(folder: Path) -> Run:
    """Return the state of the run in a folder; unknown if it is of another user and its lock may not be read."""
    holder, hidden = None, False
    try:
        holder = holder_of(folder / LOCK)  # checked first: if the run ends meanwhile, the files read below are newer
    except PermissionError:
        hidden = True
    curve: list[EpochRow] = []
    with suppress(UserError):  # an invalid file must not hide the other runs
        curve = read_curve(folder / CURVE)
    written = [each.stat().st_mtime for each in (folder / CURVE, folder / DESCRIPTION) if each.exists()]
    changed = datetime.fromtimestamp(max(written, default=0.0), UTC)
    description, unread = _description(folder / DESCRIPTION)
    if hidden:
        description, unread = None, f"its {LOCK} may not be read, so whether a process trains it is unknown"
    return Run(folder, description, unread, curve[-1] if curve else None, holder, changed)


class _Stored(msgspec.Struct, kw_only=True):
    """The content of DESCRIPTION, see `Description`."""

    experiment: StoredExperiment
    runtime: dict[str, Any]
    data: str | None
    results: str
    ended: Ending | None = None
    papers: tuple[str, ...] = ()
    device: str | None = None


def _stored(path: Path) -> _Stored | None:
    """Return the content of a description; None if it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Stored)
    except (OSError, ValueError, RecursionError):
        return None


def stored_values(folder: Path) -> dict[str, Any] | None:
    """Return the values of the recipe that the run in a folder follows; None if they cannot be read."""
    stored = _stored(folder / DESCRIPTION)
    return {**stored.experiment.values} if stored else None


def _description(path: Path) -> tuple[Description | None, str | None]:
    """Return the description in a file, or why it cannot be read."""
    stored = _stored(path)
    if stored is None:
        return None, f"its {path.name} {'is not one of a run' if path.is_file() else 'is missing'}"
    try:
        with within(library_with(stored.papers)):
            found = Description(
                experiment=Experiment.from_stored(stored.experiment),
                runtime=Runtime.from_values(stored.runtime),
                data=stored.data,
                results=stored.results,
                ended=stored.ended,
                papers=stored.papers,
                device=stored.device,
            )
    except (UserError, msgspec.ValidationError) as error:
        return None, str(error)
    if found.experiment.name != path.parent.name:  # no command would resume it
        return None, f"its folder was copied or renamed: {path.name} is that of {found.experiment.name}"
    return found, None


def library_with(papers: Iterable[str]) -> Library:
    """Return the current library with the papers of a description, as far as they are still there."""
    return current_library().also(each for each in map(Path, papers) if each.is_dir())


def check_papers(folder: Path) -> None:
    """Raise UserError if the papers of the current library lack the recipe of a run, or now declare another dataset."""
    stored = _stored(folder / DESCRIPTION)
    dataset = stored.experiment.values.get("dataset") if stored else None
    if stored is None or not isinstance(dataset, str):
        return
    recipe, papers, version = stored.experiment.recipe, stored.papers, stored.experiment.declaration or None
    if recipe not in RECIPES:
        option = " ".join(as_typed({"papers": each}) for each in papers) or "--papers and its folder"
        line = f"{folder.name} follows the recipe {recipe}, which no paper here has; add {option}"
        raise UnknownName("recipe", recipe, line)
    try:
        check_declaration(dataset, version)
    except UserError as error:
        raise UserError(f"{folder.name} cannot be read: {error}") from None


def run_names(runs: Path) -> list[str]:
    """Return the names of all runs in a folder, without those that could not begin and left only a lock."""
    folders = [each for each in runs.iterdir() if each.is_dir()] if runs.is_dir() else []
    return sorted(each.name for each in folders if each.name != SUBMISSIONS and _has_more_than_a_lock(each))


def _has_more_than_a_lock(folder: Path) -> bool:
    """Whether a folder can be read and has more than a lock and who held it: a killed process leaves both."""
    try:
        return os.access(folder, os.X_OK) and not all(name.startswith(LOCK) for name in os.listdir(folder))
    except OSError:  # it belongs to another user, or was removed meanwhile
        return False
