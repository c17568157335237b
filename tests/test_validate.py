"""`repro validate` finds everything at once: one line for each finding, a summary, and status 1 for an error."""

import json
from pathlib import Path

import pytest
from commands import repro

from repro.models.outside.factory import factory_of
from repro.templates import paper_files

Capsys = pytest.CaptureFixture[str]
TABLE, RECIPE, NETS = "tables/demo.toml", "recipes/demo.toml", "nets.py"
ROW_1, ROW_2 = "row 1 (DenseNet-7, k = 4)", "row 2 (SmallNet, width 8)"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a good paper, found in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPRO_PAPERS", raising=False)
    made = Path("papers/demo")
    for name, content in paper_files("demo", made, found=True).items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(content)
    return made


def change(folder: Path, name: str, old: str, new: str) -> None:
    """Replace text in a file of the paper, once."""
    before = (folder / name).read_text()
    assert old in before
    (folder / name).write_text(before.replace(old, new, 1))


def test_a_good_paper_has_no_findings(capsys: Capsys) -> None:
    status, out, err = repro(capsys, "validate", "papers/demo")
    assert (status, out) == (0, "0 errors, 0 warnings in 1 paper: 1 table and 1 recipe could be read\n")
    assert err.splitlines()[-1] == "next: repro table demo"


def test_code_of_a_paper_that_is_only_found_is_not_run(folder: Path, capsys: Capsys) -> None:
    change(folder, "nets.py", "from torch", "open('imported', 'w').close()\nfrom torch")
    status, _, err = repro(capsys, "validate")
    assert (status, err.splitlines()[-1]) == (0, "next: repro validate papers/demo")
    assert "papers/demo: the code of its networks was not run, since the paper was not named" in err
    assert not Path("imported").exists()
    for named in ("papers/demo", f"papers/demo/{TABLE}"):
        assert repro(capsys, "validate", named)[0] == 0
        assert Path("imported").exists()
        Path("imported").unlink()
        factory_of.cache_clear()


DATASETS = """
[datasets.mine]
summary = "Squares"
kind = "npz"
path = "mine.npz"
classes = 2
size = 8
"""


