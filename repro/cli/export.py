"""`repro export`: the weights of a run as safetensors, with a model card."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from repro.api.selection import select_asked
from repro.api.tables import compared
from repro.atomic import write_atomically
from repro.cli.options.shared import Results, RunName, Runs, completing
from repro.cli.output import check_output
from repro.cli.suggestion import after_run, suggest, with_folders
from repro.comparison.corrections import as_of_today
from repro.console import loading, note
from repro.errors import PackageMissing, UserError
from repro.evaluation.checkpoint_place import place_of_checkpoint, with_runs_of
from repro.evaluation.layouts import OWN, layout_named, layouts
from repro.experiment import Experiment, classifies
from repro.models.typed import typed_name
from repro.paths import DEFAULT_RESULTS, Folders, checked_folders
from repro.report.model_card import CardFacts, model_card
from repro.store.results import Record, records_in, result_folders
from repro.tables.lookup import tables_with

if TYPE_CHECKING:
    from repro.training.checkpoints.checkpoint import Checkpoint

SUFFIX = ".safetensors"
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="A .safetensors file (default: named after the run); the model card is written to a .md file next to it.",
    ),
]

Names = Annotated[
    str,
    typer.Option(
        "--names",
        metavar="NAME",
        help="Naming scheme of the tensors: repro, torchvision, timm, or that of a repository, such as akamaster.",
        autocompletion=completing(layouts),
    ),
]


def export(
    run: RunName, output: Output = None, names: Names = OWN, results: Results = DEFAULT_RESULTS, runs: Runs = None
) -> None:
    """Export the weights of a run as safetensors, with a model card."""
    if find_spec("safetensors") is None:
        raise PackageMissing("safetensors", "exporting weights")
    folders = checked_folders(runs=runs, results=results)
    if output:
        check_output(output, [SUFFIX])  # before anything is read
    place_of_checkpoint(run, folders.runs, result_folders(results))  # a wrong name is refused at once
    folders = with_runs_of(run, folders)
    with loading():
        from repro.evaluation.evaluate import load_run
        from repro.evaluation.export import write_weights

    saved = load_run(run, folders.runs)
    output = output or Path(f"{saved.experiment.name}{SUFFIX}")
    card = output.with_suffix(".md")
    if card.exists() and not output.exists():
        raise UserError(f"the model card would overwrite {card}, which is another file; choose another --output")
    experiment = saved.experiment
    layout, _ = layout_named(names, experiment.model, experiment.options)
    facts = _facts(saved, layout.source, folders)
    if facts.finished and not facts.record:
        note(f"{experiment.name} has no record in {results}, so its card has no verdict on it; see --results")
    write_weights(saved, output, names=layout.name)
    write_atomically(card, model_card(facts, output).encode())
    note(f"wrote {output} and its model card, {card}")
    if facts.changed:
        note(facts.changed)
        suggest(after_run(experiment.model, experiment.options, experiment.recipe.name, folders))
    elif classifies(experiment.dataset):  # others are tested as runs only
        suggest(f"repro eval {quote(typed_name(experiment.model))} --weights {quote(str(output))}")
    else:
        suggest(with_folders(f"repro eval {quote(experiment.name)}", folders, "runs"))


def _facts(saved: Checkpoint, names: str, folders: Folders) -> CardFacts:
    """Return the contents of the model card, with the verdict that the first table with the experiment shows."""
    from repro.evaluation.normalisation import normalisation_of

    experiment = saved.experiment
    tables = tables_with(experiment.model, experiment.options, experiment.recipe.name)
    shown = (select_asked(each, experiment.model) for each in tables)  # the code of no other network runs
    comparison = next(
        (compared([selection], folders.results, folders.runs, named=False)[0] for selection in shown), None
    )
    record = _record(experiment, saved.started, folders)
    return CardFacts(
        experiment=experiment,
        epochs=len(saved.history),
        steps=saved.step,
        finished=saved.finished,
        error=saved.error,
        record=record,
        comparison=comparison,
        names=names,
        normalisation=normalisation_of(saved),
    )


def _record(experiment: Experiment, started: str, folders: Folders) -> Record | None:
    """Return the record of exactly this run, with its deviations from today's recipe; None if it is not finished."""
    made = records_in(result_folders(folders.results))
    found = next((each for each in made if (each.id, each.started) == (experiment.id, started)), None)
    return found and as_of_today(found, folders.runs)
