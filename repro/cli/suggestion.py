"""The last line of an answer: the command that is useful next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from repro.comparison.alternatives import TriedAlternative, trials_of
from repro.comparison.join import Comparison
from repro.comparison.verdict import Verdict
from repro.console import note
from repro.models import as_typed
from repro.models.typed import told, typed_name, typed_options
from repro.recipes import current_library, default_recipe
from repro.recipes.overrides import is_value
from repro.tables import Table, read_table, table_names


def suggest(command: str) -> None:
    """Print the next useful command on stderr, with the `--papers` of this one; nothing with `--quiet`."""
    papers = [as_typed({"papers": str(each)}) for each in current_library().named]
    note(f"next: {' '.join([command, *papers])}")


def with_places(command: str, **places: Path | None) -> str:
    """Return a command with the folders of this one, by option; None stands for the default."""
    given = {option: str(folder) for option, folder in places.items() if folder is not None}
    return f"{command} {as_typed(given)}".rstrip()


def after_count(model: str, options: Mapping[str, Any], dataset: str, *, resized: bool = False) -> str:
    """Return what to do with a model that was counted or timed: train it, if a paper trains it on the dataset.

    If it was counted with another size or number of classes than the dataset's, which `resized` says, it is counted
    with those of the dataset next.
    """
    if default_recipe(model, dataset, options) is None:
        return "repro list recipes"
    chosen = typed_options(model, told(model, options), is_value)
    words = [quote(typed_name(model)), chosen, as_typed({"dataset": dataset})]
    return f"repro {'count' if resized else 'train'} {' '.join(filter(None, words))}"


def after_run(model: str, options: Mapping[str, Any], recipe: str) -> str:
    """Return what to look at after a run: the first table with an error of the model and recipe, or all tables."""
    for table in tables_of(model, options, recipe):
        return f"repro table {table.name}"
    return "repro list runs"


def tables_of(model: str, options: Mapping[str, Any], recipe: str) -> Iterator[Table]:
    """Yield the tables with a printed error of a model, its options and a recipe."""
    wanted = model, dict(options), recipe
    for table in map(read_table, table_names()):
        rows = [row for row in table.rows if row.model == model]
        if any((each.row.model, each.options, each.recipe) == wanted for each in table.errors(rows)):
            yield table


def after_table(named: str, comparison: Comparison) -> str:
    """Return what to do with a table: train what is not measured, try alternatives of what differs, or draw the rest.

    Args:
        named: its name or its file, as the user gave it.
        comparison: the table with our figures.
    """
    name = comparison.table.name if comparison.table.name in table_names() else quote(named)
    verdicts = {cell.verdict for row in comparison.rows for cell in row.errors.values()}
    if Verdict.NOT_MEASURED in verdicts:
        return f"repro table {name} --run"
    if any(each.is_untried(comparison.deviating) for each in trials_of(comparison)):
        return f"repro table {name} --try"
    return f"repro figure curves {name}" if any(each.judged for each in verdicts) else "repro table"


def after_alternatives(named: str, comparison: Comparison, tried: Sequence[TriedAlternative]) -> str:
    """Return what to do after alternatives: see the reasons for those of the first error; without any, `after_table`.

    Args:
        named: the name of the table or its file, as the user gave it.
        comparison: the table with our figures.
        tried: what was tried.
    """
    return f"repro list recipes {quote(tried[0].trial.recipe.name)}" if tried else after_table(named, comparison)
