"""`repro figure`: a picture, and its data in a CSV file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repro.api.records import run_curve
from repro.api.tables import compared
from repro.cli.options.runtime import runtime_options
from repro.cli.options.shared import (
    Data,
    Results,
    Rows,
    RunName,
    Runs,
    TableName,
    command_group,
    completing,
)
from repro.cli.other_versions import select_noting
from repro.cli.output import check_output, write_output
from repro.cli.suggestion import suggest, with_folders
from repro.comparison.corrections import records_today
from repro.console import note, waiting
from repro.errors import NoCurve, UserError
from repro.figures import (
    FORMATS,
    Curves,
    Figure,
    Forest,
    Gates,
    RunCurve,
    curves_of,
    curves_of_runs,
    draw,
    forest_of,
    gates_of,
)
from repro.models import MODELS, spec_of
from repro.paths import DEFAULT_RESULTS, Folders, FolderUse, checked_folders
from repro.planning.state import newest_checkpoint
from repro.recipes.library import naming_papers
from repro.runtime import Runtime
from repro.store.command_text import command_with
from repro.store.csv_rows import csv_of
from repro.store.gates import gates_path, write_gates
from repro.store.results import read_records, result_folders
from repro.store.run_folders import check_papers, run_names
from repro.store.run_names import run_named
from repro.tables import table_as_typed, table_names
from repro.text import canonical

if TYPE_CHECKING:
    from repro.training.checkpoints.checkpoint import Checkpoint

app = command_group("Draw the evidence on a table, training curves, or the gate weights of a DenseResNet.")
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="A .png, .svg or .pdf file; the data is written to a .csv file next to it (default: a .png in this "
        "folder, named after the figure).",
    ),
]
TableOrRuns = Annotated[
    list[str],
    typer.Argument(
        metavar="TABLE|RUN",
        help="Table, such as cifar100, or runs (name or ID, or a prefix of either); see repro list runs.",
        autocompletion=completing(table_names),
    ),
]
WithTrain = Annotated[bool, typer.Option("--train", help="Also draw the training error (dashed).")]


@app.command("curves")
def curves(
    names: TableOrRuns,
    rows: Rows = "*",
    train: WithTrain = False,
    output: Output = None,
    data: Data = None,
    results: Results = DEFAULT_RESULTS,
    runs: Runs = None,
) -> None:
    """Draw the test error after every epoch, for the rows of a table or for runs, finished or not."""
    if tables := [each for each in names if _is_table(each)]:
        if len(names) > 1 or runs:
            other = "other names" if len(names) > 1 else "--runs"
            raise UserError(f"{tables[0]} is a table, which is drawn alone; leave out {other}")
        _draw_table(tables[0], rows, train, output, results)
        return
    if rows != "*":
        raise UserError(f"--rows requires a table, and {names[0]} is not one; leave out --rows")
    folders = checked_folders(runs=runs, results=results)
    found = list({each.name: each for each in _curves_of(names, folders)}.values())
    name = found[0].name if len(found) == 1 else "runs"
    _write(curves_of_runs(found, with_train=train), _checked(output or Path(f"curves-{name}.png"), Curves.COLUMNS))
    suggest(with_folders("repro list runs", folders, "runs"))


def _curves_of(names: Iterable[str], folders: Folders) -> list[RunCurve]:
    """Return the curves of runs; those without one are left out, which a line says, unless all are."""
    found, left_out = list[RunCurve](), list[NoCurve]()
    sources = result_folders(folders.results)
    for each in names:
        try:
            found.append(run_curve(each, sources, folders.runs, table_names()))
        except NoCurve as error:
            left_out.append(error)
    if not found:
        raise left_out[0]
    for reason in left_out:
        note(f"left out: {reason}")
    return found


def _is_table(name: str) -> bool:
    return Path(name).suffix == ".toml" or canonical(name) in map(canonical, table_names())


def _draw_table(name: str, rows: str, train: bool, output: Path | None, results: Path) -> None:
    """Draw the curves of the rows of a table."""
    selection = select_noting(name, rows, results)
    table = selection.table
    output = _checked(output or Path(f"curves-{table.name}.png"), Curves.COLUMNS)
    folders = checked_folders(results=results, use=FolderUse.SHOW_RESULTS)
    sources, shown = result_folders(folders.results), f"repro table {table_as_typed(table)}"
    found = curves_of(table, records_today(sources), sources, errors=selection.errors, with_train=train)
    if found is None:
        if not any(each.recipe for each in selection.errors):
            raise UserError(f"no recipe is implemented for the rows of {table.name}, so there is nothing to draw")
        training = command_with(f"{shown} --run", {"rows": rows, "results": results})
        raise UserError(
            f"no run of these rows has a curve in {' or '.join(map(str, sources))}; "
            f"{naming_papers(training)} trains what is missing, and every run writes its curve"
        )
    _write(found, output)
    suggest(with_folders(shown, folders, "data", "results"))


@app.command("forest")
def forest(
    name: TableName, rows: Rows = "*", output: Output = None, data: Data = None, results: Results = DEFAULT_RESULTS
) -> None:
    """Draw each printed error of a table beside what others report and our runs."""
    chosen = select_noting(name, rows, results)
    output = _checked(output or Path(f"forest-{chosen.table.name}.png"), Forest.COLUMNS)
    folders = checked_folders(results=results, use=FolderUse.SHOW_RESULTS)
    (comparison,) = compared([chosen], folders.results)
    found, shown = forest_of(comparison), f"repro table {table_as_typed(chosen.table)}"
    if found is None:
        raise UserError(f"no printed error of these rows can be compared; {naming_papers(shown)} says why")
    _write(found, output)
    suggest(with_folders(shown, folders, "data", "results"))


@app.command("gates")
@runtime_options("device", "threads", "workers")
def gates(
    switches: dict[str, Any],
    run: RunName,
    output: Output = None,
    data: Data = None,
    results: Results = DEFAULT_RESULTS,
    runs: Runs = None,
) -> None:
    """Draw the mean gate weights of a DenseResNet, from a finished or a stopped run."""
    folders = checked_folders(data, runs, results)
    output = output and _checked(output, Gates.COLUMNS)  # a wrong path is refused before a checkpoint is read
    name, saved = _find(run, folders)
    output, runtime = output or _checked(Path(f"gates-{name}.png"), Gates.COLUMNS), Runtime(**switches)
    found = _of_checkpoint(saved, folders, runtime) if saved and Path(run).is_file() else None
    _write(found or _newest_gates(name, saved, folders, runtime), output)


def _of_checkpoint(saved: Checkpoint, folders: Folders, runtime: Runtime) -> Gates:
    """Return the mean gate weights of a checkpoint."""
    from repro.evaluation.evaluate import mean_gates

    return Gates(tuple(mean_gates(saved, folders.data, runtime)))


def _newest_gates(name: str, saved: Checkpoint | None, folders: Folders, runtime: Runtime) -> Gates:
    """Return the mean gate weights of a run; if its checkpoint is newer than the recorded ones, record them first.

    Raises:
        UserError: there are neither recorded weights nor a checkpoint.
    """
    paths = [gates_path(source, name) for source in result_folders(folders.results)]
    known = max((gates_of(path) for path in paths if path.exists()), key=lambda each: each.step, default=None)
    if saved and (known is None or known.step < saved.step):
        known = _of_checkpoint(saved, folders, runtime)
        write_gates(known.rows, paths[-1])
        note(f"recorded the mean gate weights in {paths[-1]}")
    if known is None:
        raise UserError(
            f"{name} has no recorded mean gate weights and no checkpoint in {folders.runs}; "
            "set the folder of its checkpoints with --runs, or train it again with another --results"
        )
    return known


def _find(what: str, folders: Folders) -> tuple[str, Checkpoint | None]:
    """Return the name of a run, and its newest checkpoint if there is one."""
    if Path(what).exists():
        from repro.evaluation.evaluate import load_run

        saved = load_run(what, folders.runs)
        _expect_gates(saved.experiment.name, saved.experiment.model)
        return saved.experiment.name, saved
    sources = result_folders(folders.results)
    models = {record.name: record.model for record in read_records(sources)}
    recorded = [path.stem for source in sources for path in source.glob("gates/*.csv")]
    known = dict.fromkeys([*run_names(folders.runs), *models, *recorded])
    name = run_named(what, known, [folders.runs, *reversed(sources)], other="a checkpoint file")
    check_papers(folders.runs / name)
    found = newest_checkpoint(folders.runs / name)
    _expect_gates(name, found.experiment.model if found else models.get(name))
    return name, found


def _expect_gates(name: str, model: str | None) -> None:
    if model and not spec_of(model).gates:
        with_gates = ", ".join(each for each, spec in MODELS.items() if spec.gates)
        raise UserError(f"{name} has no gates; models with gates: {with_gates}")


def _checked(output: Path, columns: Iterable[str]) -> Path:
    """Return the path of the picture, if it and its data can be written.

    Raises:
        UserError: the folder does not exist, the format is unknown, or the data would overwrite another file.
    """
    check_output(output, [f".{each}" for each in FORMATS])
    numbers = output.with_suffix(".csv")
    if numbers.exists() and numbers.read_bytes().splitlines()[:1] != csv_of([], list(columns)).splitlines():
        raise UserError(f"the data would overwrite {numbers}, which is another file; choose another --output")
    return output


def _write(figure: Figure, output: Path) -> None:
    numbers = output.with_suffix(".csv")
    with waiting("drawing"):
        picture = draw(figure, output.suffix.removeprefix("."))
    write_output(csv_of(figure.lines(), figure.COLUMNS), numbers)
    write_output(picture, output)
    note(f"wrote {output} and its data, {numbers}")
