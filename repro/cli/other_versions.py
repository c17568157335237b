"""A note on the finished runs of networks from outside the package whose code has changed since."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from repro.api.selection import select
from repro.console import note
from repro.models import is_outside
from repro.models.outside.location import Outside, bare, outside, sha256
from repro.recipes.library import network_folders
from repro.store.results import Record, read_records, result_folders
from repro.tables import Selection
from repro.text import number_of


def select_noting(name: str, rows: str, results: Path) -> Selection:
    """Return a table and the rows that match, and note their finished runs of other versions of own code."""
    selection = select(name, rows)
    errors = [(each.row.model, each.recipe) for each in selection.errors]
    note_other_versions([(model, recipe) for model, recipe in errors if model and recipe], results)
    return selection


def note_other_versions(trained: Iterable[tuple[str, str]], results: Path) -> None:
    """Note how many finished runs of some networks are of another version of their code, if there are any.

    Those that were trained again with the present version are left out.

    Args:
        trained: the names of networks, each with the recipe that it is trained with.
        results: the folder of the user's records.
    """
    wanted = dict[tuple[str, str], set[str]]()
    for model, recipe in trained:
        if is_outside(model):
            wanted.setdefault((bare(model), recipe), set()).add(model)
    if not wanted:
        return
    own = [each for each in read_records(result_folders(results)) if (bare(each.model), each.recipe) in wanted]
    repeated = [_apart_from_version(each) for each in own if each.model in wanted[bare(each.model), each.recipe]]
    others = [each for each in own if _apart_from_version(each) not in repeated and not _is_found(each.model)]
    if not others:
        return
    networks = {name for each in others for name in wanted[bare(each.model), each.recipe]}
    files = all(outside(each).file for each in networks)
    remedy = "restore the file, or keep each network in a file of its own" if files else "restore that version"
    note(
        f"{number_of(len(others), 'finished run')} of {', '.join(sorted(map(bare, networks)))} used another version of "
        f"the {'file' if files else 'code'}, which tables do not count; {remedy}"
    )


def _apart_from_version(record: Record) -> tuple[Any, ...]:
    """Return what was trained, whatever the version of the network."""
    return bare(record.model), record.options, record.recipe, record.deviations, record.seed


def _is_found(name: str) -> bool:
    """Whether a file that is found has this version of a network: another paper may have one of the same name."""
    file, _, factory = bare(name).rpartition(":")
    places = (folder / file for folder in network_folders())
    return any(each.is_file() and Outside(f"{each}:{factory}", sha256(each)).name == name for each in places)
