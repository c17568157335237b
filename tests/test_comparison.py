"""Joining rows and records: what counts, what does not, and why it may differ."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from repro.commands.table import choose, missing
from repro.compare import CONSISTENT, NOT_CONSISTENT, NOT_REPRODUCED, REPRODUCED
from repro.comparison import NO_RECIPE, NOT_MEASURED, compare
from repro.differences import off_cells, reasons, why
from repro.errors import UserError
from repro.experiment import experiment_for
from repro.papers import read_table, table_names
from repro.recipes import recipe
from repro.report.as_json import table_json
from repro.report.plain import table_frame
from repro.results import Record, append_record, read_records
from repro.row_runs import apart

Make = Callable[..., Record]
ZCA_TABLES = ("wrn-blocks", "wrn-deepening", "wrn-width")  # Tables 2 to 4 of the WRN paper
N4 = 2  # the place of DenseResNet-110, N = 4, printed with 22.62 %


def test_without_runs_nothing_is_claimed() -> None:
    comparison = compare(read_table("cifar100"), [])
    assert {row.verdict for row in comparison.rows} == {NOT_MEASURED}
    assert all(row.errors["error"].value is None for row in comparison.rows)


def test_seeds_are_joined_by_row(record: Make) -> None:
    runs = [record(seed=seed, error=error) for seed, error in enumerate((22.5, 22.7, 22.9))]
    rows = compare(read_table("cifar100"), runs).rows
    cell = rows[N4].errors["error"]
    assert (cell.n, cell.value, cell.std) == (3, pytest.approx(22.7), pytest.approx(0.2))
    assert cell.difference == pytest.approx(0.08)
    assert rows[N4].verdict == REPRODUCED
    assert {row.verdict for i, row in enumerate(rows) if i != N4} == {NOT_MEASURED}


def test_what_sets_runs_apart_stands_beside_their_number(record: Make) -> None:
    runs = [record(seed=0), record(seed=1, precision="bf16", runtime={"processes": 4}, data="other")]
    assert apart(runs) == ["1 in bf16", "1 by 4 processes", "2 versions of the images"]
    assert apart(runs[1:]) == ["bf16", "4 processes"]
    assert apart(runs[:1]) == []


def test_the_lowest_of_fewer_seeds_is_expected_to_be_higher(record: Make) -> None:
    """One run of ResNet-110 with 7.05 % beside the lowest of five, 6.43: the verdict and what is shown agree."""
    table = choose("resnet-cifar", "ResNet-110")
    (column,) = table.of_kind("error")
    recipe_name = table.recipe(table.rows[0], column)
    experiment = experiment_for("resnet110", {}, seed=0, dataset="cifar10", recipe_name=recipe_name)
    run = record(
        id=experiment.id,
        model="resnet110",
        options=dict(experiment.options),
        dataset="cifar10",
        recipe=recipe_name,
        error=7.05,
    )
    cell = compare(table, [run]).rows[0].errors[column.key]
    assert cell.verdict == CONSISTENT
    assert cell.difference == pytest.approx(0.62)
    assert cell.expected is not None
    assert cell.margin is not None
    assert cell.margin < cell.difference < cell.expected + cell.margin
    assert cell.by_chance == f"{cell.expected:+.2f} ± {cell.margin:.2f}"


def test_one_seed_is_never_a_reproduction(record: Make) -> None:
    assert compare(read_table("cifar100"), [record(error=22.62)]).rows[N4].verdict == CONSISTENT
    assert compare(read_table("cifar100"), [record(error=25.0)]).rows[N4].verdict == NOT_CONSISTENT


def test_rows_that_are_not_shown_are_judged_all_the_same(record: Make) -> None:
    runs = [record(seed=seed, error=error) for seed, error in enumerate((22.5, 22.7, 22.9))]
    other = experiment_for("denseresnet110", {"N": 2}, seed=0)
    runs.append(record(id=other.id, options={"N": 2}, error=23.0))
    whole, alone = (compare(choose("cifar100", rows), runs) for rows in ("*", "N = 4"))
    assert len(alone.rows) == 1
    assert alone.rows[0].errors == whole.rows[N4].errors


def test_a_row_that_is_off_is_named_and_says_why(record: Make) -> None:
    runs = [
        record(seed=seed, error=error, precision="bf16" if seed else "fp32")
        for seed, error in enumerate((25.0, 25.1, 25.2))
    ]
    runs.append(record(id="short", deviations=["epochs=1 (300)"], error=91.56))
    comparison = compare(read_table("cifar100"), runs)
    assert comparison.rows[N4].verdict == NOT_REPRODUCED
    (line,) = off_cells(comparison)
    assert line.startswith("cifar100, DenseResNet-110, N = 4, Error %: printed 22.62, ours 25.10 ± 0.10 (n = 3)")
    reasons = why(comparison, comparison.rows[N4])
    assert any("epochs = 300" in each and "takedarts/DenseResNet 4cfca0f" in each for each in reasons)
    assert "Error %: seeds 1, 2 were trained in bf16" in reasons
    alone = compare(read_table("cifar100"), runs[1:2])
    assert "Error %: seed 1 was trained in bf16" in why(alone, alone.rows[N4])
    assert "Error %: not counted: seed 0 with epochs=1 (300): 91.56" in reasons
    assert not any(why(comparison, row) for row in comparison.rows if row.row.label != "DenseResNet-110, N = 4")


def test_a_lower_error_is_not_off(record: Make) -> None:
    for errors in ((20.0, 20.1, 20.2), (20.0,)):
        comparison = compare(read_table("cifar100"), [record(seed=s, error=e) for s, e in enumerate(errors)])
        assert off_cells(comparison) == []
        assert any("epochs = 300" in each for each in why(comparison, comparison.rows[N4]))  # but it differs


def test_a_count_that_is_off_is_named() -> None:
    (found,) = reasons(compare(read_table("imagenet"), []))
    assert found.heading == "Counted otherwise than printed: MobileNet-v2"
    assert found.lines == ("FLOPs: printed 315M, ours 314M (314,409,600)",)
    (line,) = off_cells(compare(choose("imagenet", "MobileNet-v2"), []))
    assert line == "imagenet, MobileNet-v2, FLOPs: printed 315M, ours 314M (314,409,600)"


def test_the_best_epoch_is_an_extra_that_no_verdict_uses(record: Make) -> None:
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
def test_a_run_that_differs_is_never_counted(record: Make, changes: dict[str, object]) -> None:
    runs = [record(seed=seed, **changes) for seed in range(3)]
    comparison = compare(read_table("cifar100"), runs)
    assert all(row.errors["error"].n == 0 for row in comparison.rows)
    assert len(comparison.deviating) == (3 if "deviations" in changes else 0)


def test_a_cell_that_has_no_recipe_does_not_hold_up_its_row() -> None:
    table = read_table("densenet-cifar")
    columns = [replace(column, recipe=None) if column.key == "svhn" else column for column in table.columns]
    table = replace(table, columns=tuple(columns))
    row = next(row for row in compare(table, []).rows if row.row.model)
    assert row.errors["svhn"].verdict == NO_RECIPE
    reproduced = {key: replace(cell, verdict=REPRODUCED) for key, cell in row.errors.items() if key != "svhn"}
    assert replace(row, errors={**row.errors, **reproduced}).verdict == REPRODUCED
    without = {key: replace(cell, verdict=NO_RECIPE) for key, cell in row.errors.items()}
    assert replace(row, errors=without).verdict == NO_RECIPE


@pytest.mark.parametrize("name", [n for n in table_names() if n.startswith(("wrn", "densenet-cifar", "densenet-rep"))])
def test_every_cell_on_small_images_has_the_recipe_of_its_data_set(name: str) -> None:
    table = read_table(name)
    for row in (row for row in table.rows if row.model in ("wrn", "densenet", "densenet-bc")):
        for column in (column for column in table.of_kind("error") if column.key in row.cells):
            chosen = table.recipe(row, column)
            assert chosen, (row.label, column.key)
            assert recipe(chosen).dataset == (row.dataset or column.dataset)
            assert recipe(chosen).preprocessing == ("zca" if name in ZCA_TABLES else "")


def test_a_run_of_yesterdays_recipe_is_not_counted(record: Make) -> None:
    """Its identity is not that of the recipe as it is now."""
    runs = [record(seed=seed, id=f"old{seed}") for seed in range(3)]
    assert all(row.errors["error"].n == 0 for row in compare(read_table("cifar100"), runs).rows)


def test_the_latest_record_of_an_experiment_counts(record: Make, tmp_path: Path) -> None:
    append_record(record(error=30.0, started="2026-01-01T00:00:00+00:00"), tmp_path)
    append_record(record(error=22.0, started="2026-02-01T00:00:00+00:00"), tmp_path)
    assert [each.error for each in read_records([tmp_path])] == [22.0]


def test_records_survive_the_file(record: Make, tmp_path: Path) -> None:
    written = record(deviations=["epochs=1 (300)", "lr=1 (2)"], options={"N": 4}, device='CPU "x", 2 threads')
    append_record(written, tmp_path)
    assert read_records([tmp_path]) == [written]


@pytest.mark.parametrize("newer", [["reported_epoch"], ["reported_epoch", "error5"]])
def test_a_file_from_before_some_columns_is_read_and_goes_on(record: Make, tmp_path: Path, newer: list[str]) -> None:
    path = tmp_path / "runs.csv"
    append_record(record(id="old"), tmp_path)
    with path.open() as file:
        (line,) = csv.DictReader(file)
    old = {key: value for key, value in line.items() if key not in newer}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(old))
        writer.writeheader()
        writer.writerow(old)
    append_record(record(id="new", error5=5.5, reported_epoch=3), tmp_path)
    found = [(each.id, each.error5, each.reported_epoch) for each in read_records([tmp_path])]
    assert found == [("old", None, None), ("new", 5.5, 3)]


def test_columns_of_the_users_own_stay(record: Make, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    append_record(record(id="a"), tmp_path)
    header, line = path.read_text().splitlines()
    path.write_text(f"{header},remark\n{line},good\n")
    append_record(record(id="b"), tmp_path)
    assert [each.id for each in read_records([tmp_path])] == ["a", "b"]
    assert path.read_text().splitlines()[1].endswith(",good")


def test_a_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes(b"id\n\xff\xfe\n")
    with pytest.raises(UserError, match="no CSV file in UTF-8"):
        read_records([tmp_path])


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("error", "nan", "an error of nan % is impossible"),
        ("error", "150", "an error of 150.0 % is impossible"),
        ("options", "5", "5 is no mapping"),
        ("deviations", "[1]", "[1] is no list of words"),
    ],
)
def test_a_line_that_no_run_wrote_is_named(record: Make, tmp_path: Path, column: str, value: str, reason: str) -> None:
    append_record(record(), tmp_path)
    path = tmp_path / "runs.csv"
    (line,) = csv.DictReader(path.read_text().splitlines())
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, line)
        writer.writeheader()
        writer.writerow({**line, column: value})
    with pytest.raises(UserError) as error:
        read_records([tmp_path])
    assert f"runs.csv, line 2: not a record of a run ({reason})" in str(error.value)


def test_a_broken_line_is_named(record: Make, tmp_path: Path) -> None:
    append_record(record(), tmp_path)
    with (tmp_path / "runs.csv").open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(UserError, match=r"runs\.csv, line 3: not a record"):
        read_records([tmp_path])


def test_what_is_missing_shrinks_with_the_records(record: Make, tmp_path: Path) -> None:
    table = choose("cifar100", "DenseResNet*")
    assert len(missing(table, None, None, tmp_path)) == 4
    append_record(record(seed=0), tmp_path)
    left = missing(table, None, None, tmp_path)
    assert [dict(each.options) for each in left] == [{"N": 2}, {"N": 6}, {"N": 8}]
    assert len(missing(table, 3, None, tmp_path)) == 11


def test_rows_are_chosen_by_pattern() -> None:
    assert [row.label for row in choose("cifar100", "N = 4").rows] == ["DenseResNet-110, N = 4"]
    assert [row.label for row in choose("cifar100", "resnet-110").rows] == ["ResNet-110"]  # others contain it
    assert choose("cifar100", "n=4").rows == choose("cifar100", "N = 4").rows
    assert len(choose("cifar100", "dense*").rows) == 4
    with pytest.raises(UserError, match="no row of cifar100 matches"):
        choose("cifar100", "vgg")


def test_the_json_of_a_table_has_the_promised_shape(record: Make) -> None:
    content = table_json(compare(read_table("cifar100"), [record(error=22.7)]))
    assert {"table", "caption", "source", "rows"} <= content.keys()
    row = content["rows"][N4]
    assert row["published"] == {"params": "2.23M", "flops": "263M", "error": "22.62"}
    assert (row["measured"]["params"], row["measured"]["flops"]) == (2230868, 262911040)
    error = row["measured"]["error"]
    assert (error["n"], error["value"], error["std"], error["seeds"]) == (1, 22.7, None, [0])
    assert row["matches"] == {"params": True, "flops": True}
    assert row["verdict"] == CONSISTENT


def test_the_data_frame_keeps_printed_digits(record: Make) -> None:
    frame = table_frame(compare(read_table("imagenet"), []))
    assert frame["params paper"].tolist()[3] == "24.00M"
    assert frame["flops match"].tolist() == ["✓"] * 5 + ["✗", "✓"]
