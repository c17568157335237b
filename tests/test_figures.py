"""Figures: their numbers, the data that they show, and the files that are written."""

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch
from commands import repro
from forked import TWO, join_as, two_of
from matplotlib.text import Text
from records import append_record, record_of
from watching import Silent, shrink_digits, stop_at, train_one

from repro.api.records import run_curve
from repro.data import Dataset
from repro.data.inputs.protocol import Averaged, Protocol, Views
from repro.errors import Stopped, UserError
from repro.experiment import Experiment, experiment_for
from repro.figures import Curves, Gates, curves_of, curves_of_runs, draw, gates_of
from repro.figures.curves import Panel
from repro.figures.draw_curves import apart, draw_curves
from repro.figures.draw_gates import draw_gates
from repro.figures.themes import LINE, THEMES, style
from repro.models import MODELS
from repro.models.dense_resnet import DenseResNet
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store import results
from repro.store.curves import curve_path, read_curve, write_curve
from repro.store.gates import GateRow, gates_path, read_gates, write_gates
from repro.store.results import EpochRow, Record
from repro.store.run_folders import CURVE, describe
from repro.tables import Metric, Table, read_table
from repro.training.checkpoints import checkpoint
from repro.training.initialise import network_of
from repro.training.runs.gates import position
from repro.training.runs.train import train
from repro.training.tasks import in_memory, kinds
from repro.training.tasks.kinds import task_for

CPU = Runtime(device="cpu")
DEVICE = torch.device("cpu")
CIFAR100 = read_table("cifar100")
MakeRecord = Callable[..., Record]


def epoch(number: int, error: float) -> EpochRow:
    return EpochRow(
        epoch=number, step=number, lr=0.1, train_loss=1, train_error=error / 2, test_loss=1, test_error=error, seconds=1
    )


@pytest.fixture
def keep(record: MakeRecord, folders: Folders) -> Callable[..., Record]:
    """Record a made-up run with a curve of given test errors, as if its recipe had that many epochs."""

    def make(errors: list[float], *, N: int = 4, seed: int = 0, epochs: int | None = None) -> Record:
        experiment = experiment_for("denseresnet110", {"N": N}, seed=seed, epochs=epochs)
        kept = record_of(record, experiment, epochs=len(errors), error=errors[-1])
        write_curve([epoch(*each) for each in enumerate(errors, 1)], curve_path(folders.results, kept.name))
        append_record(kept, folders.results)
        return kept

    return make


def only(curves: Curves | None) -> tuple[Curves, tuple[str, ...]]:
    """Return curves, which must exist, and the labels of the first panel."""
    assert curves
    return curves, tuple(curve.label for curve in curves.panels[0].curves)


# Curves


def test_a_row_is_the_median_and_the_spread_of_its_seeds(keep: Callable[..., Record], folders: Folders) -> None:
    errors = {0: [80, 40.5, 23.0], 1: [70, 30.5, 22.0], 2: [90, 50.5, 22.4]}
    runs = [keep(each, seed=seed) for seed, each in errors.items()]
    curves, labels = only(curves_of(CIFAR100, runs, [folders.results]))
    (curve,) = curves.panels[0].curves
    assert labels == ("DenseResNet-110, N = 4; n = 3",)
    assert curve.test == ((80, 70, 90), (40.5, 30.5, 50.5), (22.4, 22.0, 23.0))
    assert curve.train[0] == (40, 35, 45)
    assert curve.printed == "22.62"
    last = curves.lines()[-1]
    assert (last["epoch"], last["median"], last["lowest"], last["highest"]) == (3, 22.4, 22.0, 23.0)
    assert (last["seeds"], last["deviations"], last["printed"]) == ("0 1 2", "", "22.62")
    assert all(set(line) <= set(Curves.COLUMNS) for line in curves.lines())


def test_a_run_that_deviates_is_not_counted_with_its_row(keep: Callable[..., Record], folders: Folders) -> None:
    runs = [keep([80, 23.0]), keep([99.0], seed=1, epochs=1)]
    curves, labels = only(curves_of(CIFAR100, runs, [folders.results]))
    assert labels == ("DenseResNet-110, N = 4; n = 1",)
    assert curves.panels[0].curves[0].test[0] == (80, 80, 80)


