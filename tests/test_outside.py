"""Networks from outside the package: files, installed packages, timm and torchvision."""

import csv
import json
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import refused, repro
from marking import COUNTS_ALL, slow_or_nightly
from records import append_record
from short_paper import RECIPE, TABLE, Write
from watching import Silent, stop_at

from repro.api.selection import select, select_all, select_asked, select_matching
from repro.api.tables import compared
from repro.cli.networks import chosen_experiment
from repro.comparison.spread import PRINTED_SPREAD
from repro.counting.count import Subject
from repro.counting.count import count as counted
from repro.errors import UserError
from repro.experiment import check_network, experiment_for
from repro.models import find
from repro.models.outside.factory import factory_of, resolved
from repro.models.outside.location import bare, label, outside, recorded, remember
from repro.papers import find_papers
from repro.recipes import Library, within
from repro.runtime import Runtime
from repro.store.command_text import command_of
from repro.store.results import Record, put_record, read_records
from repro.tables import read_table
from repro.training.engine.exact_batchnorm import take_exact_statistics
from repro.training.engine.stacked import why_one_at_a_time
from repro.training.initialise import network_of
from repro.training.progress import watcher as progress

NETS = """
from pathlib import Path

from torch import nn

Path("imported").touch()


class Net(nn.Sequential):
    def __init__(self, depth: int = 1, rate: float = 0.5, bias: bool = True, kind="relu", *, classes, channels=3):
        layers = [nn.Conv2d(channels, 4, 3, 4, bias=bias), nn.ReLU()]
        for _ in range(depth):
            layers += [nn.Conv2d(4, 4, 3, padding=1), nn.Dropout(rate), nn.ReLU()]
        head = nn.LazyLinear(classes) if kind == "lazy" else nn.Linear(4, classes)
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def needs(width: int, dropout=0.1, *, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, width), nn.Linear(width, classes))


def raises(classes):
    raise KeyError("oops")


def three(classes):
    return 3


def maps(classes):
    return nn.Conv2d(3, classes, 1)


def narrow(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(7, classes))
"""
OWN = TABLE.replace(
    'model = "densenet"\noptions = { depth = 7, k = 4 }', 'model = "nets.py:Net"\noptions = { depth = 2 }'
)
ROW = "error: mine/tables/mine.toml: row 1 (Narrow)"
pytestmark = pytest.mark.usefixtures("small_digits")
Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nothing_imported() -> None:
    """Let each test import its networks itself."""
    factory_of.cache_clear()


