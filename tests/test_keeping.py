"""`repro runs keep`: several records of one run are listed, and one of them is kept."""

import sys
from collections.abc import Callable
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from unittest.mock import Mock

import pytest
from commands import repro
from records import append_line_with_test, append_record

from repro.locks import holder_of
from repro.store.csv_rows import lines_of, rewrite
from repro.store.curves import curve_of, curve_path, curve_paths, new_curve_path, read_curve, write_curve
from repro.store.gates import gates_path, write_gates
from repro.store.results import RUNS, EpochRow, Record, every_record, shipped_results

Make = Callable[..., Record]
EPOCH = EpochRow(epoch=1, step=1, lr=0.1, train_loss=1, train_error=1, test_loss=1, test_error=1, seconds=1)


@pytest.fixture
def three(record: Make, tmp_path: Path) -> list[Record]:
    """Write three records of one run, each with its curve, and one of another run."""
    made = [
        record(error=error, epochs=1, device=f"CPU {error:g}", started=f"2026-01-{error:g}T00:00:00+00:00")
        for error in (22.0, 23.0, 24.0)
    ]
    for each in made:
        write_curve([replace(EPOCH, test_error=each.error)], new_curve_path(tmp_path, each))
        append_record(each, tmp_path)
    append_record(record(seed=1), tmp_path)
    return made


def keep(capsys: pytest.CaptureFixture[str], results: Path, *arguments: object) -> tuple[int, str, str]:
    return repro(capsys, "runs", "keep", *arguments, "--results", results)


def curves_in(results: Path) -> dict[str, float]:
    return {path.name: read_curve(path)[0].test_error for path in sorted((results / "curves").iterdir())}