def test_an_error_printed_by_another_protocol_is_not_drawn_but_told(
    keep: Callable[..., Record], folders: Folders
) -> None:
    ten = Protocol(views=Views.TEN_CROP, averaged=Averaged.OUTPUTS)
    table = replace(CIFAR100, columns=tuple(replace(each, protocol=ten) for each in CIFAR100.columns))
    curves, labels = only(curves_of(table, [keep([80, 23.0])], [folders.results]))
    assert labels == ("DenseResNet-110, N = 4; n = 1; printed 22.62 with 10 crops",)
    assert {line["printed"] for line in curves.lines()} == {None}


def test_without_faithful_runs_a_row_shows_each_deviation_separately(
    keep: Callable[..., Record], folders: Folders
) -> None:
    runs = [keep([90.0], epochs=1), keep([92.0], epochs=1, seed=1), keep([90.0, 80.0], epochs=2), keep([70.0], N=2)]
    curves, labels = only(curves_of(CIFAR100, runs, [folders.results]))
    assert labels == (
        "DenseResNet-110, N = 2; n = 1",
        "DenseResNet-110, N = 4; n = 2; deviates: epochs=1 (300)",
        "DenseResNet-110, N = 4; n = 1; deviates: epochs=2 (300)",
    )
    assert [curve.printed for curve in curves.panels[0].curves] == ["23.03", None, None]
    assert [line.get_linestyle() for line in draw_curves(curves, THEMES["light"]).axes[0].lines[:3]] == ["-", ":", ":"]


def test_deviating_runs_of_other_lengths_have_curves_of_their_own(
    keep: Callable[..., Record], folders: Folders
) -> None:
    older = ("another version of miru2020-cifar100",)
    runs = [replace(keep([90.0] * epochs, epochs=epochs), deviations=older) for epochs in (1, 2)]
    curves, labels = only(curves_of(CIFAR100, runs, [folders.results]))
    assert [len(curve.test) for curve in curves.panels[0].curves] == [1, 2]
    assert set(labels) == {"DenseResNet-110, N = 4; n = 1; deviates: another version of miru2020-cifar100"}


def test_runs_of_one_seed_whose_deviations_are_unknown_have_curves_of_their_own(
    keep: Callable[..., Record], folders: Folders
) -> None:
    older = ("another version of miru2020-cifar100",)
    run = keep([90.0], epochs=1)
    runs = [replace(run, id=each, name=f"older-{each}", deviations=older) for each in ("a", "b")]
    for each in runs:
        write_curve([epoch(1, 90.0)], curve_path(folders.results, each.name))
    curves, _ = only(curves_of(CIFAR100, runs, [folders.results]))
    assert [curve.seeds for curve in curves.panels[0].curves] == [(0,), (0,)]


def test_without_curves_nothing_is_drawn(record: MakeRecord, folders: Folders) -> None:
    assert curves_of(CIFAR100, [], [folders.results]) is None
    assert curves_of(CIFAR100, [record()], [folders.results]) is None


def test_a_reduced_precision_is_named(record: MakeRecord, folders: Folders) -> None:
    run = record(precision="bf16", epochs=1, error=50)
    write_curve([epoch(1, 50)], curve_path(folders.results, run.name))
    assert only(curves_of(CIFAR100, [run], [folders.results]))[1] == ("DenseResNet-110, N = 4; n = 1; bf16",)


@pytest.mark.parametrize("kept", [2, 3])
def test_a_curve_of_another_run_than_its_record_is_refused(
    keep: Callable[..., Record], folders: Folders, tmp_path: Path, kept: int
) -> None:
    """It has another length, or is of another run of the same experiment; the right one is in another folder."""
    run = keep([80, 60, 40])
    path = curve_path(folders.results, run.name)
    shipped = curve_path(tmp_path / "shipped", run.name)
    write_curve(read_curve(path), shipped)
    write_curve([epoch(1, 81), epoch(2, 61), epoch(3, 41)][:kept], path)
    with pytest.raises(UserError, match="is not the curve of the run's record, whose error is 40"):
        curves_of(CIFAR100, [run], [folders.results])
    found = curves_of(CIFAR100, [run], [tmp_path / "shipped", folders.results])
    assert only(found)[0].panels[0].curves[0].test[-1].median == 40


def kept_for(table: Table, column: str, results: Path, record: MakeRecord) -> list[Record]:
    """Keep a run with a curve of two epochs for each row with a printed error in a column, if there is a recipe."""
    runs = []
    for error in table.errors():
        if error.column.key != column or error.recipe is None:
            continue
        experiment = error.experiment(seed=0)
        runs.append(record_of(record, experiment, epochs=2, error=5))
        write_curve([epoch(1, 30), epoch(2, 5)], curve_path(results, experiment.name))
    return runs


