"""Joining printed rows with records: which rows and runs are used, why ours may differ, and what JSON and CSV show."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from records import append_line_with_test, append_record, record_of, runs_behind

from repro.api.selection import select
from repro.api.tables import compared
from repro.comparison.explain import mismatch_lines, reasons
from repro.comparison.join import Comparison, compare
from repro.comparison.match import conditions
from repro.comparison.pooling import pooled_over
from repro.comparison.spread import PRINTED_SPREAD
from repro.comparison.summary import summarise
from repro.comparison.verdict import Verdict
from repro.errors import UserError
from repro.experiment import experiment_for
from repro.paths import Folders
from repro.planning.needed import missing
from repro.report import Report
from repro.report.notes import notes_of
from repro.runtime import Runtime
from repro.store.results import Record, read_records, repeated_records, result_folders, shipped_results
from repro.tables import AS_PUBLISHED, Cell, RunsPerRow, read_table, shipped_tables

Make = Callable[..., Record]
N4 = 2  # the index of DenseResNet-110, N = 4, printed with 22.62 %


def compare_rows(name: str, rows: str, records: Sequence[Record], **known: Any) -> Comparison:
    """Compare the rows of a table that match a pattern."""
    table = read_table(name)
    return compare(table, records, shown=table.matching(rows), **known)


def data_of(comparison: Comparison) -> dict[str, Any]:
    """Return what JSON shows of a table."""
    return json.loads(Report([comparison], [], summary=False).text("json"))


def runs_of_n4(record: Make, *errors: float) -> list[Record]:
    """Return runs of DenseResNet-110, N = 4."""
    return [record(seed=seed, error=error) for seed, error in enumerate(errors)]


def runs_of_n2(record: Make, *errors: float) -> list[Record]:
    """Return runs of DenseResNet-110, N = 2, printed with 23.03 %."""
    made = (experiment_for("denseresnet110", {"N": 2}, seed=seed) for seed in range(len(errors)))
    return [record_of(record, run, error=error) for run, error in zip(made, errors, strict=True)]


def test_without_runs_nothing_is_claimed() -> None:
    comparison = compare(read_table("cifar100"), [])
    assert {row.verdict for row in comparison.rows} == {Verdict.NOT_MEASURED}
    assert all(row.errors["error"].value is None for row in comparison.rows)


def test_seeds_are_joined_by_row(record: Make) -> None:
    runs = [record(seed=seed, error=error) for seed, error in enumerate((22.5, 22.7, 22.9))]
    rows = compare(read_table("cifar100"), runs).rows
    cell = rows[N4].errors["error"]
    assert (cell.n, cell.value, cell.std) == (3, pytest.approx(22.7), pytest.approx(0.2))
    assert cell.difference == pytest.approx(0.08)
    assert rows[N4].verdict == Verdict.REPRODUCED
    assert {row.verdict for i, row in enumerate(rows) if i != N4} == {Verdict.NOT_MEASURED}


def test_unusual_conditions_are_shown_next_to_the_number_of_runs(record: Make) -> None:
    runs = [record(seed=0), record(seed=1, precision="bf16", runtime={"processes": 4}, data="other")]
    assert conditions(runs) == ["1 in bf16", "1 by 4 processes", "2 versions of the images"]
    assert conditions(runs[1:]) == ["bf16", "4 processes"]
    assert conditions(runs[:1]) == []
    beside = record(runtime={"side_by_side": True})
    assert conditions([beside]) == ["stacked"]
    assert conditions([beside, *runs[:1]]) == ["1 trained stacked"]


def test_switches_of_a_later_version_are_left_out_of_the_runtime_of_a_record(record: Make) -> None:
    later = record(runtime={"turbo": True, "fused": True, "side_by_side": False})
    assert later.runtime == {"turbo": True, "fused": True, "together": "off"}
    assert later.trained_by == Runtime(fused=True, together="off", processes=1)


def test_the_lowest_of_fewer_seeds_is_expected_to_be_higher(record: Make) -> None:
    """One run of ResNet-110 with 7.00 % is compared with the lowest of five, 6.43: verdict and margin agree."""
    table = read_table("resnet-cifar")
    row = replace(table.matching("ResNet-110")[0], statistic="best", runs=5, cells={"error": Cell("6.43")})
    table = replace(table, rows=(row,))
    (error,) = table.errors()
    (run,) = runs_behind(error, record, 7.0)
    cell = compare(table, [run]).rows[0].errors["error"]
    assert cell.verdict == Verdict.CONSISTENT
    assert cell.difference == pytest.approx(0.57)
    assert cell.expected is not None
    assert cell.margin is not None
    assert cell.margin < cell.difference < cell.expected + cell.margin
    assert cell.margin_text == f"expected {cell.expected:+.2f} ± {cell.margin:.2f}"


def test_one_seed_is_never_a_reproduction(record: Make) -> None:
    """Among five cells the margin of one run is wider than 1 point; for the row alone it is not."""
    assert compare(read_table("cifar100"), runs_of_n4(record, 22.62)).rows[N4].verdict == Verdict.TOO_FEW
    assert compare_rows("cifar100", "N = 4", runs_of_n4(record, 22.62)).rows[0].verdict == Verdict.CONSISTENT
    assert compare(read_table("cifar100"), runs_of_n4(record, 25.0)).rows[N4].verdict == Verdict.NOT_CONSISTENT


@pytest.mark.slow
def test_runs_of_another_row_change_the_estimate_of_the_spread_and_nothing_else(record: Make) -> None:
    """One run adds nothing to the estimate; three steady ones make the margin narrower."""
    table, runs = read_table("cifar100"), runs_of_n4(record, 22.5, 22.7, 22.9)
    others = ([], runs_of_n2(record, 23.0), runs_of_n2(record, 23.0, 23.05, 23.1))
    before, with_one, with_three = (
        compare(table, seen, spread=pooled_over([table], seen)) for seen in ([*runs, *each] for each in others)
    )
    assert before.cells == with_one.cells == with_three.cells == 5
    assert before.rows[N4] == with_one.rows[N4]
    cell, steadier = before.rows[N4].errors["error"], with_three.rows[N4].errors["error"]
    assert (steadier.margin or 0) < (cell.margin or 0)
    assert (steadier.at_most or 0) < (cell.at_most or 0)
    assert replace(steadier, margin=cell.margin, at_most=cell.at_most) == cell


def test_selected_rows_share_the_rate_of_false_alarms(record: Make) -> None:
    runs = runs_of_n4(record, 22.5, 22.7, 22.9)
    whole, alone = (compare_rows("cifar100", rows, runs) for rows in ("*", "N = 4"))
    assert (whole.cells, alone.cells, len(alone.rows)) == (5, 1, 1)
    wide, narrow = whole.rows[N4].errors["error"], alone.rows[0].errors["error"]
    assert (wide.margin or 0) > (narrow.margin or 0) > 0
    assert (wide.at_most, wide.bound) == (narrow.at_most, narrow.bound)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cells"), [("densenet-cifar", 27), ("unet-isbi", 0), ("classics", 33)])
def test_cells_that_can_be_judged_have_a_recipe_and_the_papers_test_images(name: str, cells: int) -> None:
    assert compare(read_table(name), []).cells == cells


def test_the_spread_is_pooled_over_all_tables(record: Make) -> None:
    """Rows that are not shown and rows of other tables also contribute to it."""
    runs = [*runs_of_n4(record, 22.5, 22.7, 22.9), *runs_of_n2(record, 23.0, 23.1)]
    spread = pooled_over(shipped_tables(), runs)
    assert spread.degrees == PRINTED_SPREAD.degrees + 2 + 1
    assert spread == pooled_over([read_table("cifar100")], runs)
    assert pooled_over([read_table("resnet-cifar")], runs) == pooled_over(shipped_tables(), []) == PRINTED_SPREAD
    alone = compare_rows("cifar100", "N = 4", runs, spread=spread)
    assert alone.spread == spread
    assert alone.rows[0].errors["error"] != compare_rows("cifar100", "N = 4", runs).rows[0].errors["error"]


def test_runs_in_several_tables_are_pooled_once(record: Make) -> None:
    tables = [read_table("densenet-cifar"), read_table("densenet-replication")]
    options = {"depth": 100, "k": 12}
    made = [experiment_for("densenet-bc", options, seed=seed, recipe_name="densenet-cifar10+") for seed in range(3)]
    runs = [record_of(record, run, error=4.4 + 0.1 * run.seed) for run in made]
    measured = [{row.verdict for row in compare(table, runs).rows if row.errors} for table in tables]
    assert all(verdicts - {Verdict.NOT_MEASURED} for verdicts in measured)
    assert pooled_over(tables, runs).degrees == PRINTED_SPREAD.degrees + 2


def test_a_second_metric_of_the_same_runs_is_not_pooled(record: Make) -> None:
    """Top-5 next to top-1, also if an older record has no top-5 error."""
    table = read_table("densenet-imagenet")
    made = [experiment_for("densenet121", {}, seed=seed, recipe_name="densenet-imagenet") for seed in range(3)]
    runs = [record_of(record, run, error=25.0, error5=7.7 if run.seed else None) for run in made]
    assert max(cell.n for row in compare(table, runs).rows for key, cell in row.errors.items()) == 3
    for columns in (table.columns, table.columns[::-1]):  # the metric with most runs counts, also as the second one
        assert pooled_over([replace(table, columns=columns)], runs).degrees == PRINTED_SPREAD.degrees + 2


def test_a_row_with_a_failed_run_is_left_out_of_the_pool(record: Make) -> None:
    runs = [*runs_of_n4(record, 22.5, 22.7, 99.0), *runs_of_n2(record, 23.0, 23.1)]
    assert pooled_over(shipped_tables(), runs).degrees == PRINTED_SPREAD.degrees + 1


def test_a_row_with_a_failed_run_shows_the_spread_that_judges_it(record: Make) -> None:
    comparison = compare(read_table("cifar100"), [*runs_of_n4(record, 22.5, 99.0), *runs_of_n2(record, 23.0, 23.1)])
    pooled, *own = next(each.lines for each in notes_of(comparison) if each.heading == "Verdicts")
    assert "8 degrees of freedom; a false-alarm rate of 5 % shared among 5 errors; t = 3.36 for the margin" in pooled
    assert own == [
        "DenseResNet-110, N = 4, Error %: its seeds differ more than independent images explain, so it is judged by "
        "their spread alone: spread between seeds 129.30 times the binomial one, 1 degree of freedom; t = 63.66 for "
        "the margin, 6.31 for equivalence"
    ]


def test_a_table_is_judged_by_the_spread_of_all_tables(record: Make, tmp_path: Path) -> None:
    for run in [*runs_of_n4(record, 22.5, 22.7, 22.9), *runs_of_n2(record, 23.0, 23.1)]:
        append_record(run, tmp_path)
    (comparison,) = compared([select("cifar100", "N = 4")], tmp_path)
    shipped = read_records(result_folders(tmp_path))
    assert comparison.spread == pooled_over(shipped_tables(), shipped)
    assert comparison.spread
    assert comparison.spread.degrees >= PRINTED_SPREAD.degrees + 3


def test_a_small_real_difference_is_not_a_mismatch_but_has_reasons(record: Make) -> None:
    """With very steady seeds elsewhere the spread is known to be small."""
    steady = replace(PRINTED_SPREAD, phi=0.2, degrees=100)
    for errors, verdict in (((23.0, 23.1), Verdict.WITHIN_HIGHER), ((22.1, 22.2), Verdict.WITHIN_LOWER)):
        comparison = compare(read_table("cifar100"), runs_of_n4(record, *errors), spread=steady)
        assert comparison.rows[N4].verdict == verdict
        assert mismatch_lines(comparison) == []
        assert any("epochs = 300" in each for each in reasons(comparison, comparison.rows[N4]))


def test_a_row_has_the_worst_of_its_verdicts(record: Make) -> None:
    row = compare(read_table("densenet-cifar"), []).rows[-1]
    cells = dict(zip(row.errors, Verdict, strict=False))
    assert len(cells) > 1
    found = replace(row, errors={key: replace(row.errors[key], verdict=verdict) for key, verdict in cells.items()})
    assert found.verdict == Verdict.NOT_REPRODUCED


def test_a_mismatch_is_named_with_possible_reasons(record: Make) -> None:
    runs = [
        record(seed=seed, error=error, precision="bf16" if seed else "fp32")
        for seed, error in enumerate((25.0, 25.1, 25.2))
    ]
    runs.append(record(id="short", deviations=["epochs=1 (300)"], error=91.56))
    comparison = compare(read_table("cifar100"), runs)
    assert comparison.rows[N4].verdict == Verdict.NOT_REPRODUCED
    (line,) = mismatch_lines(comparison)
    assert line.startswith("cifar100, DenseResNet-110, N = 4, Error %: printed 22.62, ours 25.10 ± 0.10 (n = 3)")
    found = reasons(comparison, comparison.rows[N4])
    assert any("epochs = 300" in each and "takedarts/DenseResNet 4cfca0f" in each for each in found)
    assert "Error %: seeds 1, 2 were trained in bf16" in found
    alone = compare(read_table("cifar100"), runs[1:2])
    assert "Error %: seed 1 was trained in bf16" in reasons(alone, alone.rows[N4])
    assert "Error %: not used: seed 0 with epochs=1 (300): 91.56" in found
    assert not any(reasons(comparison, row) for row in comparison.rows if row.row.label != "DenseResNet-110, N = 4")


def test_a_lower_error_is_not_a_mismatch(record: Make) -> None:
    for errors in ((20.0, 20.1, 20.2), (20.0,)):
        comparison = compare(read_table("cifar100"), [record(seed=s, error=e) for s, e in enumerate(errors)])
        assert mismatch_lines(comparison) == []
        assert any("epochs = 300" in each for each in reasons(comparison, comparison.rows[N4]))  # but it differs


def test_a_count_mismatch_is_named() -> None:
    comparison = compare(read_table("imagenet"), [])
    (line,) = [each for row in comparison.rows for each in reasons(comparison, row)]
    assert line == "FLOPs: printed 315M, ours 314M (314,409,600)"
    (line,) = mismatch_lines(compare_rows("imagenet", "MobileNet-v2", []))
    assert line == "imagenet, MobileNet-v2, FLOPs: printed 315M, ours 314M (314,409,600)"


def test_no_verdict_uses_the_best_epoch(record: Make) -> None:
    runs = [record(seed=seed, error=error) for seed, error in enumerate((22.5, 22.7))]
    with_extra = compare(read_table("cifar100"), runs, lowest=lambda run: run.error - 2).rows[N4].errors["error"]
    without = compare(read_table("cifar100"), runs).rows[N4].errors["error"]
    assert with_extra.best_epoch == pytest.approx(20.6)
    assert replace(with_extra, best_epoch=None) == without


@pytest.mark.parametrize(
    "changes",
    [
        {"deviations": ["epochs=1 (300)"]},
        {"recipe": "densenet-cifar100+"},
        {"dataset": "cifar10"},
        {"options": {"N": 3}},
        {"model": "resnet110"},
    ],
)
def test_a_run_that_deviates_is_never_used(record: Make, changes: dict[str, object]) -> None:
    runs = [record(seed=seed, **changes) for seed in range(3)]
    comparison = compare(read_table("cifar100"), runs)
    assert all(row.errors["error"].n == 0 for row in comparison.rows)
    assert len(comparison.deviating) == (3 if "deviations" in changes else 0)


def test_a_cell_without_recipe_does_not_affect_the_verdict_on_its_row() -> None:
    table = read_table("densenet-cifar")
    columns = [replace(column, recipe=None) if column.key == "svhn" else column for column in table.columns]
    table = replace(table, columns=tuple(columns))
    row = next(row for row in compare(table, []).rows if "svhn" in row.errors)
    assert row.errors["svhn"].verdict == Verdict.NO_RECIPE
    reproduced = {key: replace(cell, verdict=Verdict.REPRODUCED) for key, cell in row.errors.items() if key != "svhn"}
    assert replace(row, errors={**row.errors, **reproduced}).verdict == Verdict.REPRODUCED
    without = {key: replace(cell, verdict=Verdict.NO_RECIPE) for key, cell in row.errors.items()}
    assert replace(row, errors=without).verdict == Verdict.NO_RECIPE


def test_a_run_of_an_earlier_recipe_is_not_used(record: Make) -> None:
    """The ID of the run differs from the ID with today's recipe."""
    runs = [record(seed=seed, id=f"old{seed}") for seed in range(3)]
    assert all(row.errors["error"].n == 0 for row in compare(read_table("cifar100"), runs).rows)


