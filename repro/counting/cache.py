"""Counts are computed once and kept, keyed by our code that they depend on; reading one loads no torch."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from repro.counting.count import Count, Subject, count
from repro.files import write_atomically
from repro.folders import cache_folder
from repro.models import MODELS


def counted(subject: Subject) -> Count:
    """Return the counts of a network, from the cache where they are known."""
    known = cached(subject)
    if known is None:
        known = count(subject)
        with suppress(OSError):  # a cache that cannot be written costs time, not the answer
            write_atomically(_path(subject), json.dumps(asdict(known)).encode())
    return known


def cached(subject: Subject) -> Count | None:
    """Return the counts if they are known, without computing anything."""
    try:
        content = json.loads(_path(subject).read_bytes())
        return Count(params=content["params"], flops=content["flops"])
    except (OSError, ValueError, KeyError):
        return None


def _path(subject: Subject) -> Path:
    """Return where the counts of a subject are kept."""
    return cache_folder() / "counts" / f"{_key(subject)}.json"


def _key(subject: Subject) -> str:
    """Return a hash of the subject, its network's file and the files that count."""
    package = Path(__file__).parents[1]
    network = package / "models" / f"{MODELS[subject.model].builder.split(':')[0]}.py"
    sources = [network, package / "models" / "__init__.py", *sorted((package / "counting").glob("*.py"))]
    digest = hashlib.sha256(json.dumps(asdict(subject), sort_keys=True).encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:32]
