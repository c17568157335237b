"""The runs in a folder: their names, progress, and the commands that resume them."""

import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from errno import EACCES
from pathlib import Path
from typing import Any

import pytest
from commands import repro
from narrow_paper import write_paper
from records import append_record
from watching import Silent, stop_at, train_one

from repro.api.library import using
from repro.api.run_lines import RunLine
from repro.cli.lines import Kind, grid_of, reasons_of
from repro.errors import Diverged, RunFailed, Stopped, UserError
from repro.experiment import Experiment, experiment_for
from repro.locks import locked
from repro.paths import Folders
from repro.report.formats.terminal import plain
from repro.runtime import Runtime
from repro.store.results import Record
from repro.store.run_folders import CURVE, DESCRIPTION, LOCK, describe, runs_in
from repro.store.run_names import run_named
from repro.store.run_state import Ending, RunState

CPU = Runtime(device="cpu")
pytestmark = pytest.mark.usefixtures("small_digits")


RUNS = ["resnet20-cifar10-s0-f3d5e9b4", "resnet20-cifar10-s1-0a11bb22", "resnet110-shortcutB-cifar100-s0-4d653732"]


@pytest.mark.parametrize(
    "what",
    ["resnet110-shortcutB-cifar100-s0-4d653732", "RESNET110-shortcutB-cifar100-s0-4d653732", "4d65", "ResNet-110"],
)
def test_a_run_is_found_by_its_name_or_a_prefix(what: str) -> None:
    assert run_named(what, RUNS, [Path("runs")], other="a checkpoint file") == RUNS[2]


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("resnet20", f"'resnet20' matches 2 runs; give a longer prefix or the ID: {RUNS[0]}, {RUNS[1]}"),
        ("resnet20-cifar10-s0-f3d5e9b5", f"did you mean {RUNS[0]} or {RUNS[1]}"),
        ("vgg", f"known runs: {RUNS[0]}, {RUNS[1]}, {RUNS[2]}"),
        ("resnet2", "'resnet2' matches 2 runs"),
        ("densenet", "'densenet' is neither a run in runs nor a checkpoint file"),
    ],
)
def test_an_unknown_run_is_reported_with_the_known_ones(what: str, line: str) -> None:
    with pytest.raises(UserError) as error:
        run_named(what, RUNS, [Path("runs")], other="a checkpoint file")
    assert line in str(error.value)


