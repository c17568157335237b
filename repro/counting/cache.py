"""A cache of counts, keyed by the code that they depend on; reading it does not load torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path

from repro.bars import with_bar
from repro.cached import read_cached, write_cached
from repro.counting.count import Count, Subject, count, parameters_of, without_memory
from repro.counting.demand import Demand, demand_of
from repro.models import MODELS, is_outside
from repro.models.outside.location import outside
from repro.package import PACKAGE
from repro.paths import cache_folder


def counted(subject: Subject) -> Count:
    """Return the counts of a network, from the cache if possible."""
    known = cached_count(subject)
    if known is None:
        known = count(subject)
        write_cached(_path(subject, "counts"), known)
    return known


def cached_count(subject: Subject) -> Count | None:
    """Return the counts if they are in the cache."""
    return read_cached(_path(subject, "counts"), Count)


def counted_parameters(subjects: Sequence[Subject]) -> list[int]:
    """Return the parameters of networks, in order, from the cache if possible; much faster than FLOPs."""
    known = {place: read_cached(_path(subject, "parameters"), int) for place, subject in enumerate(subjects)}
    missing = [place for place, params in known.items() if params is None]
    for place in with_bar(missing, "counting parameters"):
        known[place] = parameters_of(without_memory(subjects[place]))
        write_cached(_path(subjects[place], "parameters"), known[place])
    return [params for params in known.values() if params is not None]


def demanded(subject: Subject) -> Demand:
    """Return what training a network demands, from the cache if possible; UserError if it cannot be built."""
    known = cached_demand(subject)
    if known is None:
        known = demand_of(subject)
        write_cached(_path(subject, "demands"), known)
    return known


def cached_demand(subject: Subject) -> Demand | None:
    """Return what training a network demands if it is in the cache."""
    return read_cached(_path(subject, "demands"), Demand)


def _path(subject: Subject, kind: str) -> Path:
    """Return the path of a subject's cached value of some kind."""
    return cache_folder() / kind / f"{_key(subject)}.json"


def _key(subject: Subject) -> str:
    """Return a hash of the subject and of all code on which its counts depend."""
    known = json.dumps(asdict(subject), sort_keys=True).encode()
    code = outside(subject.model).version if is_outside(subject.model) else _version_of_builder(subject.model)
    return hashlib.sha256(known + code.encode() + _version_of_program().encode()).hexdigest()[:32]


def _version_of_builder(model: str) -> str:
    """Return the version of torchvision if a model is made of its parts; else an empty string."""
    code = (PACKAGE / "models" / f"{MODELS[model].builder.split(':')[0]}.py").read_text(encoding="utf-8")
    return version("torchvision") if re.search(r"^ *(import|from) torchvision\b", code, re.MULTILINE) else ""


@cache
def _version_of_program() -> str:
    """Return a hash of the code of all models, which share parts, and of that which counts."""
    sources = [each for folder in ("models", "counting") for each in sorted((PACKAGE / folder).rglob("*.py"))]
    return hashlib.sha256(b"".join(each.read_bytes() for each in sources)).hexdigest()