def nets(folder: str = ".", text: str = NETS, name: str = "nets.py") -> Path:
    """Write a file of networks into a folder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    file = Path(folder) / name
    file.write_text(text, encoding="utf-8")
    return file


def count(capsys: Capsys, *arguments: object) -> dict[str, object]:
    status, out, err = repro(capsys, "count", *arguments, "--dataset", "digits", "--format", "json")
    assert status == 0, err
    found: dict[str, object] = json.loads(out)
    return found


def test_a_file_is_counted_with_its_options(write: Write, capsys: Capsys) -> None:
    nets()
    found = count(capsys, "nets.py:Net", "--set", "depth=2", "--set", "bias=no")
    assert found["options"] == {"depth": 2, "rate": 0.5, "bias": False, "kind": "relu"}
    assert found["params"] == 3 * 9 * 4 + 2 * (4 * 4 * 9 + 4) + 4 * 10 + 10
    assert count(capsys, "nets.py:Net", "--depth", "2", "--set", "bias=no") == found


def test_no_dataset_is_needed_with_an_input_and_classes(write: Write, capsys: Capsys) -> None:
    nets()
    size = ("--input", "3x16x16", "--classes", 7)
    status, out, err = repro(capsys, "count", "nets.py:Net", *size, "--format", "json")
    assert status == 0, err
    found = json.loads(out)
    assert (found["dataset"], found["input"], found["classes"]) == (None, "3x16x16", 7)
    assert found["params"] == 3 * 9 * 4 + 4 + 4 * 4 * 9 + 4 + 4 * 7 + 7
    assert repro(capsys, "count", "nets.py:Net", *size)[2].endswith("next: repro list recipes\n")
    for part in (size[:2], size[2:]):
        assert "has no dataset of its own; name one with --dataset" in refused(capsys, "count", "nets.py:Net", *part)


def test_an_option_of_a_registered_network_is_also_set(write: Write, capsys: Capsys) -> None:
    assert count(capsys, "densenet", "--set", "depth=7", "--k", 4) == count(capsys, "densenet", "--depth", 7, "--k", 4)
    assert "its options: shortcut" in refused(capsys, "count", "resnet20", "--set", "depth=3")


def test_a_file_is_found_in_the_folder_of_a_paper(write: Write, capsys: Capsys) -> None:
    write(table=OWN, recipe=RECIPE)
    nets("mine")
    found = count(capsys, "nets.py:Net", "--set", "depth=2", "--papers", "mine")
    assert found["published"]
    assert found == count(capsys, "mine/nets.py:Net", "--set", "depth=2", "--papers", "mine")
    write("papers/other", recipe=RECIPE.replace("short", "other"))
    nets("papers/other", NETS + "\n")
    assert found == count(capsys, "nets.py:Net", "--set", "depth=2", "--papers", "mine")  # the named paper comes first
    both = ("--papers", "mine", "--papers", "papers/other")
    line = refused(capsys, "count", "nets.py:Net", "--dataset", "digits", *both)
    assert "nets.py is in several papers: mine/nets.py, papers/other/nets.py; write the path of one" in line
    nets()  # the working folder takes precedence
    assert count(capsys, "nets.py:Net", "--papers", "mine")["params"]


def test_the_training_that_counts_for_a_row_is_suggested(write: Write, capsys: Capsys) -> None:
    write(table=OWN, recipe=RECIPE)
    nets("mine")
    named = ("--papers", "mine")
    for depth, words, recipe in (
        (2, ("Narrow",), "--recipe short "),
        (2, ("nets.py:Net", "--set", "depth=2", "--dataset", "digits"), "--recipe short "),
        (3, ("nets.py:Net", "--set", "depth=3", "--dataset", "digits"), ""),
    ):
        err = repro(capsys, "count", *words, *named)[2]
        assert f"next: repro train mine/nets.py:Net --set depth={depth} " in err
        assert err.endswith(f" --dataset digits {recipe}--papers mine\n")


def test_a_row_is_trained_and_judged(write: Write, capsys: Capsys) -> None:
    write(table=OWN, recipe=RECIPE)
    file = nets("mine")
    status, out, err = repro(capsys, "table", "mine", "--papers", "mine", "--rows", "Narrow", "--run")
    assert status == 0, err
    assert "n = 1" in out
    assert "another version" not in repro(capsys, "table", "mine", "--papers", "mine")[2]
    with Path("results/runs.csv").open() as lines:
        (record,) = csv.DictReader(lines)
    assert record["network"] == sha256(file.read_bytes()).hexdigest()
    (run,) = Path("runs").iterdir()
    assert run.name.startswith("nets.Net-depth2-digits-s0-")
    assert json.loads((run / "run.json").read_text())["experiment"]["network"]["sha256"] == record["network"]
    assert repro(capsys, "eval", "nets.py:Net", "--papers", "mine")[0] == 0
    assert f"next: repro eval {run.name}" in repro(capsys, "list", "runs", "--papers", "mine")[2]
    file.write_text(NETS + "# another file\n")
    factory_of.cache_clear()
    _, shown, notes = repro(capsys, "table", "mine", "--papers", "mine")
    assert shown.count("not measured") == 2
    line = (
        "1 finished run of nets.py:Net used another version of the file, which tables do not count; restore the file, "
        "or keep each network in a file of its own"
    )
    assert notes.count(line) == 1
    assert line in repro(capsys, "table", "mine", "--papers", "mine", "--run", "--dry-run")[2]
    for kind in ("forest", "curves"):
        assert line in repro(capsys, "figure", kind, "mine", "--papers", "mine")[2]
    assert "has changed" in refused(capsys, "eval", run.name, "--papers", "mine")
    earlier, now = read_records([Path("results")])[0], count(capsys, "nets.py:Net", "--papers", "mine")["model"]
    for seed, said in ((1, True), (0, False)):
        put_record(replace(earlier, model=now, seed=seed, id=f"0000000{seed}"), Path("results"))
        assert (line in repro(capsys, "table", "mine", "--papers", "mine")[2]) == said
    assert "next: repro eval" not in repro(capsys, "list", "runs", "--papers", "mine")[2]


def test_a_stopped_run_is_resumed_by_the_listed_command(
    write: Write, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets("sub folder")
    words = ["sub folder/nets.py:Net", "--set", "depth=2", "--set", "rate=0.25", "--set", "kind=it's"]
    with monkeypatch.context() as patch:
        patch.setattr(progress, "watcher", lambda: stop_at(2))
        repro(capsys, "train", *words, "--dataset", "digits", "--set", "epochs=1", "--set", "batch=16")
    Path("imported").unlink()
    (run,) = json.loads(repro(capsys, "list", "runs", "--format", "json")[1])["runs"]
    assert not Path("imported").exists()
    assert (run["state"], run["reason"]) == ("stopped", None)
    monkeypatch.setattr(progress, "watcher", Silent)
    status, out, _ = repro(capsys, *shlex.split(run["command"])[1:])
    assert (status, out.partition(":")[0]) == (0, run["name"])
    assert len(list(Path("runs").iterdir())) == 1


def test_no_command_resumes_a_run_whose_file_has_changed(
    write: Write, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = nets()
    monkeypatch.setattr(progress, "watcher", lambda: stop_at(2))
    repro(capsys, "train", "nets.py:Net", "--dataset", "digits", "--epochs", 1)
    for change in (lambda: file.write_text(NETS + "# another file\n"), file.unlink):
        change()
        (run,) = json.loads(repro(capsys, "list", "runs", "--format", "json")[1])["runs"]
        assert (run["state"], run["command"], run["reason"]) == ("stopped", None, "its network file has changed")
        assert "(stopped): its network file has changed" in repro(capsys, "list", "runs")[1]


@pytest.mark.parametrize(
    ("value", "typed"), [(8, "size=8"), ("8x8", "size=8x8"), ("8", None), ("yes", None), ("1e3", None), (" a", None)]
)
def test_no_command_gives_text_that_would_be_read_as_something_else(
    write: Write, value: int | str, typed: str | None
) -> None:
    nets(text=NETS.replace("width: int,", "width: int = 2, size=None,"))
    experiment = experiment_for(find("nets.py:needs"), {"size": value}, seed=0, recipe_name="digits")
    command = command_of(experiment, Runtime(), {}, [])
    assert (command and command.split()[4]) == typed


def test_code_runs_only_where_the_user_names_it(write: Write, capsys: Capsys) -> None:
    write("papers/mine", table=OWN, recipe=RECIPE)
    nets("papers/mine")
    for command in ("count resnet20", "list tables", "list recipes", "list runs", "table resnet-cifar", "list models"):
        assert repro(capsys, *command.split())[0] == 0
        assert not Path("imported").exists(), command
    assert "error: no row of any table matches 'Narrow'" in repro(capsys, "plan", "--rows", "Narrow")[2]
    with within(Library(find_papers())):
        assert "Narrow" not in {row.label for each in select_all() for row in each.rows}
    assert "mine: 1 row left out, since its network is code in papers/mine; repro table mine runs it" in (
        capsys.readouterr().err
    )
    assert not Path("imported").exists()
    with within(Library(find_papers([Path("papers/mine")]))):
        assert "Narrow" in {row.label for each in select_all() for row in each.rows}
    path = list(sys.path)
    assert repro(capsys, "table", "mine")[0] == 0
    assert Path("imported").exists()
    assert sys.path == path
    assert not list(Path().rglob("__pycache__"))


def test_rows_that_the_program_leaves_out_still_share_the_rate_of_false_alarms(write: Write) -> None:
    """So a row has the same verdict in the summary of all tables, on a model card and in its own table."""
    outside_row = '[[rows]]\nlabel = "Own"\nmodel = "nets.py:Net"\ncells = { error = "80.0" }\n'
    write("papers/mine", table=TABLE + outside_row, recipe=RECIPE)
    nets("papers/mine")
    with within(Library(find_papers())):
        mine = next(each for each in select_all() if each.table.name == "mine")
        card = select_asked(mine.table, mine.table.rows[2].model)
        (planned,) = select_matching("Narrow")
        (whole,) = compared([mine], Path("results"), named=False)
    assert not Path("imported").exists()
    assert (len(mine.rows), mine.cells, whole.cells) == (2, 3, 3)
    assert (len(card.rows), card.cells) == (3, 3)
    assert (len(planned.rows), planned.cells) == (1, 1)  # the user selected this row


@COUNTS_ALL
def test_a_record_of_a_network_that_nobody_named_runs_no_code(
    write: Write, capsys: Capsys, record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spread between seeds is pooled over the other rows; the runs of a table that is named count in it."""
    monkeypatch.setattr("repro.store.results.shipped_results", lambda: Path("shipped").absolute())
    write("papers/mine", table=OWN, recipe=RECIPE)
    nets("papers/mine")
    with within(Library(find_papers())):
        error = read_table("mine").errors()[0]
        made = [error.experiment(seed) for seed in range(2)]
        for each in made:
            facts = {"model": each.model, "options": dict(each.options), "dataset": "digits", "recipe": "short"}
            append_record(
                record(id=each.id, name=each.name, seed=each.seed, error=80 + each.seed, epochs=1, **facts),
                Path("results"),
            )
    Path("imported").unlink()
    factory_of.cache_clear()
    for command in ("table", "plan --rows Wide"):
        assert repro(capsys, *command.split())[0] == 0
        assert not Path("imported").exists(), command
    with within(Library(find_papers())):
        (alone,) = compared([select("mine", "Narrow")], Path("results"))
        assert alone.spread
        assert alone.spread.degrees == PRINTED_SPREAD.degrees + 1


