"""torchrun's description of a process, which only one module reads."""

import re
from pathlib import Path

import pytest
from commands import repro

from repro import torchrun
from repro.errors import UserError
from repro.runtime import Runtime

PACKAGE = Path(torchrun.__file__).parent
VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


@pytest.fixture(autouse=True)
def without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)


def test_without_torchrun_there_is_one_process() -> None:
    assert (torchrun.process_count(), torchrun.is_first(), torchrun.gpu_number()) == (1, True, 0)


def test_torchruns_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, ("5", "1", "8"), strict=True):
        monkeypatch.setenv(name, value)
    assert (torchrun.process_count(), torchrun.is_first(), torchrun.gpu_number()) == (8, False, 1)
    assert Runtime().processes == 8


@pytest.mark.parametrize("value", ["many", "0", "-1", ""])
def test_an_impossible_number_of_processes_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(UserError, match=f"WORLD_SIZE is '{value}', but torchrun sets it to the number of processes"):
        Runtime()


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"RANK": "1"}, "RANK is '1', and WORLD_SIZE is not set; unset RANK"),
        ({"RANK": "one"}, "RANK is 'one', and WORLD_SIZE is not set; unset RANK"),
        ({"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}, "RANK is '2', and WORLD_SIZE is 2; unset RANK"),
        ({"RANK": "1", "WORLD_SIZE": "2"}, "RANK is '1', and MASTER_ADDR is not set"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE is 'many'"),
    ],
)
def test_variables_that_were_left_behind_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: dict[str, str], reason: str
) -> None:
    """Such a process would take itself for one of several, and print nothing."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    status, _, err = repro(capsys, "list", "tables")
    assert (status, f"error: {reason}" in err) == (2, True)


def test_a_number_of_processes_that_was_left_behind_is_refused_by_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, _, err = repro(capsys, "train", "densenet", "--dataset", "digits", "--device", "cpu")
    assert (status, "WORLD_SIZE is 2, and RANK is not set; unset WORLD_SIZE" in err) == (2, True)


def test_variables_that_fit_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for rank, size in (("0", "1"), ("1", "2")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", size)
        monkeypatch.setenv("MASTER_ADDR", "localhost")
        torchrun.check_process()


def test_no_other_module_reads_them() -> None:
    named = re.compile(rf"[\"']({'|'.join(VARIABLES)})[\"']")
    readers = [path.name for path in PACKAGE.rglob("*.py") if named.search(path.read_text())]
    assert readers == ["torchrun.py"]
