"""A cache of counts, keyed by the code that they depend on; reading it does not load torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from repro.atomic import write_atomically
from repro.counting.count import Count, Subject, count, parameters_of, without_memory
from repro.counting.demand import Demand, demand_of
from repro.models import MODELS, is_outside
from repro.models.outside import outside
from repro.paths import cache_folder


def counted(subject: Subject) -> Count:
    """Return the counts of a network, from the cache if possible."""
    known = cached(subject)
    if known is None:
        known = count(subject)
        _keep(asdict(known), _path(subject, "counts"))
    return known


def cached(subject: Subject) -> Count | None:
    """Return the counts if they are in the cache."""
    try:
        content = json.loads(_path(subject, "counts").read_bytes())
        return Count(params=content["params"], flops=content["flops"])
    except (OSError, ValueError, KeyError, TypeError):  # a damaged file counts as missing
        return None


def counted_parameters(
    subjects: Sequence[Subject], progress: Callable[[Sequence[int]], Iterable[int]] = lambda missing: missing
) -> list[int]:
    """Return the parameters of networks, in order, from the cache if possible; much faster than FLOPs.

    Args:
        subjects: the networks.
        progress: wraps the indices of the networks that must be built, for a progress bar.
    """
    known = {place: _cached_parameters(subject) for place, subject in enumerate(subjects)}
    for place in progress([place for place, params in known.items() if params is None]):
        known[place] = parameters_of(without_memory(subjects[place]))
        _keep(known[place], _path(subjects[place], "parameters"))
    return [params for params in known.values() if params is not None]


def _cached_parameters(subject: Subject) -> int | None:
    try:
        return int(_path(subject, "parameters").read_bytes())
    except (OSError, ValueError):
        return None


def demanded(subject: Subject) -> Demand:
    """Return what training a network demands, from the cache if possible; UserError if it cannot be built."""
    known = cached_demand(subject)
    if known is None:
        known = demand_of(subject)
        _keep(asdict(known), _path(subject, "demands"))
    return known


def cached_demand(subject: Subject) -> Demand | None:
    """Return what training a network demands if it is in the cache."""
    try:
        return Demand(**json.loads(_path(subject, "demands").read_bytes()))
    except (OSError, ValueError, TypeError):  # a damaged file counts as missing
        return None


def _keep(content: object, path: Path) -> None:
    """Write to the cache; without a writable cache the value is computed again next time."""
    with suppress(OSError):
        write_atomically(path, json.dumps(content, allow_nan=False).encode())


def _path(subject: Subject, kind: str) -> Path:
    """Return the path of a subject's cached value of some kind."""
    return cache_folder() / kind / f"{_key(subject)}.json"


def _key(subject: Subject) -> str:
    """Return a hash of the subject, the file of its model or its version, and the files of this folder."""
    package = Path(__file__).parents[1]
    own = "factory" if is_outside(subject.model) else MODELS[subject.model].builder.split(":")[0]
    network = package / "models" / f"{own}.py"
    sources = [network, package / "models" / "__init__.py", *sorted((package / "counting").glob("*.py"))]
    digest = hashlib.sha256(json.dumps(asdict(subject), sort_keys=True).encode())
    if is_outside(subject.model):
        digest.update(outside(subject.model).version.encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:32]