def test_the_id_depends_on_the_file_and_not_on_its_folder(write: Write) -> None:
    def id_of(file: Path) -> str:
        return experiment_for(f"{file}:Net", {}, seed=0, dataset="digits").id

    ids = [id_of(nets()), id_of(nets("sub")), id_of(nets("sub", NETS + "\n")), id_of(nets("sub", name="other.py"))]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("gone.py:Net", "gone.py does not exist in "),
        ("bad.py:Net", "bad.py cannot be imported: ModuleNotFoundError: No module named 'nothing_here' (line 1)"),
        ("wrong.py:Net", "wrong.py cannot be imported: SyntaxError: "),
        ("exits.py:Net", "exits.py cannot be imported: SystemExit: 3"),
        ("nets.py:Nat", "nets.py has no class or function 'Nat'; it has: Net, needs, raises, three, maps, narrow"),
        ("nets.py:raises", "nets.py:raises cannot be built with classes=10: KeyError: 'oops' (line 23)"),
        ("nets.py:three", "nets.py:three returns int; it must return a torch.nn.Module"),
        (
            "nets.py:maps",
            "nets.py:maps returns (2, 10, 32, 32) for 2 images of 3x32x32; it must return (batch, classes)",
        ),
        ("nets.py:narrow", "nets.py:narrow does not accept images of 3x32x32 (CxHxW): RuntimeError: mat1 and mat2"),
        ("nets.py:needs", "nets.py:needs needs the option width, which has no default; add width=VALUE"),
        ("nets.py:Net --set deep=3", "nets.py:Net has no option deep; its options: depth, rate, bias, kind"),
        ("nets.py:Net --set depth=x", "nets.py:Net: option depth must be a whole number, not 'x'"),
        ("nets.py:Net --set bias=1", "nets.py:Net: option bias must be yes or no, not '1'"),
        ("nets.py:Net --set rate=nan", "nets.py:Net: option rate must be a number, not 'nan'"),
        ("nets.py:Net --set depth=1 --set depth=2", "depth is given twice"),
        ("nets.py:Net --set kind=lazy", "nets.py:Net has lazy layers"),
        ("nets.py:", "'nets.py:' is not a network; write FILE.py:NAME or PACKAGE.MODULE:NAME"),
        ("no_such_package.nets:Net", "the package no_such_package is not installed: pip install no_such_package"),
        ("json.nets:Net", "json.nets:Net: there is no module json.nets"),
        ("torchvision:regnet_y_400", "unknown network of torchvision 'regnet_y_400'; did you mean regnet_y_400mf?"),
        ("torchvision:resnet18 --set weights=DEFAULT", "torchvision:resnet18 has no option weights"),
    ],
)
@pytest.mark.parametrize("command", slow_or_nightly(["count", "train", "bench"], lambda command: command != "bench"))
def test_bad_input_is_refused_in_one_line(write: Write, capsys: Capsys, command: str, typed: str, line: str) -> None:
    nets(text=NETS.replace('Path("imported").touch()', ""))
    for name, text in (("bad", "import nothing_here"), ("wrong", "def"), ("exits", "raise SystemExit(3)")):
        nets(text=text, name=f"{name}.py")
    if command != "count" and "deep=3" in typed:
        line = "unknown option or recipe value 'deep'; nets.py:Net has the options depth, rate, bias, kind, and recipes"
    assert line in refused(capsys, command, *typed.split(), "--dataset", "digits")


