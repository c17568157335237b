"""What the README shows is what the program prints, and its picture of the house is true."""

import re
from pathlib import Path

import pytest
from readme import MARKED, made_by

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("found", list(MARKED.finditer(README)), ids=lambda found: found["maker"])
def test_what_stands_between_markers_is_what_is_made(found: re.Match[str]) -> None:
    assert found["shown"].strip() == made_by(found["maker"])


def test_something_is_shown() -> None:
    assert len(MARKED.findall(README)) == 4


def test_every_room_of_the_house_is_in_the_picture() -> None:
    """By its whole name, `data/` or `cli.py`; and every file in the picture is in the house."""
    picture = next(block for block in README.split("```") if "\nrepro/\n" in block)
    pictured = set(re.findall(r"\w+(?:\.py|/)", picture))
    house = list((ROOT / "repro").iterdir())
    files = {path.name for path in house if path.suffix == ".py"}
    folders = {f"{path.name}/" for path in house if (path / "__init__.py").exists()}
    without_a_word = {"__init__.py", "__main__.py", "errors.py", "names.py", "files.py", "folders.py", "console.py"}
    assert (files | folders) - without_a_word - pictured == set()
    assert {each for each in pictured if each.endswith(".py")} - files == set()


def test_there_are_two_commands_of_set_up() -> None:
    blocks = re.findall(r"<!-- (set-up|test) -->\n```sh\n(.+)\n```", README)
    assert [name for name, _ in blocks] == ["set-up", "test"]
