"""The forest plot: what is printed, what others report, and our runs, as numbers and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from commands import repro
from records import record_of

from repro.comparison.join import Comparison, compare
from repro.comparison.spread import PRINTED_SPREAD
from repro.experiment import experiment_for
from repro.figures import Forest, draw, forest_of
from repro.figures.draw_forest import draw_forest
from repro.figures.forest import Evidence, ForestRow
from repro.figures.themes import THEMES
from repro.report.formats.html.pictures import forest_pictures
from repro.store.results import Record
from repro.tables import Statistic, Table, read_table

MakeRecord = Callable[..., Record]
RESNET = read_table("resnet-cifar")


def run(record: MakeRecord, seed: int, error: float, epochs: int | None = None) -> Record:
    """Return a made-up run of ResNet-20."""
    return record_of(record, experiment_for("resnet20", {}, seed=seed, epochs=epochs), error=error)


def compared(runs: Sequence[Record] = (), table: Table = RESNET) -> Comparison:
    return compare(table, list(runs))


def first_row(comparison: Comparison) -> ForestRow:
    forest = forest_of(comparison)
    assert forest
    return forest.panels[0].rows[0]


def test_the_margin_of_a_row_without_runs_is_that_of_one_run() -> None:
    (printed,) = first_row(compared()).of(Evidence.PRINTED)
    assert printed.error == 8.75
    # One run against one: twice the variance of a run, and the digits of 8.75.
    sigma = PRINTED_SPREAD.phi * (8.75 * 91.25 / 10_000) ** 0.5
    assert 2.0 < (printed.high - printed.error - 0.005) / (sigma * 2**0.5) < 4.0
    assert printed.high - printed.error == pytest.approx(printed.error - printed.low)


def test_the_margin_of_a_table_without_runs_is_that_of_the_spread_of_all_tables() -> None:
    wide = replace(PRINTED_SPREAD, phi=2 * PRINTED_SPREAD.phi)
    low, high = (compare(RESNET, [], spread=each) for each in (PRINTED_SPREAD, wide))
    (narrow,), (wider,) = (first_row(each).of(Evidence.PRINTED) for each in (low, high))
    assert wider.high - wider.error == pytest.approx(2 * (narrow.high - narrow.error), rel=0.02)
    assert high.spread is None


def test_more_runs_narrow_the_margin(record: MakeRecord) -> None:
    (without,) = first_row(compared()).of(Evidence.PRINTED)
    (with_two,) = first_row(compared([run(record, 0, 8.6), run(record, 1, 8.8)])).of(Evidence.PRINTED)
    assert with_two.high < without.high


def test_our_seeds_and_their_mean(record: MakeRecord) -> None:
    row = first_row(compared([run(record, 0, 8.6), run(record, 1, 8.8)]))
    assert [(each.error, each.note) for each in row.of(Evidence.SEED)] == [(8.6, "seed 0"), (8.8, "seed 1")]
    (mean,) = row.of(Evidence.MEAN)
    assert mean.error == pytest.approx(8.7)
    assert mean.note == "n = 2"
    assert mean.low < 8.6
    assert mean.high > 8.8


def test_the_interval_of_a_row_with_a_failed_run_is_that_of_its_own_spread(record: MakeRecord) -> None:
    """Student's t of two degrees of freedom is 4.303, and the three errors have a standard deviation of 12.61."""
    row = first_row(compared([run(record, seed, error) for seed, error in enumerate((8.1, 8.2, 30.0))]))
    (mean,) = row.of(Evidence.MEAN)
    assert mean.high - mean.error == pytest.approx(4.303 * 12.61 / 3**0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("statistic", "kind", "value", "word"),
    [(Statistic.MEDIAN, Evidence.MEDIAN, 8.7, "median"), (Statistic.BEST, Evidence.LOWEST, 8.6, "lowest")],
)
def test_the_figure_that_the_verdict_compares_has_its_own_mark(
    record: MakeRecord, statistic: Statistic, kind: Evidence, value: float, word: str
) -> None:
    (row,) = RESNET.matching("ResNet-20")
    table = replace(RESNET, rows=(replace(row, statistic=statistic, runs=3),))
    runs = [run(record, seed, error) for seed, error in enumerate((8.6, 8.7, 9.4))]
    forest = forest_of(compared(runs, table))
    assert forest
    (found,) = forest.panels[0].rows[0].of(kind)
    assert (found.error, found.note) == (value, "n = 3")
    assert [round(each.error, 4) for each in forest.panels[0].rows[0].of(Evidence.MEAN)] == [8.9]
    assert f"{word} of our seeds, compared" in draw(forest, "svg", "light").decode()


