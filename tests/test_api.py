"""The Python API: types, DataFrames, HTML, errors, and that it imports nothing before it is used."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import repro as command
from documents import FRAMES
from marking import COUNTS_ALL
from records import append_record
from torch import Tensor, nn

import repro
from repro.comparison.verdict import Verdict
from repro.console import stdout
from repro.report.counts import CountReports
from repro.report.formats.html import notebook_html
from repro.report.formats.terminal import plain
from repro.report.grid import Grid, Heading, Line, Shown
from repro.report.notes import Note
from repro.report.plan import COLUMNS as PLAN_COLUMNS
from repro.store.results import Record

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "torchvision", "pandas", "numpy", "fvcore", "rich", "typer", "jinja2"}
Make = Callable[..., Record]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPRO_PAPERS", raising=False)


def small_network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


class Mute(nn.Module):
    """A network that refuses every input without a word."""

    def forward(self, _images: Tensor) -> Tensor:
        """Refuse."""
        raise ValueError


def test_the_import_loads_nothing_and_names_everything() -> None:
    code = "import sys; import repro; print(*sys.modules); print(*dir(repro)); repro.runs; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    imported, named, used = (set(line.split()) for line in done.stdout.splitlines())
    assert not imported & {*HEAVY, "repro.api", "repro.errors"}
    assert {*repro.__all__, "__version__"} <= named
    assert "repro.api" in used
    assert not used & {"torch", "torchvision", "pandas", "numpy", "fvcore"}


def test_every_name_can_be_called() -> None:
    assert all(callable(getattr(repro, name)) for name in repro.__all__)
    with pytest.raises(AttributeError, match="module 'repro' has no attribute 'tabel'"):
        repro.tabel  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("call", [name for name in FRAMES if name != "curve(RUN)"])
def test_a_frame_has_the_columns_and_types_that_are_documented(call: str) -> None:
    frame = eval(f"repro.{call.replace('MODEL', repr('resnet20')).replace('NAME', repr('wrn-times'))}")
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert {name: kinds.get(name) for name in FRAMES[call]} == {name: kind.value for name, kind in FRAMES[call].items()}
    if call not in ("table().to_frame()", "table(NAME).to_frame()"):
        assert list(kinds) == list(FRAMES[call])


@COUNTS_ALL
def test_a_table_has_the_figures_of_each_kind_of_column() -> None:
    frame = repro.table("cifar100").to_frame()
    own = frame.set_index("row").loc["DenseResNet-110, N = 4"]
    assert (own["params_published"], own["params_ours"], own["params_matches"]) == ("2.23M", 2_230_868, True)
    assert (own["error_published"], own["error_n"], own["verdict"]) == ("22.62", 0, "not measured")
    kinds = {"error_ours": "float64", "error_n": "Int64", "params_ours": "Int64", "flops_matches": "boolean"}
    assert {name: str(frame.dtypes[name]) for name in kinds} == kinds
    times = repro.table("wrn-times").to_frame()
    assert times["time_published_ratio"].tolist()[0] == 1.0
    summary = repro.table().to_frame().set_index("table")
    assert summary.loc["cifar100", "counts_right"] == 10
    assert summary["reproduced"].sum() == 0


def test_a_table_has_the_evidence_of_others_with_the_same_types_with_and_without_any() -> None:
    frame = repro.table("resnet-cifar").to_frame()
    own = frame.set_index("row").loc["ResNet-20"]
    assert (own["error_others_n"], own["error_others_lowest"], own["error_others_highest"]) == (15, 5.97, 8.73)
    assert own["error_weights_n"] == 1
    assert own["error_weights_lowest"] == own["error_weights_highest"]
    kinds = {"n": "Int64", "lowest": "float64", "highest": "float64"}
    for of, table, key in (("others", "wrn-cifar", "c10"), ("weights", "wrn-width", "c10")):
        for shown in (frame, repro.table(table).to_frame()):
            start = f"{'error' if shown is frame else key}_{of}"
            assert {name: str(shown.dtypes[f"{start}_{name}"]) for name in kinds} == kinds
    chosen = repro.table("wrn-width", columns=["others"]).to_frame()
    assert [*chosen.columns[3:]] == [f"{key}_others_{name}" for key in ("c10", "c100") for name in kinds]


def test_columns_are_also_chosen_by_a_text() -> None:
    listed = repro.table("cifar100", columns=["params", "verdict"], bare=True)
    assert repro.table("cifar100", columns="params, verdict", bare=True).text("csv") == listed.text("csv")


def test_a_comparison_has_verdicts_as_objects(record: Make, tmp_path: Path) -> None:
    for seed, error in enumerate((25.0, 25.1, 25.2)):
        run = record(seed=seed, error=error)
        append_record(run, tmp_path / "results")
    found = repro.compare("cifar100", rows="N=4")
    assert [each.verdict for each in found.rows] == [Verdict.NOT_REPRODUCED]
    assert "✗ DenseResNet-110, N = 4: not reproduced" in repr(found)
    frame = found.to_frame()
    assert frame.loc[0, ["seeds", "n", "mark", "verdict"]].tolist() == [[0, 1, 2], 3, "✗", "not reproduced"]
    assert frame.loc[0, "value"] == pytest.approx(25.1)
    assert (repro.results()["model"] == "denseresnet110").sum() >= 3
    assert "not reproduced" in repro.table("cifar100", rows="N=4")._repr_html_()


def test_the_text_of_a_table_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    shown = repro.table("cifar100")
    assert shown.text("rich").split() == repr(shown).split() == command(capsys, "table", "cifar100")[1].split()
    assert stdout().width == 160
    with pytest.raises(repro.UserError, match="unknown format 'word'"):
        shown.text("word")


def test_a_plan_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    made = repro.plan("cifar100", rows="N = 4", seeds=3, device_name="H100")
    of_three = ("--rows", "N = 4", "--seeds", 3, "--device-name", "H100")
    _, out, _ = command(capsys, "table", "cifar100", "--run", "--dry-run", *of_three, "--format", "json")
    assert made.text("json") == out
    frame = made.to_frame()
    assert frame.loc[0, ["table", "row", "missing"]].tolist() == ["cifar100", "DenseResNet-110, N = 4", 3]
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        name: str(kind) for name, kind in PLAN_COLUMNS.items()
    }
    assert "To train: " in repr(made)
    assert "DenseResNet-110, N = 4" in made._repr_html_()


def test_a_plan_changes_no_settings_of_torch() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        repro.plan("cifar100", rows="ResNet-110")
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"results": "nowhere"}, "nowhere"),
        ({"device_name": 7}, "device_name must be text"),
        ({"seeds": 0}, "seeds=0 is invalid; give a whole number from 1 to 1,000"),
        ({"epochs": "7"}, "epochs='7' is invalid"),
        ({"rows": "N = 5"}, "no row of cifar100 matches"),
        ({"runs": 7}, "runs must be a path"),
    ],
)
def test_a_wrong_plan_is_refused(asked: dict[str, Any], reason: str) -> None:
    with pytest.raises(repro.UserError, match=reason):
        repro.plan("cifar100", **{"device_name": "H100", **asked})


@COUNTS_ALL
def test_html_is_escaped_and_self_contained() -> None:
    evil = "<script>alert(1)</script>"
    grid = Grid(evil, (Heading(evil, evil),), (Line((Shown(evil, notes=(evil,), details=(evil,)),)),))
    html = notebook_html([grid], [Note(evil, (evil,))])
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 6
    whole = repro.table("cifar100")._repr_html_() + repro.count("resnet20")._repr_html_() + repro.table()._repr_html_()
    assert not re.search(r"<script|<link|@import|url\(|src=", whole)
    assert 'class="number"' in whole


def test_the_style_of_a_notebook_applies_to_our_tables_alone() -> None:
    style = (ROOT / "repro/report/formats/html/notebook.css").read_text(encoding="utf-8")
    rules = [line for line in style.splitlines() if "{" in line]
    assert all(selector.strip().startswith(".repro-report ") for line in rules for selector in parts(line))


def parts(rule: str) -> list[str]:
    return re.split(r",(?![^(]*\))", rule.partition("{")[0])


def test_the_colours_of_marks_are_seen_on_white_and_on_black() -> None:
    style = (ROOT / "repro/report/formats/html/notebook.css").read_text(encoding="utf-8")
    colours = re.findall(r"color: #(\w{6})", style)
    assert len(colours) == 4
    for colour in colours:
        light = luminance(colour)
        assert 1.05 / (light + 0.05) >= 3
        assert (light + 0.05) / (luminance("111111") + 0.05) >= 3


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_a_report_keeps_the_papers_that_it_was_made_with(tmp_path: Path) -> None:
    paper = tmp_path / "narrow"
    (paper / "recipes").mkdir(parents=True)
    (paper / "tables").mkdir()
    (paper / "recipes/narrow.toml").write_text(
        '[recipes.narrow]\nextends = "digits"\nsummary = "s"\npaper = "p"\n'
        'epochs = { value = 2, source = "printed", place = "section 4" }\n'
    )
    columns = '[{ key = "error", label = "Error", kind = "error", recipe = "narrow" }]'
    table = paper / "tables/narrow.toml"
    table.write_text(
        'title = "T"\ncaption = "C"\npaper = "P"\nsource = "S"\ndataset = "digits"\nflops_convention = "macs"\n'
        f'columns = {columns}\n[[rows]]\nlabel = "<b>"\nmodel = "densenet"\ncells = {{ error = "5.0" }}\n'
    )
    report = repro.table("narrow", papers=paper)
    assert "&lt;b&gt;" in report._repr_html_()
    assert "<b>" not in report._repr_html_()
    assert "narrow" in report.text("html")
    assert repro.list_recipes(papers=[paper]).set_index("name").loc["narrow", "epochs"] == 2
    table.write_text(table.read_text().replace("5.0", "6.0"))
    assert repro.compare("narrow", papers=str(paper)).to_frame()["published"].tolist() == ["6.0"]
    with pytest.raises(repro.UserError, match="unknown table 'narrow'"):
        repro.table("narrow")


def test_a_network_of_ones_own_is_counted_and_left_as_it_was() -> None:
    network = small_network()
    network[1].eval()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    counts = repro.count(network, dataset="cifar10", flops="macs", by_module=True)
    assert (counts.params, counts.macs, counts.flops) == (130, 4 * 27 * 30 * 30 + 8, counts.macs)
    assert [each.kind for each in counts.modules[:2]] == ["Sequential", "Conv2d"]
    assert "Conv2d" in counts._repr_html_()
    assert [each.training for each in network.modules()] == [True, True, False, True, True, True]
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())


def test_numbers_of_numpy_are_those_of_python() -> None:
    """A sweep over `np.arange` gives them."""
    assert [repro.count("wrn", depth=16, k=k).params for k in np.arange(1, 3)] == [175066, 691674]
    assert repro.count("resnet20", input=np.array([3, 32, 32]), classes=np.int64(10)).params == 269722
    assert repro.count("mobilenetv1", width=np.float64(0.5)).options["width"] == 0.5
    assert len(repro.plan("cifar100", rows="ResNet-110", seeds=np.int64(3)).to_frame()) == 1


def test_a_count_has_the_published_rows() -> None:
    counts = repro.count("denseresnet110", N=4)
    assert [(each.row, each.params_match) for each in counts.published] == [("DenseResNet-110, N = 4", True)]
    frame = counts.to_frame()
    assert frame["params"].tolist() == [2_230_868, 2_230_000]
    assert frame["params_published"].isna().tolist() == [True, False]


def test_published_counts_are_found_by_the_kind_of_a_column_and_rows_of_one_label_are_told_apart(
    tmp_path: Path,
) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/keys.toml").write_text(
        'title = "T"\ncaption = "C"\npaper = "P"\nsource = "S"\ndataset = "cifar10"\nflops_convention = "macs"\n'
        'columns = [{ key = "depth", label = "Depth", kind = "context" }, '
        '{ key = "size", label = "Size", kind = "params" }, { key = "work", label = "Work", kind = "flops" }]\n'
        'rows = [{ label = "Net", model = "resnet20", cells = { depth = "20", size = "0.27M", work = "1M" } }, '
        '{ label = "Net", model = "resnet32", cells = { depth = "32", size = "0.46M" } }]\n'
    )
    (row,) = (each for each in repro.count("resnet20", papers=tmp_path).published if each.table == "keys")
    assert (row.row, row.params, row.flops) == ("Net, Depth 20", "0.27M", "1M")
    assert (row.params_match, row.flops_match) == (True, False)


def test_a_network_that_is_counted_for_two_datasets_has_two_lines() -> None:
    networks = (("wrn", "cifar10"), ("wrn", "cifar100"), ("resnet20", "cifar10"))
    reports = [repro.count(model, dataset=dataset) for model, dataset in networks]
    text = plain(CountReports(reports).rich(), 200)
    labels = [f"{reports[0].title} (cifar10)", f"{reports[1].title} (cifar100)", f"{reports[2].title}  "]
    for label, report in zip(labels, reports, strict=True):
        (line,) = [each for each in text.splitlines() if label in each]
        assert f"{report.params:,}" in line


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: repro.table(rows="N=4"), "rows, columns and bare require the name of a table; see repro.list_tables()"),
    (lambda: repro.table("cifar"), "unknown table 'cifar'; did you mean cifar100?"),
    (lambda: repro.table("cifar100", papers="nowhere"), "--papers nowhere is not a folder; name the folder of a paper"),
    (lambda: repro.results("nowhere"), "--results nowhere does not exist; repro train creates it"),
    (lambda: repro.table(3), "name must be a path, not int"),
    (lambda: repro.curve("nothing"), "'nothing' is not a run in runs, results or "),
    (lambda: repro.count("wrn", dept=28), "wrn has no option --dept; its options: --depth, --k"),
    (lambda: repro.count("wrn", depth="28"), "wrn: option depth must be a whole number, not '28'"),
    (lambda: repro.count("wrn", depth=np.float64(28)), "wrn: option depth must be a whole number, not 28.0"),
    (lambda: repro.count("wrn", depth=True), "wrn: option depth must be a whole number, not True"),
    (lambda: repro.count("wrn", input=(3, 32)), "input=(3, 32) is not a shape; give (C, H, W)"),
    (lambda: repro.count("wrn", flops="every"), "unknown FLOPs convention 'every'; known: paper, fvcore, macs, all"),
    (lambda: repro.count(small_network()), "the size of the images of Sequential is missing; give it"),
    (lambda: repro.count(small_network(), input=(1, 9, 9)), "Sequential does not accept an input of 1x9x9 (CxHxW): "),
    (lambda: repro.count(Mute(), input=(3, 9, 9)), "Mute does not accept an input of 3x9x9 (CxHxW): ValueError"),
    (lambda: repro.count(small_network(), depth=2, classes=3), "depth, classes: only for a network given by name"),
    (lambda: repro.count(nn.LazyLinear(2), input=(3, 8, 8)), "LazyLinear has lazy layers; call it once"),
    (lambda: repro.count(3, input=(3, 8, 8)), "a network is the name of one or a torch.nn.Module, not 3"),  # type: ignore[arg-type]
    (lambda: repro.count("wrn", input=32), "input=32 is not a shape; give (C, H, W)"),  # type: ignore[arg-type]
    (lambda: repro.count("wrn", classes=0), "classes=0 is invalid; give a whole number from 1, such as 10"),
    (lambda: repro.count("wrn", classes="10"), "classes='10' is invalid; give a whole number"),  # type: ignore[arg-type]
    (lambda: repro.build("resnet20", seed=-1), "seed=-1 is invalid; give a whole number from 0 to 2147483647"),
    (lambda: repro.build("wrn", depth=27), "wrn: depth 27 is invalid"),
    (lambda: repro.build("resnet20", dataset="isbi2012"), "resnet20 predicts one class for an image"),
    (lambda: repro.build(small_network()), "model must be text, not Sequential"),  # type: ignore[arg-type]
    (lambda: repro.build("resnet20", dataset=3), "dataset must be text, not int"),  # type: ignore[arg-type]
    (lambda: repro.count("resnet20", flops=3), "flops must be text, not int"),  # type: ignore[arg-type]
    (lambda: repro.compare(None), "name must be a path, not NoneType"),  # type: ignore[arg-type]
    (lambda: repro.table("cifar100", rows=["N=4"]), "rows must be text, not list"),  # type: ignore[arg-type]
    (lambda: repro.table("cifar100", columns=None), "columns must be text or a list of texts, not NoneType"),  # type: ignore[arg-type]
    (lambda: repro.table("cifar100", columns=["error", 3]), "columns must be text, not int"),  # type: ignore[list-item]
    (lambda: repro.table(columns=np.array(["error"] * 2)), "rows, columns and bare require the name of a table"),  # type: ignore[arg-type]
    (lambda: repro.count("resnet20", flops=None), "flops must be text, not NoneType"),  # type: ignore[arg-type]
    (lambda: repro.table("cifar100", results=None), "results must be a path, not NoneType"),  # type: ignore[arg-type]
    (lambda: repro.list_tables(papers=None), "papers must be a path, not NoneType"),  # type: ignore[arg-type]
    (lambda: repro.curve(3), "run must be text, not int"),  # type: ignore[arg-type]
    (lambda: repro.load_weights(3), "file must be a path, not int"),  # type: ignore[arg-type]
    (lambda: repro.load_weights("nothing.safetensors"), "nothing.safetensors does not exist"),
    (lambda: repro.build("torchvision:resnet18"), "torchvision:resnet18 has no dataset of its own; name one"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_mistake_is_one_line(call: Callable[[], object], message: str, tmp_path: Path) -> None:
    with pytest.raises(repro.UserError) as error:
        call()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_an_epoch_has_no_curve(tmp_path: Path) -> None:
    (tmp_path / "runs/some-run/logs").mkdir(parents=True)
    with pytest.raises(repro.UserError, match=r"some-run has no curve in runs, .*; repro list runs shows whether"):
        repro.curve("some-run")


def test_a_network_is_that_with_which_training_starts() -> None:
    from repro.experiment import experiment_for
    from repro.training.initialise import initialised

    random = torch.get_rng_state()
    network = repro.build("wrn", depth=10, k=1, dataset="cifar10", seed=3)
    assert torch.equal(torch.get_rng_state(), random)
    wanted = initialised(experiment_for("wrn", {"depth": 10, "k": 1}, seed=3, dataset="cifar10")).state_dict()
    assert all(torch.equal(each, wanted[name]) for name, each in network.state_dict().items())


def test_networks_without_a_recipe_are_initialised_by_their_code(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("from torch import nn\ndef net(*, classes):\n    return nn.Linear(4, classes)\n")
    first, again, other = (repro.build("nets.py:net", dataset="cifar10", seed=seed) for seed in (0, 0, 1))
    assert [each.shape for each in first.parameters()] == [(10, 4), (10,)]
    assert torch.equal(next(first.parameters()), next(again.parameters()))
    assert not torch.equal(next(first.parameters()), next(other.parameters()))
