"""The run that a user means by a name, a prefix of a name, or an ID."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from repro.data import DATASETS
from repro.errors import UserError
from repro.models import MODELS, is_outside
from repro.models.outside.location import label
from repro.recipes import RECIPES
from repro.text import canonical, first_of, one_of

KINDS: Mapping[str, Iterable[str]] = {"model": MODELS, "dataset": DATASETS, "recipe": RECIPES}
"""The names that are no runs, by kind."""
NEAREST = 3
"""Maximum number of runs in a hint."""


def run_named(
    what: str, known: Iterable[str], folders: Sequence[Path], also: Sequence[str] = (), *, other: str = ""
) -> str:
    """Return the name of the run given by its name, a prefix of its name, or a prefix of its ID.

    Args:
        what: the name or prefix; the name of a model matches only runs of exactly this model.
        known: the names of the runs.
        folders: of the runs and results, for the message.
        also: the names of the tables, where one may be meant.
        other: what else may be meant, in words.

    Raises:
        UserError: no run or several runs match.
    """
    known = list(known)
    found = runs_matching(what, known)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{what!r} matches {len(found)} runs; give a longer prefix or the ID: {first_of(found)}")
    where = one_of(list(dict.fromkeys(map(str, folders))))
    reason = f"neither a run in {where} nor {other}" if other else f"not a run in {where}"
    raise UserError(f"{what!r} is {reason}; {_hint(what, known, also)}")


def runs_matching(what: str, known: Sequence[str]) -> list[str]:
    """Return the names of the runs that `run_named` finds: the one with exactly this name, else those that match."""
    model = model_spelled(what)
    found = [name for name in known if name.lower() == what.lower()]
    if is_outside(what):
        found = found or [name for name in known if name.startswith(f"{label(what)}-")]
    return found or [name for name in known if (model_of(name) == model if model else _begins(name, what.lower()))]


def model_spelled(what: str) -> str | None:
    """Return the model with this name, if there is one."""
    return next((model for model in MODELS if canonical(model) == canonical(what)), None)


def model_of(name: str) -> str | None:
    """Return the model in a run's name: the longest match, since densenet-bc is not densenet."""
    return max((model for model in MODELS if name.startswith(f"{model}-")), key=len, default=None)


def _begins(name: str, what: str) -> bool:
    return name.lower().startswith(what) or name.rsplit("-", 1)[-1].startswith(what)


def _hint(what: str, known: Sequence[str], also: Sequence[str]) -> str:
    """Return a hint: what else has this name, else the names nearest in spelling, of all runs if none is near."""
    if kind := next((kind for kind, names in KINDS.items() if canonical(what) in map(canonical, names)), None):
        return f"it is a {kind} without a run of this name; see repro list runs"
    if near := get_close_matches(what, [*known, *also], n=NEAREST, cutoff=0.7):
        return f"did you mean {one_of(near)}?"
    if len(known) > NEAREST:
        return f"the nearest of {len(known)} runs: {', '.join(get_close_matches(what, known, n=NEAREST, cutoff=0))}"
    return f"known runs: {', '.join(known)}" if known else "there are no runs yet"
