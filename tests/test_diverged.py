"""A run that fails: the others are still trained, and the failed one is named."""

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import repro
from watching import Silent, stop_at, train_one

from repro.api.selection import select
from repro.campaign import training as command
from repro.errors import Diverged, PackageMissing, RunFailed, Stopped, UserError
from repro.experiment import Experiment
from repro.locks import locked
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.results import read_records
from repro.store.run_folders import LOCK
from repro.tables import AS_PUBLISHED
from repro.training.engine.engine import Engine
from repro.training.engine.finite import check_state
from repro.training.runs.outcome import Outcome
from repro.training.runs.train import train

CPU = Runtime(device="cpu")
Make = Callable[..., Experiment]
pytestmark = pytest.mark.usefixtures("small_digits")


def break_seed(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the loss of a seed NaN in its first epoch."""
    original = Engine.end_epoch

    def end_epoch(engine: Engine, *arguments: object) -> object:
        for place, each in enumerate(engine.experiments):
            if each.seed == number:
                engine.sums[place, 0] = torch.nan
        return original(engine, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "end_epoch", end_epoch)


def test_the_line_about_a_run_that_diverged_says_what_helps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    break_seed(0, monkeypatch)
    monkeypatch.chdir(tmp_path)
    status, _, err = repro(capsys, "train", "resnet20", "--dataset", "digits", "--epochs", 1, "--device", "cpu")
    line = err.splitlines()[-1]
    assert status == 1
    assert "the training loss is nan in epoch 1" in line
    assert line.endswith("; to try a lower learning rate, as a new run: repro train MODEL --set lr=LR")


def test_an_empty_tensor_of_a_network_is_finite() -> None:
    check_state([torch.zeros(0), torch.ones(2)], 1)
    with pytest.raises(Diverged, match="weights are NaN or infinite after step 1"):
        check_state([torch.zeros(0), torch.tensor([1, torch.inf])], 1)


def test_seeds_after_one_that_diverges_are_trained(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_seed(1, monkeypatch)
    seeds, watcher = [tiny(seed=seed, epochs=1) for seed in range(3)], Silent()
    with pytest.raises(Diverged, match=f"{seeds[1].name}: the training loss is nan in epoch 1"):
        train(seeds, CPU, folders, watcher)
    assert [record.seed for record in read_records([folders.results])] == [0, 2]
    assert any(line.endswith("continuing with the next runs") for line in watcher.said)


def test_a_seed_that_diverges_among_others_is_reported_with_a_way_to_continue(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = [tiny(seed=seed, epochs=1, dropout=0.0) for seed in range(2)]
    with monkeypatch.context() as patch:
        break_seed(1, patch)
        with pytest.raises(Diverged, match=r"of seed 1 is nan .* use --together off to train the other seeds"):
            train(seeds, replace(CPU, together="stacked"), folders, Silent())
        with pytest.raises(Diverged):
            train(seeds, replace(CPU, together="off"), folders, Silent())
    assert [record.seed for record in read_records([folders.results])] == [0]


def test_a_seed_that_diverges_at_another_step_does_not_keep_the_others_from_training(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = [tiny(seed=seed, epochs=1, dropout=0.0) for seed in range(2)]
    with pytest.raises(Stopped):
        train(seeds[:1], CPU, folders, stop_at(2))
    break_seed(0, monkeypatch)
    with pytest.raises(Diverged, match=f"^{seeds[0].name}: "):
        train(seeds, replace(CPU, together="stacked"), folders, Silent())
    assert [record.seed for record in read_records([folders.results])] == [1]


def test_a_signal_while_a_run_diverges_keeps_the_next_one_from_starting(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_seed(0, monkeypatch)
    diverges = Engine.end_epoch

    def end_epoch(engine: Engine, *arguments: object) -> object:
        signal.raise_signal(signal.SIGTERM)
        return diverges(engine, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "end_epoch", end_epoch)
    with pytest.raises(Stopped, match="the training loss is nan in epoch 1") as stopped:
        train([tiny(seed=seed, epochs=1) for seed in range(2)], CPU, folders, Silent())
    assert (stopped.value.exit_status, stopped.value.after) == (143, "the same command trains what is left")
    assert read_records([folders.results]) == []


def test_every_network_of_a_table_is_checked_before_the_first_one_is_trained(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(experiment: Experiment) -> None:
        if experiment.options["N"] == 8:
            raise UserError("has no gradient")

    monkeypatch.setattr(command, "check_network", check)
    monkeypatch.setattr(command, "count_networks", lambda tables: None)
    monkeypatch.setattr(command, "train_all_unheld", lambda *arguments: pytest.fail("trained"))
    with pytest.raises(UserError, match="has no gradient"):
        command.train_missing(select("cifar100", "dense*"), AS_PUBLISHED, CPU, folders)


def test_rows_after_one_that_diverges_are_trained(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def train_all_unheld(experiments: Sequence[Experiment], runtime: Runtime, places: Folders) -> Outcome:
        started.append(experiments[0].options["N"])
        return Outcome(failures=[Diverged("the first row")] if started == [2] else [])

    monkeypatch.setattr(command, "train_all_unheld", train_all_unheld)
    monkeypatch.setattr(command, "count_networks", lambda tables: None)
    with pytest.raises(Diverged, match=r"^the first row$"):
        command.train_missing(select("cifar100", "dense*"), AS_PUBLISHED, CPU, folders)
    assert started == [2, 4, 6, 8]


@pytest.fixture
def diverging_held_and_free(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Experiment, Experiment, Experiment]]:
    """Yield three seeds: one that diverges, one that is locked, and one that can be trained."""
    break_seed(0, monkeypatch)
    diverging, held, free = (tiny(seed=seed, epochs=1) for seed in range(3))
    with locked(folders.runs / held.name / LOCK):
        yield diverging, held, free
    assert [each.id for each in read_records([folders.results])] == [free.id]


def test_a_command_names_the_seed_that_diverged_and_the_one_that_is_held(
    diverging_held_and_free: tuple[Experiment, ...], folders: Folders
) -> None:
    diverging, held, _ = diverging_held_and_free
    watcher = Silent()
    with pytest.raises(Diverged, match=f"^{diverging.name}: .* is nan"):
        train(diverging_held_and_free, CPU, folders, watcher)
    assert f"another process is training {held.name}; continuing with the next runs" in watcher.said
    assert watcher.said[-1].startswith(f"another process is training {held.name} (process ")


def test_a_table_does_not_repeat_a_run_that_diverged_where_another_one_is_held(
    diverging_held_and_free: tuple[Experiment, ...],
    folders: Folders,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    diverging, held, _ = diverging_held_and_free
    monkeypatch.setattr(command, "missing", lambda *_: diverging_held_and_free)
    monkeypatch.setattr(command, "count_networks", lambda selections: None)
    with pytest.raises(Diverged, match=f"^{diverging.name}: .* is nan"):
        command.train_missing(select("cifar100", "N = 4"), AS_PUBLISHED, CPU, folders)
    said = capsys.readouterr().err
    assert said.count(f"{diverging.name}: starting") == 1
    assert said.splitlines()[-1].startswith(f"{held.name} is being trained by process ")


def test_a_table_with_a_network_that_cannot_be_counted_is_not_trained(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(subject: object) -> None:
        raise UserError("does not accept an input")

    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr("repro.comparison.counts.counted", refused)
    monkeypatch.setattr(command, "train_all_unheld", lambda *arguments: pytest.fail("trained"))
    with pytest.raises(UserError):
        command.train_missing(select("cifar100", "N = 4"), AS_PUBLISHED, CPU, folders)


def test_a_table_is_trained_where_fvcore_is_missing(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def without_fvcore(subject: object) -> None:
        raise PackageMissing("fvcore", "FLOPs are counted with it")

    def train_all_unheld(experiments: Sequence[Experiment], *others: object) -> Outcome:
        trained.extend(experiments)
        return Outcome()

    trained: list[Experiment] = []
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr("repro.comparison.counts.counted", without_fvcore)
    monkeypatch.setattr(command, "train_all_unheld", train_all_unheld)
    command.train_missing(select("cifar100", "N = 4"), AS_PUBLISHED, CPU, folders)
    assert trained


def test_a_full_gpu_is_not_reported_as_a_wrong_checkpoint(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Stopped):
        train_one(tiny(), CPU, folders, stop_at(3))

    def full(engine: Engine, saved: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Engine, "restore", full)
    with pytest.raises(RunFailed, match=r"the device's memory is too small for densenet-.*; the last checkpoint is"):
        train_one(tiny(), CPU, folders, Silent())
