"""Findings in the datasets of papers: those that nothing uses, and images that are wrong, left out or not found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from repro.data.declaration import Declaration
from repro.data.registry import dataset_folder
from repro.paths import data_folder
from repro.validation.findings import Finding, Level, warning


def dataset_findings(declared: Iterable[Declaration], used: Collection[str] | None) -> Iterator[Finding]:
    """Yield the findings in datasets; images are read only if they are there.

    Args:
        declared: those that are checked; their declarations can be read.
        used: the names of the datasets that a recipe or a table uses; None if not known, since not all tables were
            read.
    """
    from repro.data.sources import State, examine

    for each in declared:
        place = each.refused("").mistakes[0]
        if used is not None and each.name not in used:
            reason = "no recipe and no table uses it; name it in one, or remove it"
            yield warning(place.file, place.where, reason)
        found = examine(each.name, data_folder())
        if found.state is State.WRONG:
            yield Finding(Level.ERROR, each.refused(found.reason).mistakes[0])
        if found.state is State.MISSING and dataset_folder(each.name, data_folder()).is_dir():
            yield warning(place.file, place.where, f"its images were not checked: {found.problem}")
        if found.remark:
            yield warning(place.file, place.where, found.remark)
