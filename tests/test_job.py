"""The job of a submission: its processes, what ends them, and two processes that train one run."""

from __future__ import annotations

import csv
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell_programs import write_program

from repro.cluster import job
from repro.cluster.job import Job
from repro.cluster.tasks import Submission, Where
from repro.experiment import experiment_for
from repro.paths import Folders
from repro.runtime import Runtime
from repro.torchrun import check_meeting, check_process, process_count

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    """A job sets a handler for SIGTERM, which does not outlive the test."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def in_place_of_python(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs start a shell program, whose output lies in the files `folder/RANK`."""
    write_program(folder / "python", f"cd {folder}\n{code}")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))


def test_each_process_knows_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_place_of_python(tmp_path, "env > $RANK; echo $* > words$RANK", monkeypatch)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    Job("submission", 3, processes=2)()
    found = [dict(line.split("=", 1) for line in (tmp_path / each).read_text().splitlines()) for each in "01"]
    assert [(each["RANK"], each["LOCAL_RANK"], each["OMP_NUM_THREADS"]) for each in found] == [
        ("0", "0", "1"),
        ("1", "1", "1"),
    ]
    assert found[0]["MASTER_PORT"] == found[1]["MASTER_PORT"]
    assert {(tmp_path / f"words{each}").read_text() for each in "01"} == {"-m repro work submission 3\n"}
    for name, value in found[1].items():
        monkeypatch.setenv(name, value)
    check_process()
    check_meeting()
    assert process_count() == 2


def test_one_process_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_place_of_python(tmp_path, "env > alone", monkeypatch)
    Job("submission", 0)()
    assert "WORLD_SIZE" not in (tmp_path / "alone").read_text()


def test_if_one_process_fails_the_others_do_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_place_of_python(tmp_path, "[ $RANK = 1 ] && exit 3; exec sleep 60", monkeypatch)
    monkeypatch.setattr(job, "LAST_SECONDS", 0.5)
    begin = time.monotonic()
    with pytest.raises(SystemExit, match="3"):
        Job("/lab/runs/submission", 0, processes=2)()
    assert "work /lab/runs/submission 0 ended with status 3" in capsys.readouterr().err
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize("end", ["kill -TERM $$", "exit 143"])
def test_the_log_of_a_job_names_the_signal_and_how_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    in_place_of_python(tmp_path, end, monkeypatch)
    with pytest.raises(SystemExit, match="143"):
        Job("/lab/runs/submissions/one", 0)()
    said = "work /lab/runs/submissions/one 0 was ended by SIGTERM; repro list runs --runs /lab/runs shows how to resume"
    assert said in capsys.readouterr().err


def test_a_signal_reaches_all_processes_which_have_time_to_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = "trap 'sleep $RANK; echo saved > $RANK; exit 140' USR2; touch ready$RANK; while :; do sleep 0.1; done"
    in_place_of_python(tmp_path, waits, monkeypatch)
    monkeypatch.setattr(job, "LAST_SECONDS", 0.1)  # shorter than the second that one process needs
    running = Job("submission", 0, processes=2)

    def warn() -> None:
        while len([*tmp_path.glob("ready*")]) < 2:
            time.sleep(0.05)
        again.append(running.checkpoint().function)

    again: list[object] = []
    scheduler = threading.Thread(target=warn)
    scheduler.start()
    with pytest.raises(SystemExit, match="140"):
        running()
    scheduler.join()
    assert [(tmp_path / each).read_text() for each in "01"] == ["saved\n"] * 2
    assert again == [Job("submission", 0, processes=2)]


@pytest.mark.slow
def test_two_processes_train_a_run_which_is_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folders = Folders(data=tmp_path / "data", runs=tmp_path / "runs", results=tmp_path / "results")
    experiment = experiment_for("wrn", {"depth": 10, "k": 1}, dataset="digits", seed=0, epochs=1)
    Submission(
        folder=tmp_path,
        where=Where.SLURM,
        host="here",
        submitted="2026-01-01 00:00:00+00:00",
        tasks=[[experiment.name]],
        experiments={experiment.name: experiment.to_json()},
        runtime=Runtime(device="cpu", processes=2).values(),
        folders=folders,
        papers={},
    ).write()
    Job(str(tmp_path), 0, processes=2)()
    (record,) = csv.DictReader((tmp_path / "results" / "runs.csv").read_text("utf-8").splitlines())
    assert record["name"] == experiment.name
    assert '"processes": 2' in record["runtime"]