def test_a_misspelt_option_is_answered_with_the_nearest(write: Write, capsys: Capsys) -> None:
    nets(text=NETS.replace('Path("imported").touch()', ""))
    for command in (("train",), ("bench", "--window", 0.01)):
        line = refused(capsys, *command, "nets.py:Net", "--set", "dpeth=3", "--dataset", "digits", "--recipe", "digits")
        assert line == "error: unknown option or recipe value 'dpeth'; did you mean depth?"


def test_a_name_that_is_an_option_and_a_recipe_value_is_refused(write: Write, capsys: Capsys) -> None:
    nets(text=NETS.replace('Path("imported").touch()', ""))
    words = ["nets.py:needs", "--set", "width=3", "--set", "dropout=0.2", "--dataset", "digits"]
    why = "and a value of the recipe; write --set model.dropout=VALUE for the option, or --set recipe.dropout=VALUE"
    assert f"dropout is an option of nets.py:needs {why}" in refused(capsys, "train", *words)
    assert f"dropout is an option of wrn {why}" in refused(capsys, "train", "wrn", "--set", "dropout=0.2")
    assert count(capsys, *words[:5])["options"] == {"width": 3, "dropout": 0.2}
    assert count(capsys, *words[:4], "model.dropout=0.2")["options"] == {"width": 3, "dropout": 0.2}
    assert "--set recipe.dropout has no effect" in refused(capsys, "count", *words[:4], "recipe.dropout=0.2")
    assert "has no option batch" in refused(capsys, "train", *words[:4], "model.batch=3", *words[5:])
    assert "did you mean batch?" in refused(capsys, "train", *words[:3], "--set", "recipe.bacth=3", *words[5:])


