"""The page on a paper of one's own: its files and commands work in an empty folder."""

import os
import re
import runpy
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
from commands import printed
from page_steps import STEP, apply

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/own-paper.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"<!-- run -->\n```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("own paper")]
"""Run in one process, since their answers take a minute."""
SECONDS = 60
"""Of the processor: it may be busy with other things."""


def answer(command: str, folder: Path) -> str:
    """Return what a command prints; the first training has a process of its own, as a user's."""
    if command == "repro table first --run":
        words, environment = [sys.executable, "-m", *command.split()], {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(words, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    if command.startswith("repro "):
        return printed(command, folder)
    with chdir(folder):
        runpy.run_path(command.removeprefix("python "))
    return ""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command prints, and how long training takes, in an empty folder with the files of the page."""
    folder = tmp_path_factory.mktemp("own")
    for step in STEP.finditer(PAGE):
        (folder / step["place"]).parent.mkdir(parents=True, exist_ok=True)
        apply(step, folder)
    found = dict[str, str]()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("REPRO_PAPERS", "REPRO_DATA"):
            patch.delenv(name, raising=False)
        for command in COMMANDS:
            start = sum(os.times()[:4])
            found[command] = answer(command, folder)
            assert sum(os.times()[:4]) - start < SECONDS
    return found


def test_the_first_paper_is_trained_and_has_no_findings(answers: dict[str, str]) -> None:
    trained = answers["repro table first --run"]
    assert "✗" not in trained
    assert "not measured" not in trained
    assert answers["repro validate papers/first"].startswith("0 errors, 0 warnings in 1 paper")


def test_the_recipe_has_the_values_of_both_files(answers: dict[str, str]) -> None:
    shown = answers["repro list recipes narrow-digits"]
    assert re.search(r"epochs +2 +printed: section 4", shown)
    assert re.search(r"lr +0\.1 +inferred", shown)
    assert "From: papers/narrow/recipes/narrow.toml" in shown


def test_the_rows_are_counted_trained_and_judged(answers: dict[str, str]) -> None:
    assert answers["repro table narrow"].count("not measured") == 2
    trained = answers["repro table narrow --run"]
    assert "✗" not in trained
    assert "not measured" not in trained
    assert trained.count("n = 1 ") == 2


def test_the_paper_may_be_named_and_found_at_once(answers: dict[str, str]) -> None:
    assert answers["repro table narrow --papers papers/narrow"] == answers["repro table narrow --run"]
    assert "n = 2" in answers["repro table ./papers/narrow/tables/narrow.toml"]
    assert answers["repro list runs"].count("done") == 5


def test_what_others_report_is_shown(answers: dict[str, str]) -> None:
    assert "1: 78.5" in answers["repro table narrow"]
    assert "https://example.org/narrow-again" in answers["repro table narrow --format json"]


def test_a_network_of_a_file_is_counted_trained_and_judged(answers: dict[str, str]) -> None:
    counted = answers["repro count papers/narrow/nets.py:my_net --set depth=3 --dataset digits"]
    assert "own-nets: MyNet-3" in counted
    assert "2.1k ✓" in counted
    judged = answers["repro table own-nets --run"]
    assert "not measured" not in judged
    assert "n = 1 " in judged
    trained = answers["repro train papers/narrow/nets.py:my_net --set depth=3 --set width=4 --recipe narrow-digits"]
    assert trained.startswith("nets.my_net-depth3-width4-digits-s0-")


def test_a_declared_dataset_is_listed_counted_and_trained(answers: dict[str, str]) -> None:
    assert re.search(r"small-digits .* 1x8x8 +10 +papers/narrow/datasets\.toml", answers["repro list datasets"])
    counted = answers["repro count densenet --depth 7 --k 4 --dataset small-digits"]
    assert "Input: 1x8x8, 10 classes (small-digits)" in counted
    trained = answers["repro train densenet --depth 7 --k 4 --dataset small-digits --seeds 2"]
    assert trained.count("(small-digits, seed") == 2
