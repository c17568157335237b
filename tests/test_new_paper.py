"""`repro new paper` writes a folder whose commands work at once; a name or a folder that is taken is refused."""

import re
import shlex
from pathlib import Path

import pytest
from commands import repro

from repro.api.networks import build
from repro.atomic import write_folder_atomically
from repro.papers import find_papers

FILES = {"README.md", "nets.py", "recipes/demo.toml", "tables/demo.toml"}
Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPRO_PAPERS", raising=False)


def commands(folder: str) -> list[str]:
    """Return the commands of a paper's README."""
    return re.findall(r"^repro (.+)$", (Path(folder) / "README.md").read_text(), re.MULTILINE)


def test_the_five_commands_of_a_new_paper_work(capsys: Capsys) -> None:
    status, _, err = repro(capsys, "new", "paper", "demo")
    assert (status, err.splitlines()[-1]) == (0, "next: repro table demo")
    assert {str(each.relative_to("papers/demo")) for each in Path("papers/demo").rglob("*.*")} == FILES
    answers = list[str]()
    for command in commands("papers/demo"):
        status, out, err = repro(capsys, *shlex.split(command))
        assert status == 0, err
        answers.append(out)
    counted, table, trained, runs, validated = answers
    assert "1.5k ✓" in counted
    assert table.count("✓") == 4
    assert "made up" in table
    assert "not measured" not in trained.partition("Source:")[0]
    assert runs.count("done") == 2
    assert validated.startswith("0 errors, 0 warnings in 1 paper: 1 table and 1 recipe could be read")


def test_a_paper_elsewhere_is_named_in_its_commands(capsys: Capsys) -> None:
    status, _, err = repro(capsys, "new", "paper", "demo", "--to", "my folder/demo")
    assert (status, err.splitlines()[-1]) == (0, "next: repro table demo --papers 'my folder/demo'")
    count, table, *_, validate = commands("my folder/demo")
    assert count.endswith(" --papers 'my folder/demo'")
    assert validate == "validate 'my folder/demo'"
    status, out, _ = repro(capsys, *shlex.split(table))
    assert status == 0
    assert "repro table demo --time --papers 'my folder/demo' measures it" in out.replace("\n", " ")
    assert repro(capsys, *shlex.split(validate))[0] == 0


def test_the_label_of_a_row_is_built_as_it_is_trained(capsys: Capsys) -> None:
    repro(capsys, "new", "paper", "demo")
    network = build("SmallNet, width 8", papers="papers/demo")
    assert [*network.parameters()][-1].shape == (10,)  # the digits, the dataset of its recipe


def test_a_hidden_folder_is_named_in_its_commands(capsys: Capsys) -> None:
    assert repro(capsys, "new", "paper", "mine", "--to", "papers/.mine")[2].endswith("--papers papers/.mine\n")


def test_a_folder_whose_name_is_not_in_utf_8_is_refused(capsys: Capsys) -> None:
    status, out, err = repro(capsys, "new", "paper", "mine", "--to", "caf\udce9")
    assert (status, out, err) == (
        2,
        "",
        "error: 'caf\\udce9' is not a name in UTF-8; choose another folder with --to\n",
    )


def test_an_empty_folder_is_filled(capsys: Capsys) -> None:
    Path("papers/demo").mkdir(parents=True)
    assert repro(capsys, "new", "paper", "demo")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["a/b"], "'a/b' is not a valid name for a paper; use letters, digits, - and _, with a letter or digit first"),
        (["-b"], "No such option: -b"),
        (["a.toml"], "'a.toml' is not a valid name for a paper"),
        (["CIFAR_100"], "there is a table cifar100 already; choose another name than CIFAR_100"),
        (["digits"], "there is a recipe digits already; choose another name than digits"),
        (["demo", "--to", "full"], "full is not empty; choose another name, or another folder with --to"),
        (["demo", "--to", "full/file"], "full/file is a file; choose another folder with --to"),
        (["demo", "--to", "full/file/demo"], "full/file is a file; choose another folder with --to"),
        (["demo", "--to", "."], ". is the working folder; name a new folder within it with --to"),
    ],
)
def test_a_name_or_a_folder_that_is_taken_is_refused(capsys: Capsys, arguments: list[str], line: str) -> None:
    Path("full").mkdir()
    Path("full/file").write_text("")
    status, out, err = repro(capsys, "new", "paper", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {line}")
    assert sorted(map(str, Path().rglob("*"))) == ["full", "full/file"]


def test_an_abstract_recipe_has_its_name(capsys: Capsys) -> None:
    Path("papers/one/recipes").mkdir(parents=True)
    Path("papers/one/recipes/one.toml").write_text('[recipes.half]\nabstract = true\nextends = "digits"\n')
    assert "there is a recipe half already" in repro(capsys, "new", "paper", "half")[2]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Is a directory"):
        write_folder_atomically(tmp_path / "made", {Path("a/b"): b"1", Path("a"): b"2"})
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_paper_is_not_found() -> None:
    for folder in (".demo.host-1-a.part", "demo"):
        Path("papers", folder, "tables").mkdir(parents=True)
        Path("papers", folder, "tables", "demo.toml").write_text("")
    assert [each.folder.name for each in find_papers() if not each.shipped] == ["demo"]
