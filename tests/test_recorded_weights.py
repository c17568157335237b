"""Tests of weights that others published: recorded, shown beside the printed error, and in no verdict."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import repro
from records import runs_behind

from repro.comparison.join import ErrorCell, compare
from repro.comparison.verdict import Verdict
from repro.errors import UserError
from repro.evaluation.export import with_names
from repro.figures import draw, forest_of
from repro.figures.forest import Evidence
from repro.models import build
from repro.report.content import content_of
from repro.report.formats.csv import table_csv
from repro.report.formats.html.pictures import forest_pictures
from repro.report.view import view_of
from repro.store.csv_rows import csv_of, header_of, line_of, lines_of, rewrite
from repro.store.results import Record, shipped_results
from repro.store.weights_tests import WEIGHTS, WeightsTest, put_weights_test, read_weights_tests
from repro.tables import read_table

RESNET = read_table("resnet-cifar")
TEST = WeightsTest(
    sha256="ab" * 32, file="net.th", source="https://example.org/net", model="resnet20", options={"shortcut": "A"},
    dataset="cifar10", protocol={}, normalised_as="example", mean=[0.5, 0.5, 0.5], std=[0.2, 0.2, 0.2], error=8.5,
    error5=0.4, images=10_000, device="CPU", torch="2", version="1", commit="c", tested="2026-01-01T00:00:00+00:00",
)  # fmt: skip

TEN = {"views": "ten-crop", "averaged": "outputs"}


def cell_of(*tests: WeightsTest, runs: Sequence[Record] = ()) -> ErrorCell:
    """Return the compared cell of ResNet-20."""
    (row,) = compare(RESNET, runs, weights=tests, shown=RESNET.matching("ResNet-20")).rows
    return row.errors["error"]


def test_a_test_is_of_the_network_with_all_its_options_on_its_images_by_its_protocol() -> None:
    assert cell_of(TEST, replace(TEST, error=8.1)).weights == (replace(TEST, error=8.1), TEST)
    assert cell_of(replace(TEST, options={})).weights  # an option that was added later has its default
    others = ({"model": "resnet32"}, {"options": {"shortcut": "B"}}, {"dataset": "cifar100"}, {"protocol": TEN})
    assert cell_of(*(replace(TEST, **each) for each in others)).weights == ()  # type: ignore[arg-type]


def test_no_verdict_uses_it(record: Callable[..., Record]) -> None:
    """It is far from the three runs that are judged."""
    runs = runs_behind(RESNET.errors(RESNET.matching("ResNet-20"))[0], record, 8.6, 8.7, 8.9)
    with_it, without = cell_of(replace(TEST, error=60.0), runs=runs), cell_of(runs=runs)
    assert [each.error for each in with_it.weights] == [60.0]
    assert (without.verdict, without.n) == (Verdict.REPRODUCED, 3)
    assert replace(with_it, weights=()) == without


def test_the_forest_plot_has_it() -> None:
    comparison = compare(RESNET, [], weights=[TEST])
    forest = forest_of(comparison)
    assert forest
    (point,) = forest.panels[0].rows[0].of(Evidence.WEIGHTS)
    assert (point.error, point.note, point.source) == (8.5, "net.th", "https://example.org/net")
    assert "published weights, tested here" in draw(forest, "svg").decode()
    rows = [replace(row, replications=()) for row in RESNET.rows]
    (picture,) = forest_pictures(compare(replace(RESNET, rows=tuple(rows)), [], weights=[TEST]))
    assert "1 of 6 printed errors have any" in picture.alt


def test_every_format_has_it() -> None:
    comparison = compare(RESNET, [], weights=[TEST, replace(TEST, sha256="c", error=8.25)])
    content = content_of(comparison)
    place = [each.label for each in content.grid.headings].index("weights")
    (line,) = [each for each in content.grid.lines if each.name == "ResNet-20"]
    assert line.cells[place].text == "2: 8.25–8.50"
    assert [each["error"] for each in line.data["weights"]] == [8.25, 8.5]
    assert [each.text for each in line.references][-2:] == ["8.25 %, tested here", "8.50 %, tested here"]
    assert line.references_heading == "What others report (15) and published weights (2) for ResNet-20"
    assert len(line.references) == 17
    alone = content_of(comparison, view_of(RESNET, ["weights"], bare=False)).grid.lines
    assert "Published weights (2) for ResNet-20" in [each.references_heading for each in alone]
    (row,) = [each for each in csv.DictReader(io.StringIO(table_csv(content))) if each["row"] == "ResNet-20"]
    assert [each["file"] for each in json.loads(row["weights"])] == ["net.th", "net.th"]
    assert "weights" not in [each.label for each in content_of(compare(RESNET, [])).grid.headings]


def test_a_test_is_recorded_once(tmp_path: Path) -> None:
    assert put_weights_test(TEST, tmp_path) is None
    assert put_weights_test(replace(TEST, tested="later"), tmp_path) == TEST
    assert put_weights_test(replace(TEST, mean=[0, 0, 0]), tmp_path) is None
    assert read_weights_tests([tmp_path, tmp_path]) == [TEST, replace(TEST, mean=[0, 0, 0])]


@pytest.mark.parametrize("changes", [{"error": 8.6}, {"error5": 0.5}, {"images": 100}])
def test_a_test_with_another_outcome_replaces_the_earlier_one(changes: dict[str, Any], tmp_path: Path) -> None:
    other = replace(TEST, mean=[0, 0, 0])
    for each in (TEST, other):
        put_weights_test(each, tmp_path)
    lines = lines_of(tmp_path / WEIGHTS)
    rewrite(tmp_path / WEIGHTS, [{**lines[0], "remark": "mine"}, lines[1]], WeightsTest)
    assert put_weights_test(replace(TEST, source="", device="H100", **changes), tmp_path) == TEST
    assert read_weights_tests([tmp_path]) == [replace(TEST, device="H100", **changes), other]
    assert [each["remark"] for each in lines_of(tmp_path / WEIGHTS)] == ["mine", ""]


def test_a_source_that_is_given_later_is_recorded(tmp_path: Path) -> None:
    put_weights_test(replace(TEST, source=""), tmp_path)
    for source in (TEST.source, "https://example.org/other"):
        put_weights_test(replace(TEST, source=source, device="H100"), tmp_path)
        assert read_weights_tests([tmp_path]) == [TEST]


def test_a_test_without_a_top_five_error_is_read_again(tmp_path: Path) -> None:
    put_weights_test(replace(TEST, error5=None), tmp_path)
    assert read_weights_tests([tmp_path]) == [replace(TEST, error5=None)]


@pytest.mark.parametrize(
    ("column", "value"),
    [("error", "101"), ("error", "nan"), ("mean", '["a"]'), ("mean", "{}"), ("protocol", '{"views": "x"}')],
)
def test_a_wrong_line_is_named(column: str, value: str, tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(csv_of([{**line_of(TEST), column: value}], header_of(WeightsTest)))
    with pytest.raises(UserError, match=r"weights\.csv, line 2: not a test of weights \("):
        read_weights_tests([tmp_path])


def test_tests_of_several_machines_are_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, tests in (("one", [TEST]), ("two", [TEST, replace(TEST, protocol=TEN)])):
        for each in tests:
            put_weights_test(each, tmp_path / name)
    out = repro(capsys, "merge", tmp_path / "two", "--results", tmp_path / "one")[1]
    assert "0 times, 1 test of weights" in out
    assert read_weights_tests([tmp_path / "one"]) == [TEST, replace(TEST, protocol=TEN)]


def test_a_test_that_another_machine_repeated_is_already_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_weights_test(TEST, tmp_path / "one")
    repeated = replace(TEST, device="H100", tested="2026-02-01T00:00:00+00:00")
    others = [replace(TEST, mean=[0.0, 0.0, 0.0], error=9.0), replace(TEST, options={"shortcut": "B"}, error=10.0)]
    for each in (repeated, *others):
        put_weights_test(each, tmp_path / "two")
    status, out, _ = repro(capsys, "merge", tmp_path / "two", "--results", tmp_path / "one")
    assert (status, "0 times, 2 tests of weights" in out) == (0, True)
    assert read_weights_tests([tmp_path / "one"]) == [TEST, *others]
    put_weights_test(replace(TEST, error=8.6), tmp_path / "three")
    status, _, err = repro(capsys, "merge", tmp_path / "three", "--results", tmp_path / "one")
    assert (status, "weights.csv: error 8.5 and 8.6; nothing was merged" in err) == (2, True)


@pytest.mark.usefixtures("small_digits")
def test_the_command_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    state = with_names(build("resnet20", {}, classes=10).state_dict(), "akamaster", "resnet20", {"shortcut": "A"})
    torch.save(state, tmp_path / "net.th")
    given = ["--dataset", "digits", "--mean", "0,0,0", "--std", "1,1,1", "--device", "cpu"]
    command = ["eval", "resnet20", "--weights", tmp_path / "net.th", *given, "--results", tmp_path / "results"]
    repro(capsys, *command)
    assert not (tmp_path / "results").exists()
    recording, path = [*command, "--record"], tmp_path / "results" / WEIGHTS
    assert f"recorded the test in {path}\n" in repro(capsys, *recording)[2]
    assert f"{path} already has this test of these weights\n" in repro(capsys, *recording)[2]
    recording += ["--source", "https://example.org/net"]
    assert "already has this test of these weights, and now their source\n" in repro(capsys, *recording)[2]
    (found,) = read_weights_tests([path.parent])
    put_weights_test(replace(found, error=1.5), path.parent)
    errors = [f"{error:.3f} %, top-5 {found.error5:.3f} %, on {found.images} images" for error in (1.5, found.error)]
    replaced = f"{path}: it had test error {errors[0]}; now it has test error {errors[1]}\n"
    assert f"replaced the test of these weights in {replaced}" in repro(capsys, *recording)[2]
    answer = json.loads(repro(capsys, *command, "--format", "json")[1])
    assert (found.error, found.sha256, found.source) == (answer["error"], answer["sha256"], "https://example.org/net")


def test_what_cannot_be_recorded_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--record requires --weights FILE" in repro(capsys, "eval", "resnet20", "--record")[2]
    assert "--source requires --record" in repro(capsys, "eval", "resnet20", "--weights", "x.pt", "--source", "u")[2]


def test_the_shipped_tests_give_what_their_authors_state() -> None:
    # README.md of akamaster/pytorch_resnet_cifar10 at commit d5489e8.
    stated = {"resnet20": 8.27, "resnet32": 7.37, "resnet44": 6.90, "resnet56": 6.61}
    found = read_weights_tests([shipped_results()])
    assert {each.model: each.error for each in found if "akamaster" in each.source} == stated
