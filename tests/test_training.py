"""Training on the embedded digits: exact results, resuming, and never losing what was saved."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import repro
from watching import Silent, assert_same, engine_of, stop_at, train_one, weights

from repro.data import DATASETS, load
from repro.errors import RunFailed, Stopped, UserError
from repro.evaluation.evaluate import evaluate
from repro.experiment import Experiment, experiment_for
from repro.locks import Held, locked
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.curves import curve_of, new_curve_path
from repro.store.results import Record, read_records, repeated_records
from repro.store.run_folders import DESCRIPTION
from repro.tensor_file import save_tensors
from repro.training.checkpoints import checkpoint
from repro.training.engine.engine import Engine
from repro.training.engine.step import compiled
from repro.training.machine.signals import StopRequest
from repro.training.runs import resume, saver
from repro.training.tasks import kinds
from repro.training.tasks.in_memory import InMemoryClassification

CPU = Runtime(device="cpu")
Make = Callable[..., Experiment]
pytestmark = pytest.mark.usefixtures("small_digits")


def test_a_run_is_recorded_completely(tiny: Make, folders: Folders) -> None:
    experiment = tiny()
    record = train_one(experiment, CPU, folders, Silent())
    assert read_records([folders.results]) == [record]
    assert record.epochs == 2
    assert record.steps == 12  # 1,442 images in batches of 256: five full ones and a smaller last one
    assert 0 < record.error < 95
    with (folders.results / "curves" / f"{experiment.name}.csv").open() as file:
        curve = list(csv.DictReader(file))
    assert [row["epoch"] for row in curve] == ["1", "2"]
    assert float(curve[-1]["test_error"]) == record.error
    assert record.error5 is not None
    assert 0 < record.error5 < record.error
    assert float(curve[0]["lr"]) == pytest.approx(experiment.recipe.lr / 2)


def test_another_seed_gives_other_weights(tiny: Make) -> None:
    one, other = (engine_of(tiny(seed=seed)).networks for seed in (0, 1))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


@pytest.mark.parametrize("step", [1, 5, 6, 7, 11])
def test_resume_continues_bit_for_bit(tiny: Make, folders: Folders, shared: Folders, step: int) -> None:
    straight = train_one(tiny(), CPU, shared, Silent())
    with pytest.raises(Stopped) as stopped:
        train_one(tiny(), CPU, folders, stop_at(step))
    assert stopped.value.exit_status == 130
    record = train_one(tiny(), CPU, folders, Silent())
    assert record.sessions == 2
    assert (record.error, record.loss, record.train_loss) == (straight.error, straight.loss, straight.train_loss)
    assert_same(weights(folders, tiny()), weights(shared, tiny()))


def test_a_stopped_run_is_evaluated_as_not_finished(
    tiny: Make, folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Stopped):
        train_one(tiny(), CPU, folders, stop_at(9))
    for end in ("not finished: 1 of 2 epochs (9 steps)", "finished: 2 epochs (12 steps)"):
        status, out, _ = repro(capsys, "eval", "densenet-depth7", "--runs", folders.runs, "--device", "cpu")
        assert (status, end in out) == (0, True)
        train_one(tiny(), CPU, folders, Silent())


def test_a_run_with_a_broken_stderr_is_saved_anyway(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr("repro.training.machine.signals.os.write", gone)
    with pytest.raises(Stopped):
        train_one(tiny(), CPU, folders, stop_at(3))
    assert checkpoint.load(folders.runs / tiny().name / checkpoint.NEWEST).step == 3


def test_a_record_names_every_state_of_the_program_that_made_the_run(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for commit, step in (("3a03939", 2), ("a1214b3", 5), ("3a03939", 8)):
        monkeypatch.setattr("repro.training.machine.provenance.commit", lambda commit=commit: commit)
        with pytest.raises(Stopped):
            train_one(tiny(), CPU, folders, stop_at(step))
    record = train_one(tiny(), CPU, folders, Silent())
    assert record.commit == "a1214b3; 3a03939"
    assert ";" not in record.torch


def test_a_finished_run_is_not_trained_again(tiny: Make, folders: Folders) -> None:
    first = train_one(tiny(), CPU, folders, Silent())
    watcher = Silent(lambda step: pytest.fail("trained again"))
    assert train_one(tiny(), CPU, folders, watcher) == first
    assert "is already finished" in watcher.said[0]
    assert len(read_records([folders.results])) == 1


def test_the_description_of_a_finished_run_keeps_the_switches_that_trained_it(tiny: Make, folders: Folders) -> None:
    train_one(tiny(), CPU, folders, Silent())
    file = folders.runs / tiny().name / DESCRIPTION
    written = json.loads(file.read_text())
    train_one(tiny(), replace(CPU, threads=2, deterministic=True), folders, Silent())
    assert json.loads(file.read_text()) == written
    file.write_text(json.dumps({**written, "ended": None}))  # as if the process was killed after its record
    train_one(tiny(), replace(CPU, threads=2, deterministic=True), folders, Silent())
    assert json.loads(file.read_text()) == written


def test_curves_of_runs_that_end_at_once_have_their_own_files(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = replace(folders, runs=folders.runs / "other")
    others: list[bool] = []

    def path_after_the_other(results: Path, made: Record) -> Path:
        with suppress(Held), locked(results / ".runs.lock", 0):
            others.append(True)
        return new_curve_path(results, made)

    monkeypatch.setattr("repro.training.runs.record.new_curve_path", path_after_the_other)
    for places in (folders, elsewhere):
        train_one(tiny(), CPU, places, Silent())
    assert others == []  # the file is chosen under the lock of the records


def test_a_lost_record_is_written_again_from_the_checkpoint(tiny: Make, folders: Folders) -> None:
    first = train_one(tiny(), CPU, folders, Silent())
    (folders.results / "runs.csv").unlink()
    again = train_one(tiny(), CPU, folders, Silent(lambda step: pytest.fail("trained again")))
    assert again == first


def test_a_truncated_newest_checkpoint_is_replaced_by_the_previous_one(tiny: Make, folders: Folders) -> None:
    with pytest.raises(Stopped):
        train_one(tiny(), CPU, folders, stop_at(7))
    newest = folders.runs / tiny().name / checkpoint.NEWEST
    newest.write_bytes(newest.read_bytes()[:-1000])
    watcher = Silent()
    train_one(tiny(), CPU, folders, watcher)
    assert "using the previous checkpoint" in watcher.said[1]
    assert "resuming from step 6" in watcher.said[2]
    assert checkpoint.load(newest.with_name(checkpoint.BEFORE)).step == 6


def test_a_full_disk_leaves_the_last_good_checkpoint(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Stopped):
        train_one(tiny(), CPU, folders, stop_at(7))
    before = weights(folders, tiny())

    def full(content: object, file: object) -> None:
        file.write(b"part of it")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(RunFailed, match=r"No space left on device.*; the last checkpoint is kept"):
        train_one(tiny(), CPU, folders, Silent())
    assert_same(weights(folders, tiny()), before)
    assert sorted(path.name for path in (folders.runs / tiny().name).glob("*.p*t*")) == [
        checkpoint.BEFORE,
        checkpoint.NEWEST,
    ]


def test_without_a_checkpoint_a_full_disk_keeps_none(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch answers the error of the disk by one of its own: "enforce fail at inline_container.cc"."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(checkpoint, "save_tensors", lambda content, file: save_tensors(content, full))
        with pytest.raises(RunFailed) as failed:
            train_one(tiny(), CPU, folders, Silent())
    file = folders.runs / tiny().name / "checkpoint.new.pt"
    assert str(failed.value) == (
        f"the checkpoint could not be written (No space left on device: {file}; free space there or use another folder)"
    )


def test_a_loss_of_nan_stops_the_run(tiny: Make, folders: Folders) -> None:
    with pytest.raises(RunFailed, match=r"training loss is (nan|inf) in epoch 1 \(step 6\)"):
        train_one(tiny(lr=1e30), CPU, folders, Silent())


def test_no_checkpoint_is_written_within_an_epoch_after_a_loss_of_nan(tiny: Make, folders: Folders) -> None:
    with pytest.raises(RunFailed, match="; the last checkpoint is kept"):
        train_one(tiny(lr=1e30), replace(CPU, checkpoint_seconds=0.0), folders, Silent())
    newest = checkpoint.load(folders.runs / tiny(lr=1e30).name / checkpoint.NEWEST)
    assert 0 < newest.step < 6
    assert newest.sums.isfinite().all()


@pytest.mark.parametrize(("seconds", "steps"), [(1000.0, [6, 24]), (0.0, [6, 12, 18, 24])])
def test_short_epochs_do_not_each_write_a_checkpoint(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: list[int]
) -> None:
    """Checkpoints come after the first and the last epoch, and between them if the last one is old enough."""
    saved = []

    def note(content: checkpoint.Checkpoint, folder: Path) -> None:
        saved.append(content.step)
        checkpoint.save(content, folder)

    monkeypatch.setattr(saver, "save", note)
    monkeypatch.setattr(saver, "AFTER_EPOCH_SECONDS", seconds)
    assert train_one(tiny(epochs=4), CPU, folders, Silent()).epochs == 4
    assert saved == steps


def test_stopped_after_epochs_without_a_checkpoint_nothing_is_lost(
    tiny: Make, folders: Folders, elsewhere: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train_one(tiny(epochs=4), CPU, elsewhere, Silent())
    monkeypatch.setattr(saver, "AFTER_EPOCH_SECONDS", 1000.0)
    with pytest.raises(Stopped):
        train_one(tiny(epochs=4), CPU, folders, stop_at(19))
    saved = checkpoint.load(folders.runs / tiny(epochs=4).name / checkpoint.NEWEST)
    assert (saved.step, [row.epoch for row in saved.history]) == (19, [1, 2, 3])
    assert train_one(tiny(epochs=4), CPU, folders, Silent()).loss == straight.loss
    assert_same(weights(folders, tiny(epochs=4)), weights(elsewhere, tiny(epochs=4)))


def test_changed_data_are_refused(tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Stopped):
        train_one(tiny(), CPU, folders, stop_at(2))
    monkeypatch.setattr(kinds, "load", lambda name, root: replace(load(name, root), fingerprint="other"))
    with pytest.raises(UserError, match="the dataset has changed"):
        train_one(tiny(), CPU, folders, Silent())


def test_a_checkpoint_of_another_experiment_is_refused(tiny: Make, folders: Folders) -> None:
    with pytest.raises(Stopped):
        train_one(tiny(seed=1), CPU, folders, stop_at(2))
    (folders.runs / tiny(seed=1).name).rename(folders.runs / tiny(seed=0).name)
    with pytest.raises(UserError, match=f"holds a checkpoint of {tiny(seed=1).name}"):
        train_one(tiny(seed=0), CPU, folders, Silent())


def test_evaluation_gives_the_recorded_error(tiny: Make, folders: Folders) -> None:
    record = train_one(tiny(), CPU, folders, Silent())
    for what in (record.name, record.id[:5], str(folders.runs / record.name / checkpoint.NEWEST)):
        found = evaluate(what, folders, CPU)
        assert found.metrics.error == record.error == found.recorded
        assert found.metrics.loss == record.loss


def test_bf16_is_recorded_and_evaluated_as_trained(tiny: Make, folders: Folders) -> None:
    record = train_one(tiny(), replace(CPU, precision="bf16"), folders, Silent())
    assert record.precision == "bf16"
    assert evaluate(record.id, folders, CPU).metrics.error == record.error


def test_a_pickled_object_is_refused_as_a_checkpoint(tmp_path: Path) -> None:
    class Owned:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"format": 1, "network": Owned()}, tmp_path / "attack.pt")
    with pytest.raises(UserError, match="has other objects than tensors"):
        checkpoint.load(tmp_path / "attack.pt")
    assert not (tmp_path / "owned").exists()


def test_each_image_is_shown_once_per_epoch_with_new_draws(tiny: Make) -> None:
    task = InMemoryClassification(tiny().recipe, load("digits", Path()), CPU, torch.device("cpu"))
    (order, draws), (next_order, next_draws) = task._plan(0, 0), task._plan(0, 1)
    assert sorted(order.tolist()) == list(range(1442))
    assert not torch.equal(order, next_order)
    assert not torch.equal(draws.dy, next_draws.dy)


def test_weight_decay_applies_to_every_parameter(tiny: Make) -> None:
    engine = engine_of(tiny())
    (group,) = engine.optimizer.param_groups
    assert len(group["params"]) == len(list(engine.networks.parameters()))
    assert (group["weight_decay"], group["momentum"], group["nesterov"], group["dampening"]) == (5e-4, 0.9, True, 0)


def test_one_step_is_a_nesterov_step(tiny: Make) -> None:
    """V = 0.9 v + g with weight decay in g, then w -= lr (g + 0.9 v), from v = 0."""
    engine = engine_of(tiny())
    before = engine.alone(0).classifier.weight.detach().clone()
    next(engine.steps())
    weight = engine.alone(0).classifier.weight
    decayed = weight.grad + 5e-4 * before
    rate = engine.recipe.lr / 2  # the rate of the first step, which is in the warm-up epoch
    torch.testing.assert_close(weight.detach(), before - rate * (decayed + 0.9 * decayed))


def test_dropout_needs_a_network_that_has_it() -> None:
    with pytest.raises(UserError, match=r"resnet20 has no dropout layers, but its recipe needs dropout 0\.2"):
        experiment_for("resnet20", {}, seed=0, recipe_name="densenet-cifar10")


def test_two_processes_append_records_at_once(tmp_path: Path, record: Callable[..., Record]) -> None:
    code = (
        "import json, sys; from pathlib import Path; from records import append_record\n"
        "from repro.store.results import Record\n"
        "facts = json.loads(sys.argv[2])\n"
        "for i in range(20): append_record(Record(**{**facts, 'id': f'{sys.argv[3]}{i}'}), Path(sys.argv[1]))"
    )
    facts = json.dumps(vars(record()))
    commands = [[sys.executable, "-c", code, str(tmp_path), facts, name] for name in "ab"]
    modules = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    for process in [subprocess.Popen(command, env=os.environ | {"PYTHONPATH": modules}) for command in commands]:
        assert process.wait() == 0
    assert {each.id for each in read_records([tmp_path])} == {f"{name}{i}" for name in "ab" for i in range(20)}


def test_another_precision_is_refused(tiny: Make, folders: Folders) -> None:
    with pytest.raises(Stopped):
        train_one(tiny(), CPU, folders, stop_at(7))
    with pytest.raises(UserError, match="was started in fp32; resume with --precision fp32"):
        train_one(tiny(), replace(CPU, precision="bf16"), folders, Silent())
    train_one(tiny(), CPU, folders, Silent())
    with pytest.raises(UserError, match="was started in fp32"):
        train_one(tiny(), replace(CPU, precision="bf16"), folders, Silent())


def test_a_recipe_that_would_be_ignored_is_refused(tiny: Make) -> None:
    with pytest.raises(UserError, match=r"color_jitter=0\.4, which is not supported for images in memory"):
        engine_of(tiny(color_jitter=0.4))


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100"])
def test_datasets_have_the_stated_number_of_training_images(name: str, request: pytest.FixtureRequest) -> None:
    root = Path() if name == "digits" else request.getfixturevalue("real_data")
    assert len(load(name, root).train) == DATASETS[name].train_images


def test_a_second_signal_interrupts() -> None:
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_tensorboard_shows_every_epoch(tiny: Make, folders: Folders) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged = replace(CPU, log="tensorboard")
    with pytest.raises(Stopped):
        train_one(tiny(epochs=3), logged, folders, stop_at(14))
    record = train_one(tiny(epochs=3), logged, folders, Silent())
    events = EventAccumulator(str(folders.runs / record.name / "tensorboard"))
    events.Reload()
    shown = events.Scalars("test/error")
    assert [each.step for each in shown] == [1, 2, 3]
    assert shown[-1].value == pytest.approx(record.error)


def test_another_log_is_refused(tiny: Make, folders: Folders) -> None:
    with pytest.raises(UserError, match="unknown log 'wandb'; known: tensorboard"):
        train_one(tiny(), replace(CPU, log="wandb"), folders, Silent())


def test_infinite_weights_do_not_replace_a_good_checkpoint(tiny: Make, folders: Folders) -> None:
    """The last step of an epoch breaks the weights; its loss is still finite."""

    def break_weights(step: int) -> None:
        if step == 12:
            with torch.no_grad():
                next(iter(engines[0].networks.parameters())).fill_(torch.inf)

    engines: list[Engine] = []

    class Kept(Engine):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            engines.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume, "Engine", Kept)
        with pytest.raises(RunFailed, match="weights are NaN or infinite after step 12"):
            train_one(tiny(epochs=3), CPU, folders, Silent(break_weights))
    assert checkpoint.load(folders.runs / tiny(epochs=3).name / checkpoint.NEWEST).step == 6
    assert train_one(tiny(epochs=3), CPU, folders, Silent()).steps == 18


def test_another_run_of_the_same_experiment_has_its_own_record(tiny: Make, folders: Folders) -> None:
    train_one(tiny(), CPU, folders, Silent())
    elsewhere = replace(folders, runs=folders.runs / "other")
    watcher = Silent()
    record = train_one(tiny(), replace(CPU, precision="bf16"), elsewhere, watcher)
    assert record.precision == "bf16"
    ((first, second),) = repeated_records([folders.results]).values()
    assert (first.precision, second) == ("fp32", record)
    assert read_records([folders.results]) == [first]
    assert [curve_of(each, [folders.results])[-1].test_error for each in (first, second)] == [first.error, second.error]
    assert any("has a record from" in line for line in watcher.said)
    assert train_one(tiny(), replace(CPU, precision="bf16"), elsewhere, Silent()) == record
    again = Silent()
    assert train_one(tiny(), CPU, folders, again).precision == "fp32"
    assert again.said[0].endswith("is already finished; showing its record")


def test_a_broken_file_of_records_is_reported_before_training(tiny: Make, folders: Folders) -> None:
    folders.results.mkdir(parents=True)
    (folders.results / "runs.csv").write_text("id,name\nfoo\n")
    with pytest.raises(UserError, match=r"runs\.csv, line 2: not a record"):
        train_one(tiny(), CPU, folders, stop_at(1))


def test_switches_that_need_a_gpu_are_refused_without_one(tiny: Make, folders: Folders) -> None:
    with pytest.raises(UserError, match="--graph needs a GPU"):
        train_one(tiny(), replace(CPU, graph=True), folders, Silent())
    with pytest.raises(UserError, match="--precision tf32 needs a GPU"):
        train_one(tiny(), replace(CPU, precision="tf32"), folders, Silent())


def test_saving_memory_and_compiling_exclude_each_other(tiny: Make, folders: Folders) -> None:
    with pytest.raises(UserError, match="leave out one of them"):
        train_one(tiny(), replace(CPU, save_memory=True, compile=True), folders, Silent())


def test_more_networks_of_one_class_are_compiled_than_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table has more rows and seeds than torch compiles by default."""
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    networks = [torch.nn.Sequential(torch.nn.Linear(width, 1)) for width in range(1, 21)]
    for width, network in enumerate(networks, 1):
        compiled(network)(torch.zeros(2, width))
    assert counter.frame_count == len(networks)


def test_a_run_in_tf32_is_tested_on_a_cpu_in_fp32(tiny: Make, folders: Folders) -> None:
    record = train_one(tiny(), CPU, folders, Silent())
    folder = folders.runs / record.name
    saved = checkpoint.load(folder / checkpoint.NEWEST)
    saved.runtime = replace(saved.runtime, precision="tf32")
    checkpoint.save(saved, folder)
    assert evaluate(record.name, folders, CPU).metrics.error == pytest.approx(record.error)
