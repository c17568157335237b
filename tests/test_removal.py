"""`repro runs rm`: what is deleted, what is refused, and the question before."""

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from commands import repro
from records import append_line_with_test, append_record

from repro import locks
from repro.errors import UserError
from repro.locks import Held, holder_of, locked
from repro.paths import Folders
from repro.store import removal
from repro.store.curves import curve_of, curve_path, new_curve_path, write_curve
from repro.store.gates import gates_path
from repro.store.results import EpochRow, Record, every_record, shipped_results
from repro.store.run_folders import CURVE, DESCRIPTION, LOCK

Make = Callable[..., Record]


@pytest.fixture
def pair(folders: Folders, record: Make) -> list[Record]:
    """Write two runs, with the files that training leaves."""
    made = [record(seed=seed) for seed in range(2)]
    for each in made:
        append_record(each, folders.results)
        (folders.runs / each.name / "logs").mkdir(parents=True)
        for name in (DESCRIPTION, CURVE, "checkpoint.pt", LOCK, "logs/events"):
            (folders.runs / each.name / name).write_bytes(b"content")
        for path in (curve_path(folders.results, each.name), gates_path(folders.results, each.name)):
            path.parent.mkdir(exist_ok=True)
            path.touch()
    return made


def rm(capsys: pytest.CaptureFixture[str], folders: Folders, *arguments: object) -> tuple[int, str, str]:
    return repro(capsys, "runs", "rm", *arguments, "--runs", folders.runs, "--results", folders.results)


def left(folders: Folders) -> list[str]:
    """Return the runs of which anything is left."""
    places = (folders.runs.iterdir(), (folders.results / "curves").iterdir(), (folders.results / "gates").iterdir())
    found = {path.stem for place in places for path in place}
    return sorted(found | {each.name for each in every_record(folders.results)})


def answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Let a user at a terminal give an answer."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda text, err: print(text, file=sys.stderr) or answer == "y")


