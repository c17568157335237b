"""The runs that a folder holds: how one is named, what it trains, how far it is, and how to go on with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from repro.atomic import write_atomically
from repro.errors import UserError
from repro.experiment import Experiment
from repro.models import MODELS
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.commands import command_of
from repro.store.results import EpochRow, read_curve
from repro.text import canonical, one_of

DESCRIPTION, CURVE, LOCK = "run.json", "curve.csv", ".lock"
RECORDED, DIVERGED = "recorded", "diverged"
SHOWN_RUNS = 10
"""That a hint names at most."""


@dataclass(frozen=True)
class Description:
    """What a run's folder says of it."""

    experiment: Experiment
    runtime: Mapping[str, Any]
    """The values of the last sitting's Runtime."""
    data: str | None
    """The folder of the data sets; None where $REPRO_DATA named it."""
    results: str
    """The folder of the records."""
    ended: str | None = None
    """RECORDED or DIVERGED; None as long as there is something to go on with."""


@dataclass(frozen=True)
class Run:
    """A run as its folder shows it."""

    folder: Path
    description: Description | None
    """None of a run that is older than its description."""
    last: EpochRow | None
    """The last epoch that is over."""
    trained_now: bool
    """By another process."""

    @property
    def epochs(self) -> int | None:
        """Of the whole run; None where that is not known."""
        return self.description.experiment.recipe.all_epochs if self.description else None

    @property
    def state(self) -> str:
        """Whether it is trained, waits to be gone on with, or is over."""
        if self.trained_now:
            return "being trained"
        if self.description is None:
            return "not known"
        return {RECORDED: "finished", DIVERGED: "diverged"}.get(self.description.ended or "", "stopped")

    @property
    def command(self) -> str | None:
        """What to type to go on; None where there is nothing to go on with, or no command means this experiment."""
        if self.description is None or self.state != "stopped":
            return None
        named = {"data": self.description.data, "runs": str(self.folder.parent), "results": self.description.results}
        places = {option: folder for option, folder in named.items() if folder not in (None, option)}
        return command_of(self.description.experiment, self.description.runtime, places)


def describe(experiment: Experiment, runtime: Runtime, folders: Folders, ended: str | None = None) -> None:
    """Write into a run's folder what is trained there and how, when it begins and when it ends."""
    data = None if os.environ.get("REPRO_DATA") == str(folders.data) else str(folders.data)
    written = Description(experiment, runtime.values(), data, str(folders.results), ended)
    content = {**vars(written), "experiment": experiment.to_json()}
    write_atomically(folders.runs / experiment.name / DESCRIPTION, json.dumps(content, indent=2).encode())


def runs_in(folder: Path) -> Iterator[Run]:
    """Give the runs of a folder by name."""
    for name in run_names(folder):
        if any((folder / name / each).exists() for each in (DESCRIPTION, CURVE)):
            yield _run(folder / name)


def _run(folder: Path) -> Run:
    trained_now = _is_locked(folder / LOCK)  # first, since a run that ends meanwhile has more to show, not less
    curve: list[EpochRow] = []
    with suppress(UserError):  # a file of the user's own hides no other run
        curve = read_curve(folder / CURVE)
    return Run(folder, _description(folder / DESCRIPTION), curve[-1] if curve else None, trained_now)


def _description(path: Path) -> Description | None:
    try:
        content = json.loads(path.read_bytes())
        found = Description(**{**content, "experiment": Experiment.from_json(content["experiment"])})
        Runtime(**found.runtime)
        # A folder that was copied or renamed is no run's: no command would go on with it.
        known = found.experiment.name == path.parent.name and found.ended in (None, RECORDED, DIVERGED)
        return found if known else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError):
        return None


def _is_locked(path: Path) -> bool:
    """Whether a process that trains holds the lock of a run's folder; of a folder that is not ours, no."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def run_names(runs: Path) -> list[str]:
    """Return the names of the runs that have a folder."""
    return sorted(each.name for each in runs.iterdir() if each.is_dir()) if runs.is_dir() else []


def run_named(what: str, known: Iterable[str], where: str) -> str:
    """Return the run that is meant by its name, the beginning of its name or that of its identity.

    Args:
        what: the name, or a beginning; a network by itself means its own runs alone.
        known: the names of the runs.
        where: they are, for the message.

    Raises:
        UserError: it means none of them, or several.
    """
    known, model = list(known), model_spelled(what)
    found = [name for name in known if name.lower() == what.lower()]
    found = found or [name for name in known if (model_of(name) == model if model else _begins(name, what.lower()))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{what!r} means {len(found)} runs; say more of the name, or its end: {_first(found)}")
    raise UserError(f"{what!r} is no run in {where} and no checkpoint file; {_hint(what, known)}")


def model_spelled(what: str) -> str | None:
    """Return the network that a word spells, if it does."""
    return next((model for model in MODELS if canonical(model) == canonical(what)), None)


def model_of(name: str) -> str | None:
    """Return the network of a run of that name: the longest that it begins with, since densenet-bc is no densenet."""
    return max((model for model in MODELS if name.startswith(f"{model}-")), key=len, default=None)


def _begins(name: str, what: str) -> bool:
    return name.lower().startswith(what) or name.rsplit("-", 1)[-1].startswith(what)


def _hint(what: str, known: Sequence[str]) -> str:
    """Return which runs may be meant: the nearest in spelling, else all, the first ones of many."""
    if near := get_close_matches(what, known, n=3, cutoff=0.7):
        return f"did you mean {one_of(near)}?"
    return f"its runs: {_first(known)}" if known else "there are no runs there yet"


def _first(runs: Sequence[str]) -> str:
    """Return the names of some runs, the first ones of many."""
    others = len(runs) - SHOWN_RUNS
    return f"{', '.join(runs[:SHOWN_RUNS])}{f' and {others} others' if others > 0 else ''}"
