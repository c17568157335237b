"""A note on the finished runs of networks from outside the package whose code has changed since."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from repro.console import note
from repro.models import is_outside
from repro.models.outside.location import bare, outside
from repro.store.results import read_records, result_folders
from repro.text import number_of


def note_other_versions(trained: Iterable[tuple[str, str]], results: Path) -> None:
    """Note how many finished runs of some networks are of another version of their code, if there are any.

    Args:
        trained: the names of networks, each with the recipe that it is trained with.
        results: the folder of the user's records.
    """
    wanted = {(bare(model), recipe): model for model, recipe in trained if is_outside(model)}
    if not wanted:
        return
    own = [each for each in read_records(result_folders(results)) if is_outside(each.model)]
    others = [each for each in own if wanted.get((bare(each.model), each.recipe), each.model) != each.model]
    if not others:
        return
    networks = {wanted[bare(each.model), each.recipe] for each in others}
    files = all(outside(each).file for each in networks)
    remedy = "restore the file, or keep each network in a file of its own" if files else "restore that version"
    note(
        f"{number_of(len(others), 'finished run')} of {', '.join(sorted(map(bare, networks)))} used another version of "
        f"the {'file' if files else 'code'}, which tables do not count; {remedy}"
    )
