"""The runs of a folder: how far they are, and the commands that go on with them."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from watching import Silent, stop_at, train_one

from repro.cli import main
from repro.experiment import Experiment, experiment_for
from repro.folders import Folders
from repro.runs import CURVE, Run, runs_in
from repro.runtime import Runtime
from repro.training.stop import Stopped

CPU = Runtime(device="cpu")
pytestmark = pytest.mark.usefixtures("small_digits")


def small(seed: int = 1) -> Experiment:
    return experiment_for("densenet", {"depth": 7, "k": 4}, seed=seed, dataset="digits", epochs=2)


def stop(experiment: Experiment, folders: Folders, step: int) -> None:
    with pytest.raises(Stopped):
        train_one(experiment, CPU, folders, stop_at(step))


def test_a_stopped_run_is_listed_with_the_command_that_goes_on(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    stop(small(), folders, 25)
    places = ["--runs", str(folders.runs), "--format", "json"]
    main_ok("list", "runs", *places)
    (line,) = json.loads(capsys.readouterr().out)
    assert (line["name"], line["epoch"], line["epochs"], line["state"]) == (small().name, 1, 2, "stopped")
    words = "repro train densenet --depth 7 --k 4 --dataset digits --epochs 2 --seed 1 --device cpu"
    assert line["command"] == f"{words} --runs {folders.runs}"
    main_ok(*shlex.split(line["command"])[1:], "--results", str(folders.results), "--format", "json")
    assert json.loads(capsys.readouterr().out)["sittings"] == 2
    main_ok("list", "runs", *places)
    (line,) = json.loads(capsys.readouterr().out)
    assert (line["epoch"], line["state"], line["command"]) == (2, "finished", None)


def main_ok(*arguments: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert not end.value.code


def test_a_terminal_shows_the_command_whole(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    stop(small(), folders, 3)
    main_ok("list", "runs", "--runs", str(folders.runs))
    assert f"goes on: {next(runs_in(folders.runs)).command} --runs {folders.runs}\n" in capsys.readouterr().out


def test_a_run_that_another_process_trains_is_not_called_stopped(folders: Folders) -> None:
    stop(small(), folders, 3)
    with FileLock(folders.runs / small().name / ".lock"):
        assert next(runs_in(folders.runs)).state == "being trained"
    assert next(runs_in(folders.runs)).state == "stopped"


def test_no_command_is_named_that_would_train_something_else(tiny: Callable[..., Experiment], folders: Folders) -> None:
    stop(tiny(), folders, 3)  # its batch is no recipe's
    run = next(runs_in(folders.runs))
    assert (run.state, run.command) == ("stopped", None)


def test_what_is_not_described_is_not_known(folders: Folders) -> None:
    (folders.runs / "notes").mkdir(parents=True)
    older = folders.runs / "resnet20-cifar10-s0-f3d5e9b4"
    older.mkdir()
    train_one(small(), CPU, folders, Silent())
    (folders.runs / small().name / CURVE).rename(older / CURVE)
    listed = {run.name: run for run in runs_in(folders.runs)}
    assert set(listed) == {older.name, small().name}
    assert (listed[older.name].state, listed[older.name].command) == ("not known", None)


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
        (experiment_for("unet", {"padded": True}, seed=0), Runtime(), "repro train unet --padded"),
    ],
)
def test_a_command_says_what_is_not_as_usual(experiment: Experiment, runtime: Runtime, command: str) -> None:
    assert Run("", experiment, runtime.values(), None, trained_now=False).command == command


def test_a_folder_without_runs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_ok("list", "runs", "--runs", str(tmp_path / "none"))
    said = capsys.readouterr()
    assert (said.out, "there are no runs in" in said.err) == ("", True)
