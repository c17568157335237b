"""A submission that fails on the way: its jobs are cancelled, and it leaves no folder."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from errno import ENOMEM, ENOSPC
from pathlib import Path
from unittest.mock import Mock

import pytest

from repro.cluster.resources import Resources
from repro.cluster.submit import submit
from repro.cluster.tasks import Submission, Where
from repro.data import load
from repro.errors import RunFailed, UserError
from repro.experiment import experiment_for
from repro.paths import Folders
from repro.runtime import Runtime

FULL = OSError(ENOSPC, "No space left on device", "program")


@pytest.fixture
def waiting() -> Iterator[subprocess.Popen[bytes]]:
    """A process in place of a job."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def submitted(folder: Path) -> Submission:
    """Submit two jobs of one run each to this machine."""
    tasks = [[experiment_for("resnet20", {}, dataset="digits", seed=seed)] for seed in (0, 1)]
    folders = Folders(folder / "data", folder / "runs", folder / "results")
    return submit(tasks, Runtime(device="cpu"), folders, Resources(where=Where.LOCAL, parallel=2), "digits")


def test_jobs_that_have_started_are_cancelled_if_another_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: subprocess.Popen[bytes]
) -> None:
    start = Mock(side_effect=[waiting, OSError(ENOMEM, "Cannot allocate memory")])
    monkeypatch.setattr("submitit.local.local.start_controller", start)
    with pytest.raises(UserError) as refused:
        submitted(tmp_path)
    assert start.call_count == 2
    assert str(refused.value) == "the jobs cannot be submitted: Cannot allocate memory"
    assert waiting.poll() == -signal.SIGTERM
    assert not (tmp_path / "runs").exists()


def test_jobs_whose_ids_cannot_be_written_are_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr("submitit.local.local.start_controller", Mock(return_value=waiting))
    monkeypatch.setattr("repro.cluster.tasks.write_atomically", Mock(side_effect=[None, FULL]))
    with pytest.raises(RunFailed, match="the jobs cannot be submitted: No space left on device: program"):
        submitted(tmp_path)
    assert waiting.poll() == -signal.SIGTERM
    assert not (tmp_path / "runs").exists()


def test_jobs_that_have_all_started_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr("submitit.local.local.start_controller", Mock(return_value=waiting))
    done = submitted(tmp_path)
    assert done.jobs == [str(waiting.pid)] * 2
    assert waiting.poll() is None
    assert (done.folder / "program" / "repro").is_dir()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FULL, "No space left on device: program; free space there or use another folder"),
        (
            shutil.Error([("a", "b", str(FULL)), ("c", "d", str(FULL))]),
            "No space left on device: b; free space there or use another folder",
        ),
    ],
)
def test_a_copy_that_fails_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, line: str
) -> None:
    monkeypatch.setattr("repro.cluster.submit.copy_papers", Mock(side_effect=error))
    with pytest.raises(RunFailed) as refused:
        submitted(tmp_path)
    assert str(refused.value) == f"the jobs cannot be submitted: {line}"
    assert not (tmp_path / "runs").exists()


def test_a_file_of_the_program_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = "[Errno 13] Permission denied: 'tables/mine.toml'"
    refusal = shutil.Error([("tables/mine.toml", "program/mine.toml", denied)])
    monkeypatch.setattr("repro.cluster.submit.copy_papers", Mock(side_effect=refusal))
    with pytest.raises(UserError, match=r"^the jobs cannot be submitted: .*Permission denied: 'tables/mine.toml'$"):
        submitted(tmp_path)


def test_jobs_of_this_machine_are_not_submitted_without_their_dataset(tmp_path: Path) -> None:
    unet = experiment_for("unet", {}, dataset="segmentation", seed=0)
    folders = Folders(tmp_path / "data", tmp_path / "runs", tmp_path / "results")
    with pytest.raises(UserError) as of_the_training:
        load("segmentation", folders.data)
    with pytest.raises(UserError) as refused:
        submit([[unet]], Runtime(device="cpu"), folders, Resources(where=Where.LOCAL, parallel=1), "unet")
    assert str(refused.value) == str(of_the_training.value)
    assert not (tmp_path / "runs").exists()


def test_a_copy_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repro.cluster.submit.copy_papers", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        submitted(tmp_path)
    assert not (tmp_path / "runs").exists()