def test_the_dropout_of_a_recipe_is_refused_for_a_network_with_its_own(write: Write, capsys: Capsys) -> None:
    nets(text=NETS.replace('Path("imported").touch()', ""))
    line = refused(capsys, "train", "nets.py:Net", "--set", "dropout=0.3", "--dataset", "digits", "--recipe", "digits")
    assert line == (
        "error: nets.py:Net is from outside the package, so no recipe sets its dropout; leave dropout=0.3 out of the "
        "recipe (0 if it extends one with dropout) and use an option of the network"
    )


def test_a_name_is_marked_as_the_options_or_the_recipes(
    write: Write, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that resumes the run has the marks that it needs, and so has the suggestion of `repro count`."""
    nets(
        text="""
from torch import nn


def small(epochs: int, dropout=0.1, *, classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, epochs), nn.Linear(epochs, classes))
"""
    )
    words = ["nets.py:small", "--set", "model.epochs=3", "--set", "model.dropout=0.2", "--dataset", "digits"]
    with monkeypatch.context() as patch:
        patch.setattr(progress, "watcher", lambda: stop_at(2))
        repro(capsys, "train", *words, "--set", "recipe.epochs=1", "--set", "recipe.weight_decay=0.001")
    (run,) = json.loads(repro(capsys, "list", "runs", "--format", "json")[1])["runs"]
    assert "--set model.dropout=0.2 --set model.epochs=3" in run["command"]
    assert "--epochs 1 --set recipe.weight_decay=0.001" in run["command"]
    monkeypatch.setattr(progress, "watcher", Silent)
    status, out, _ = repro(capsys, *shlex.split(run["command"])[1:])
    assert (status, out.partition(":")[0]) == (0, run["name"])
    suggested = repro(capsys, "count", *words)[2]
    assert "next: repro train nets.py:small --set model.dropout=0.2 --set model.epochs=3 --dataset digits" in suggested


def test_a_dataset_and_a_recipe_must_be_named(write: Write, capsys: Capsys) -> None:
    nets()
    for command in ("count", "train", "bench"):
        assert "name one with --dataset" in refused(capsys, command, "nets.py:Net")
    assert "choose one with --recipe: " in refused(capsys, "train", "nets.py:Net", "--dataset", "cifar10")
    assert "isbi2012 needs a model that predicts a class for each pixel" in refused(
        capsys, "count", "nets.py:Net", "--dataset", "isbi2012"
    )


def test_a_recipe_may_be_the_default_of_a_network(write: Write, capsys: Capsys) -> None:
    nets()
    named = 'dataset = "cifar10"\ndefault_for = ["nets.py:Net"]\nepochs'
    folder = write(recipe=RECIPE.replace("epochs", named))
    with within(Library(find_papers([folder]))):
        assert experiment_for("nets.py:Net", {}, seed=0, dataset="cifar10").recipe.name == "short"
    write(recipe=RECIPE.replace("epochs", named.replace("nets.py", "sub/nets.py")))
    line = "default_for: write 'nets.py:Net' without folders and version, not 'sub/nets.py:Net'"
    assert line in refused(capsys, "list", "recipes", "--papers", folder)


def test_a_recipe_that_names_a_network_is_its_default_rather_than_one_for_all_networks(write: Write) -> None:
    nets()
    folder = write(recipe=RECIPE.replace("epochs", 'default_for = ["nets.py:Net"]\nepochs'))
    with within(Library(find_papers([folder]))):
        assert experiment_for("nets.py:Net", {}, seed=0, dataset="digits").recipe.name == "short"


@pytest.mark.parametrize(("options", "name"), [({}, "short"), ({"depth": 40}, "short"), ({"depth": 22}, "digits")])
def test_a_recipe_for_an_option_applies_to_its_default_value(write: Write, options: dict[str, int], name: str) -> None:
    chosen = 'default_for = ["densenet"]\ndefault_with = { depth = 40 }\nepochs'
    with within(Library(find_papers([write(recipe=RECIPE.replace("epochs", chosen))]))):
        assert experiment_for("densenet", options, seed=0, dataset="digits").recipe.name == name


@pytest.mark.usefixtures("write")
def test_the_name_of_an_unchanged_network_may_have_its_folder() -> None:
    name = find(f"{nets('sub')}:Net")
    version = name.rpartition("@")[2]
    assert find(f"sub/nets.py:Net@{version}") == find(f"./sub/nets.py:Net@{outside(name).version}") == name
    with pytest.raises(UserError, match=r"has changed: it is nets\.py:Net@"):
        find("sub/nets.py:Net@000000000000")


def test_a_network_is_found_in_a_copy_of_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "paper" / "sub" / "nets.py"
    file.parent.mkdir(parents=True)
    file.write_text(NETS, encoding="utf-8")
    name = find(f"{file}:Net")
    content = recorded(name)
    copy = tmp_path / "copies" / "paper"
    shutil.copytree(tmp_path / "paper", copy)
    file.write_text("changed", encoding="utf-8")
    assert remember(name, content, [tmp_path / "copies" / "other", copy]) == name
    assert outside(name).file == copy / "sub" / "nets.py"
    assert outside(name).place == f"{copy}/sub/nets.py:Net"


@pytest.mark.parametrize(
    ("model", "options", "line"),
    [
        ("gone.py:Net", "{}", f"{ROW}: model: gone.py does not exist in "),
        (
            "nets.py:Net",
            "{ deep = 2 }",
            f"{ROW}: model: mine/nets.py:Net has no option deep; its options: depth, rate, bias, kind",
        ),
        (
            "nets.py:Net",
            '{ depth = "2" }',
            f"{ROW}: model: mine/nets.py:Net: option depth must be a whole number, not '2'",
        ),
        ("nets.py:Net", "{ depth = [1, 2] }", f"{ROW}: option depth is [1, 2], but it must be a number, text, true or"),
        ("nets.py:Nat", "{}", f"{ROW}: model: mine/nets.py has no class or function 'Nat'"),
        ("nets:Net", "{}", f"{ROW}: model: nets is not an installed package; for the file nets.py write nets.py:Net"),
    ],
)
def test_a_wrong_row_is_refused(write: Write, capsys: Capsys, model: str, options: str, line: str) -> None:
    write(table=OWN.replace("nets.py:Net", model).replace("{ depth = 2 }", options), recipe=RECIPE)
    nets("mine", NETS.replace('Path("imported").touch()', ""))
    assert line in refused(capsys, "table", "mine", "--papers", "mine")


def test_networks_of_torchvision_have_its_version(write: Write, capsys: Capsys) -> None:
    found = count(capsys, "torchvision:shufflenet_v2_x0_5")
    assert found["model"] == f"torchvision:shufflenet_v2_x0_5@{version('torchvision')}"
    assert found["params"] == 352_042  # torchvision's 1,366,792 with 1000 classes of 1025 weights each, here 10


def test_a_module_of_an_installed_package_is_a_network(
    write: Write, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = nets("site/their_nets", name="small.py")
    nets("site/their_nets", "", "__init__.py")
    monkeypatch.syspath_prepend(str(Path("site").absolute()))
    found = count(capsys, "their_nets.small:Net", "--set", "depth=2")
    assert found["model"] == f"their_nets.small:Net@{sha256(file.read_bytes()).hexdigest()[:12]}"


TIMM = """
from torch import nn


