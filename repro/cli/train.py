"""`repro train`: one run, or one run for each seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from repro.campaign.training import train_all
from repro.cli.networks import chosen_experiment
from repro.cli.options.runtime import runtime_of, runtime_options
from repro.cli.options.shared import (
    AnswerFormat,
    Data,
    DatasetName,
    Epochs,
    Format,
    Model,
    Overrides,
    RecipeName,
    Results,
    Runs,
    Seed,
    Seeds,
    model_options,
)
from repro.cli.other_versions import note_other_versions
from repro.cli.suggestion import after_run, suggest
from repro.console import note, print_json, print_line
from repro.errors import UserError
from repro.experiment import Experiment, check_network
from repro.models.typed import typed_name
from repro.paths import DEFAULT_RESULTS, Folders, FolderUse, checked_folders
from repro.store.results import RUNS, Record, ap_of, error_text
from repro.store.run_folders import of_other_lengths
from repro.tables import shares_text
from repro.text import number_of


@model_options
@runtime_options()
def train(
    model: Model,
    options: dict[str, Any],
    switches: dict[str, Any],
    dataset: DatasetName = None,
    recipe: RecipeName = None,
    epochs: Epochs = None,
    overrides: Overrides = None,
    seed: Seed = None,
    seeds: Seeds = None,
    data: Data = None,
    results: Results = DEFAULT_RESULTS,
    runs: Runs = None,
    format: Format = AnswerFormat.RICH,
) -> None:
    """Train a model with the recipe of its paper; the same command resumes a stopped run."""
    chosen = chosen_experiment(model, options, overrides or (), dataset=dataset, recipe=recipe, epochs=epochs)
    experiments = [replace(chosen, seed=each) for each in _seeds(seed, seeds)]
    runtime = runtime_of(switches)
    if runtime.shares and len(experiments) == 1:
        raise UserError(f"--together {runtime.together} trains several seeds at once; set their number with --seeds")
    folders = checked_folders(data, runs, results, FolderUse.WRITE_RUNS)
    _note_other_lengths(experiments, folders.runs)
    note_other_versions([(chosen.model, chosen.recipe.name)], folders.results)
    check_network(chosen)
    records = train_all(experiments, runtime, folders)
    if format == AnswerFormat.JSON:
        answers = [asdict(record) for record in records]
        print_json(answers[0] if len(answers) == 1 else {"records": answers})
        return
    for record in records:
        print_line(_summary(record))
    if len(records) > 1:
        print_line(_spread(records))
    note(_saved(records, folders))
    if runtime.log:
        from repro.training.progress.tensorboard import viewer

        note(f"curves: {viewer(folders.runs)}")
    suggest(after_run(records[0].model, records[0].options, records[0].recipe, folders))


def _seeds(seed: int | None, seeds: int | None) -> Sequence[int]:
    """Return the seeds to train."""
    if seeds and seed is not None:
        raise UserError("--seed and --seeds exclude each other: train one seed, or the seeds 0 to N - 1")
    return range(seeds) if seeds else [seed or 0]


def _note_other_lengths(experiments: Sequence[Experiment], runs: Path) -> None:
    """Note runs with another number of epochs, which a new run does not continue, and the commands to resume them."""
    for experiment in (each for each in experiments if not (runs / each.name).exists()):
        epochs = number_of(experiment.recipe.all_epochs, "epoch")
        reason = "" if experiment.recipe.schedule == "plateau" else ", whose learning rates differ"
        for run in of_other_lengths(experiment, runs):
            other = f"{run.folder.name} of {number_of(run.epochs or 0, 'epoch')} ({run.state})"
            resumed = f"; to resume that one: {run.command}" if run.command else ""
            note(f"a new run of {epochs}, from epoch 1: it does not continue {other}{reason}{resumed}")


def _summary(record: Record) -> str:
    """Return a record as one line."""
    deviation = f"; deviates from the recipe: {', '.join(record.deviations)}" if record.deviations else ""
    measured = ", ".join(filter(None, (error_text(record.error, record.ap is not None), shares_text(vars(record)))))
    return (
        f"{record.name}: {measured} after epoch "
        f"{record.reported_epoch or record.epochs} "
        f"({record.recipe}, seed {record.seed}, {record.precision}, {record.seconds:.0f} s){deviation}"
    )


def _spread(records: Sequence[Record]) -> str:
    """Return the mean of what several seeds reached, and their standard deviation."""
    detection = records[0].ap is not None
    values = [ap_of(each.error) if detection else each.error for each in records]
    return (
        f"{typed_name(records[0].model)}, {len(records)} seeds: {'test AP' if detection else 'test error'} "
        f"{mean(values):.2f} ± {stdev(values):.2f} % (mean ± standard deviation)"
    )


def _saved(records: Sequence[Record], folders: Folders) -> str:
    """Return where the records, curves and checkpoints of runs are."""
    s = "s" if len(records) > 1 else ""
    folder = folders.runs if s else folders.runs / records[0].name
    curves = folders.results / "curves"
    return f"saved: record{s} in {folders.results / RUNS}, curve{s} in {curves}, checkpoint{s} in {folder}"