def test_the_label_of_a_network_with_several_runs_is_not_enough(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [experiment_for("denseresnet110", {"N": 2}, seed=seed) for seed in (0, 1)]
    for each in runs:
        (folders.runs / each.name).mkdir(parents=True)
        describe(each, CPU, folders)
    status, out, err = repro(capsys, "eval", "DenseResNet-110, N = 2", "--runs", folders.runs)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"'DenseResNet-110, N = 2' matches 2 runs; give the ID of one: {runs[0].name}, {runs[1].name}" in err


def test_a_message_names_the_nearest_of_many_runs() -> None:
    with pytest.raises(UserError, match=r"; the nearest of 30 runs: run-.7, run-.7, run-.7$"):
        run_named("x7", [f"run-{number:02}" for number in range(30)], [Path("runs")])


@pytest.mark.parametrize("command", ["eval", "export"])
def test_a_recorded_run_whose_checkpoint_is_elsewhere_is_named(
    command: str, record: Callable[..., Record], folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    append_record(made := record(), folders.results)
    places = ("--runs", folders.runs, "--results", folders.results)
    status, _, err = repro(capsys, command, made.id, *places)
    place = folders.results / "runs.csv"
    line = f"error: the record of {made.name} is in {place}, but its checkpoint is not here; copy "
    assert (status, err) == (2, f"{line}{folders.runs / made.name} from the machine that trained it\n")
    for seed in (0, 1):
        each = experiment_for("denseresnet110", {"N": 4}, seed=seed)
        (folders.runs / each.name).mkdir(parents=True)
        describe(each, CPU, folders)
    prefix = made.name.partition("-s0-")[0]
    assert f"'{prefix}' matches 2 runs; give a longer prefix" in repro(capsys, command, prefix, *places)[2]


def small(seed: int = 1) -> Experiment:
    return experiment_for("densenet", {"depth": 7, "k": 4}, seed=seed, dataset="digits", epochs=2)


def stop(experiment: Experiment, folders: Folders, step: int) -> None:
    with pytest.raises(Stopped):
        train_one(experiment, CPU, folders, stop_at(step))


def test_a_models_name_matches_only_its_own_runs() -> None:
    two = ["densenet-depth40-k12-cifar10-s0-aaaaaaaa", "densenet-bc-depth100-k12-cifar10-s0-bbbbbbbb"]
    assert [run_named(what, two, [Path("runs")]) for what in ("densenet", "DenseNet-BC")] == two


def test_a_stopped_run_is_listed_with_the_command_that_resumes_it(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    stop(small(), folders, 25)
    (line,) = listed(folders, capsys)
    assert (line["name"], line["epoch"], line["epochs"], line["state"]) == (small().name, 1, 2, "stopped")
    words = "repro train densenet --depth 7 --k 4 --dataset digits --epochs 2 --seed 1 --device cpu"
    places = f"--data {folders.data} --runs {folders.runs} --results {folders.results}"
    assert line["command"] == f"{words} {places}"
    status, out, _ = repro(capsys, *shlex.split(line["command"])[1:], "--format", "json")
    assert (status, json.loads(out)["sessions"]) == (0, 2)
    (line,) = listed(folders, capsys)
    assert (line["epoch"], line["state"], line["command"]) == (2, "done", None)
    assert line["device"].startswith("CPU ")
    assert abs(datetime.fromisoformat(line["changed"]) - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (80, "Test Name Epoch error State Time left"),
        (120, "Test Name Epoch error State Time left Seed Deviation Changed"),
        (160, "Test Name Epoch error State Time left Seed Deviation Changed Device"),
    ],
)
def test_a_narrow_list_of_runs_leaves_out_what_matters_least(width: int, headings: str) -> None:
    line = RunLine(
        name="densenet-depth7-k4-digits-s0-814a6a10",
        epoch=1,
        epochs=15,
        test_error=78.31,
        state=RunState.STOPPED,
        seconds_left=4801.0,
        deviations=["epochs=3 (15)"],
        seed=0,
        device="NVIDIA H100 80GB HBM3",
        changed="2026-11-27T04:53:00+00:00",
    )
    shown = plain(grid_of(Kind.RUNS, [line]), width).splitlines()
    assert max(map(len, shown)) <= width
    assert " ".join(" ".join(shown[1:3]).split()) == headings
    assert shown[4].split()[:6] == [line.name, "1/15", "78.31", "%", "stopped", "1:20:01"]


def test_a_narrow_list_of_runs_stays_a_table_whatever_their_names_and_reasons() -> None:
    name = "densenet-depth100-k12-bottleneck-cifar100-s0-814a6a10"
    reason = "its job ended before the run started"
    lines = [
        RunLine(name=name, epoch=1, epochs=300, test_error=78.31, state=RunState.RUNNING, seconds_left=4801.0),
        RunLine(name="resnet20-digits-s0-773adde9", state=RunState.MISSING, reason=reason),
    ]
    shown = plain(grid_of(Kind.RUNS, lines), 80).splitlines()
    assert " ".join(" ".join(shown[1:3]).split()) == "Test Name Epoch error State"
    assert [each.split() for each in shown[4:6]] == [
        [name, "1/300", "78.31", "%", "running"],
        ["resnet20-digits-s0-773adde9", "0/?", "–", "missing"],
    ]
    assert reasons_of(lines) == [f"resnet20-digits-s0-773adde9 (missing): {reason}"]


def test_another_number_of_epochs_is_another_run_and_says_what_resumes_the_first(
    folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(small(), folders, 25)
    monkeypatch.setattr("repro.cli.train.train_all", lambda *_: sys.exit(0))  # only what is said before the training
    places = ("--data", folders.data, "--runs", folders.runs, "--results", folders.results)
    network = ("train", "densenet", "--depth", "7", "--k", "4", "--dataset", "digits", "--seed", "1", *places)
    status, _, err = repro(capsys, *network, "--epochs", 3)
    (run,) = runs_in(folders.runs)
    assert (status, err) == (
        0,
        f"a new run of 3 epochs, from epoch 1: it does not continue {small().name} of 2 epochs (stopped), whose "
        f"learning rates differ; to resume that one: {run.command}\n",
    )
    for same in (["--epochs", "2"], ["--epochs", "3", "--set", "batch=32"], ["--epochs", "3", "--seed", "2"]):
        assert repro(capsys, *network, *same) == (0, "", "")


def test_a_run_by_a_recipe_of_another_paper_does_not_stop_the_next_one(
    folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = write_paper(folders.data, epochs=1)
    with using([away]):
        options = {"depth": 7, "k": 4}
        other = experiment_for("densenet", options, dataset="digits", seed=0, recipe_name="narrow-digits")
        describe(other, CPU, folders)
    monkeypatch.setattr("repro.cli.train.train_all", lambda *_: sys.exit(0))
    places = ("--data", folders.data, "--runs", folders.runs, "--results", folders.results)
    network = ("train", "densenet", "--depth", 7, "--k", 4, "--dataset", "digits")
    assert repro(capsys, *network, "--epochs", 3, *places) == (0, "", "")


def test_a_run_without_its_record_is_not_called_finished(
    folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk is full at the end of the last epoch, the same command writes the record later."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("repro.training.runs.record.put_record", full)
        with pytest.raises(RunFailed, match=r"\(No space .* checkpoint is kept: the same command writes the record"):
            train_one(small(), CPU, folders, Silent())
    (line,) = listed(folders, capsys)
    assert (line["epoch"], line["state"]) == (2, "stopped")
    assert repro(capsys, *shlex.split(line["command"])[1:])[0] == 0
    assert listed(folders, capsys)[0]["state"] == "done"


def test_a_finished_run_is_tested_next_with_the_images_that_it_was_trained_on(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(small(), CPU, folders, ended=Ending.RECORDED)
    status, _, err = repro(capsys, "list", "runs", "--runs", folders.runs)
    following = f"next: repro eval {small().name} --data {folders.data} --runs {folders.runs}"
    assert (status, err.splitlines()[-1]) == (0, following)


def test_the_next_command_quotes_a_name_with_signs_of_the_shell(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    run = experiment_for("wrn", {"depth": 40, "k": 2, "block": "B(1,3,1)"}, seed=0)
    describe(run, CPU, folders, ended=Ending.RECORDED)
    following = repro(capsys, "list", "runs", "--runs", folders.runs)[2].splitlines()[-1]
    assert following.startswith(f"next: repro eval '{run.name}' ")


def test_a_diverged_run_has_no_command_to_resume(folders: Folders) -> None:
    experiment = small()
    endless = replace(experiment, recipe=replace(experiment.recipe, lr=1e30, warmup_epochs=0))
    with pytest.raises(Diverged):
        train_one(endless, CPU, folders, Silent())
    run = next(runs_in(folders.runs))
    assert (run.state, run.command) == (RunState.DIVERGED, None)


def listed(folders: Folders, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    status, out, _ = repro(capsys, "list", "runs", "--runs", folders.runs, "--format", "json")
    assert status == 0
    lines: list[dict[str, Any]] = json.loads(out)["runs"]
    return lines


def test_a_run_with_overrides_is_resumed_by_the_same_command_and_by_the_listed_one(
    folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "train densenet --depth 7 --k 4 --dataset digits --epochs 2 --set batch=128 --set mean=0.5,0.5,0.5"
    places = f"--data {folders.data} --runs {folders.runs} --results {folders.results}"
    command = shlex.split(f"{words} --set std=0.25,0.25,0.25 --device cpu {places}")
    with monkeypatch.context() as patch:
        patch.setattr("repro.training.progress.watcher.watcher", lambda: stop_at(15))
        assert repro(capsys, *command)[0] == 130
    (line,) = listed(folders, capsys)
    assert line["command"] == shlex.join(["repro", *command])
    answer = json.loads(repro(capsys, *command, "--format", "json")[1])
    assert (answer["name"], answer["sessions"]) == (line["name"], 2)
    assert answer["deviations"] == [
        "epochs=2 (8)",
        "batch=128 (64)",
        "mean=0.5, 0.5, 0.5 (the training set's own)",
        "std=0.25, 0.25, 0.25 (the training set's own)",
    ]


def test_a_terminal_shows_the_whole_command(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    stop(small(), folders, 3)
    status, out, _ = repro(capsys, "list", "runs", "--runs", folders.runs)
    assert (status, f"resume: {next(runs_in(folders.runs)).command}\n" in out) == (0, True)


def test_a_run_that_another_process_trains_is_not_called_stopped(folders: Folders) -> None:
    stop(small(), folders, 3)
    with locked(folders.runs / small().name / LOCK):
        assert next(runs_in(folders.runs)).state == "running"
    assert next(runs_in(folders.runs)).state == "stopped"


def test_no_command_is_shown_that_would_train_something_else(folders: Folders) -> None:
    elsewhere = replace(small(), recipe=replace(small().recipe, dataset="cifar10"))  # no recipe is for another dataset
    describe(elsewhere, CPU, folders)
    run = next(runs_in(folders.runs))
    assert (run.state, run.command) == ("stopped", None)


def test_folders_without_a_valid_description_are_not_known(folders: Folders) -> None:
    (folders.runs / "notes").mkdir(parents=True)
    older, broken = (folders.runs / name for name in RUNS[:2])
    for folder, file, content in ((older, CURVE, "mine"), (broken, DESCRIPTION, "[]")):
        folder.mkdir()
        (folder / file).write_text(f"{content}\n1\n" if file == CURVE else content)
    stop(small(), folders, 3)
    (folders.runs / "copy").mkdir()
    (folders.runs / "copy" / DESCRIPTION).write_bytes((folders.runs / small().name / DESCRIPTION).read_bytes())
    (folders.runs / small().name).rename(folders.runs / "renamed")
    described = {run.folder: (run.state, run.last, run.command) for run in runs_in(folders.runs)}
    assert described == dict.fromkeys(
        (older, broken, folders.runs / "copy", folders.runs / "renamed"), ("unknown", None, None)
    )
    assert {run.folder: run.reason for run in runs_in(folders.runs)} == {
        older: "its run.json is missing",
        broken: "its run.json is not one of a run",
        folders.runs / "copy": (copied := f"its folder was copied or renamed: run.json is that of {small().name}"),
        folders.runs / "renamed": copied,
    }


@pytest.mark.parametrize("what", ["access", "listdir"])
def test_folders_that_cannot_be_read_are_left_out(
    what: str, folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as lost+found, or that of another user; the user of this test may be root, who may read all."""
    stop(small(), folders, 3)
    private = folders.runs / "lost+found"
    private.mkdir()
    (private / DESCRIPTION).touch()
    asked = getattr(os, what)

    def denied(path: Any, *others: Any) -> Any:
        if path != private:
            return asked(path, *others)
        if what == "access":
            return False
        raise PermissionError(EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, what, denied)
    assert [each.folder.name for each in runs_in(folders.runs)] == [small().name]
    status, out, _ = repro(capsys, "list", "runs", "--runs", folders.runs, "--format", "json")
    assert (status, len(json.loads(out)["runs"])) == (0, 1)


@pytest.mark.parametrize(
    ("experiment", "runtime", "command"),
    [
        (experiment_for("denseresnet110", {}, seed=0), Runtime(), "repro train denseresnet110"),
        (
            experiment_for("wrn", {"block": "B(3,1)"}, seed=2, recipe_name="wrn-cifar10-zca"),
            Runtime(precision="bf16", compile=True),
            "repro train wrn --block 'B(3,1)' --recipe wrn-cifar10-zca --seed 2 --precision bf16 --compile",
        ),
        (
            experiment_for("resnet110", {}, seed=0, dataset="cifar100"),
            replace(Runtime(save_memory=True), processes=2),
            "torchrun --nproc-per-node 2 -m repro train resnet110 --dataset cifar100 --save-memory",
        ),
        (
            experiment_for("wrn", {}, seed=1, epochs=5, overrides=["std=0.1,0.25,0.3", "flip=no", "lr=2e-3"]),
            Runtime(),
            "repro train wrn --epochs 5 --set lr=0.002 --set flip=no --set std=0.1,0.25,0.3 --seed 1",
        ),
        (
            experiment_for("unet", {"padded": True}, seed=0),
            Runtime(channels_last=False),
            "repro train unet --padded --no-channels-last",
        ),
    ],
)
def test_a_command_states_what_differs_from_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, experiment: Experiment, runtime: Runtime, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPRO_DATA", "elsewhere")
    describe(experiment, runtime, Folders(Path("elsewhere"), Path("runs"), Path("results")))
    (run,) = runs_in(Path("runs"))
    assert run.command == command


def test_a_folder_without_runs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = repro(capsys, "list", "runs", "--runs", tmp_path / "none")
    assert (status, out, "there are no runs in" in err) == (0, "", True)


def test_the_option_runs_is_only_for_runs(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = repro(capsys, "list", "tables", "--runs", "mine")
    assert (status, "--runs applies only to repro list runs" in err) == (2, True)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("experiment", "seed"), "0"),
        (("experiment", "options"), {"depth": [7]}),
        (("experiment", "values"), {"batch": {}}),
        (("experiment", "recipe"), ["digits"]),
        (("runtime", "threads"), "two"),
        (("runtime", "color"), "red"),
        (("results",), 5),
        (("ended",), "tomorrow"),
        (("papers",), "papers"),
    ],
)
def test_a_description_with_a_wrong_value_is_not_read(folders: Folders, path: tuple[str, ...], wrong: object) -> None:
    describe(small(), CPU, folders)
    file = folders.runs / small().name / DESCRIPTION
    content = json.loads(file.read_bytes())
    assert next(runs_in(folders.runs)).state == "stopped"
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = wrong
    file.write_text(json.dumps(content))
    found = next(runs_in(folders.runs))
    assert (found.state, bool(found.reason)) == ("unknown", True)
    file.write_text("[" * 99_999)
    found = next(runs_in(folders.runs))
    assert (found.state, found.reason) == ("unknown", "its run.json is not one of a run")
