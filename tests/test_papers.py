"""A paper is a folder: its tables and recipes are found, checked, trained and judged as the program's own."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import refused, repro
from short_paper import RECIPE, TABLE, Write
from watching import Silent, stop_at

from repro.api.library import using
from repro.api.selection import select
from repro.api.tables import table
from repro.comparison.spread import PRINTED_SPREAD, Spread
from repro.errors import UserError
from repro.papers import find_papers
from repro.recipes import default_recipe
from repro.recipes.library import Library, within
from repro.tables import Table, shipped_tables
from repro.training.progress import watcher as progress

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("small_digits")


def listed(capsys: pytest.CaptureFixture[str], what: str, *arguments: object) -> dict[str, str]:
    """Return the files of the tables or recipes that are not shipped, by name."""
    status, out, err = repro(capsys, "list", what, *arguments, "--format", "json")
    assert (status, err) == (0, "")
    return {line["name"]: line["file"] for line in json.loads(out)[what] if line["file"]}


def install(folder: Path, module: str, entry: str) -> None:
    """Make a folder of importable packages name a paper in the way that an installed package does."""
    about = folder / "their_paper-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-paper\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[repro.papers]\n{entry} = {module}\n")


def test_only_shipped_tables_and_recipes_are_listed_without_papers(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(capsys, "tables") == listed(capsys, "recipes") == {}
    assert "From" not in repro(capsys, "list", "tables")[1]


def test_papers_are_found_in_each_place(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("option", "another", "variable", "other", "papers/working", "site/their_paper"):
        write(folder, table=TABLE.replace(', recipe = "short"', ""), name=Path(folder).name)
    Path("site/their_paper/__init__.py").write_text("raise SystemError('a paper is not imported')\n")
    install(Path("site"), "their_paper", "theirs")
    Path("papers/notes").mkdir()
    monkeypatch.syspath_prepend(str(Path("site").absolute()))
    monkeypatch.setenv("REPRO_PAPERS", os.pathsep.join(["variable", "other"]))
    found = listed(capsys, "tables", "--papers", "option", "--papers", "another")
    assert {name: Path(file).parts[-3] for name, file in found.items()} == {
        each: each for each in ("another", "option", "other", "their_paper", "variable", "working")
    }


def test_hidden_files_are_neither_tables_nor_recipes(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(table=TABLE, recipe=RECIPE)
    (folder / "tables" / "replications").mkdir()
    for kind in ("tables", "recipes", "tables/replications"):
        (folder / kind / "._mine.toml").write_bytes(b"\0\5\x16\7")  # as macOS writes beside a file
        (folder / kind / ".#mine.toml").symlink_to("user@host.1")  # Emacs's lock
    assert listed(capsys, "tables", "--papers", folder).keys() == {"mine"}
    assert repro(capsys, "validate", folder)[0] == 0


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("nowhere", "--papers nowhere is not a folder; name the folder of a paper"),
        (
            "papers",
            "--papers papers has no tables/*.toml, recipes/*.toml or datasets.toml; name the folder of one paper",
        ),
    ],
)
def test_a_folder_that_is_no_paper_is_refused(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: str, why: str
) -> None:
    write("papers/mine", recipe=RECIPE)
    assert refused(capsys, "list", "tables", "--papers", folder) == f"error: {why}"
    monkeypatch.setenv("REPRO_PAPERS", folder)
    assert f"$REPRO_PAPERS: {folder} " in refused(capsys, "train", "resnet20")


def test_an_entry_point_that_names_no_package_is_refused(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(Path("site"), "nothing_there", "theirs")
    monkeypatch.syspath_prepend(str(Path("site").absolute()))
    line = "entry point theirs of their-paper in repro.papers must name a package, but nothing_there is none"
    assert refused(capsys, "list", "tables") == f"error: {line}"


@pytest.mark.parametrize("name", ["cifar100", "CIFAR_100"])
def test_a_table_with_the_name_of_a_shipped_one_is_refused(
    write: Write, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    write(recipe=RECIPE)
    write(table=TABLE, name=name)
    line = refused(capsys, "table", "cifar100", "--papers", "mine")
    assert line.startswith(f"error: mine/tables/{name}.toml: /")
    assert line.endswith("/tables/cifar100.toml already is a table of that name; rename one of them")


def test_the_later_of_two_papers_is_refused_if_it_is_named_and_else_left_out(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("papers/a", recipe=RECIPE)
    write("b", recipe=RECIPE)
    line = "papers/a/recipes/mine.toml: recipe short: b/recipes/mine.toml already has a recipe of that name"
    status, _, err = repro(capsys, "list", "recipes", "--papers", "b")
    assert (status, err.splitlines()[0]) == (0, f"warning: papers/a left out: {line}")
    assert refused(capsys, "list", "recipes", "--papers", "b", "--papers", "papers/a") == f"error: {line}"
    monkeypatch.setenv("REPRO_PAPERS", "b")
    assert repro(capsys, "list", "recipes")[2].startswith(f"warning: papers/a left out: {line}")
    assert repro(capsys, "validate", "papers/a")[:2] == (
        1,
        f"error: {line}\n1 error, 0 warnings in 1 paper: 0 tables and 0 recipes could be read\n",
    )


def test_a_paper_in_the_working_folder_is_not_blamed_for_those_in_it(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write(".", recipe=RECIPE)
    write("papers/broken", recipe="[[")
    status, out, err = repro(capsys, "list", "recipes", "--papers", ".")
    assert (status, "short" in out) == (0, True)
    assert err.startswith("warning: papers/broken left out: ")
    assert "broken" not in repro(capsys, "validate", ".")[1]


def test_a_recipe_with_the_name_of_a_shipped_one_is_refused(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(recipe=RECIPE.replace("recipes.short", "recipes.digits").replace("extends", "# extends"))
    line = refused(capsys, "bench", "resnet20", "--papers", "mine")
    assert line.startswith("error: mine/recipes/mine.toml: recipe digits: /")
    assert line.endswith("/digits.toml already has a recipe of that name")


def test_a_paper_that_is_found_twice_counts_once(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("papers/mine", recipe=RECIPE)
    monkeypatch.setenv("REPRO_PAPERS", str(Path("papers/mine").absolute()))
    assert set(listed(capsys, "recipes", "--papers", "papers/mine", "--papers", "papers/../papers/mine")) == {"short"}


def test_a_file_may_begin_with_a_byte_order_mark(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    paper = write(table="\ufeff" + TABLE, recipe="\ufeff" + RECIPE)
    assert listed(capsys, "tables", "--papers", paper).keys() == {"mine"}
    assert listed(capsys, "recipes", "--papers", paper).keys() == {"short"}


def test_a_recipe_extends_a_shipped_one_and_one_of_another_paper(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("first", recipe=RECIPE.replace('"digits"', '"wrn-cifar10"'))
    write("second", recipe=RECIPE.replace("recipes.short", "recipes.quick").replace('"digits"', '"short"'))
    papers = ("--papers", "second", "--papers", "first")
    status, out, _ = repro(capsys, "list", "recipes", "quick", *papers, "--format", "json")
    answer = json.loads(out)
    values = answer["values"]
    assert (status, answer["file"]) == (0, "second/recipes/mine.toml")
    assert (values["epochs"]["value"], values["epochs"]["source"], values["dataset"]["value"]) == (
        1,
        "printed",
        "cifar10",
    )
    assert values["drop_last"]["source"] == "code"
    assert "From: second/recipes/mine.toml" in repro(capsys, "list", "recipes", "quick", *papers)[1]


WRONG_RECIPES = [
    ('paper = "Mine"', 'dataset = "cifra10"', "unknown dataset 'cifra10'; did you mean cifar10"),
    (
        "epochs =",
        'mean = { value = [0.5, 0.5], source = "printed" }\nstd = { value = [1, 1], source = "printed" }\nepochs =',
        "mean and std need one number per channel, and images of digits have 3; value = [] (on the command",
    ),
]


@pytest.mark.parametrize(("old", "new", "why"), WRONG_RECIPES)
def test_a_wrong_recipe_is_refused_before_anything_is_done(
    write: Write, capsys: pytest.CaptureFixture[str], old: str, new: str, why: str
) -> None:
    assert old in RECIPE
    write(recipe=RECIPE.replace(old, new))
    line = refused(capsys, "train", "resnet20", "--dataset", "digits", "--papers", "mine")
    assert line.startswith(f"error: mine/recipes/mine.toml: recipe short: {why}")


WRONG_TABLES = [
    ("[[rows]]", "[[row]]", "the table: unknown key 'row'; did you mean rows?"),
    ("columns = [", "colums = [", "the table: unknown key 'colums'; did you mean columns?"),
    ('model = "densenet"', 'model = "nets.py"', "row 1 (Narrow): unknown model 'nets.py'; see repro list models, or "),
    ('title = "Table 1"', "title = 1", "the table: title is 1, not a string in quotes"),
    ('title = "', 'notes = "one"\ntitle = "', "the table: notes is 'one', not a list of strings in quotes"),
    (
        '"87.0"',
        '"87.0 ± 0.3"',
        "row 1 (Narrow): cell error is '87.0 ± 0.3', not a printed number; write the mean alone",
    ),
    ('"87.0"', '"87.0 %"', "row 1 (Narrow): cell error is '87.0 %', not a printed number; leave out the %"),
    (
        '"87.0"',
        '"about 87"',
        "row 1 (Narrow): cell error is 'about 87', not a printed number; write it in quotes, such as",
    ),
    ('label = "Narrow"', 'label = " "', "row 1 ( ): label is empty; write a text, or leave the key out"),
    ('model = "densenet"', "model = 3", "row 1 (Narrow): model is 3, not a string in quotes"),
    ("options = { depth = 7, k = 4 }", "options = 7", "row 1 (Narrow): options is 7, not a table such as { N = 4 }"),
    ('{ error = "10.0" }', '"10.0"', "row 2 (Wide): cells is '10.0', not a table such as { error ="),
    ('dataset = "digits"', 'dataset = ["digits"]', "the table: dataset is ['digits'], not a string in quotes"),
    ("columns = [", "columns = 3\nold = [", "the table: columns is 3, not a list of tables; write [[columns]]"),
    ('key = "params"', 'key = "error"', "the table: two columns have the same key; change one of them"),
    ('label = "Params"', 'label = "Error %"', "the table: two columns have the same label; change one of them"),
    (
        'key = "params"',
        'key = "weights"',
        "column 1 (weights): key is 'weights', by which --columns means",
    ),
    ('label = "Params"', 'label = "Verdict"', "column 1 (params): label is 'Verdict', by which --columns means"),
    ('model = "densenet"', 'model = "unet"', "row 1 (Narrow): unknown option 'depth'; known: "),
    (
        'model = "densenet"\noptions = { depth = 7, k = 4 }',
        'model = "unet"',
        "row 1 (Narrow): unet predicts a class for each pixel, and digits needs a model that predicts one class",
    ),
    (
        'recipe = "short" },\n]\n[[rows]]',
        'dataset = "imagenet", protocol = { views = "ten-crop", averaged = "probabilities" } },\n]\n'
        '[[rows]]\ndataset = "digits"',
        "row 1 (Narrow): protocol is for image files; the images of digits are shown whole",
    ),
]


@pytest.mark.parametrize(("old", "new", "why"), WRONG_TABLES)
def test_a_wrong_table_is_refused_before_anything_is_done(
    write: Write, capsys: pytest.CaptureFixture[str], old: str, new: str, why: str
) -> None:
    assert old in TABLE
    write(recipe=RECIPE)
    write(table=TABLE.replace(old, new, 1))
    for command in (["train", "resnet20", "--dataset", "digits"], ["table", "cifar100"]):
        line = refused(capsys, *command, "--papers", "mine")
        assert line.startswith(f"error: mine/tables/mine.toml: {why}")


@pytest.mark.parametrize("content", ["[[", "1" * 5000, "0x" + "f" * 5000], ids=["brackets", "decimal", "hexadecimal"])
def test_a_wrong_paper_that_nobody_named_is_left_out_with_one_warning(
    content: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("papers/good", recipe=RECIPE, name="good")
    write("papers/wrong", table=f"title = {content}")
    mistake = "papers/wrong/tables/mine.toml: not a TOML file: "
    for command in (["list", "tables"], ["list", "runs"], ["list", "recipes", "short"]):
        status, _, err = repro(capsys, *command)
        assert (status, err.count(f"warning: papers/wrong left out: {mistake}"), err.count("warning")) == (0, 1, 1)


MISTAKE = "papers/wrong/tables/mine.toml: the table: unknown key 'titel'"
LEFT_OUT = "it may be in papers/wrong, which is left out; see repro validate papers/wrong"


@pytest.mark.parametrize(
    ("command", "warnings", "line"),
    [
        ("table mine", 0, f"error: {MISTAKE}"),
        ("table papers/wrong/tables/mine.toml", 0, f"error: {MISTAKE}"),
        ("list tables --papers papers/wrong", 0, f"error: {MISTAKE}"),
        ("list recipes other", 1, f"error: unknown recipe 'other'; {LEFT_OUT}"),
        ("train resnet20 --recipe other", 1, f"error: unknown recipe 'other'; {LEFT_OUT}"),
        ("count resnet20 --dataset other", 1, f"error: unknown dataset 'other'; {LEFT_OUT}"),
        ("list recipes digit", 1, "error: unknown recipe 'digit'; did you mean digits?"),
        ("count no-net", 1, f"error: unknown model 'no-net'; {LEFT_OUT}"),
        ("table cifar10", 1, "error: cifar10 is a dataset, not a table"),
    ],
)
def test_a_wrong_paper_is_refused_where_it_is_needed(
    write: Write, capsys: pytest.CaptureFixture[str], command: str, warnings: int, line: str
) -> None:
    write("papers/wrong", table=TABLE.replace("title", "titel", 1), recipe=RECIPE)
    status, out, err = repro(capsys, *command.split())
    assert (status, out, err.count("warning: papers/wrong left out: ")) == (2, "", warnings)
    assert err.splitlines()[warnings].startswith(line)


def test_a_table_of_a_paper_that_is_left_out_is_refused_with_what_is_wrong_in_that_paper(write: Write) -> None:
    write("papers/first", table=TABLE, recipe=RECIPE.replace("epochs =", "epoch ="), name="first")
    write("papers/second", table=TABLE.replace("title", "titel", 1), name="second")
    mistakes = {"first": "recipes/first.toml: recipe short: ", "second": "tables/second.toml: the table: "}
    for name, mistake in mistakes.items():
        with pytest.raises(UserError, match=f"^papers/{name}/{mistake}"), using(()):
            select(name, "*")


def test_a_paper_that_extends_one_that_is_left_out_is_left_out(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("papers/first", recipe=RECIPE.replace("epochs =", "epoch ="))
    write("papers/second", recipe=RECIPE.replace("short", "longer").replace('"digits"', '"short"'), name="second")
    status, _, err = repro(capsys, "list", "runs")
    assert (status, err.count("warning")) == (0, 1)
    assert err.startswith("warning: papers/first, papers/second left out: papers/first/recipes/mine.toml: ")


def test_a_file_that_cannot_be_read_is_refused(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine/tables/mine.toml").mkdir(parents=True)
    line = "mine/tables/mine.toml: is a folder; put a TOML file in its place"
    assert refused(capsys, "list", "tables", "--papers", "mine") == f"error: {line}"
    assert refused(capsys, "table", "./their.toml") == "error: their.toml: cannot be read: No such file or directory"


def test_a_table_of_ones_own_is_trained_counted_and_judged(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(table=TABLE, recipe=RECIPE)
    status, out, err = repro(capsys, "table", "mine", "--papers", "mine", "--run", "--format", "json")
    narrow, wide = json.loads(out)["rows"]
    assert (status, "mine: 2 runs to train" in err) == (0, True)
    assert (narrow["matches"], narrow["recipe"]) == ({"params": True}, {"error": "short"})
    assert [each["measured"]["error"]["n"] for each in (narrow, wide)] == [1, 1]
    assert (wide["verdict"], "deviat" in err) == ("not consistent (one run)", False)
    again = repro(capsys, "table", "mine", "--papers", "mine", "--run")
    assert "mine: 0 runs to train" in again[2]
    assert again[2].endswith("next: repro table mine --run --dry-run --papers mine\n")
    counted = repro(capsys, "count", "densenet", "--depth", 7, "--k", 4, "--dataset", "digits", "--papers", "mine")
    assert "mine: Narrow" in counted[1]
    assert repro(capsys, "figure", "curves", "mine", "--papers", "mine", "--output", "mine.svg")[0] == 0


def test_the_file_of_a_table_is_shown_with_the_recipes_that_are_found(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("papers/mine", recipe=RECIPE)
    Path("my.toml").write_text(TABLE, encoding="utf-8")
    status, out, err = repro(capsys, "table", "./my.toml")
    assert (status, "not measured" in out) == (0, True)
    assert err.splitlines()[-1] == "next: repro table my.toml --run"
    assert repro(capsys, "validate", "./my.toml")[2].splitlines()[-1] == "next: repro table my.toml"
    assert "<code>repro table my.toml --run</code>" in repro(capsys, "table", "./my.toml", "--format", "html")[1]
    Path("cifar100.toml").write_text(TABLE, encoding="utf-8")
    line = refused(capsys, "table", "cifar100.toml")
    assert line.startswith("error: cifar100.toml: /")
    assert line.endswith("already is a table of that name; rename one of them")


def test_labels_that_differ_in_signs_or_in_letters_of_other_scripts_are_different_names(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write(recipe=RECIPE, table=TABLE.replace('"Narrow"', '"Ours"').replace('"Wide"', '"Ours*"'), name="signs")
    other = RECIPE.replace("short", "long").replace("Mine", "Other")
    scripts = TABLE.replace('"Narrow"', '"提案手法"').replace('"Wide"', '"従来手法"').replace('"short"', '"long"')
    write("other", recipe=other, table=scripts, name="scripts")

    def params(label: str) -> int:
        status, out, err = repro(capsys, "count", label, "--papers", "mine", "--papers", "other", "--format", "json")
        assert status == 0, err
        return int(json.loads(out)["params"])

    assert params("ours") == params("提案手法") != params("Ours*") == params("従来手法")
    assert "unknown model '別物'" in refused(capsys, "count", "別物", "--papers", "other")


def test_the_file_of_a_table_names_its_paper(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """As `--papers` does, unless the table is found anyway; the next command then finds it too."""
    write("x", table=TABLE, recipe=RECIPE)
    status, out, err = repro(capsys, "table", "./x/tables/mine.toml")
    assert (status, "not measured" in out) == (0, True)
    assert err.splitlines()[-1] == "next: repro table mine --run --papers x"
    assert repro(capsys, "table", "x/tables/mine.toml", "--papers", "x")[1] == out
    assert repro(capsys, "validate", "x/tables/mine.toml")[0] == 0
    assert repr(table("x/tables/mine.toml")) == repr(table("mine", papers="x"))
    line = refused(capsys, "figure", "curves", "x/tables/mine.toml")
    assert line.startswith("error: no run of these rows has a curve in ")
    assert "; repro table mine --run --papers x trains what is missing" in line
    page = repro(capsys, "table", "mine", "--papers", "x", "--format", "html")[1]
    assert "<code>repro table mine --run --papers x</code>" in page
    write("papers/y", table=TABLE.replace("short", "other"), recipe=RECIPE.replace("short", "other"), name="other")
    err = repro(capsys, "table", "papers/y/tables/other.toml")[2]
    assert err.splitlines()[-1] == "next: repro table other --run"
    assert refused(capsys, "table", "x/tables/gone.toml").endswith(
        "gone.toml: cannot be read: No such file or directory"
    )
    status, _, err = repro(capsys, "table", shipped_tables()[0].file)
    assert (status, "--papers" in err) == (0, False)


def test_names_of_papers_given_before_are_completed(write: Write) -> None:
    write("x", table=TABLE, recipe=RECIPE)
    for line in ("repro table --papers x min", "repro train resnet20 --papers x --recipe shor"):
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1), "_REPRO_COMPLETE": "complete_bash"}
        environment = {**os.environ, **words, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", "repro"], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["mine" if "table" in line else "short"]


def test_a_stopped_run_is_resumed_by_the_same_command_which_the_list_prints(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(recipe=RECIPE)
    words = "train densenet --depth 7 --k 4 --dataset digits --recipe short --device cpu --papers mine"
    with monkeypatch.context() as patched:
        patched.setattr(progress, "watcher", lambda: stop_at(5))
        assert repro(capsys, *words.split())[0] == 130
    (line,) = json.loads(repro(capsys, "list", "runs", "--format", "json")[1])["runs"]
    assert (line["state"], line["command"]) == ("stopped", f"repro {words}")
    resumed = Silent()
    monkeypatch.setattr(progress, "watcher", lambda: resumed)
    status, out, _ = repro(capsys, *shlex.split(line["command"])[1:], "--format", "json")
    record = json.loads(out)
    assert (status, record["sessions"], record["recipe"], record["deviations"]) == (0, 2, "short", [])


def test_the_command_that_resumes_a_run_has_papers_only_if_it_needs_them(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("papers/mine", recipe=RECIPE)
    write("other", recipe=RECIPE.replace("recipes.short", "recipes.long"))
    monkeypatch.setattr(progress, "watcher", lambda: stop_at(5))
    for recipe in ("short", "digits", "long"):
        papers = ("--papers", "papers/mine", "--papers", "other") if recipe != "short" else ()
        repro(capsys, "train", "densenet", "--depth", 7, "--k", 4, "--recipe", recipe, *papers)
    runs = json.loads(repro(capsys, "list", "runs", "--format", "json")[1])["runs"]
    assert sorted(line["command"].partition("digits ")[2] for line in runs) == [
        "",
        "--recipe long --papers other",
        "--recipe short",
    ]


def test_a_run_whose_paper_is_gone_is_still_listed(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(recipe=RECIPE)
    monkeypatch.setattr(progress, "watcher", lambda: stop_at(5))
    repro(capsys, "train", "densenet", "--depth", 7, "--k", 4, "--recipe", "short", "--papers", "mine")
    line = refused(capsys, "eval", "densenet")
    assert line.endswith(" follows the recipe short, which no paper here has; add --papers mine")
    assert repro(capsys, "eval", "densenet", "--papers", "mine")[0] == 0
    Path("mine").rename("moved")
    (line,) = json.loads(repro(capsys, "list", "runs", "--format", "json")[1])["runs"]
    assert (line["state"], line["command"]) == ("unknown", None)
    assert line["reason"] == "its recipe short is unknown here; name the folder of its paper with --papers"
    (line,) = json.loads(repro(capsys, "list", "runs", "--papers", "moved", "--format", "json")[1])["runs"]
    assert (line["state"], line["reason"]) == ("stopped", None)


def test_runs_of_a_users_table_leave_the_spread_of_the_shipped_ones(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each table's spread is pooled over the shipped tables and itself."""
    pooled: dict[str, set[str]] = {}

    def noted(tables: list[Table], records: object) -> Spread:
        names = {each.name for each in tables}
        pooled["mine" if "mine" in names else "shipped"] = names
        return PRINTED_SPREAD

    monkeypatch.setattr("repro.comparison.pooling.pooled_over", noted)
    write(table=TABLE, recipe=RECIPE)
    for name in ("mine", "cifar100"):
        assert repro(capsys, "table", name, "--papers", "mine")[0] == 0
    shipped = {each.name for each in shipped_tables()}
    assert "cifar100" in shipped
    assert pooled == {"mine": shipped | {"mine"}, "shipped": shipped}


