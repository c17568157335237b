"""Several processes, also of several machines, in the same folders."""

import errno
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, BinaryIO
from unittest.mock import Mock

import pytest
from watching import Silent, stop_at, train_one

from repro.api.selection import select
from repro.atomic import remove_unfinished, write_atomically, write_folder_atomically
from repro.campaign import training as command
from repro.errors import BeingTrained, RunFailed, Stopped, UserError
from repro.experiment import Experiment
from repro.locks import Held, Holder, holder_of, locked
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store import writing
from repro.store.results import every_record
from repro.store.run_folders import LOCK, run_at
from repro.store.run_state import RunState
from repro.store.writing import check_writable
from repro.tables import AS_PUBLISHED
from repro.training.runs.train import train

CPU = Runtime(device="cpu")
Make = Callable[..., Experiment]
HOLD = "import sys; from pathlib import Path; from repro.locks import locked\n"
HOLD += "with locked(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
WRITE = "import sys; from pathlib import Path; from repro.atomic import write_atomically\n"
WRITE += "def content(file): file.write(b'new'); print(flush=True); sys.stdin.read()\n"
WRITE += "write_atomically(Path(sys.argv[1]), content)"


def started(code: str, path: Path) -> subprocess.Popen[bytes]:
    """Start a program that waits for the end of its input, and return when it waits."""
    program = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert program.stdout
    assert program.stdout.readline()
    return program


def hold(locks: ExitStack, folders: Folders, *experiments: Experiment) -> None:
    for each in experiments:
        (folders.runs / each.name).mkdir(parents=True, exist_ok=True)
        locks.enter_context(locked(folders.runs / each.name / LOCK))