class models:
    @staticmethod
    def model_entrypoint(name):
        return lambda pretrained=False, **options: None


def is_model(name):
    return name == "resnet26"


def list_models():
    return ["resnet26"]


def create_model(name, *, pretrained, num_classes, in_chans, width=1):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_chans * 1024, width), nn.Linear(width, num_classes))
"""


def test_networks_of_timm_are_built_by_its_names(write: Write, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    nets("site", TIMM, "timm.py")
    nets("site/timm-9.8.dist-info", "Metadata-Version: 2.1\nName: timm\nVersion: 9.8\n", "METADATA")
    monkeypatch.syspath_prepend(str(Path("site").absolute()))
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    found = count(capsys, "timm:resnet26", "--set", "width=2")
    assert (found["model"], found["params"]) == ("timm:resnet26@9.8", 3072 * 2 + 2 + 2 * 10 + 10)
    assert "did you mean resnet26?" in refused(capsys, "count", "timm:resnet266", "--dataset", "digits")
    del sys.modules["timm"]  # which monkeypatch would put back


def test_timm_is_optional(write: Write, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    line = refused(capsys, "count", "timm:resnet26", "--dataset", "digits")
    assert "timm:resnet26: the package timm is not installed: pip install timm" in line


def test_names_have_no_folders(write: Write) -> None:
    name = find(f"{nets('a/b', name='my-nets.py')}:Net")
    assert (bare(name), label(name)) == ("my-nets.py:Net", "my_nets.Net")


def test_a_folder_with_an_at_sign_does_not_mix_networks_up(write: Write) -> None:
    file = nets("me@uni").absolute()
    names = [find(f"{file}:{factory}") for factory in ("Net", "needs")]
    assert [bare(each) for each in names] == ["nets.py:Net", "nets.py:needs"]
    assert [outside(each).factory for each in names] == ["Net", "needs"]
    assert [find(each) for each in names] == names
    assert remember(names[0], recorded(names[0]), [file.parent]) == names[0]


def test_a_run_of_a_hidden_file_has_no_hidden_name(write: Write) -> None:
    assert label(find(f"{nets('a', name='.nets.py')}:Net")) == "nets.Net"


WRAPPED = """
from torch import nn