def test_a_range_is_drawn_only_where_errors_can_be(record: MakeRecord) -> None:
    forest = forest_of(compared([run(record, seed, error) for seed, error in enumerate((8.1, 8.2, 95.0))]))
    assert forest
    (mean,) = forest.panels[0].rows[0].of(Evidence.MEAN)
    assert mean.low < -10
    assert mean.high > 110
    figure = draw_forest(forest, THEMES["light"])
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    assert (low, high) == pytest.approx((-3, 103))
    drawn = [value for line in axes.lines for value in line.get_xdata()]
    assert (min(drawn), max(drawn)) == (0, 100)
    assert "goes on below 0 or above 100 %" in {text.get_text() for text in figure.legends[0].get_texts()}
    assert any(line["low"] < 0 for line in forest.lines())


def test_a_deviating_run_is_apart_and_has_no_part_in_the_mean(record: MakeRecord) -> None:
    row = first_row(compared([run(record, 0, 8.6), run(record, 1, 20.0, epochs=2)]))
    assert [each.error for each in row.of(Evidence.DEVIATING)] == [20.0]
    assert [each.error for each in row.of(Evidence.MEAN)] == [8.6]


def test_replications_have_their_closeness_and_source() -> None:
    found = first_row(compared()).of(Evidence.REPLICATION)
    (row,) = RESNET.matching("ResNet-20")
    assert len(found) == len(row.replications) > 10
    assert {each.note for each in found} <= {"same", "close", "other", "unknown"}
    assert all(each.source.startswith("https://") for each in found)


def test_a_panel_names_the_datasets_of_its_rows() -> None:
    first, second = RESNET.matching("ResNet-20") + RESNET.matching("ResNet-32")
    forest = forest_of(compared(table=replace(RESNET, rows=(first, replace(second, dataset="cifar100")))))
    assert forest
    assert forest.panels[0].title.endswith("cifar10, cifar100")


def test_errors_on_other_test_images_are_not_drawn() -> None:
    table = read_table("unet-isbi")
    assert forest_of(compare(table, [])) is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_has_a_mark_for_each_point(record: MakeRecord, theme: str) -> None:
    forest = forest_of(compared([run(record, 0, 8.6), run(record, 1, 20.0, epochs=2)]))
    assert forest
    picture = draw(forest, "svg", theme).decode()
    for text in (
        "ResNet-1202",
        "others, more differences",
        "our runs that deviate from the recipe",
        "mean of our seeds",
    ):
        assert text in picture
    assert draw(forest, "svg", theme).decode() == picture


def test_a_run_that_deviates_by_far_is_named_at_the_edge_and_squeezes_nothing(record: MakeRecord) -> None:
    forest = forest_of(compared([run(record, 0, 8.6), run(record, 1, 91.56, epochs=1), run(record, 2, 0.5, epochs=2)]))
    assert forest
    (axes,) = draw_forest(forest, THEMES["light"]).axes
    low, high = axes.get_xlim()
    assert 0.5 < low < 8.6 < high < 15
    assert {"91.56", "0.50"} == {text.get_text() for text in axes.texts}
    ends = {line.get_marker(): list(line.get_xdata()) for line in axes.lines if line.get_marker() in ("<", ">")}
    assert ends == {"<": [low], ">": [high]}


def test_the_frame_has_every_point(record: MakeRecord) -> None:
    forest = forest_of(compared([run(record, 0, 8.6)]))
    assert forest
    lines = forest.lines()
    assert [*lines[0]] == [*Forest.COLUMNS]
    assert len(lines) == sum(len(row.points) for panel in forest.panels for row in panel.rows)
    assert [each["error"] for each in lines if each["evidence"] == "mean"] == [8.6]


def test_the_report_has_it_where_there_is_evidence(record: MakeRecord) -> None:
    (picture,) = forest_pictures(compared([run(record, 0, 8.6)]))
    assert "6 of 6 printed errors have any" in picture.alt
    bare = replace(RESNET, rows=tuple(replace(row, replications=()) for row in RESNET.rows))
    assert forest_pictures(compared(table=bare)) == []


def test_the_command_writes_picture_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["figure", "forest", "resnet-cifar", "--rows", "ResNet-20", "--output"]
    assert repro(capsys, *words, tmp_path / "one.svg")[0] == 0
    assert (tmp_path / "one.svg").read_bytes().startswith(b"<?xml")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "one.csv").read_text("utf-8"))))
    assert {line["row"] for line in lines} == {"ResNet-20"}