def test_datasets_are_checked(folder: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPRO_DATA", raising=False)
    file = folder / "datasets.toml"
    file.write_text(DATASETS)
    unused = f"warning: {file}: dataset mine: no recipe and no table uses it"
    status, out, _ = repro(capsys, "validate", "papers/demo")
    assert (status, out.splitlines()[0][: len(unused)]) == (0, unused)
    assert "1 table, 1 dataset and 1 recipe could be read" in out
    Path("data").mkdir()
    Path("data/mine.npz").write_text("no archive")
    status, out, _ = repro(capsys, "validate", "papers/demo")
    assert (status, f"error: {file}: dataset mine: data/mine.npz is not an npz file" in out) == (1, True)
    assert "not an npz file" not in repro(capsys, "validate", "papers/demo", "--data", "elsewhere")[1]
    file.write_text(DATASETS.replace("classes = 2", "clases = 2") + DATASETS.replace("mine]", "digits]"))
    status, out, _ = repro(capsys, "validate", "papers/demo")
    assert status == 1
    assert f"error: {file}: dataset mine: unknown key 'clases'; did you mean classes?" in out
    assert f"error: {file}: dataset digits: the dataset digits comes with the program" in out


def test_a_wrong_dataset_is_not_called_unknown_where_it_is_used(folder: Path, capsys: Capsys) -> None:
    (folder / "datasets.toml").write_text(DATASETS.replace("size = 8", "size = [8, 8]"))
    change(folder, RECIPE, 'summary = "', 'dataset = "mine"\nsummary = "')
    change(folder, TABLE, 'dataset = "digits"', 'dataset = "mine"')
    status, out, _ = repro(capsys, "validate", "papers/demo")
    assert status == 1
    assert f"error: {folder / RECIPE}: recipe demo: dataset mine has an error; correct it first" in out
    assert f"error: {folder / TABLE}: the table: dataset mine has an error; correct it first" in out
    assert "unknown dataset" not in out


def test_replications_are_read_and_need_a_table(folder: Path, capsys: Capsys) -> None:
    others = folder / "tables/replications"
    others.mkdir()
    (others / "demo.toml").write_text("sources = []\n")
    assert repro(capsys, "validate", "papers/demo")[1].startswith("0 errors, 0 warnings")
    (others / "demo.toml").rename(others / "gone.toml")
    status, out, _ = repro(capsys, "validate", "papers/demo")
    assert (status, out.splitlines()[0]) == (
        1,
        f"error: {others}/gone.toml: there is no table papers/demo/tables/gone.toml; rename the file after its table",
    )
    assert len(out.splitlines()) == 2


EXTRA = 'weight_decay = { value = 0.0, source = "printed", place = "3" }\n'
WRONG = [
    # file, text, its replacement, level, place, and what would be right
    (TABLE, '"4.1k"', '"4,1k"', "error", ROW_1, "cell params is '4,1k', not a printed number"),
    (TABLE, '"4.1k"', '"4.2k"', "warning", ROW_1, "params is printed as 4.2k, and the network has 4.1k (4,122)"),
    (TABLE, "model = ", "modle = ", "error", ROW_1, "unknown key 'modle'; did you mean model?"),
    (TABLE, "k = 4 }", "k = true }", "error", ROW_1, "option k is True, but it must be a whole number"),
    (TABLE, 'recipe = "demo"', 'recipe = "digit"', "error", "column 5 (error)", "unknown recipe 'digit'; did you"),
    (TABLE, 'recipe = "demo"', 'recipe = "wrn-svhn"', "error", ROW_1, "recipe wrn-svhn is for svhn"),
    (TABLE, ', recipe = "demo"', "", "warning", "column 5 (error)",
     "all rows: no recipe is given, so there is no verdict"),
    (TABLE, ', statistic = "last"', "", "warning", "column 5 (error)", "no statistic is given, so last is assumed"),
    (TABLE, ", runs = 1", "", "warning", "column 5 (error)",
     "all rows: the number of the paper's runs is not given, so 1 is assumed; add runs"),
    (TABLE, "runs = 1", "runs = 2", "warning", "column 5 (error)",
     "statistic last means a single run, but runs is above 1"),
    (TABLE, "nets.py:small_net", "nets.py:smallnet", "error", ROW_2, "has no class or function 'smallnet'"),
    (TABLE, "nets.py:small_net", "net.py:small_net", "error", ROW_2, "model: net.py does not exist in"),
    (TABLE, "{ width = 8 }", "{ widht = 8 }", "error", ROW_2, "has no option widht; its options: width, depth"),
    (TABLE, "{ width = 8 }", '{ width = "8" }', "error", ROW_2, "option width must be a whole number, not '8'"),
    (TABLE, "title = ", "title == ", "error", "", "not a TOML file: "),
    (NETS, "return nn", "return [nn", "error", ROW_2, "cannot be imported: SyntaxError: '[' was never closed"),
    (NETS, "return nn", "import nothing_there\n    return nn", "error", ROW_2, "No module named 'nothing_there'"),
    (NETS, "from torch", "import nothing_there\nfrom torch", "error", ROW_2, "cannot be imported: ModuleNotFoundError"),
    (NETS, "    layers:", "    raise ValueError('no')\n    layers:", "error", ROW_2, "cannot be built with width=8"),
    (NETS, "channels, width, 3", "channels, width, 99", "error", ROW_2, "does not accept images of 3x32x32 (CxHxW)"),
    (NETS, "nn.Linear(width, classes)", "nn.Linear(width, 3)", "error", ROW_2, "it must return (batch, classes)"),
    (RECIPE, 'extends = "digits"', 'extends = "demo"', "error", "recipe demo", "extends itself: demo -> demo"),
    (RECIPE, "epochs =", "epoch =", "error", "recipe demo", "unknown field `epoch`; did you mean epochs?"),
    (RECIPE, "value = 2", 'value = "2"', "error", "recipe demo", "it must be a whole number from 1 to 1,000,000,000"),
    (RECIPE, "lr =", EXTRA + 'decay_scope = { value = "weights", source = "printed", place = "3" }\nlr =', "warning",
     "recipe demo", "decay_scope has no effect without a weight_decay above 0; remove decay_scope"),
    (RECIPE, "lr =", 'gamma = { value = 0.5, source = "printed", place = "3" }\nlr =', "warning",
     "recipe demo", 'gamma has no effect without milestones and schedule = "steps" or "exponential", or schedule ='),
    (RECIPE, "lr =", 'warmup_epochs = { value = 2, source = "printed", place = "3" }\nlr =', "warning",
     "recipe demo", "and epochs 2, so the learning rate never reaches lr; lower warmup_epochs"),
    (RECIPE, "lr =", 'iterations = { value = 9, source = "printed", place = "3" }\nlr =', "error",
     "recipe demo", "iterations=9 ends the run in epoch 1, before epochs=2; state both"),
    (RECIPE, "value = 32", "value = 9999", "warning",
     "recipe demo", "batch (9,999) is larger than the 1,442 training images of digits; lower batch"),
    (RECIPE, "lr =", 'validation_images = { value = 1420, source = "printed", place = "3" }\nlr =', "warning",
     "recipe demo", "batch (32) is larger than the 22 training images of digits; lower batch"),
    (RECIPE, "lr =", 'dropout = { value = 0.5, source = "printed", place = "3" }\nlr =', "error",
     ROW_2, "is from outside the package, so no recipe sets its dropout; leave dropout=0.5 out"),
    (RECIPE, "lr =", 'resize = { value = 64, source = "printed", place = "3" }\nlr =', "error",
     "recipe demo", "recipe demo has resize=64, which is not supported for images in memory"),
    (RECIPE, 'summary = "', 'default_for = ["net.py:small_net"]\nsummary = "', "warning",
     "recipe demo", "default_for: net.py:small_net is not a network: no paper has a file net.py; correct the name"),
    (RECIPE, 'summary = "', 'default_for = ["nets.py:smallnet"]\nsummary = "', "warning",
     "recipe demo", "default_for: nets.py:smallnet is not a network: papers/demo/nets.py has no smallnet; correct"),
    (RECIPE, ', place = "section 4 (made up)"', "", "warning", "recipe demo", 'epochs: printed; say where: place = "'),
    (RECIPE, ', note = "half', ' }\n#', "warning", "recipe demo", 'lr: inferred; give the reason: note = "..."'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "level", "where", "right"), WRONG)
def test_a_finding_names_level_file_place_and_what_would_be_right(
    folder: Path, capsys: Capsys, name: str, old: str, new: str, level: str, where: str, right: str
) -> None:
    """An error is answered with the same line by `repro table`, which ends there."""
    change(folder, name, old, new)
    file = RECIPE if where.startswith("recipe") else TABLE
    status, out, _ = repro(capsys, "validate", "papers/demo")
    start = f"{level}: papers/demo/{file}: {where}{': ' if where else ''}"
    lines = [line for line in out.splitlines() if line.startswith(start) and right in line]
    assert lines, out
    assert status == (level == "error")
    if level == "error" and "not supported" not in right:
        shown = repro(capsys, "table", "demo")
        assert (shown[0], shown[1]) == (2, "")
        assert shown[2].startswith(f"error: papers/demo/{file}: ") or "counting" in shown[2]
        assert right in shown[2]


MIRU = "whose paper is 'DenseResNet, Takeda, MIRU 2020', not 'demo'"
NOTED = 'inherited = { source = "inferred", note = "as miru2020-cifar100" }'


@pytest.mark.parametrize(
    ("stated", "what"),
    [
        ("", ("the sources of 12 values and the notes", f'{NOTED} and notes = ["..."]')),
        ("notes = []\n", ("the sources of 12 values", NOTED)),
        (f"{NOTED}\nnotes = []\n", None),
        (f"{NOTED}\n", None),
    ],
)
def test_sources_and_notes_of_another_paper_are_found(
    folder: Path, capsys: Capsys, stated: str, what: tuple[str, str] | None
) -> None:
    change(folder, RECIPE, '"digits"', f'"miru2020-cifar100"\n{stated}dataset = "digits"')
    out = repro(capsys, "validate", "papers/demo")[1]
    assert [line for line in out.splitlines() if "whose paper is" in line] == [
        f"warning: papers/demo/{RECIPE}: recipe demo: {kept} are those of miru2020-cifar100, {MIRU}; state {right}"
        for kept, right in ([what] if what else [])
    ]
    assert "Extends: miru2020-cifar100\n" in repro(capsys, "list", "recipes", "demo")[1]


def test_a_base_without_a_paper_of_its_own_is_found(folder: Path, capsys: Capsys) -> None:
    base = '[recipes.base]\nabstract = true\nextends = "miru2020-cifar100"\n\n[recipes.demo]\n'
    change(folder, RECIPE, "[recipes.demo]\n", base)
    change(folder, RECIPE, '"digits"', '"base"\nnotes = []\ndataset = "digits"')
    out = repro(capsys, "validate", "papers/demo")[1]
    paper = "its base base has the paper 'DenseResNet, Takeda, MIRU 2020'; state paper = 'demo' in the base"
    assert f"warning: papers/demo/{RECIPE}: recipe demo: {paper}" in out


@pytest.mark.parametrize(
    ("label", "silent"), [("DenseNet-7", True), ("DenseNet-71", False), ("Small-DenseNet-7", False)]
)
def test_a_count_is_explained_only_by_a_note_that_names_its_row(
    folder: Path, capsys: Capsys, label: str, silent: bool
) -> None:
    change(folder, TABLE, 'label = "DenseNet-7, k = 4"', 'label = "DenseNet-7"')
    change(folder, TABLE, '"4.1k"', '"4.2k"')
    change(folder, TABLE, 'notes = ["', f'notes = ["The paper counts {label} otherwise.", "')
    _, out, _ = repro(capsys, "validate", "papers/demo")
    assert ("params is printed as 4.2k" not in out) == silent


def test_everything_is_found_at_once(folder: Path, capsys: Capsys) -> None:
    change(folder, TABLE, '"4.1k"', "4.1")
    change(folder, TABLE, '"1.5k"', "1.5")
    change(folder, RECIPE, "batch =", "badge =")
    (folder / "tables/broken.toml").write_text("title = ")
    (folder / "tables/binary.toml").write_bytes(b"title = '\xff'")
    (folder / "tables/folder.toml").mkdir()
    (folder / "recipes/empty.toml").write_text("")
    status, out, err = repro(capsys, "validate", "papers/demo", "--format", "json")
    answer = json.loads(out)
    assert (status, answer["errors"], answer["warnings"], answer["papers"]) == (1, 8, 0, ["papers/demo"])
    assert {(Path(each["file"]).name, each["where"]) for each in answer["findings"]} == {
        ("demo.toml", ROW_1),
        ("demo.toml", ROW_2),
        ("demo.toml", "column 5 (error)"),
        ("demo.toml", "recipe demo"),
        *((f"{name}.toml", "") for name in ("broken", "binary", "folder", "empty")),
    }
    assert "next:" not in err


def test_files_that_nobody_reads_are_found(folder: Path, capsys: Capsys) -> None:
    for name in ("recipe/a.toml", "b.toml", "tables/c.tml", "old.py", "notes/d.txt", ".hidden/e.toml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    status, out, _ = repro(capsys, "validate", "papers/demo")
    assert (status, out.splitlines()) == (
        0,
        [
            "warning: papers/demo/b.toml: no command reads it; move it to tables/ or recipes/",
            'warning: papers/demo/old.py: no table or recipe uses a network of this file; write model = "old.py:NAME" '
            "in a row, or remove it",
            "warning: papers/demo/recipe/a.toml: no command reads it; move it to recipes/a.toml",
            "warning: papers/demo/tables/c.tml: no command reads it; files in tables/ end in .toml",
            "0 errors, 4 warnings in 1 paper: 1 table and 1 recipe could be read",
        ],
    )


def test_rows_that_are_the_same_and_unused_recipes_are_found(folder: Path, capsys: Capsys) -> None:
    row = (folder / TABLE).read_text().partition("[[rows]]")[2].partition("[[rows]]")[0]
    change(folder, TABLE, "[[rows]]", f"[[rows]]{row.replace('DenseNet-7', 'Again')}[[rows]]")
    (folder / "recipes/more.toml").write_text('[recipes.more]\nextends = "demo"\n')
    out = repro(capsys, "validate")[1]
    assert "row 2 (DenseNet-7, k = 4): the same network, options, recipe and cells as row 1 (Again, k = 4)" in out
    assert "recipe more: no table uses it, no recipe extends it, and it is not a default" in out


@pytest.mark.parametrize(
    "told_apart_by", ['statistic = "mean"', "runs = 5", 'no_recipe = "unknown"', "count_only = true"]
)
def test_rows_of_which_the_paper_says_different_things_are_not_the_same(
    folder: Path, capsys: Capsys, told_apart_by: str
) -> None:
    row = (folder / TABLE).read_text().partition("[[rows]]")[2].partition("[[rows]]")[0].replace("DenseNet-7", "Again")
    change(folder, TABLE, "[[rows]]", f"[[rows]]{row}[[rows]]")
    assert "the same network" in repro(capsys, "validate", "papers/demo")[1]
    change(folder, TABLE, "[[rows]]\n", f"[[rows]]\n{told_apart_by}\n")
    out = repro(capsys, "validate", "papers/demo")[1]
    assert "row 2 (DenseNet-7, k = 4): the same" not in out
    assert "0 errors" in out


def test_rows_of_one_label_need_a_context(folder: Path, capsys: Capsys) -> None:
    change(folder, TABLE, '"SmallNet, width 8"', '"DenseNet-7, k = 4"')
    assert repro(capsys, "validate")[0] == 0
    change(folder, TABLE, 'depth = "3"', 'depth = "7"')
    status, out, _ = repro(capsys, "validate")
    assert status == 1
    assert "row 2 (DenseNet-7, k = 4): row 1 has the same label; add what distinguishes them" in out


def test_a_wrong_paper_is_validated_again_by_the_command_that_is_printed(folder: Path, capsys: Capsys) -> None:
    change(folder, TABLE, "title = ", "titel = ")
    folder.rename("elsewhere")
    for named in ("elsewhere", f"elsewhere/{TABLE}"):
        status, _, err = repro(capsys, "validate", named)
        assert (status, err.splitlines()[-1]) == (1, f"next: repro validate {named}")
    Path("other").mkdir()
    Path("other/datasets.toml").write_text(DATASETS)
    err = repro(capsys, "validate", "elsewhere", "--papers", "other")[2]
    assert err.splitlines()[-1] == "next: repro validate elsewhere --papers other"


def test_a_recipe_may_be_used_by_the_table_of_another_paper(folder: Path, capsys: Capsys) -> None:
    change(folder, RECIPE, "[recipes.demo]", "[recipes.theirs]")
    recipes = Path("papers/recipes-only/recipes")
    recipes.mkdir(parents=True)
    (folder / RECIPE).rename(recipes / "theirs.toml")
    change(folder, TABLE, 'recipe = "demo"', 'recipe = "theirs"')
    assert "no table uses it" not in repro(capsys, "validate", "papers/recipes-only")[1]
    change(folder, TABLE, "title = ", "titel = ")  # what cannot be read uses nothing, and is no finding here
    status, out, _ = repro(capsys, "validate", "papers/recipes-only")
    assert (status, "no table uses it" in out, "titel" in out) == (0, True, False)


def test_one_table_is_checked_alone(folder: Path, capsys: Capsys) -> None:
    change(folder, RECIPE, ', place = "section 4 (made up)"', "")
    assert repro(capsys, "validate", f"papers/demo/{TABLE}")[1].startswith(
        "0 errors, 0 warnings in 1 paper: 1 table and 0"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "nowhere does not exist; name the folder of a paper or the file of a table"),
        (
            ["papers"],
            "papers has no tables/*.toml, recipes/*.toml or datasets.toml; name the folder of one paper",
        ),
        (
            [f"papers/demo/{RECIPE}"],
            f"papers/demo/{RECIPE} is not a table; name the folder of its paper",
        ),
        (["--papers", "nowhere"], "--papers nowhere is not a folder; name the folder of a paper"),
    ],
)
def test_what_is_no_paper_is_refused(capsys: Capsys, arguments: list[str], line: str) -> None:
    status, out, err = repro(capsys, "validate", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {line}")