def test_each_column_with_curves_has_a_panel(record: MakeRecord, folders: Folders) -> None:
    table = read_table("densenet-cifar")
    runs = [*kept_for(table, "c10+", folders.results, record), *kept_for(table, "c100", folders.results, record)]
    curves, labels = only(curves_of(table, runs, [folders.results]))
    assert [(panel.title, {curve.dataset for curve in panel.curves}) for panel in curves.panels] == [
        ("C10+, cifar10", {"cifar10"}),
        ("C100, cifar100", {"cifar100"}),
    ]
    assert len(labels) == len(set(labels)) > 3  # two rows are called DenseNet (k = 12)
    assert "DenseNet (k = 12), Depth 40; n = 1" in labels
    picture = draw(curves).decode()
    assert "C10+, cifar10" in picture
    assert len(draw_curves(curves, THEMES["dark"]).axes) == 2


def test_a_row_with_a_dataset_of_its_own_is_drawn_as_of_that(record: MakeRecord, folders: Folders) -> None:
    first, second = CIFAR100.matching("N = 2")[0], CIFAR100.matching("N = 4")[0]
    table = replace(CIFAR100, rows=(first, replace(second, dataset="cifar10", recipe="miru2020-cifar10")))
    curves, _ = only(curves_of(table, kept_for(table, "error", folders.results, record), [folders.results]))
    assert curves.panels[0].title == "cifar100, cifar10"
    assert curves.panels[0].labels == [f"{first.label}; n = 1; cifar100", f"{second.label}; n = 1; cifar10"]
    legend = draw_curves(curves, THEMES["light"]).axes[0].get_legend()
    assert legend
    assert [each.get_text() for each in legend.get_texts()] == curves.panels[0].labels
    found = [(line["row"], line["dataset"]) for line in curves.lines() if line["epoch"] == 1]
    assert found == [(first.label, "cifar100"), (second.label, "cifar10")]


def test_a_name_that_begins_with_an_underscore_is_in_the_legend(record: MakeRecord, folders: Folders) -> None:
    first, second = CIFAR100.matching("N = 2")[0], CIFAR100.matching("N = 4")[0]
    table = replace(CIFAR100, rows=(replace(first, label="_.Net"), second))
    curves, _ = only(curves_of(table, kept_for(table, "error", folders.results, record), [folders.results]))
    axes = draw_curves(curves, THEMES["light"]).axes[0]
    legend = axes.get_legend()
    assert legend
    assert [each.get_text() for each in legend.get_texts()] == ["_.Net; n = 1", f"{second.label}; n = 1"]
    assert [each.get_color() for each in legend.get_lines()] == [each.get_color() for each in axes.get_lines()[:2]]


def test_a_curve_older_than_a_metric_is_left_out_of_its_column(record: MakeRecord, folders: Folders) -> None:
    """Such curves have no top-5 errors; the other column shows them."""
    table = read_table("densenet-imagenet")
    runs = kept_for(table, "top1", folders.results, record)
    curves, _ = only(curves_of(table, runs, [folders.results]))
    assert {panel.metric for panel in curves.panels} == {"error"}


def test_a_row_keeps_its_colour_and_marker_in_every_panel(record: MakeRecord, folders: Folders) -> None:
    table = read_table("densenet-cifar")
    runs = kept_for(table, "c10+", folders.results, record)
    fewer = kept_for(table, "c100+", folders.results, record)[1:]
    curves, _ = only(curves_of(table, [*runs, *fewer], [folders.results]))
    legends = [axes.get_legend() for axes in draw_curves(curves, THEMES["light"]).axes]
    looks = [
        {
            text.get_text(): (line.get_color(), line.get_marker())
            for text, line in zip(each.get_texts(), each.get_lines(), strict=True)
        }
        for each in legends
        if each
    ]
    assert len(looks[0]) > len(looks[1]) > 1
    assert looks[1].items() <= looks[0].items()
    assert len(set(looks[0].values())) == len(looks[0])


def test_one_epoch_is_a_point(keep: Callable[..., Record], folders: Folders) -> None:
    curves, _ = only(curves_of(CIFAR100, [keep([91.5], epochs=1)], [folders.results]))
    axes = draw_curves(curves, THEMES["light"]).axes[0]
    (line,) = axes.lines
    assert (line.get_marker(), list(line.get_xdata()), list(line.get_ydata())) == ("o", [1], [91.5])
    low, high = axes.get_ylim()
    assert low < 91.5 < high