def without_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(file: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_lock_says_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with started(HOLD, path) as program:
        said = Holder(**json.loads((tmp_path / ".lock.json").read_bytes()))
        assert (said.host, said.process) == (socket.gethostname(), program.pid)
        assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\+00:00", said.since)
        assert holder_of(path) == str(said)
        with pytest.raises(Held, match=f"process {program.pid} on {socket.gethostname()} since {said.since[:10]}"):
            locked(path, 0).__enter__()
    assert program.returncode == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == [".lock"]
    with locked(path, 0):
        pass


def test_a_run_of_another_user_is_listed_as_running_or_unknown(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files may not be written; tests run as root, for whom permissions do not apply."""

    def without_permission(*refused: str) -> None:
        def open_file(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> IO[Any]:
            if path.name == LOCK and mode in refused:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return original(path, mode, *arguments, **named)

        monkeypatch.setattr(Path, "open", open_file)

    original, folder = Path.open, folders.runs / tiny().name
    with pytest.raises(Stopped):
        train_one(tiny(), CPU, folders, stop_at(1))
    with started(HOLD, folder / LOCK) as program:
        without_permission("ab", "r+b")
        running = run_at(folder)
        assert (running.state, running.command) == (RunState.RUNNING, None)
        assert str(running.holder).startswith(f"process {program.pid} on ")
    stopped = run_at(folder)
    assert (stopped.state, stopped.holder) == (RunState.STOPPED, None)
    without_permission("ab", "r+b", "rb")
    unknown = run_at(folder)
    assert (unknown.state, unknown.command) == (RunState.UNKNOWN, None)
    assert unknown.reason == "its .lock may not be read, so whether a process trains it is unknown"


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with started(HOLD, tmp_path / ".lock") as program:
        program.kill()
    assert not holder_of(tmp_path / ".lock")
    with locked(tmp_path / ".lock", 0):
        assert json.loads((tmp_path / ".lock.json").read_bytes())["process"] == os.getpid()


def test_a_released_lock_is_free_while_a_forked_process_lives(tmp_path: Path) -> None:
    with started(HOLD, tmp_path / ".lock"):
        pass
    release, wait = os.pipe()[::-1]
    with locked(tmp_path / ".lock"):
        child = os.fork()
        if child == 0:
            os.read(wait, 1)
            os._exit(0)
    assert not holder_of(tmp_path / ".lock")
    os.write(release, b".")
    os.waitpid(child, 0)


def test_a_run_is_refused_with_the_process_that_trains_it(tiny: Make, folders: Folders) -> None:
    with ExitStack() as locks:
        hold(locks, folders, tiny())
        holder = f"process {os.getpid()} on {socket.gethostname()} since 20"
        expected = re.escape(f"another process is training {tiny().name} ({holder}")
        with pytest.raises(BeingTrained, match=expected) as refused:
            train_one(tiny(), CPU, folders, Silent())
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("small_digits")
@pytest.mark.parametrize("together", ["off", "stacked"])
def test_the_seeds_that_are_free_are_trained_and_the_others_named(tiny: Make, folders: Folders, together: str) -> None:
    seeds = [tiny(seed=seed, epochs=1, dropout=0.0) for seed in range(3)]
    with ExitStack() as locks:
        hold(locks, folders, seeds[0], seeds[2])
        with pytest.raises(BeingTrained) as refused:
            train(seeds, replace(CPU, together=together), folders, Silent())
    assert list(refused.value.holders) == [seeds[0].name, seeds[2].name]
    assert [each.id for each in every_record(folders.results)] == [seeds[1].id]


@pytest.mark.usefixtures("small_digits")
def test_a_seed_that_became_free_is_trained_at_the_end(tiny: Make, folders: Folders) -> None:
    seeds = [tiny(seed=seed, epochs=1) for seed in range(2)]
    with ExitStack() as locks:
        hold(locks, folders, seeds[0])
        records = train(seeds, CPU, folders, Silent(lambda step: locks.close()))
    assert [each.id for each in records] == [each.id for each in seeds]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_reported_before_the_training(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    without_locks(monkeypatch, number)
    with pytest.raises(UserError, match=r"the file system of .* has no file locks \(.*\).* on another file system"):
        train_one(tiny(), CPU, folders, Silent(lambda step: pytest.fail("trained without a lock")))


def test_results_that_cannot_be_extended_are_reported_before_the_training(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, results = folders.results / ".runs.lock", folders.results
    results.mkdir()
    monkeypatch.setattr(writing, "QUICK_SECONDS", 0)
    with started(HOLD, lock) as program:
        said = rf"runs\.csv is locked: process {program.pid} on .* has held {lock} for over 0 seconds; wait for"
        with pytest.raises(UserError, match=said):
            train_one(tiny(), CPU, folders, stop_at(1))
    (results / "curves").rmdir()
    (results / "curves").write_text("")
    with pytest.raises(UserError, match=rf"cannot be written \({results}/curves: File exists\); choose another --res"):
        train_one(tiny(), CPU, folders, stop_at(1))
    (results / "curves").unlink()
    with monkeypatch.context() as read_only:
        denied = PermissionError(errno.EACCES, "Permission denied", f"{results}/..probe.host-1-0.part")
        read_only.setattr(writing, "write_atomically", Mock(side_effect=denied))
        with pytest.raises(UserError, match=rf"cannot be written \({results}: Permission denied\); choose"):
            train_one(tiny(), CPU, folders, stop_at(1))
        read_only.setattr(writing, "write_atomically", Mock(side_effect=OSError(errno.ENOSPC, "No space left")))
        with pytest.raises(RunFailed, match=rf"cannot be written \({results}: No space left\); free space there"):
            train_one(tiny(), CPU, folders, stop_at(1))
    lock.unlink()
    lock.mkdir()
    with pytest.raises(UserError, match=rf"cannot be written \({lock}: Is a directory\)"):
        train_one(tiny(), CPU, folders, stop_at(1))


def test_a_file_of_results_that_only_its_owner_may_replace_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(part: Path, path: Path) -> None:
        if path.name == "times.csv":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))

    (tmp_path / "times.csv").write_text("table\n")
    monkeypatch.setattr(Path, "replace", replace)
    check_writable(tmp_path / "runs.csv")
    with pytest.raises(UserError, match=r"times\.csv: Operation not permitted\); choose another --results folder"):
        check_writable(tmp_path / "times.csv")


def test_files_are_written_without_locks_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_locks(monkeypatch, errno.ENOSYS)
    write_atomically(tmp_path / "file", b"content")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_processes_with_equal_ids_write_to_different_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in two containers, where every first process has the ID 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    path = tmp_path / "file"

    def content(file: BinaryIO) -> None:
        write_atomically(path, b"other")
        assert path.read_bytes() == b"other"
        file.write(b"own")
        (part,) = tmp_path.glob(".*.part")
        assert part.name.startswith(f".file.{socket.gethostname().partition('.')[0]}-1-")

    write_atomically(path, content)
    assert path.read_bytes() == b"own"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_only_the_unfinished_files_of_dead_processes_are_removed(tmp_path: Path) -> None:
    for name in (".file.another-host-7-00000000.part", ".file.7.part"):
        (tmp_path / name).write_bytes(b"half")
    with started(WRITE, tmp_path / "written") as writer, started(WRITE, tmp_path / "lost") as killed:
        killed.kill()
        killed.wait()
        assert len(list(tmp_path.glob(".*.part"))) == 4
        remove_unfinished(tmp_path)
        assert [each.name.split(".")[1] for each in tmp_path.glob(".*.part")] == ["written"]
    assert writer.returncode == 0
    assert [each.name for each in tmp_path.iterdir()] == ["written"]


def test_the_next_writer_of_a_file_or_folder_removes_what_killed_ones_left_of_it(tmp_path: Path) -> None:
    with started(WRITE, tmp_path / "runs.csv") as writing, started(WRITE, tmp_path / "runs.csv") as killed:
        killed.kill()
        killed.wait()
        (tmp_path / ".other.csv.host-7-00000000.part").touch()
        (tmp_path / ".paper.host-7-00000000.part" / "tables").mkdir(parents=True)
        write_atomically(tmp_path / "runs.csv", b"content")
        write_folder_atomically(tmp_path / "paper", {Path("tables/one.toml"): b""})
        assert sorted(each.name.split(".")[1] for each in tmp_path.glob(".*.part")) == ["other", "runs"]
    assert writing.returncode == 0
    assert sorted(each.name for each in tmp_path.glob("*")) == [".other.csv.host-7-00000000.part", "paper", "runs.csv"]


@pytest.fixture
def wanted(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> list[Experiment]:
    """Let a table need two seeds of one experiment and one of another."""
    experiments = [tiny(seed=0, epochs=1), tiny(seed=1, epochs=1), tiny(epochs=1, batch=512)]
    monkeypatch.setattr(command, "missing", lambda *_: experiments)
    monkeypatch.setattr(command, "count_networks", lambda selections: None)
    return experiments


@pytest.mark.slow
@pytest.mark.usefixtures("small_digits")
@pytest.mark.parametrize("together", ["off", "stacked"])
def test_a_table_trains_the_runs_that_are_free(
    wanted: list[Experiment], folders: Folders, capsys: pytest.CaptureFixture[str], together: str
) -> None:
    """Those that another process trains are named, and left to it."""
    wanted[:] = [replace(each, recipe=replace(each.recipe, dropout=0.0)) for each in wanted]
    first, second, other = wanted
    with ExitStack() as locks:
        hold(locks, folders, first)
        runtime = replace(CPU, together=together)
        assert not command.train_missing(select("cifar100", "N = 4"), AS_PUBLISHED, runtime, folders)
    assert [each.id for each in every_record(folders.results)] == [second.id, other.id]
    held = f"{first.name} is being trained by process {os.getpid()} on {socket.gethostname()} since 20"
    assert capsys.readouterr().err.count(held) == 2  # when it was met, and at the end


@pytest.mark.usefixtures("small_digits")
def test_a_table_comes_back_to_runs_that_became_free(
    wanted: list[Experiment], folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One was recorded meanwhile and is not trained again; the process that trained the other was killed."""
    first, second, other = wanted
    elsewhere = replace(folders, runs=tmp_path / "elsewhere")
    with ExitStack() as locks:
        hold(locks, folders, first, second)
        original = command.train_all_unheld

        def train_all_unheld(experiments: list[Experiment], *arguments: object) -> object:
            answer = original(experiments, *arguments)  # type: ignore[arg-type]
            if other in experiments:
                train_one(first, CPU, elsewhere, Silent())
                locks.close()
            return answer

        monkeypatch.setattr(command, "train_all_unheld", train_all_unheld)
        command.train_missing(select("cifar100", "N = 4"), AS_PUBLISHED, CPU, folders)
    assert [each.id for each in every_record(folders.results)] == [other.id, first.id, second.id]


@pytest.mark.usefixtures("small_digits")
def test_a_table_removes_what_was_left_by_a_process_killed_after_its_record(
    wanted: list[Experiment], folders: Folders
) -> None:
    """The run is recorded, so that nothing else enters its folder."""
    del wanted[1:]
    train_one(wanted[0], CPU, folders, Silent())
    left = folders.runs / wanted[0].name / ".run.json.host-7-00000000.part"
    left.write_bytes(b"{")
    command.train_missing(select("cifar100", "N = 4"), AS_PUBLISHED, CPU, folders)
    assert not left.exists()
    assert len(every_record(folders.results)) == 1
