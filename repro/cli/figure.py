"""`repro figure`: a picture, and its numbers beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from repro.atomic import write_atomically
from repro.cli.table import choose
from repro.comparison.records import records_today
from repro.console import stderr, waiting
from repro.errors import UserError
from repro.figures import FORMATS, Curves, Figure, Gates, curves_of, draw, gates_of
from repro.models import MODELS
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.csv_rows import csv_of
from repro.store.results import gates_path, read_records, result_folders, write_gates
from repro.store.run_folders import run_named, run_names

if TYPE_CHECKING:
    from repro.training.checkpoint import Checkpoint


def curves(name: str, rows: str, with_train: bool, output: Path | None, results: Path) -> None:
    """Draw the training curves of a table's rows.

    Raises:
        UserError: no such table or row, no curve of them, or the file cannot be written.
    """
    table = choose(name, rows)
    output = _checked(output or Path(f"curves-{table.name}.png"), Curves.COLUMNS)
    places = result_folders(results)
    found = curves_of(table, records_today(places), places, with_train=with_train)
    if found is None:
        if not any(table.recipe(row, column) for row in table.rows for column in table.of_kind("error")):
            raise UserError(f"{table.name} has no recipe here that its runs could have followed: nothing can be drawn")
        raise UserError(
            f"no run of these rows has a curve in {_named(places)}; repro table {table.name} --run trains what is "
            "missing, and every training writes its curve"
        )
    _write(found, output)


def gates(what: str, output: Path | None, folders: Folders, runtime: Runtime) -> None:
    """Draw the mean gate weights of a run; where they are not kept yet, take them of its checkpoint and keep them.

    Raises:
        UserError: no such run, a run without gates, no weights of it, or the file cannot be written.
    """
    output = output and _checked(output, Gates.COLUMNS)  # refused before a checkpoint is read
    name, saved = _find(what, folders)
    output = output or _checked(Path(f"gates-{name}.png"), Gates.COLUMNS)
    paths = [gates_path(folder, name) for folder in result_folders(folders.results)]
    kept = max((gates_of(path) for path in paths if path.exists()), key=lambda each: each.step, default=None)
    if saved and (kept is None or kept.step < saved.step):
        from repro.evaluation.evaluate import mean_gates

        write_gates(mean_gates(saved, folders.data, runtime), paths[-1])
        kept = gates_of(paths[-1])
        _say(f"the mean gate weights are kept in {paths[-1]}")
    if kept is None:
        raise UserError(
            f"{name} was recorded without its mean gate weights, and {folders.runs} has no checkpoint of it; "
            "name the folder of its checkpoints with --runs, or train it again in another --results"
        )
    _write(kept, output)


def _find(what: str, folders: Folders) -> tuple[str, Checkpoint | None]:
    """Return the name of the run that is meant, and its newest checkpoint if it is there."""
    if Path(what).exists():
        from repro.evaluation.evaluate import load_run

        saved = load_run(what, folders.runs)
        _expect_gates(saved.experiment.name, saved.experiment.model)
        return saved.experiment.name, saved
    places = result_folders(folders.results)
    models = {record.name: record.model for record in read_records(places)}
    kept = [path.stem for folder in places for path in folder.glob("gates/*.csv")]
    known = dict.fromkeys([*run_names(folders.runs), *models, *kept])
    name = run_named(what, known, f"{folders.runs} or {_named(places)}")
    found = _newest(folders.runs / name)
    _expect_gates(name, found.experiment.model if found else models.get(name))
    return name, found


def _expect_gates(name: str, model: str | None) -> None:
    if model and not MODELS[model].gates:
        having = ", ".join(each for each, spec in MODELS.items() if spec.gates)
        raise UserError(f"{name} has no gates; networks that have: {having}")


def _newest(folder: Path) -> Checkpoint | None:
    if not folder.is_dir():
        return None
    from repro.training.checkpoint import load_newest

    return load_newest(folder)[0]


def _named(places: Iterable[Path]) -> str:
    return " or ".join(str(place) for place in places)


def _checked(output: Path, columns: Iterable[str]) -> Path:
    """Return where the picture goes, if it and its numbers can lie there.

    Raises:
        UserError: no such folder or format, or the numbers would take the place of something else.
    """
    if output.is_dir() or not output.parent.is_dir():
        raise UserError(f"{output} cannot be written: it is a folder, or its folder does not exist")
    if output.suffix.lower().removeprefix(".") not in FORMATS:
        endings = ", ".join(f".{each}" for each in FORMATS)
        raise UserError(f"{output}: its ending names no format of pictures ({endings})")
    numbers = output.with_suffix(".csv")
    if numbers.exists() and numbers.read_bytes().splitlines()[:1] != csv_of([], list(columns)).splitlines():
        raise UserError(f"the numbers would go to {numbers}, which holds something else; choose another --output")
    return output


def _write(figure: Figure, output: Path) -> None:
    numbers = output.with_suffix(".csv")
    with waiting("drawing"):
        picture = draw(figure, output.suffix.removeprefix("."))
    try:
        write_atomically(numbers, csv_of(figure.frame(), figure.COLUMNS))
        write_atomically(output, picture)
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror})") from error
    _say(f"drawn to {output}; its numbers are in {numbers}")


def _say(text: str) -> None:
    stderr().print(text, soft_wrap=True, markup=False)