def test_training_errors_are_drawn_if_requested(keep: Callable[..., Record], folders: Folders) -> None:
    run = keep([80.0, 23.0])
    shown = {}
    for with_train in (False, True):
        curves, _ = only(curves_of(CIFAR100, [run], [folders.results], with_train=with_train))
        lines = draw_curves(curves, THEMES["light"]).axes[0].lines
        shown[with_train] = [list(line.get_ydata()) for line in lines]
    assert [40.0, 11.5] in shown[True]
    assert [40.0, 11.5] not in shown[False]


def test_the_last_epochs_and_the_printed_error_are_visible(keep: Callable[..., Record], folders: Folders) -> None:
    curves, _ = only(curves_of(CIFAR100, [keep([99.0, *[60.0] * 10, 30.0])], [folders.results]))
    low, high = draw_curves(curves, THEMES["light"]).axes[0].get_ylim()
    assert low < 22.62 < 60 < high < 99  # the first of twelve epochs may be outside


def test_positions_are_moved_apart_only_as_far_as_needed() -> None:
    assert apart([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert apart([0.5, 0.5, 0.9], 0.1) == pytest.approx([0.45, 0.55, 0.9])
    assert apart([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.4, 0.5, 0.6])


def test_positions_stay_within_the_panel() -> None:
    assert apart([0.0, 0.0, 0.9], 0.1) == pytest.approx([0.0, 0.1, 0.9])
    assert apart([0.2, 1.0, 1.0], 0.1) == pytest.approx([0.2, 0.9, 1.0])
    assert apart([0.5] * 11, 0.1) == pytest.approx([number / 10 for number in range(11)])


def test_a_panel_is_tall_enough_for_a_line_for_each_printed_error(
    keep: Callable[..., Record], folders: Folders
) -> None:
    (curve,) = only(curves_of(CIFAR100, [keep([80.0, 23.0])], [folders.results]))[0].panels[0].curves
    many = tuple(replace(curve, row=f"{number}") for number in range(20))
    figure = drawn(lambda: draw_curves(Curves("", "", (Panel("", "", Metric.ERROR, "", many),)), THEMES["light"]))
    assert figure.axes[0].get_window_extent().height > 19 * LINE * figure.dpi


def test_a_short_run_that_deviates_does_not_squeeze_the_others(keep: Callable[..., Record], folders: Folders) -> None:
    runs = [keep([60.0] * 20 + [23.0]), keep([99.0], N=2, epochs=1)]
    curves, _ = only(curves_of(CIFAR100, runs, [folders.results]))
    figure = draw_curves(curves, THEMES["light"])
    assert figure.axes[0].get_ylim()[1] < 70
    assert "Curves that end early may be outside the picture." in _words(figure)


def drawn(make: Callable[[], Any]) -> Any:
    """Return a figure with its texts in their places."""
    with matplotlib.rc_context(style(THEMES["light"])):
        figure = make()
        figure.draw_without_rendering()
    return figure


def _words(figure: Any) -> str:
    return " ".join(text.get_text().replace("\n", " ") for text in figure.findobj(Text))


def test_a_long_note_or_title_is_not_cut(keep: Callable[..., Record], folders: Folders) -> None:
    runs = [keep([80.0, 23.0]), keep([81.0, 24.0], seed=1), keep([60.0], N=2, epochs=1)]
    curves, _ = only(curves_of(CIFAR100, runs, [folders.results], with_train=True))
    changed = ["epochs=1 (300)", "batch=32 (64)", "weight_decay=0.0001 (0.0005)", "schedule=constant (cosine)"] * 2
    gates = Gates(tuple(gate_rows(deviations=changed)))
    one, other = (
        drawn(lambda: draw_curves(curves, THEMES["light"])),
        drawn(lambda: draw_gates(gates, THEMES["light"])),
    )
    assert all(each in _words(one) for each in ("Dashed", "bands", "Dotted", "Hollow"))
    for figure in (one, other):
        sentences = [text for text in figure.findobj(Text) if " " in text.get_text()]
        assert max(text.get_window_extent().x1 for text in sentences) <= figure.bbox.x1


# Pictures


def gate_rows(blocks: int = 20, N: int = 3, **changes: object) -> list[GateRow]:
    """Made-up gates: the nearest map weighs 2, the others 1 each, over their sum."""
    facts = {"run": "made-up-N3", "deviations": [], "step": 200, "epoch": 1, "epochs": 300, "images": 10}
    facts |= {"step_of_epoch": 200, "steps_of_epoch": 782, **changes}
    return [
        GateRow(block=block, distance=distance, mean=(2 if distance == 1 else 1) / (min(block, N) + 1), **facts)  # type: ignore[arg-type]
        for block in range(1, blocks + 1)
        for distance in range(1, min(block, N) + 1)
    ]


@pytest.fixture
def figures(keep: Callable[..., Record], folders: Folders) -> tuple[Curves, Gates]:
    curves, _ = only(curves_of(CIFAR100, [keep([80.0, 23.0]), keep([81.0, 24.0], seed=1)], [folders.results]))
    return curves, Gates(tuple(gate_rows()))


@pytest.mark.slow
@pytest.mark.parametrize(("format", "begins"), [("png", b"\x89PNG\r\n"), ("svg", b"<?xml"), ("pdf", b"%PDF-")])
def test_the_same_numbers_are_the_same_bytes(figures: tuple[Curves, Gates], format: str, begins: bytes) -> None:
    for figure in figures:
        picture = draw(figure, format)
        assert picture.startswith(begins)
        assert draw(figure, format) == picture


def test_text_in_an_svg_is_text(figures: tuple[Curves, Gates]) -> None:
    curves, gates = (draw(figure).decode() for figure in figures)
    for word in ("DenseResNet-110, N = 4; n = 2", "test error (%)", "epoch", "22.62", "Table 2"):
        assert word in curves
    assert "mean of wᵢₖ over 10 test images and all channels, after step 200 of 782, epoch 1 of 300" in gates
    for word in ("made-up-N3", "maps back", ".67", "block i"):
        assert word in gates


def test_a_theme_is_dark_or_light(figures: tuple[Curves, Gates]) -> None:
    for figure in figures:
        light, dark = (draw(figure, "svg", name).decode() for name in ("light", "dark"))
        assert THEMES["dark"].paper in dark
        assert THEMES["dark"].paper not in light
        assert THEMES["light"].ink in light
        assert THEMES["light"].ink not in dark


def test_the_users_own_settings_change_nothing(figures: tuple[Curves, Gates]) -> None:
    usual = draw(figures[0])
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert draw(figures[0]) == usual
        assert matplotlib.rcParams["font.size"] == 30


def test_gates_are_drawn_in_strips_with_every_number() -> None:
    gates = Gates(tuple(gate_rows(blocks=54, N=2)))
    figure = draw_gates(gates, THEMES["light"])
    *strips, scale = figure.axes
    assert [len(each.texts) for each in strips] == [35, 36, 36]  # the first block has only one earlier map
    assert [text.get_text() for text in strips[0].texts[:3]] == ["1.00", ".67", ".33"]
    assert scale.get_ylim() == (0, pytest.approx(2 / 3))


@pytest.mark.parametrize(("format", "theme"), [("gif", "light"), ("svg", "pink")])
def test_an_unknown_format_or_theme_is_refused(figures: tuple[Curves, Gates], format: str, theme: str) -> None:
    with pytest.raises(UserError, match=r"unknown (format|theme)"):
        draw(figures[0], format, theme)


def test_without_matplotlib_one_line_says_so(figures: tuple[Curves, Gates], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="drawing figures needs the package matplotlib, which is not installed"):
        draw(figures[0])


# Gates


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Experiment]:
    """Make an experiment of a DenseResNet of six blocks on small digits, in six steps."""
    monkeypatch.setattr(kinds, "load", kinds.load)  # restored at teardown
    monkeypatch.setitem(MODELS, "denseresnet110", MODELS["denseresnet110"])
    return small_gated


def small_gated(seed: int = 0) -> Experiment:
    shrink_digits()
    MODELS["denseresnet110"] = replace(MODELS["denseresnet110"], fixed={"depth": 14})
    experiment = experiment_for("denseresnet110", {"N": 3}, seed=seed, dataset="digits", epochs=1)
    return replace(experiment, recipe=replace(experiment.recipe, batch=256))


def in_one_pass(experiment: Experiment, folders: Folders) -> list[float]:
    """Return the means of a run's newest checkpoint over all test images at once, the nearest map first."""
    saved = checkpoint.load(folders.runs / experiment.name / checkpoint.NEWEST)
    network = network_of(experiment).eval()
    assert isinstance(network, DenseResNet)
    network.load_state_dict(saved.network)
    data = kinds.load(experiment.dataset, folders.data)
    assert isinstance(data, Dataset)
    shown = task_for(experiment, folders.data, CPU, DEVICE)
    assert isinstance(shown, in_memory.InMemoryClassification)
    means = network.mean_gate_weights(shown.normalise(data.test.pixels))
    return [weight for block in means for weight in reversed(block.tolist())]


def means_of(path: Path) -> list[float]:
    return [row.mean for row in read_gates(path)]


def test_training_ends_by_writing_the_mean_gate_weights(
    gated: Callable[..., Experiment], folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of 355 test images: a mean over the batches' means would be wrong.
    monkeypatch.setitem(in_memory.TEST_BATCHES, "cpu", 300)
    experiment = gated()
    record = train_one(experiment, CPU, folders, Silent())
    rows = read_gates(gates_path(folders.results, record.name))
    assert [(row.block, row.distance) for row in rows][:6] == [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3)]
    assert len(rows) == 1 + 2 + 4 * 3
    assert {(row.run, row.step, row.epoch, row.epochs, row.images) for row in rows} == {(record.name, 6, 1, 1, 355)}
    assert rows[0].deviations == record.deviations != []
    assert [row.mean for row in rows] == pytest.approx(in_one_pass(experiment, folders), abs=1e-7)
    assert len({round(row.mean, 4) for row in rows}) > 8  # not merely equal shares


def test_a_folder_of_gates_that_cannot_be_written_is_reported_before_the_training(
    gated: Callable[..., Experiment], folders: Folders
) -> None:
    place = folders.results / "gates"
    place.parent.mkdir()
    place.write_text("")
    with pytest.raises(UserError, match=rf"runs\.csv cannot be written \({place}: File exists\); choose another --res"):
        train_one(gated(), CPU, folders, Silent(lambda step: pytest.fail("trained without a place for its gates")))


def test_a_second_record_leaves_the_gate_weights_of_the_first(
    gated: Callable[..., Experiment], folders: Folders, tmp_path: Path
) -> None:
    experiment = gated()
    first = train_one(experiment, CPU, folders, Silent())
    path, watcher = gates_path(folders.results, experiment.name), Silent()
    before = path.read_bytes()
    path.write_bytes(before.replace(b",0.", b",0.0"))  # so that a run of the same bits would show
    kept = path.read_bytes()
    second = train_one(experiment, CPU, replace(folders, runs=tmp_path / "again"), watcher)
    assert second.started != first.started
    assert path.read_bytes() == kept != before
    assert f"{path} is kept: it has the mean gate weights of the first record of {experiment.name}" in watcher.said


def test_seeds_side_by_side_have_a_file_each(gated: Callable[..., Experiment], folders: Folders) -> None:
    seeds = [gated(seed) for seed in (0, 1)]
    train(seeds, replace(CPU, together="stacked"), folders, Silent())
    one, other = (means_of(gates_path(folders.results, each.name)) for each in seeds)
    assert one == pytest.approx(in_one_pass(seeds[0], folders), abs=1e-6)
    assert other == pytest.approx(in_one_pass(seeds[1], folders), abs=1e-6)
    assert one != pytest.approx(other, abs=1e-4)


def test_the_gates_of_a_checkpoint_are_its_own(
    gated: Callable[..., Experiment], folders: Folders, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Those that are recorded are of the first record of the run, which may have other weights."""
    record = train_one(gated(), CPU, folders, Silent())
    path = gates_path(folders.results, record.name)
    rows = read_gates(path)
    write_gates([replace(each, mean=0.5) for each in rows], path)
    where = ("--data", folders.data, "--results", folders.results, "--output", tmp_path / "gates.svg")
    assert repro(capsys, "figure", "gates", folders.runs / record.name / "checkpoint.pt", *where)[0] == 0
    assert means_of(tmp_path / "gates.csv") == pytest.approx([each.mean for each in rows], abs=1e-6)
    assert set(means_of(path)) == {0.5}


def test_a_network_without_gates_has_none(
    tiny: Callable[..., Experiment], folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    record = train_one(tiny(epochs=1), CPU, folders, Silent())
    assert not (folders.results / "gates").exists()
    for where in (["--runs", folders.runs], []):  # by its checkpoint, by its record
        status, _, err = repro(capsys, "figure", "gates", record.name, "--results", folders.results, *where)
        assert (status, err.count("\n")) == (2, 1)
        assert "has no gates; models with gates: denseresnet34, denseresnet110, densemobilenetv2" in err


def one_of_two(rank: int, port: int, folders: Folders) -> None:
    join_as(rank, port)
    train([small_gated()], TWO, replace(folders, results=folders.results / str(rank)), Silent())


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
def test_of_two_processes_the_first_writes_the_means_over_all_images(
    gated: Callable[..., Experiment], folders: Folders
) -> None:
    """Each process shows a part of them: the batches have 100 images."""
    two_of(one_of_two, folders)
    path = gates_path(folders.results / "0", gated().name)
    assert means_of(path) == pytest.approx(in_one_pass(gated(), folders), abs=1e-9)
    assert {row.images for row in read_gates(path)} == {355}
    assert not (folders.results / "1").exists()


def test_the_position_of_a_run_is_that_of_its_last_step() -> None:
    recipe = experiment_for("denseresnet110", {"N": 4}, seed=0).recipe
    over = [replace(epoch(1, 90), step=782)]
    assert position(recipe, 200, [], 50_000) == (1, 200, 782)
    assert position(recipe, 782, over, 50_000) == (1, 782, 782)
    assert position(recipe, 783, over, 50_000) == (2, 1, 782)
    assert position(replace(recipe, iterations=800), 790, over, 50_000) == (2, 8, 18)


@pytest.mark.parametrize("broken", [gate_rows()[1:], gate_rows()[:-1], [*gate_rows(), *gate_rows(step=201)]])
def test_incomplete_gates_are_refused(broken: list[GateRow], tmp_path: Path) -> None:
    write_gates(broken, tmp_path / "gates.csv")
    with pytest.raises(UserError, match="does not have every block and map of one run exactly once"):
        gates_of(tmp_path / "gates.csv")
    with pytest.raises(UserError, match="has no mean gate weights"):
        gates_of(tmp_path / "nowhere.csv")


def test_the_title_states_the_progress_of_the_run_and_its_deviations() -> None:
    whole = Gates(tuple(gate_rows(step_of_epoch=782, deviations=["epochs=1 (300)"], epoch=1, epochs=1)))
    assert "after epoch 1 of 1\ndeviates from its recipe: epochs=1 (300)" in whole.title
    stopped = Gates(tuple(gate_rows()))
    assert stopped.title.endswith("after step 200 of 782, epoch 1 of 300")


# Commands


def test_curves_from_the_command_line(
    keep: Callable[..., Record], folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep([80.0, 23.5])
    monkeypatch.chdir(folders.results)
    status, out, err = repro(capsys, "figure", "curves", "CIFAR_100", "--rows", "N = 4", "--results", ".")
    assert (status, out) == (0, "")
    assert "wrote curves-cifar100.png and its data, curves-cifar100.csv" in err
    assert Path("curves-cifar100.png").read_bytes().startswith(b"\x89PNG")
    lines = list(csv.DictReader(io.StringIO(Path("curves-cifar100.csv").read_text())))
    assert [(line["epoch"], line["median"], line["train_median"]) for line in lines] == [
        ("1", "80.0", "40.0"),
        ("2", "23.5", "11.75"),
    ]
    assert repro(capsys, "figure", "curves", "cifar100", "--output", "again.SVG", "--results", ".")[0] == 0
    assert Path("again.SVG").read_bytes().startswith(b"<?xml")
    assert Path("again.csv").exists()


def test_curves_of_runs_finished_or_not(
    keep: Callable[..., Record], folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is named has a curve of its own, with its training error even if it deviates."""
    finished, experiment = keep([80.0, 23.5]), experiment_for("resnet20", {}, seed=3, dataset="digits", epochs=5)
    describe(experiment, CPU, folders)
    write_curve([epoch(1, 70)], folders.runs / experiment.name / CURVE)
    monkeypatch.chdir(folders.results)
    words = ["--results", ".", "--runs", folders.runs]
    assert repro(capsys, "figure", "curves", finished.id, *words)[0] == 0
    assert Path(f"curves-{finished.name}.png").exists()
    command = ["figure", "curves", finished.name, "resnet20-digits", "--train", "--output", "two.svg", *words]
    said = f"drawing ...\nwrote two.svg and its data, two.csv\nnext: repro list runs --runs {folders.runs}\n"
    assert repro(capsys, *command)[::2] == (0, said)
    unstarted = replace(experiment, seed=4)
    describe(unstarted, CPU, folders)
    err = repro(capsys, *command[:3], experiment.id, unstarted.id, *command[5:])[2]
    assert err.startswith(f"left out: {unstarted.name} has no curve in ")
    assert "wrote two.svg" in err
    lines = list(csv.DictReader(io.StringIO(Path("two.csv").read_text())))
    assert [(line["row"], line["dataset"], line["seeds"], line["median"]) for line in lines] == [
        (finished.name, "cifar100", "0", "80.0"),
        (finished.name, "cifar100", "0", "23.5"),
        (experiment.name, "digits", "3", "70.0"),
    ]
    assert f"{experiment.name}; deviates:" in Path("two.svg").read_text()
    runs = [run_curve(each, [folders.results], folders.runs) for each in (finished.name, experiment.id)]
    drawn = [len(axes.lines) for axes in draw_curves(curves_of_runs(runs, with_train=True), THEMES["light"]).axes]
    assert drawn == [2, 2]


def test_gates_from_the_command_line(
    gated: Callable[..., Experiment],
    folders: Folders,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """For a stopped run they are computed from its checkpoint; recorded ones are reused until the run continues."""
    monkeypatch.chdir(tmp_path)
    experiment = gated()
    with pytest.raises(Stopped):
        train_one(experiment, CPU, folders, stop_at(3))
    kept = gates_path(folders.results, experiment.name)
    assert not kept.exists()
    command = ["figure", "gates", experiment.id, "--device", "cpu", "--output", "gates.svg"]
    assert repro(capsys, *command)[0] == 0
    assert means_of(kept) == pytest.approx(in_one_pass(experiment, folders), abs=1e-7)
    picture = Path("gates.svg").read_text()
    assert "after step 3 of 6, epoch 1 of 1" in picture
    assert "deviates from its recipe: " in picture
    assert Path("gates.csv").read_bytes() == kept.read_bytes()
    train_one(experiment, CPU, folders, Silent())
    assert repro(capsys, *command)[0] == 0
    assert "after epoch 1 of 1" in Path("gates.svg").read_text()
    kept.write_text(kept.read_text().replace(",6,1,1,6,", ",4,1,1,4,"))  # as if recorded before the last steps
    assert "recorded the mean gate weights" in repro(capsys, *command)[2]
    assert gates_of(kept).step == 6
    assert "recorded the mean gate weights" not in repro(capsys, *command)[2]
    finished = kept.read_bytes()
    (folders.runs / experiment.name / checkpoint.NEWEST).unlink()
    (folders.runs / experiment.name / checkpoint.BEFORE).unlink()
    assert repro(capsys, "figure", "gates", experiment.name)[0] == 0
    assert Path(f"gates-{experiment.name}.png").exists()
    assert kept.read_bytes() == finished
    kept.unlink()
    status, _, err = repro(capsys, *command)
    assert status == 2
    assert "has no recorded mean gate weights" in err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["curves", "cifar1000"], "nor a table; did you mean cifar100?"),
        (["curves", "cifar100", "imagenet"], "cifar100 is a table, which is drawn alone; leave out other names"),
        (["curves", "resnet20-cifar10-s0-f3d5e9b4", "--rows", "x"], "--rows requires a table, and"),
        (["curves", "cifar100", "--rows", "vgg"], "no row of cifar100 matches 'vgg'"),
        (["curves", "unet-isbi"], "no run of these rows has a curve in "),
        (
            ["curves", "cifar100", "--output", "nowhere/a.png"],
            "nowhere/a.png cannot be written: there is no folder nowhere; create it",
        ),
        (
            ["curves", "cifar100", "--output", "a.jpg"],
            "a.jpg: unknown extension (known: .png, .svg",
        ),
        (["curves", "cifar100", "--output", "runs.png"], "would overwrite runs.csv, which is another file"),
        (["gates", "nothing"], "'nothing' is neither a run in runs, "),
        (["gates", "nothing", "--output", "a"], "a: unknown extension"),
        (["gates", "runs.csv"], "runs.csv is damaged or not a checkpoint"),
        (["flowers"], "No such command 'flowers'"),
    ],
)
def test_what_cannot_be_drawn_is_reported_in_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results, "shipped_results", lambda: tmp_path / "shipped")
    Path("runs.csv").write_text("id,name\n")
    status, out, err = repro(capsys, "figure", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert line in err
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]
    assert Path("runs.csv").read_text() == "id,name\n"


def test_training_and_the_figures_load_no_matplotlib_until_they_draw() -> None:
    code = (
        "import sys, repro.training.runs.train, repro.training.runs.gates, repro.evaluation.evaluate, repro.figures\n"
        "print(sorted(each for each in sys.modules if each.startswith('matplotlib')))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
