"""The documents show what the program prints, and what they say about the package is true."""

import re
import tomllib
from pathlib import Path

import pytest
from documents import DOCUMENTS, MARKED, PICTURES, ROOT, answer, draw, made_by

from repro.api.run_lines import RunLine
from repro.cli.lines import COLUMNS, Kind
from repro.experiment import experiment_for
from repro.store.run_state import RunState

TEXTS = {document.relative_to(ROOT).as_posix(): document.read_text(encoding="utf-8") for document in DOCUMENTS}
README = TEXTS["README.md"]
GENERATED = [(name, found) for name, text in TEXTS.items() for found in MARKED.finditer(text)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORDS_OF_README = 900


@pytest.mark.slow
@pytest.mark.parametrize(("name", "found"), GENERATED, ids=lambda part: getattr(part, "re", None) and part["maker"])
def test_generated_parts_show_what_the_program_prints(name: str, found: re.Match[str]) -> None:
    assert found["shown"].strip() == made_by(found["maker"]), f"{name}: write it with python tests/documents.py"


def test_each_document_with_generated_parts_has_them() -> None:
    makers = {name: text.count("<!-- made by: ") for name, text in TEXTS.items()}
    assert {name for name, number in makers.items() if number} == {
        "README.md",
        "SECURITY.md",
        *(
            f"docs/{page}.md"
            for page in ("commands", "own-paper", "python", "recipes", "results", "running", "tables", "verdict")
        ),
    }
    assert sum(makers.values()) == len(GENERATED) == sum(text.count("<!-- end -->") for text in TEXTS.values())


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= WORDS_OF_README


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_figure_shows_the_recorded_numbers(picture: Path, tmp_path: Path) -> None:
    draw(tmp_path / picture.name)
    assert picture.is_file()
    assert picture.with_suffix(".csv").read_bytes() == (tmp_path / picture.name).with_suffix(".csv").read_bytes()


@pytest.mark.parametrize("command", ["repro", "repro figure", "repro new", "repro runs"])
def test_every_command_is_documented(command: str) -> None:
    listed = answer(f"{command} --help").partition("Commands:\n")[2]
    names = re.findall(r"^  (\w+)", listed, re.MULTILINE)
    assert names
    for name in names:
        assert f"made by: {command} {name} --help" in TEXTS["docs/commands.md"]


HELP = [found for _, found in GENERATED if found["maker"].endswith(" --help")]


@pytest.mark.parametrize("found", HELP, ids=lambda found: found["maker"])
def test_a_help_names_only_options_of_its_command(found: re.Match[str]) -> None:
    shown = found["shown"].replace("repro table NAME --run --dry-run", "")
    own = re.findall(r"^  (?:-\w, )?(--[\w-]+)(?: / (--[\w-]+))?", shown, re.MULTILINE)
    named = set(re.findall(r"--[a-z][\w-]*", shown))
    assert named <= {option for pair in own for option in pair}


def test_the_modules_are_listed_in_the_order_of_their_imports() -> None:
    table = TEXTS["docs/architecture.md"].partition("<!-- modules -->")[2].strip().partition("\n\n")[0]
    listed = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines()[2:]]
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    assert listed == [layer.split(" | ") for layer in layers]


@pytest.mark.parametrize("name", [name for name in TEXTS if name.startswith("docs/")])
def test_every_page_is_in_the_navigation(name: str) -> None:
    assert f": {name.removeprefix('docs/')}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_set_up_leaves_the_checkout_clean() -> None:
    blocks = dict(re.findall(r"<!-- (set-up|test) -->\n```sh\n(.+?)\n```", README, re.DOTALL))
    assert list(blocks) == ["set-up", "test"]
    written = re.findall(r"repro train .*--results (\S+)", blocks["set-up"])
    assert len(written) == blocks["set-up"].count("repro train") == 1
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {".venv/", "/runs/", f"/{written[0]}/"} <= {*ignored}


def test_the_readme_names_the_run_that_it_trains() -> None:
    run = experiment_for("resnet20", {}, seed=0, dataset="digits")
    epochs = run.recipe.all_epochs
    shown = COLUMNS[Kind.RUNS]["Epoch"](RunLine(name="run", epoch=epochs, epochs=epochs, state=RunState.DONE))
    assert f" {run.name}  {shown} " in README
    assert f"repro eval {run.id}\n" in README


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {answer('repro --version').split()[-1]}\n" in citation