class Wrapped(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))

    def forward(self, images):
        return self.net(images)
"""


def test_weights_are_read_back_whatever_the_layers_are_called(write: Write, capsys: Capsys) -> None:
    """Names that begin with `net.` do so in files of others because a module was around the network."""
    nets(text=WRAPPED)
    options = ("--dataset", "digits", "--recipe", "digits", "--epochs", 1, "--device", "cpu", "--format", "json")
    record = json.loads(repro(capsys, "train", "nets.py:Wrapped", *options)[1])
    assert repro(capsys, "export", record["id"], "--output", "net.safetensors")[0] == 0
    answer = json.loads(repro(capsys, "eval", "nets.py:Wrapped", "--weights", "net.safetensors", "--format", "json")[1])
    assert (answer["error"], answer["prefix"], answer["layouts"]) == (record["error"], "", ["repro"])
    card = Path("net.md").read_text(encoding="utf-8")
    assert 'papers="FOLDER"' in card
    names: dict[str, Any] = {}
    exec(card.split("```python\n")[1].split("```")[0], names)
    assert [*names["network"].state_dict()] == ["net.0.weight", "net.0.bias", "net.3.weight", "net.3.bias"]
    assert names["experiment"].id == record["id"]


def test_weights_of_a_network_whose_file_has_changed_are_exported_but_not_tested(write: Write, capsys: Capsys) -> None:
    file = nets(text=WRAPPED)
    options = ("--dataset", "digits", "--recipe", "digits", "--epochs", 1, "--device", "cpu", "--format", "json")
    record = json.loads(repro(capsys, "train", "nets.py:Wrapped", *options)[1])
    file.write_text(f"{WRAPPED}# another file\n", encoding="utf-8")
    factory_of.cache_clear()
    status, _, err = repro(capsys, "export", record["id"], "--output", "net.safetensors")
    assert status == 0
    now = sha256(file.read_bytes()).hexdigest()
    line = f"nets.py has changed since {record['model']}: its SHA-256 is {now}; restore it"
    assert line in err
    assert "next: repro list runs" in err
    assert f"At the export, {line}" in " ".join(Path("net.md").read_text(encoding="utf-8").split())
    assert refused(capsys, "eval", "nets.py:Wrapped", "--weights", "net.safetensors") == f"error: {line}"
    file.unlink()
    assert "nets.py cannot be read" in repro(capsys, "export", record["id"], "--output", "net.safetensors")[2]


def test_the_label_of_a_row_does_not_run_its_code(write: Write, capsys: Capsys) -> None:
    write("papers/mine", table=OWN, recipe=RECIPE)
    nets("papers/mine")
    line = "'Narrow' is a row of mine whose network is your own code; name it: papers/mine/nets.py:Net --set depth=2"
    for command in ("count", "train"):
        assert refused(capsys, command, "Narrow") == f"error: {line}"


@pytest.mark.parametrize(
    ("text", "column", "recipe"),
    [
        (OWN, "", "short"),
        (TABLE, ', dataset = "cifar10", recipe = "densenet-cifar10+"', "densenet-cifar10+"),
    ],
)
def test_the_label_of_a_row_with_several_errors_is_trained_with_a_printed_recipe(
    write: Write, text: str, column: str, recipe: str
) -> None:
    other = f'  {{ key = "other", label = "Other %", kind = "error"{column} }},\n]\n[[rows]]'
    text = text.replace("]\n[[rows]]", other, 1).replace("cells = {", 'cells = { other = "50.0",', 1)
    nets("mine")
    with within(Library(find_papers([write(table=text, recipe=RECIPE)]))):
        for dataset, followed in ((None, recipe), ("digits", "short")):
            chosen = chosen_experiment("Narrow", {}, [], dataset=dataset, recipe=None)
            assert chosen.recipe.name == followed


NOISY = """
from torch import nn
from torch.nn import functional as F


class Net(nn.Linear):
    def __init__(self, noise: float = 0.5, *, classes):
        super().__init__(3072, classes)
        self.noise = noise

    def forward(self, images):
        return F.dropout(super().forward(images.flatten(1)), self.noise, self.training)
"""


UNUSUAL = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, *, classes):
        norm = nn.BatchNorm2d(3, track_running_stats=False)
        super().__init__(norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))


class Averages(nn.Sequential):
    def __init__(self, *, classes):
        super().__init__(nn.Flatten(), nn.BatchNorm1d(3072, momentum=None), nn.Linear(3072, classes))
"""