def test_a_recipe_that_names_a_model_is_its_default_before_one_for_all(write: Write) -> None:
    write(recipe=RECIPE + 'default_for = ["resnet20"]\n')
    library = Library(find_papers([Path("mine")]))
    with within(library):
        assert default_recipe("resnet20", "digits", {}) == "short"
        assert default_recipe("resnet32", "digits", {}) == "digits"


def test_a_label_is_counted_and_trained_as_its_row(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(table=TABLE, recipe=RECIPE)
    asked = ("--papers", "mine", "--format", "json")
    counted, trained = (json.loads(repro(capsys, each, "Narrow", *asked)[1]) for each in ("count", "train"))
    assert (counted["dataset"], [each["row"] for each in counted["published"]]) == ("digits", ["Narrow"])
    assert (trained["dataset"], trained["recipe"], trained["epochs"]) == ("digits", "short", 1)
    write(table=TABLE.replace("short", "other"), recipe=RECIPE.replace("short", "other"), name="other")
    line = "error: errors of 'Narrow' have several recipes; choose one with --recipe: short, other"
    assert refused(capsys, "train", "Narrow", "--papers", "mine") == line
    line = "error: errors of 'Narrow' have several recipes; choose one with --recipe: short, other"
    assert refused(capsys, "train", "Narrow", "--papers", "mine", "--dataset", "DIGITS") == line
    status, out, _ = repro(capsys, "train", "Narrow", "--recipe", "other", *asked)
    assert (status, json.loads(out)["recipe"]) == (0, "other")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("Narrow-2", "'Narrow-2 (ours)' or 'Narrow-2 (again)'"), ("Narow-2 (ours)", "'Narrow-2 (ours)'")],
)
def test_the_rows_whose_labels_begin_so_or_are_near_are_offered(
    typed: str, meant: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    table = TABLE.replace('"Narrow"', '"Narrow-2 (ours)"').replace('"Wide"', '"Narrow-2 (again)"')
    write("papers/mine", table=table, recipe=RECIPE)
    assert refused(capsys, "train", typed) == f"error: unknown model {typed!r}; did you mean {meant}?"
