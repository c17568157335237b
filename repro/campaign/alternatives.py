"""The alternatives of inferred values, trained for the rows whose error differs."""

from __future__ import annotations

from repro.api.tables import compared
from repro.campaign.training import train_runs
from repro.comparison.alternatives import OF_LENGTH, differing_cells, trials_of, tried
from repro.comparison.corrections import records_today
from repro.comparison.join import Comparison
from repro.console import note
from repro.errors import OneRunFailed
from repro.paths import Folders
from repro.planning.needed import incomplete
from repro.recipes import RECIPES
from repro.report.alternatives import AlternativesReport
from repro.runtime import Runtime
from repro.store.results import result_folders
from repro.tables import RunsPerRow, Selection
from repro.text import number_of


def try_alternatives(
    selection: Selection, per_row: RunsPerRow, runtime: Runtime, folders: Folders
) -> tuple[AlternativesReport, list[OneRunFailed]]:
    """Train the alternatives of every row whose error differs, and return what they did, and which runs failed.

    Each run with an alternative is compared with a run of the recipe with the same seed and number of epochs, which is
    trained too if it has no complete record.

    Args:
        selection: a table and some of its rows; the others, and rows that do not differ, are left out.
        per_row: the runs of each alternative, as for `trials_of`.
        runtime: how the runs are trained.
        folders: of the runs.
    """
    (comparison,) = compared([selection], folders.results, folders.runs)
    trials = trials_of(comparison, per_row)
    _report_left_out(comparison, per_row.epochs)
    needed = (run for each in trials for run in (*each.with_recipe, *each.with_alternative))
    experiments = incomplete(needed, folders)
    runs = number_of(len(experiments), "run")
    note(f"{comparison.table.name}: {number_of(len(trials), 'alternative')}, {runs} to train")
    failures = train_runs(experiments, runtime, folders).failures
    (comparison,) = compared([selection], folders.results, folders.runs)
    records = {each.id: each for each in records_today(result_folders(folders.results), folders.runs)}
    return AlternativesReport(comparison, [tried(each, comparison, records) for each in trials]), failures


def _report_left_out(comparison: Comparison, epochs: int | None) -> None:
    """Say on stderr which rows and alternatives are left out."""
    found = [cell.printed for cell in differing_cells(comparison)]
    labels = {comparison.table.called(each.row) for each in found}
    others = {comparison.table.called(row.row): row.verdict for row in comparison.rows if row.errors}
    left_out = [f"{label} ({verdict})" for label, verdict in others.items() if label not in labels]
    if left_out:
        note(f"left out, since no difference was found: {', '.join(left_out)}")
    recipes = {each.recipe: RECIPES[each.recipe] for each in found if each.recipe}
    for name, each in recipes.items():
        if not each.alternatives:
            note(f"recipe {name} lists no alternatives; see repro list recipes {name}")
        elif epochs is not None and (tied := [*filter(OF_LENGTH.__contains__, each.alternatives)]):
            note(f"the alternatives of {', '.join(tied)} of recipe {name} are left out, since --epochs is given")
