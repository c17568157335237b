"""Findings in recipes: values without effect, sources without a place or a reason, recipes that nothing uses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from repro.data import DATASETS
from repro.data.suitable import check_recipes, trained_on
from repro.errors import Mistake, UserError, collecting
from repro.recipes import Recipe, SourceKind
from repro.recipes.effects import without_effect
from repro.recipes.library import network_folders
from repro.validation.findings import Finding, errors, warning


def recipe_findings(recipes: Iterable[Recipe], used: Collection[str] | None) -> Iterator[Finding]:
    """Yield the findings in recipes.

    Args:
        recipes: those that are checked; they can be read.
        used: the names of the recipes that a table uses or that others extend; None if not known, since not all
            tables were read.
    """
    for each in recipes:
        mistakes = list[Mistake]()
        with collecting(mistakes):
            check_recipes([each])
            _check_values(each)
        yield from errors(mistakes)
        for name, need in without_effect(each):
            yield warning(*each.place, f"{name} has no effect without {need.text}; remove {name}, or add what it needs")
        reasons = (*_too_large(each), *_unsaid(each), *_no_defaults(each))
        yield from (warning(*each.place, reason) for reason in reasons)
        if used is not None and each.name not in used and not each.default_for:
            reason = "no table uses it, no recipe extends it, and it is not a default; name it in a table, or remove it"
            yield warning(*each.place, reason)


def _check_values(recipe: Recipe) -> None:
    """Refuse values that the training of the dataset lacks or ignores."""
    from repro.data.inputs.normalise import with_declared
    from repro.training.tasks.task import check_task_values

    try:
        check_task_values(with_declared(recipe), DATASETS[recipe.dataset].kind)
    except UserError as error:
        raise recipe.place.refused(str(error)) from None


def _too_large(recipe: Recipe) -> Iterator[str]:
    """Yield which values are larger than the training, or than its dataset where that can be read."""
    with suppress(KeyError):
        if 0 < (images := trained_on(recipe)) < recipe.batch:
            number = f"{images:,} training images of {recipe.dataset}"
            yield f"batch ({recipe.batch:,}) is larger than the {number}; lower batch"
    if recipe.warmup_epochs >= recipe.epochs:
        yield (
            f"warmup_epochs is {recipe.warmup_epochs}, and epochs {recipe.epochs}, so the learning rate never "
            "reaches lr; lower warmup_epochs"
        )


def _unsaid(recipe: Recipe) -> Iterator[str]:
    """Yield which of the stated values have no reason, or no place, by the kind of their source."""
    missing = defaultdict[SourceKind, list[str]](list)
    for name in recipe.sources:
        for source in recipe.sources[name]:
            said = source.place or (source.kind is SourceKind.INFERRED and source.note)
            if name in recipe.stated and not said and name not in missing[source.kind]:
                missing[source.kind].append(name)
    for kind, names in missing.items():
        right = 'give the reason: note = "..."' if kind is SourceKind.INFERRED else 'say where: place = "section ..."'
        yield f"{', '.join(names)}: {kind.label}; {right}"


def _no_defaults(recipe: Recipe) -> Iterator[str]:
    """Yield which networks in files that a recipe is the default for are in no paper; their code is not run."""
    for name in recipe.default_for:
        where, _, factory = name.rpartition(":")
        if not where.endswith(".py"):
            continue
        files = [file for folder in network_folders() for file in _named(where, folder)]
        texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
        if not any(re.search(rf"\b{re.escape(factory)}\b", text) for text in texts):
            lacking = f"{files[0]} has no {factory}" if files else f"no paper has a file {where}"
            yield f"default_for: {name} is not a network: {lacking}; correct the name, or leave it out"


def _named(name: str, folder: Path) -> Iterator[Path]:
    """Yield the files of a name in the folder of a paper, or directly in the working folder."""
    return (each for each in (folder.glob if folder == Path() else folder.rglob)(name) if each.is_file())