def test_the_records_are_listed(three: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = keep(capsys, tmp_path, three[0].id)
    lines = out.splitlines()
    assert (status, len(lines)) == (0, 3)
    assert lines[0] == f"1: 22.00 %, fp32, alone, {three[0].started}, CPU 22, {tmp_path / 'runs.csv'} (used)"
    assert lines[2].startswith("3: 24.00 %")
    assert err == f"next: repro runs keep {three[0].name} --record 1 --results {tmp_path}\n"


def test_the_next_command_quotes_a_name_with_signs_of_the_shell(
    record: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "wrn-depth40-k2-blockB(1,3,1)-cifar10-s0-12345678"
    for error in (5.0, 6.0):
        append_record(record(name=name, error=error, started=f"2026-01-0{error:g}T00:00:00+00:00"), tmp_path)
    assert keep(capsys, tmp_path, name)[2].startswith(f"next: repro runs keep '{name}' --record 1 ")


def test_one_is_kept_with_its_curve(three: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = three[0].name
    assert curves_in(tmp_path) == {f"{name}.2.csv": 23.0, f"{name}.3.csv": 24.0, f"{name}.csv": 22.0}
    status, _, err = keep(capsys, tmp_path, name, "--record", 2, "--yes")
    assert status == 0
    assert err.startswith(f"kept record 2 of {name}, and deleted 2 other records\n")
    assert [each.error for each in every_record(tmp_path)] == [23.0, 22.7]
    assert curves_in(tmp_path) == {f"{name}.csv": 23.0}


@pytest.mark.parametrize("number", [1, 2])
def test_all_lines_of_the_others_are_deleted(
    three: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    name, gates = three[0].name, gates_path(tmp_path, three[0].name)
    append_line_with_test(three[0], tmp_path)
    write_gates([], gates)
    assert keep(capsys, tmp_path, name, "--record", number, "--yes")[0] == 0
    kept = three[number - 1].error
    assert [each.error for each in every_record(tmp_path)] == [kept, 22.7]
    assert (curves_in(tmp_path), gates.exists()) == ({f"{name}.csv": kept}, number == 1)


def test_curves_are_moved_while_their_folder_is_locked(
    three: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []

    def noted(folder: Path, run: str) -> list[Path]:
        held.append(holder_of(folder / ".runs.lock") is not None)
        return curve_paths(folder, run)

    monkeypatch.setattr("repro.store.keeping.curve_paths", noted)
    assert keep(capsys, tmp_path, three[0].name, "--record", 2, "--yes")[0] == 0
    assert held == [True]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (4, "error: --record 4: NAME has 3 records"),
        (2, "error: there is no terminal to confirm the deletion of 2 records; add --yes"),
    ],
)
def test_nothing_is_deleted_otherwise(
    three: list[Record],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    message: str,
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    status, _, err = keep(capsys, tmp_path, three[0].name, "--record", number)
    assert (status, err.strip()) == (2, message.replace("NAME", three[0].name))
    assert len(every_record(tmp_path)) == 4


def test_a_shipped_record_is_never_deleted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = every_record(shipped_results())[0]
    own = replace(shipped, error=1.0)
    append_record(own, tmp_path)
    status, _, err = keep(capsys, tmp_path, shipped.name, "--record", 2, "--yes")
    assert status == 2
    assert f"record 1 of {shipped.name} is shipped with the program" in err
    assert keep(capsys, tmp_path, shipped.name, "--record", 1, "--yes")[0] == 0
    assert every_record(tmp_path) == []


@pytest.mark.parametrize("number", [1, 2])
def test_no_record_in_the_shipped_folder_is_deleted(
    three: list[Record],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """In a clone, it is also the default of --results."""
    monkeypatch.setattr("repro.store.results.shipped_results", lambda: tmp_path)
    assert keep(capsys, tmp_path, three[0].name)[2] == f"next: repro table --results {tmp_path}\n"
    status, _, err = keep(capsys, tmp_path, three[0].name, "--record", number, "--yes")
    assert (status, f"remove the line of {tmp_path / RUNS} by hand" in err) == (2, True)
    assert len(every_record(tmp_path)) == 4


def test_the_gate_weights_stay_if_the_records_cannot_be_written(
    three: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = gates_path(tmp_path, three[0].name)
    write_gates([], gates)
    full = Mock(side_effect=OSError(ENOSPC, "No space left on device"))
    monkeypatch.setattr("repro.store.removal.rewrite", full)
    status, _, err = keep(capsys, tmp_path, three[0].name, "--record", 2, "--yes")
    assert (status, err.count("No space left on device")) == (1, 1)
    assert gates.exists()
    assert len(every_record(tmp_path)) == 4


def test_a_copy_with_a_further_test_is_no_other_record(
    record: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repro.store.keeping.result_folders", lambda own: [tmp_path / "shipped", own])
    append_record(record(), tmp_path / "shipped")
    append_line_with_test(record(), tmp_path / "own")
    status, out, _ = keep(capsys, tmp_path / "own", record().name)
    assert (status, len(out.splitlines())) == (0, 1)


def test_a_record_that_is_written_again_keeps_the_name_of_its_curve(three: list[Record], tmp_path: Path) -> None:
    names = [new_curve_path(tmp_path, each).name for each in three]
    assert names == [f"{three[0].name}{number}.csv" for number in ("", ".2", ".3")]


def test_a_record_that_is_written_again_keeps_its_place_and_the_columns_of_a_user(record: Make, tmp_path: Path) -> None:
    first, second = record(), record(error=23.0, started="2026-02-01T00:00:00+00:00")
    for each in (first, second):
        append_record(each, tmp_path)
    lines = lines_of(tmp_path / RUNS)
    rewrite(tmp_path / RUNS, [{**lines[0], "remark": "slow"}, lines[1], {**lines[0], "remark": "copy"}], Record)
    protocol = {"views": "ten-crop", "averaged": "outputs"}
    tested = replace(first, tests=({"protocol": protocol, "error": 22.0, "error5": None, "loss": None},))
    append_record(tested, tmp_path)
    assert every_record(tmp_path) == [tested, second]
    assert [line["remark"] for line in lines_of(tmp_path / RUNS)] == ["slow", ""]


def test_a_curve_without_a_record_is_replaced(record: Make, tmp_path: Path) -> None:
    """A process that was killed between the two files left it behind."""
    made = record(epochs=1)
    write_curve([EPOCH], curve_path(tmp_path, made.name))
    assert new_curve_path(tmp_path, made) == curve_path(tmp_path, made.name)


def test_a_curve_stays_that_of_a_record_that_a_spreadsheet_saved(record: Make, tmp_path: Path) -> None:
    """It keeps 15 digits."""
    made = record(epochs=1, error=100 / 3, loss=2 / 3, train_loss=1 / 3)
    row = replace(EPOCH, test_error=100 / 3, test_loss=2 / 3, train_loss=1 / 3)
    write_curve([row], curve_path(tmp_path, made.name))
    cut = replace(made, error=33.3333333333333, loss=0.666666666666667, train_loss=0.333333333333333)
    assert curve_of(cut, [tmp_path]) == [row]


def test_curves_of_records_with_equal_errors_are_told_apart(
    record: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [record(epochs=1, train_loss=loss, started=f"2026-01-0{loss:g}T00:00:00+00:00") for loss in (1.0, 2.0)]
    for each in made:
        write_curve([replace(EPOCH, test_error=22.7, train_loss=each.train_loss)], new_curve_path(tmp_path, each))
        append_record(each, tmp_path)
    assert [curve_of(each, [tmp_path])[0].train_loss for each in made] == [1.0, 2.0]
    assert keep(capsys, tmp_path, made[0].name, "--record", 2, "--yes")[0] == 0
    (path,) = (tmp_path / "curves").iterdir()
    assert (path, read_curve(path)[0].train_loss) == (curve_path(tmp_path, made[0].name), 2.0)
