"""The last line of an answer: the command that is useful next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from repro.api.run_lines import RunLine
from repro.comparison.alternatives import trials_of
from repro.comparison.join import Comparison
from repro.comparison.verdict import Verdict
from repro.console import note
from repro.errors import UserError
from repro.models import as_typed
from repro.models.typed import stated_options, typed_name, typed_options
from repro.paths import Folders
from repro.recipes import RECIPES, default_recipe
from repro.recipes.library import naming_papers
from repro.recipes.overrides import is_value
from repro.store.command_text import command_with
from repro.store.run_folders import run_at
from repro.store.run_state import RunState
from repro.tables import Table, table_as_typed
from repro.tables.lookup import errors_of, tables_with
from repro.tables.names import recipe_called

if TYPE_CHECKING:
    from repro.planning.plan import Plan


def suggest(command: str) -> None:
    """Print the next useful command on stderr, with the `--papers` of this one; nothing with `--quiet`."""
    note(f"next: {naming_papers(command)}")


def with_folders(command: str, folders: Folders, *names: str) -> str:
    """Return a command with those of this one's folders that are not the default.

    Args:
        command: the command.
        folders: those of this command.
        names: which of them the command takes, of `data`, `runs` and `results`.
    """
    return command_with(command, {each: vars(folders)[each] for each in names})


def after_count(typed: str, model: str, options: Mapping[str, Any], dataset: str, *, resized: bool = False) -> str:
    """Return what to do with a model that was counted: train it, if a paper trains it on the dataset.

    Args:
        typed: the model as the user typed it, which may be the label of a row.
        model: its name.
        options: all its options.
        dataset: its dataset.
        resized: whether it was counted with another size or number of classes than the dataset's, so that it is counted
            with those of the dataset next.
    """
    usual, found = default_recipe(model, dataset, options), _recipes_of_tables(typed, model, options, dataset)
    followed = usual if usual in found or not found else found[0]
    if followed is None or not dataset:
        return "repro list recipes"
    network = network_as_typed(model, options, dataset)
    if resized:
        return f"repro count {network}"
    return f"repro train {network}" if followed == usual else f"repro train {network} {as_typed({'recipe': followed})}"


def _recipes_of_tables(typed: str, model: str, options: Mapping[str, Any], dataset: str) -> list[str]:
    """Return the recipe of a counted row, else those of the rows with its network."""
    with suppress(UserError):  # a row with several recipes
        if named := recipe_called(typed, dataset or None):
            return [named]
    of_rows = (each for each in errors_of(model) if each.dataset == dataset and each.options == dict(options))
    return [each.recipe for each in of_rows if each.recipe]


def network_as_typed(model: str, options: Mapping[str, Any], dataset: str) -> str:
    """Return a network with its options and a dataset, as typed after a command."""
    words = [quote(typed_name(model)), typed_options(model, stated_options(model, options), is_value)]
    return " ".join(filter(None, [*words, as_typed({"dataset": dataset})]))


def after_run(model: str, options: Mapping[str, Any], recipe: str, folders: Folders) -> str:
    """Return what to look at after a run: the first table with an error of the model and recipe, or all runs."""
    for table in tables_with(model, options, recipe):
        return with_folders(f"repro table {quote(table.name)}", folders, "data", "results")
    return with_folders("repro list runs", folders, "runs")


def after_runs(lines: Sequence[RunLine], folders: Folders) -> str:
    """Return what to do with runs: resume the first that was stopped, test one that is finished, or watch one.

    A run whose network has changed is not tested, since its weights fit no network that is there, and neither is one of
    a paper that is not named.

    Args:
        lines: of `repro.api.run_lines`.
        folders: those of this command.
    """
    if resumed := next((line.command for line in lines if line.command), None):
        return resumed
    finished = [line for line in lines if line.state == RunState.DONE and line.recipe in RECIPES]
    if done := next((line.name for line in finished if not line.reason), None):
        return with_folders(f"repro eval {quote(done)}", _with_data_of(done, folders), "data", "runs")
    lives = any(line.state in (RunState.RUNNING, RunState.QUEUED) for line in lines)
    return with_folders("repro list runs --watch", folders, "runs") if lives else "repro list recipes"


def _with_data_of(run: str, folders: Folders) -> Folders:
    """Return the folders, with that of the datasets that a run was trained on if its description names it."""
    description = run_at(folders.runs / run).description
    return replace(folders, data=Path(description.data)) if description and description.data else folders


def after_table(comparison: Comparison, given: Mapping[str, Any], *, trained: bool = True) -> str:
    """Return what to do with a table: train what is not measured, try alternatives, plan more seeds, or draw the rest.

    Args:
        comparison: the table with our figures.
        given: the options of this command on rows, folders and training, by name.
        trained: whether this command trained all that it was asked to train; other processes may train some of it.
    """
    name = table_as_typed(comparison.table)
    of_all = {each: given.get(each) for each in ("rows", "data", "results", "runs")}
    verdicts = {cell.verdict for row in comparison.rows for cell in row.errors.values()}
    if Verdict.NOT_MEASURED in verdicts or not trained:
        return command_with(f"repro table {name} --run", of_all if trained else given)
    if any(each.is_untried(comparison.deviating) for each in trials_of(comparison)):
        return command_with(f"repro table {name} --try", of_all)
    if verdicts & {Verdict.TOO_FEW, Verdict.OTHER_PROTOCOL}:  # the plan says how many seeds would decide
        return command_with(f"repro table {name} --run --dry-run", of_all)
    if any(each.judged for each in verdicts):
        return command_with(f"repro figure curves {name}", {each: of_all[each] for each in ("rows", "data", "results")})
    return command_with("repro table", {each: of_all[each] for each in ("data", "results")})


def after_plan(made: Plan, given: Mapping[str, Any], named: Table | None) -> str:
    """Return the command that trains the table with the least time left.

    If nothing is to train, it watches what is queued or running, or it trains the seeds that would decide the row that
    needs the fewest more, unless the user gave a number of seeds or epochs; else it draws a table or shows all.

    Args:
        made: the plan.
        given: the options that were given, by name; those that are None or a default are left out.
        named: the table that the user named; None for all tables.
    """
    left = dict[str, float]()
    for row in made.rows:
        if row.to_train.runs:
            name = table_as_typed(row.table)
            left[name] = left.get(name, 0.0) + row.to_train.seconds
    if left:
        return command_with(f"repro table {min(left, key=lambda each: left[each])} --run", given)
    if made.states[RunState.QUEUED] or made.states[RunState.RUNNING]:
        return command_with("repro list runs --watch", {"runs": given.get("runs")})
    undecided = [row for row in made.rows if row.more_seeds]
    if undecided and not (given.get("seeds") or given.get("epochs")):
        row = min(undecided, key=lambda each: each.more_seeds)
        more = {**given, "rows": row.table.called(row.error.row), "seeds": row.seeds}
        return command_with(f"repro table {table_as_typed(row.table)} --run", more)
    results: Path = given["results"]
    shown = {"data": given.get("data"), "results": results if results.is_dir() else None}
    if named and any(row.measured for row in made.rows):
        return command_with(f"repro figure curves {table_as_typed(named)}", {"rows": given.get("rows"), **shown})
    return command_with(f"repro table {table_as_typed(named)}" if named else "repro table", shown)
