"""The files of results: what is written is read again; older, edited and damaged ones are read or refused by line."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from records import append_record

from repro.errors import UserError
from repro.store.curves import read_curve, write_curve
from repro.store.results import EpochRow, Record, read_records

Make = Callable[..., Record]


def test_records_survive_the_file(record: Make, tmp_path: Path) -> None:
    written = record(deviations=["epochs=1 (300)", "lr=1 (2)"], options={"N": 4}, device='CPU "x", 2 threads')
    append_record(written, tmp_path)
    assert read_records([tmp_path]) == [written]


@pytest.mark.parametrize("newer", [["reported_epoch"], ["reported_epoch", "error5"]])
def test_an_older_file_with_fewer_columns_is_read_and_extended(record: Make, tmp_path: Path, newer: list[str]) -> None:
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


def test_columns_that_a_user_added_are_kept(record: Make, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    append_record(record(id="a"), tmp_path)
    header, line = path.read_text().splitlines()
    path.write_text(f"{header},remark\n{line},good\n")
    append_record(record(id="b"), tmp_path)
    assert [each.id for each in read_records([tmp_path])] == ["a", "b"]
    assert path.read_text().splitlines()[1].endswith(",good")


def test_a_column_without_a_name_is_left_out_if_it_is_empty(record: Make, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    append_record(record(id="a"), tmp_path)
    header, line = path.read_text().splitlines()
    path.write_text(f",{header}\n,{line}\n")
    append_record(record(id="b"), tmp_path)
    assert [each.id for each in read_records([tmp_path])] == ["a", "b"]
    path.write_text(f",{header}\n0,{line}\n")
    with pytest.raises(UserError, match="line 2: a cell in a column without a name; name or remove the column"):
        read_records([tmp_path])


def test_a_file_that_is_not_in_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes(b"id\n\xff\xfe\n")
    with pytest.raises(UserError, match="not a CSV file in UTF-8"):
        read_records([tmp_path])


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("error", "nan", "error: nan is not a number from 0 to 100"),
        ("error", "150", "error: 150 is not a number from 0 to 100"),
        ("error", "8,15", "error: 8,15 is not a number from 0 to 100"),
        ("loss", "inf", "loss: inf is not a number"),
        ("options", "5", "options: 5 is not a mapping of plain values"),
        ("options", '{"N": [4]}', 'options: {"N": [4]} is not a mapping of plain values'),
        ("options", '{"N": 1e999}', 'options: {"N": 1e999} is not a mapping of plain values'),
        ("options", "[" * 99_999, f"options: {'[' * 60}... is not a mapping of plain values"),
        ("deviations", "[1]", "deviations: [1] is not a list of strings"),
        ("deviations", r'["\ud800"]', r'deviations: ["\ud800"] is not a list of strings'),
        ("runtime", '{"threads": "two"}', "Expected `int | null`, got `str` - at `$.threads`"),
        ("tests", '[{"error": 3}]', "Object missing required field `protocol` - at `$[0]`"),
        ("id", "../../home", "id: ../../home is not an ID of letters and digits"),
        ("id", "4.65E+73", "id: 4.65E+73 is not an ID of letters and digits"),
        ("name", "../run", "name: ../run is not the name of a run"),
        ("seed", "", "seed: an empty cell is not a whole number from 0 to 9,223,372,036,854,775,807"),
        ("reported_epoch", "301", "epoch 301 of 300 is invalid"),
        ("started", "2026-02-30T00:00:00+00:00", "is not a time such as 2026-01-31T12:00:00+00:00"),
        ("started", "9999-01-01T00:00:00+00:00", "is not a time such as 2026-01-31T12:00:00+00:00"),
        ("started", "2026-01-01T00:00:00", "is not a time such as 2026-01-31T12:00:00+00:00"),
    ],
)
def test_an_invalid_line_is_named(record: Make, tmp_path: Path, column: str, value: str, reason: str) -> None:
    append_record(record(), tmp_path)
    path = tmp_path / "runs.csv"
    (line,) = csv.DictReader(path.read_text().splitlines())
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, line)
        writer.writeheader()
        writer.writerow({**line, column: value})
    with pytest.raises(UserError) as error:
        read_records([tmp_path])
    assert "runs.csv, line 2: not a record of a run (" in str(error.value)
    assert f"{reason}); repair or remove the line" in str(error.value)


def test_a_column_with_an_older_name_is_read_and_renamed(record: Make, tmp_path: Path) -> None:
    first, second = record(sessions=3), record(id="2", seed=1)
    append_record(first, tmp_path)
    path = tmp_path / "runs.csv"
    path.write_text(path.read_text().replace(",sessions,", ",sittings,"))
    assert read_records([tmp_path]) == [first]
    append_record(second, tmp_path)
    assert read_records([tmp_path]) == [first, second]
    assert "sittings" not in path.read_text()


def test_a_file_that_a_spreadsheet_saved_is_read_and_extended(record: Make, tmp_path: Path) -> None:
    runs = [record(id=str(seed), seed=seed, device='CPU "x"; two, threads') for seed in range(3)]
    for each in runs[:2]:
        append_record(each, tmp_path)
    path = tmp_path / "runs.csv"
    lines = list(csv.reader(path.read_text().splitlines()))
    for separator in ";,\t":
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
            writer.writerows([*([*line, "", ""] for line in lines), ["" for _ in lines[0]]])
        assert read_records([tmp_path]) == runs[:2]
        path.write_text(f"sep={separator}\r\n{path.read_text('utf-8-sig')}", "utf-8")
        assert read_records([tmp_path]) == runs[:2]
    append_record(runs[2], tmp_path)
    assert read_records([tmp_path]) == runs
    assert path.read_text("utf-8").startswith("id,name,model,")


def test_columns_that_are_missing_or_there_twice_are_named(record: Make, tmp_path: Path) -> None:
    append_record(record(), tmp_path)
    path = tmp_path / "runs.csv"
    header, line = path.read_text().splitlines()
    path.write_text(f"{header.replace('seed,epochs', 'Seed,Epochs')}\n{line}\n")
    with pytest.raises(UserError, match=r"line 2: not a record of a run \(the header has no column seed, epochs\)"):
        read_records([tmp_path])
    path.write_text(f"{header.replace('epochs', 'seed')}\n{line}\n")
    with pytest.raises(UserError, match=r"runs\.csv, line 1: the column 'seed' appears twice"):
        read_records([tmp_path])


def test_losses_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    row = EpochRow(epoch=1, step=1, lr=0.1, train_loss=1.0, test_loss=float("nan"), test_error=90.0, seconds=1.0)
    write_curve([row], tmp_path / "curve.csv")
    assert read_curve(tmp_path / "curve.csv") == [replace(row, test_loss=None)]


def test_a_broken_line_is_named(record: Make, tmp_path: Path) -> None:
    append_record(record(), tmp_path)
    with (tmp_path / "runs.csv").open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(UserError, match=r"runs\.csv, line 3: not a record"):
        read_records([tmp_path])