def test_a_batchnorm_without_statistics_is_neither_stacked_nor_made_exact(write: Write) -> None:
    Path("unusual.py").write_text(UNUSUAL, encoding="utf-8")
    experiment = experiment_for(find("unusual.py:Net"), {}, seed=0, recipe_name="resnet-cifar10")
    network = network_of(experiment)
    assert "BatchNorm without" in why_one_at_a_time(network, experiment)
    take_exact_statistics(network, [torch.rand(4, 3, 8, 8)])
    assert network[0].running_mean is None


def test_a_batchnorm_of_vectors_without_momentum_is_not_stacked(write: Write) -> None:
    Path("unusual.py").write_text(UNUSUAL, encoding="utf-8")
    experiment = experiment_for(find("unusual.py:Averages"), {}, seed=0, recipe_name="resnet-cifar10")
    assert "BatchNorm without" in why_one_at_a_time(network_of(experiment), experiment)


@pytest.mark.parametrize(("noise", "reason"), [(0.5, "the model draws random numbers in training"), (0.0, "")])
def test_seeds_of_a_network_that_draws_random_numbers_are_trained_one_after_another(
    write: Write, noise: float, reason: str
) -> None:
    Path("noisy.py").write_text(NOISY, encoding="utf-8")
    experiment = experiment_for(find("noisy.py:Net"), {"noise": noise}, seed=0, recipe_name="resnet-cifar10")
    before = torch.get_rng_state()
    with torch.device("meta"):
        network = network_of(experiment)
    assert why_one_at_a_time(network, experiment) == reason
    assert torch.equal(before, torch.get_rng_state())


TYPED = """
from torch import nn
from torch.nn import functional as F


class Net(nn.Linear):
    def __init__(self, width: float = 1, depth: "int | str" = 3, *, classes):
        super().__init__(3 * 32 * 32, classes)

    def forward(self, images):
        logits = super().forward(images.flatten(1))
        return logits if self.training else {"logits": logits}


class Pooled(nn.Linear):
    def __init__(self, *, classes):
        super().__init__(3, classes)

    def forward(self, images):
        return super().forward(F.avg_pool2d(images, images.shape[2:]).flatten(1))


class Attention(nn.Linear):
    def __init__(self, *, classes):
        super().__init__(32, classes)

    def forward(self, images):
        return super().forward(F.scaled_dot_product_attention(images, images, images).mean((1, 2)))


class Fails(nn.Linear):
    def __init__(self, *, classes):
        super().__init__(3, classes)

    def forward(self, images):
        return super().forward({1: images.mean((2, 3))}[images.shape[-1]])
"""


def test_an_annotation_of_an_option_is_more_than_its_default(write: Write) -> None:
    Path("typed.py").write_text(TYPED, encoding="utf-8")
    network = outside(find("typed.py:Net"))
    assert resolved(network, {"width": 0.5, "depth": "deep"}) == {"width": 0.5, "depth": "deep"}
    assert resolved(network, {"width": 2}) == {"width": 2.0, "depth": 3}
    assert type(resolved(network, {})["width"]) is float


def test_an_infinite_default_is_not_recorded(write: Write) -> None:
    nets(text=NETS.replace("width: int,", 'width: int = 2, clip: float = float("inf"), floor=float("-inf"),'))
    assert resolved(outside(find("nets.py:needs")), {"clip": 2}) == {"width": 2, "clip": 2.0, "dropout": 0.1}


def test_a_network_that_returns_something_else_when_it_is_tested_is_refused_before_its_training(write: Write) -> None:
    Path("typed.py").write_text(TYPED, encoding="utf-8")
    experiment = experiment_for(find("typed.py:Net"), {}, seed=0, recipe_name="resnet-cifar10")
    with pytest.raises(UserError, match=r"typed\.py:Net returns a dict for 2 images of 3x32x32"):
        check_network(experiment)


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("Pooled", 3 * 10),  # the pooling is in no linear layer
        ("Attention", 3 * 32 * 32 * (32 + 32) + 32 * 10),
    ],
)
def test_global_poolings_and_fused_attention_are_counted(write: Write, name: str, macs: int) -> None:
    Path("typed.py").write_text(TYPED, encoding="utf-8")
    found = counted(Subject(find(f"typed.py:{name}"), {}, (3, 32, 32), 10))
    assert found.flops["macs"] == macs
    assert name != "Pooled" or found.flops["paper"] == 3 * 32 * 32 + 3 * 10


def test_a_network_that_cannot_be_counted_is_refused_in_one_line(write: Write, capsys: Capsys) -> None:
    Path("typed.py").write_text(TYPED, encoding="utf-8")
    said = refused(capsys, "count", "typed.py:Fails", "--input", "3x32x32", "--classes", "10")
    assert "typed.py:Fails" in said