def test_no_later_record_of_an_experiment_replaces_the_first(record: Make, tmp_path: Path) -> None:
    """Whatever its date says, and in whatever folder it is; a copy of a record is no other one."""
    first = record(error=22.7, started="2026-01-01T00:00:00+00:00")
    others = [
        record(error=20.0, started="2036-01-01T00:00:00+00:00"),
        record(error=30.0, started="2026-02-01T00:00:00+00:00"),
    ]
    for each in (first, first, *others):
        append_record(each, tmp_path / "one")
    append_record(first, tmp_path / "two")
    append_record(record(seed=1), tmp_path / "two")
    folders = [tmp_path / "one", tmp_path / "two"]
    assert [each.error for each in read_records(folders)] == [22.7, 22.7]
    assert repeated_records(folders) == {first.id: [first, *others]}


def test_lines_of_two_folders_that_differ_only_in_their_tests_are_one_record(record: Make, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    append_record(record(), folders[0])
    append_line_with_test(record(), folders[1])
    (found,) = read_records(folders)
    assert [each["error"] for each in found.tests] == [22.0]
    assert repeated_records(folders) == {}


def test_several_records_of_a_run_are_shown(record: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # in a clone, results/ is the shipped folder
    runs = [record(), record(error=30.0)]
    comparison = compare(read_table("cifar100"), runs[:1], repeated={runs[0].id: runs})
    assert comparison.rows[N4].errors["error"].value == 22.7
    name = runs[0].name
    line = f"2 records of seed 0 (22.70 %, 30.00 %): the first is used; repro runs keep {name} lists them and keeps one"
    report = Report([comparison], [], summary=False)
    assert all(line.split(";")[0] in " ".join(report.text(format).split()) for format in ("rich", "md", "html"))
    assert [note.lines for note in notes_of(comparison) if note.heading == "Records"] == [(line,)]
    elsewhere = compare(read_table("cifar100"), runs[:1], repeated={runs[0].id: runs}, results=Path("my results"))
    assert f"repro runs keep {name} --results 'my results' lists them" in " ".join(
        " ".join(each.lines) for each in notes_of(elsewhere)
    )
    wide = [replace(each, name="wrn-depth40-k2-blockB(1,3,1)-cifar10-s0-12345678") for each in runs]
    quoted = compare(read_table("cifar100"), runs[:1], repeated={runs[0].id: wide})
    assert f"repro runs keep '{wide[0].name}' lists them" in str(notes_of(quoted))
    shipped = compare(read_table("cifar100"), runs[:1], repeated={runs[0].id: runs}, results=shipped_results())
    assert [note.lines for note in notes_of(shipped) if note.heading == "Records"] == [(line.rpartition(";")[0],)]
    used = {"name": name, "seed": 0, "error": 22.7, "unused": [30.0]}
    assert json.loads(report.text("json"))["repeated"] == [used]


def test_only_rows_without_records_are_missing(record: Make, tmp_path: Path) -> None:
    selection = select("cifar100", "DenseResNet*")
    folders = Folders(tmp_path, tmp_path / "runs", tmp_path)
    assert len(missing(selection, folders, AS_PUBLISHED)) == 4
    append_record(record(seed=0), tmp_path)
    left = missing(selection, folders, AS_PUBLISHED)
    assert [dict(each.options) for each in left] == [{"N": 2}, {"N": 6}, {"N": 8}]
    assert len(missing(selection, folders, RunsPerRow(3))) == 11


def test_rows_are_chosen_by_pattern() -> None:
    table = read_table("cifar100")
    assert [row.label for row in table.matching("N = 4")] == ["DenseResNet-110, N = 4"]
    assert [row.label for row in table.matching("resnet-110")] == ["ResNet-110"]  # others contain it
    assert table.matching("n=4") == table.matching("N = 4")
    assert len(table.matching("dense*")) == 4
    assert table.matching("*") == table.rows
    with pytest.raises(UserError, match="no row of cifar100 matches"):
        table.matching("vgg")


def test_a_row_of_a_label_that_several_have_is_chosen_by_what_distinguishes_it() -> None:
    table = read_table("densenet-cifar")
    for row in table.rows:
        assert row in table.matching(table.called(row))
    (row,) = table.matching("densenet (k = 12), depth 40")
    assert row.cells["depth"].text == "40"
    assert table.matching("k = 12), depth 40") == table.matching("*12)*40") == (row,)
    assert len(table.matching("DenseNet (k = 12)")) == 2
    with pytest.raises(UserError, match=r"DenseNet \(k = 12\), Depth 40 \| DenseNet \(k = 12\), Depth 100"):
        table.matching("vgg")


def test_a_row_whose_errors_are_quoted_is_counted_and_not_compared() -> None:
    """Such are the pre-activation ResNets in the WRN paper; the summary counts no missing recipes for them."""
    comparison = compare(read_table("wrn-cifar"), [])
    row = next(row for row in comparison.rows if row.row.label == "pre-act-ResNet-164")
    assert (row.verdict, row.errors, row.counts["params"].matches) == (Verdict.QUOTED, {}, True)
    assert (summarise([comparison]).errors_without_recipe, summarise([comparison]).errors) == (0, 6)


def test_the_json_of_a_table_has_the_promised_shape(record: Make) -> None:
    content = data_of(compare(read_table("cifar100"), [record(error=22.7)]))
    assert {"table", "caption", "source", "rows"} <= content.keys()
    assert content["schema"] == 1
    row = content["rows"][N4]
    assert row["published"] == {"params": "2.23M", "flops": "263M", "error": "22.62"}
    assert (row["measured"]["params"], row["measured"]["flops"]) == (2230868, 262911040)
    error = row["measured"]["error"]
    assert (error["n"], error["value"], error["std"], error["seeds"]) == (1, 22.7, None, [0])
    assert row["matches"] == {"params": True, "flops": True}
    assert row["verdict"] == "too few runs"
    assert error["bound"] > 0.9
    assert error["margin"] > error["at_most"] > error["difference"] > 0
    assert {"text", "phi", "degrees", "cells", "t", "t_equivalence"} == content["rule"].keys()


def test_csv_keeps_printed_digits() -> None:
    text = Report([compare(read_table("imagenet"), [])], [], summary=False).text("csv")
    lines = list(csv.DictReader(text.splitlines()))
    assert lines[3]["params paper"] == "24.00M"
    assert [line["flops match"] for line in lines] == ["yes"] * 5 + ["no", "yes"]


def test_a_mismatch_states_the_expected_difference_of_a_lowest_of_fewer_runs(record: Callable[..., Record]) -> None:
    """The lowest of five is lower by itself than one run: without that the line would contradict its verdict."""
    table = read_table("cifar100")
    best = replace(table, rows=tuple(replace(row, statistic="best", runs=5) for row in table.rows))
    found = compare(best, [record(error=30.0)])
    (line,) = mismatch_lines(found)
    assert found.rows[N4].errors["error"].margin_text in line
    assert "expected +" in line
