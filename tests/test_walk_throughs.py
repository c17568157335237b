"""The walk-throughs of CONTRIBUTING.md are short, and work in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from page_steps import STEP, apply

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LINES = 15


def walk_throughs() -> dict[str, list[re.Match[str]]]:
    """Return the edits of each walk-through by its heading."""
    sections = re.split(r"^### ", GUIDE.partition("\n## Rules")[0], flags=re.MULTILINE)[1:]
    return {section.splitlines()[0]: list(STEP.finditer(section)) for section in sections}


def answer(root: Path, command: str) -> str:
    """Return what a command of the copy prints."""
    words = [sys.executable, "-m", *command.split()]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(words, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after all walk-throughs, in their order."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("repro", "tables"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for step in (step for steps in walk_throughs().values() for step in steps):
        apply(step, root)
    return root


def test_each_walk_through_is_short() -> None:
    lines = {name: sum(step["text"].count("\n") for step in steps) for name, steps in walk_throughs().items()}
    assert list(lines) == ["Add a table", "Add a network", "Add a recipe", "Add a dataset"]
    assert all(0 < number <= LINES for number in lines.values()), lines


def test_the_network_has_the_printed_parameters_and_its_row_is_judged_by_the_recipe(extended: Path) -> None:
    row = json.loads(answer(extended, "repro table all-cnn --format json"))["rows"][0]
    assert row["published"] == {"params": "1.4M", "error": "9.08"}
    assert row["matches"] == {"params": True}
    assert row["recipe"] == {"error": "all-cnn-cifar10"}
    assert row["verdict"] == "not measured"


def test_the_network_is_trained_by_the_recipe_by_default(extended: Path) -> None:
    code = "from repro.experiment import experiment_for; print(experiment_for('all-cnn-c', {}, seed=0).recipe.name)"
    done = subprocess.run([sys.executable, "-c", code], cwd=extended, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "all-cnn-cifar10\n"


def test_networks_are_counted_on_the_data_set(extended: Path) -> None:
    count = json.loads(answer(extended, "repro count resnet18 --dataset imagenette --format json"))
    assert count["input"] == "3x224x224"


def test_the_added_code_is_formatted(extended: Path) -> None:
    ruff = [sys.executable, "-m", "ruff", "format", "--check", "--config", str(ROOT / "pyproject.toml")]
    files = [
        extended / name for name in ("repro/models/all_cnn.py", "repro/models/registry.py", "repro/data/registry.py")
    ]
    subprocess.run([*ruff, *files], check=True)
