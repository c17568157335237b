"""Writing the record of a finished run, and finding the record of an experiment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from repro.data.inputs.protocol import Protocol
from repro.errors import RunFailed, UserError, os_error_text
from repro.experiment import Experiment
from repro.models.outside.location import version_of
from repro.paths import Folders
from repro.recipes import Recipe, deviations
from repro.runtime import Runtime
from repro.store.curves import new_curve_path, same_figure, write_curve
from repro.store.protocol_tests import is_tested, plain
from repro.store.results import RUNS, EpochRow, ProtocolTest, Record, every_record, put_record, with_further_tests
from repro.store.writing import locked_results
from repro.training.checkpoints.checkpoint import Checkpoint, load_newest
from repro.training.engine.engine import Engine
from repro.training.machine import processes


def check_runtime(saved: Checkpoint | None, runtime: Runtime) -> None:
    """Refuse to resume with another precision or number of processes: a record has only one of each."""
    if saved and saved.runtime.precision != runtime.precision:
        precision = saved.runtime.precision
        raise UserError(
            f"{saved.experiment.name} was started in {precision}; resume with --precision {precision}, "
            "or use another --runs folder"
        )
    if saved and saved.runtime.processes != runtime.processes:
        started = f"{saved.experiment.name} was started with {saved.runtime.processes} processes"
        raise UserError(
            f"{started}, each of which normalises its share of a batch; resume with as many, not {runtime.processes}"
        )


def recorded(
    experiment: Experiment, runtime: Runtime, folders: Folders, protocols: Iterable[Protocol]
) -> Record | None:
    """Return the record of a finished run; None if the run is not finished, or its record or a test by one of the
    protocols is missing.
    """
    folder = folders.runs / experiment.name
    saved = load_newest(folder)[0] if folder.is_dir() else None
    check_runtime(saved, runtime)
    if saved is None or not saved.finished:
        return None
    own = own_record(experiment.id, saved.started, folders.results)
    return own if own and is_tested(own, protocols) else None


def own_record(id: str, started: str, results: Path) -> Record | None:
    """Return the record of the run of an experiment that started at a time, or None.

    Another run of the same experiment, for example from another folder, has its own.
    """
    return next((each for each in every_record(results) if (each.id, each.started) == (id, started)), None)


def write_record(engine: Engine, number: int, tests: Sequence[ProtocolTest], results: Path) -> Record:
    """Write the record of run `number`, with its tests by other protocols than one crop, into `results`; return it.

    Raises:
        RunFailed: the run was not tested after its last step, so there is no error of its final weights; or the record
            could not be written.
    """
    experiment, rows, run = engine.experiments[number], engine.epoch_rows[number], engine.run_histories[number]
    if not engine.finished or rows[-1].step != engine.step:
        raise RunFailed(f"{experiment.name} was not tested after its last step, so it is not recorded; train it again")
    last, reported = rows[-1], reported_row(experiment.recipe, rows)
    made = Record(
        id=experiment.id,
        name=experiment.name,
        model=experiment.model,
        options=dict(experiment.options),
        dataset=experiment.dataset,
        recipe=experiment.recipe.name,
        deviations=deviations(experiment.recipe),
        seed=experiment.seed,
        epochs=last.epoch,
        steps=last.step,
        error=reported.test_error,
        error5=reported.test_error5,
        reported_epoch=reported.epoch,
        iou=reported.iou,
        isbi_pixel=reported.isbi_pixel,
        isbi_rand=reported.isbi_rand,
        ap=reported.ap,
        ap50=reported.ap50,
        loss=reported.finite_test_loss,
        train_loss=reported.train_loss,
        precision=engine.runtime.precision,
        runtime=run.recorded_runtime.values(),
        **run.machine,
        started=run.started,
        seconds=round(run.seconds, 3),
        sessions=run.sessions,
        data=engine.task.fingerprint,
        peak_bytes=run.peak_bytes(engine.peak_bytes),
        network=version_of(experiment.model),
        tests=plain(tests),
    )
    made = _with_earlier_tests(made, results)
    if processes.rank() == 0:
        _write(made, rows, results)
    return made


def _with_earlier_tests(made: Record, results: Path) -> Record:
    """Return a record with the tests of the run's earlier record, if equal figures show that the weights are equal."""
    earlier = own_record(made.id, made.started, results)
    if earlier and all(same_figure(getattr(earlier, each), getattr(made, each)) for each in ("error", "train_loss")):
        return with_further_tests(made, earlier.tests)
    return made


def _write(record: Record, rows: Sequence[EpochRow], results: Path) -> None:
    try:
        with locked_results(results / RUNS):  # another run of the experiment may end at the same time
            write_curve(rows, new_curve_path(results, record))
            put_record(record, results)
    except OSError as error:
        raise RunFailed(
            f"the record of {record.name} could not be written ({os_error_text(error)}); the run is trained and its "
            "checkpoint is kept: the same command writes the record"
        ) from error


def reported_row(recipe: Recipe, rows: Sequence[EpochRow]) -> EpochRow:
    """Return the epoch whose test error a recipe reports; if several have the lowest validation error, the first."""
    if recipe.reported == "last":
        return rows[-1]
    assert recipe.reported == "lowest-validation"
    tested = [(row.validation_error, row.epoch) for row in rows if row.validation_error is not None]
    return rows[min(tested)[1] - 1]
