"""How a run is named, and where things may lie."""

from pathlib import Path

import pytest

from repro.errors import UserError
from repro.folders import folders, run_named

RUNS = ["resnet20-cifar10-s0-f3d5e9b4", "resnet20-cifar10-s1-0a11bb22", "resnet110-shortcutB-cifar100-s0-4d653732"]


@pytest.mark.parametrize(
    "what",
    ["resnet110-shortcutB-cifar100-s0-4d653732", "RESNET110-shortcutB-cifar100-s0-4d653732", "4d65", "resnet110"],
)
def test_a_run_is_meant_by_its_name_or_a_beginning(what: str) -> None:
    assert run_named(what, RUNS, "runs") == RUNS[2]


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("resnet20", f"'resnet20' means 2 runs: {RUNS[0]}, {RUNS[1]}"),
        ("resnet20-cifar10-s0-f3d5e9b5", f"did you mean {RUNS[0]} or {RUNS[1]}"),
        ("vgg", f"its runs: {RUNS[0]}, {RUNS[1]}, {RUNS[2]}"),
        ("resnet2", "'resnet2' is no run in runs"),
    ],
)
def test_what_means_no_run_is_told_with_those_that_there_are(what: str, line: str) -> None:
    with pytest.raises(UserError) as error:
        run_named(what, RUNS, "runs")
    assert line in str(error.value)


def test_of_many_runs_a_message_names_the_first() -> None:
    with pytest.raises(UserError, match="run-09 and 20 others"):
        run_named("?", [f"run-{number:02}" for number in range(30)], "runs")


def test_records_are_read_from_a_folder_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        folders(results=tmp_path / "missing")
    assert folders(results=tmp_path / "missing", trains=True).results == tmp_path / "missing"