@pytest.mark.parametrize("spelling", ["id", "name", "folder"])
def test_a_run_is_deleted_with_its_record(
    spelling: str, pair: list[Record], folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = pair
    what = {"id": first.id, "name": first.name, "folder": folders.runs / first.name}[spelling]
    status, out, err = rm(capsys, folders, what, "--yes")
    assert (status, out) == (0, "")
    assert err == f"deleted {first.name}\nnext: repro list runs --runs {folders.runs}\n"
    assert left(folders) == [second.name]
    assert not (folders.runs / first.name).exists()


def test_what_will_be_deleted_is_named_before_the_question(
    pair: list[Record], folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, "n")
    name = pair[0].name
    status, _, err = rm(capsys, folders, name)
    parts = f"{folders.runs / name} (35 bytes), 1 record in {folders.results / 'runs.csv'}"
    files = f"{curve_path(folders.results, name)}, {gates_path(folders.results, name)}"
    assert err == f"{name}: {parts}, {files}\nDelete 1 run?\nfailed: nothing was deleted\n"
    assert status == 1
    assert len(left(folders)) == 2
    answering(monkeypatch, "y")
    assert rm(capsys, folders, name, pair[1].id, name)[0] == 0
    assert left(folders) == []


def test_a_record_that_is_added_during_the_question_stays(
    pair: list[Record],
    folders: Folders,
    record: Make,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    added = record(error=23.0, epochs=1, started="2026-02-01T00:00:00+00:00")
    row = EpochRow(epoch=1, step=1, lr=0.1, train_loss=1, train_error=1, test_loss=1, test_error=23.0, seconds=1)

    def confirmed(text: str, err: bool) -> bool:
        write_curve([row], new_curve_path(folders.results, added))  # in place of one that fits no record
        append_record(added, folders.results)
        return True

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", confirmed)
    assert rm(capsys, folders, pair[0].name)[0] == 0
    assert every_record(folders.results) == [pair[1], added]
    assert curve_of(added, [folders.results]) == [row]


def test_all_lines_of_a_record_are_deleted(
    pair: list[Record], folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    append_line_with_test(pair[0], folders.results)
    assert rm(capsys, folders, pair[0].id, "--yes")[0] == 0
    assert left(folders) == [pair[1].name]


def test_without_a_terminal_nothing_is_deleted(
    pair: list[Record], folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    status, _, err = rm(capsys, folders, pair[0].name)
    assert (status, err) == (2, "error: there is no terminal to confirm the deletion of 1 run; add --yes\n")
    assert len(left(folders)) == 2


def test_a_run_that_is_being_trained_is_refused_with_all_others(
    pair: list[Record], folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    with locked(folders.runs / second.name / LOCK):
        status, _, err = rm(capsys, folders, first.id, second.id, "--yes")
        assert status == 2
        assert f"another process is training {second.name}; stop it first" in err
        monkeypatch.setattr(removal, "holder_of", lambda lock: None)  # it starts after the question
        monkeypatch.setattr(removal, "LOCK_SECONDS", 0.0)
        assert f"is training {second.name}; stop it first" in rm(capsys, folders, second.id, "--yes")[2]
    assert left(folders) == sorted([first.name, second.name])


def test_a_process_that_waits_for_a_removed_run_locks_a_new_file(
    pair: list[Record], folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would hold a lock of a file that is gone, beside one that locks the new file."""
    name, removed = pair[0].name, removal.remove
    lock = folders.runs / name / LOCK
    waiting = lock.open("ab")

    def removed_after_open(what: removal.Removal) -> None:
        removed(what)
        with monkeypatch.context() as patch:  # opened before the removal, locked after it
            patch.setattr(Path, "open", once(waiting, Path.open))
            with locked(lock), pytest.raises(Held), locked(lock, 0):
                pass

    monkeypatch.setattr("repro.cli.runs.remove", removed_after_open)
    assert rm(capsys, folders, name, "--yes")[0] == 0
    assert waiting.closed


def test_a_process_that_leaves_a_deleted_lock_keeps_what_is_beside_the_new_one(tmp_path: Path) -> None:
    lock, first = tmp_path / LOCK, ExitStack()
    first.enter_context(locked(lock))
    lock.unlink()
    with locked(lock):
        first.close()
        assert str(holder_of(lock)).startswith("process ")


def test_a_lock_that_cannot_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.0)
    (tmp_path / LOCK).symlink_to(tmp_path / "missing" / LOCK)
    with pytest.raises(UserError, match="cannot be locked"), locked(tmp_path / LOCK, 0):
        pass


def once(first: Any, then: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that returns `first` at its first call and calls `then` after it."""
    left = [first]
    return lambda *arguments, **options: left.pop() if left else then(*arguments, **options)


def test_a_record_without_a_folder_and_a_folder_without_a_record_are_deleted(
    pair: list[Record], folders: Folders, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first, second = pair
    (folders.runs / first.name).rename(tmp_path / "elsewhere")
    assert rm(capsys, folders, first.id, "--yes")[0] == 0
    assert left(folders) == [second.name]
    assert (tmp_path / "elsewhere" / "checkpoint.pt").exists()
    (folders.results / "runs.csv").unlink()
    assert rm(capsys, folders, second.id, "--yes")[0] == 0
    assert left(folders) == []


def test_two_folders_of_one_run_are_both_deleted(
    pair: list[Record], folders: Folders, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own, copy = (place / pair[0].name for place in (folders.runs, tmp_path / "other"))
    shutil.copytree(own, copy)
    assert rm(capsys, folders, own, copy, copy, "--yes")[2].count("deleted") == 2
    assert not own.exists()
    assert not copy.exists()


def test_a_run_whose_folder_is_a_link_has_the_name_of_the_link_and_is_deleted_with_it(
    pair: list[Record],
    folders: Folders,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    first, second = pair
    (folders.runs / first.name).rename(tmp_path / "elsewhere")
    (folders.runs / first.name).symlink_to(tmp_path / "elsewhere")
    what = folders.runs / second.name / ".." / first.name
    answering(monkeypatch, "n")
    assert f"{what}, a link to {tmp_path / 'elsewhere'} (35 bytes), 1 record in" in rm(capsys, folders, what)[2]
    err = rm(capsys, folders, what, "--yes")[2]
    assert err.startswith(f"deleted {first.name}\n")
    assert [each.name for each in every_record(folders.results)] == [second.name]
    assert not curve_path(folders.results, first.name).exists()
    assert not (tmp_path / "elsewhere").exists()
    assert left(folders) == [second.name]


def test_other_folders_and_files_are_refused(
    pair: list[Record], folders: Folders, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    line = "precious is not the folder of a run: it has neither run.json nor curve.csv"
    assert line in rm(capsys, folders, tmp_path / "precious", "--yes")[2]
    assert "is not the folder of a run" in rm(capsys, folders, folders.runs, "--yes")[2]
    assert "is a file; give the run" in rm(capsys, folders, folders.runs / pair[0].name / DESCRIPTION, "--yes")[2]
    assert "'absent' is neither a run in" in rm(capsys, folders, pair[0].id, "absent", "--yes")[2]
    (folders.runs / f"{pair[0].name}-left").mkdir()
    for each in (LOCK, f"{LOCK}.json"):
        (folders.runs / f"{pair[0].name}-left" / each).touch()  # by a session that was killed before it began
    assert "matches 2 runs" in rm(capsys, folders, "denseresnet110", "--yes")[2]
    assert len(left(folders)) == 3


def test_a_shipped_record_is_never_deleted(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = every_record(shipped_results())[0]
    before = (shipped_results() / "runs.csv").read_bytes()
    (folders.runs / shipped.name).mkdir(parents=True)
    (folders.runs / shipped.name / DESCRIPTION).touch()
    arguments = ("runs", "rm", shipped.id, "--yes", "--runs", folders.runs, "--results")
    status, _, err = repro(capsys, *arguments, shipped_results())
    assert status == 2
    assert f"the record of {shipped.name} in {shipped_results()} is shipped with the program and is never del" in err
    assert (folders.runs / shipped.name).is_dir()
    append_record(shipped, folders.results)  # the user's own run of the same experiment
    assert repro(capsys, *arguments, folders.results)[0] == 0
    assert every_record(folders.results) == []
    assert not (folders.runs / shipped.name).exists()
    assert (shipped_results() / "runs.csv").read_bytes() == before
