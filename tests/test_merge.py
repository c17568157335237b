"""`repro merge`, and the merging of results by git."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from commands import repro
from records import append_record

from repro.data.inputs.protocol import Averaged, Protocol, Views
from repro.store.csv_rows import csv_of, header_of, line_of
from repro.store.curves import curve_of, curve_path, curve_paths, new_curve_path, read_curve, write_curve
from repro.store.gates import GateRow, gates_path, read_gates, write_gates
from repro.store.protocol_tests import plain, recorded_tests
from repro.store.results import EpochRow, ProtocolTest, Record, every_record
from repro.store.step_times import StepTime, append_times, read_times

ROOT = Path(__file__).parents[1]
EPOCH = EpochRow(epoch=1, step=9, lr=0.1, train_loss=1, train_error=30, test_loss=1, test_error=22.7, seconds=5)
GATE = GateRow(
    run="run", deviations=[], step=9, epoch=1, epochs=1, step_of_epoch=0, steps_of_epoch=9, images=9, block=1,
    distance=1, mean=0.5,
)  # fmt: skip
TIME = StepTime(
    measurement="m1", table="t", row="r", model="resnet20", options={}, dataset="cifar10", batch=1, seconds=1.0,
    fastest=1.0, slowest=1.0, windows=3, device="CPU", threads=1, precision="fp32", torch="2", version="0", commit="",
    started="2026-01-01T00:00:00+00:00",
)  # fmt: skip
Make = Callable[..., Record]


def machine(folder: Path, record: Record, measurement: str) -> Path:
    """Write the results of a machine that trained one run."""
    append_record(record, folder)
    write_curve([EPOCH], curve_path(folder, record.name))
    write_gates([replace(GATE, run=record.name)], gates_path(folder, record.name))
    append_times([replace(TIME, measurement=measurement)], folder)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))}


def test_results_of_two_machines_are_joined_once(
    tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [record(seed=seed) for seed in range(3)]
    one, other = machine(tmp_path / "one", runs[0], "m1"), machine(tmp_path / "other", runs[1], "m2")
    own = tmp_path / "results"
    append_record(runs[2], own)
    append_record(runs[0], own)
    status, out, err = repro(capsys, "merge", one, other, "--results", own)
    assert status == 0
    counts = "1 record, 2 curves, 2 files of gate weights, 2 times, 0 tests of weights; 1 record already there"
    assert out == f"added to {own}: {counts}\n"
    assert err.endswith(f"next: repro table --results {own}\n")
    assert every_record(own) == [runs[2], runs[0], runs[1]]
    assert read_curve(curve_path(own, runs[1].name)) == [EPOCH]
    assert [each.run for each in read_gates(gates_path(own, runs[0].name))] == [runs[0].name]
    assert [each.measurement for each in read_times([own])] == ["m1", "m2"]
    before = content(own)
    answer = json.loads(repro(capsys, "merge", other, one, one, "--results", own, "--format", "json")[1])
    assert answer == {
        "schema": 1, "results": str(own), "records": 0, "curves": 0, "gates": 0, "times": 0, "weights": 0, "tested": 0,
        "present": 2,
    }  # fmt: skip
    assert content(own) == before


def test_a_record_of_two_sources_is_not_already_there(
    tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    one, copy = machine(tmp_path / "one", record(), "m1"), machine(tmp_path / "copy", record(), "m1")
    out = repro(capsys, "merge", one, copy, "--results", tmp_path / "results")[1]
    assert out.endswith("1 record, 1 curve, 1 file of gate weights, 1 time, 0 tests of weights\n")


def test_a_run_with_two_records_is_refused_and_nothing_is_written(
    tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    fine, mine = machine(tmp_path / "fine", record(seed=1), "m2"), machine(tmp_path / "mine", record(), "m1")
    theirs = machine(tmp_path / "theirs", record(error=23.0, device="H100"), "m1")
    before = content(mine)
    status, out, err = repro(capsys, "merge", fine, theirs, "--results", mine)
    assert (status, out, err.count("error: ")) == (2, "", 1)
    places = f"{mine / 'runs.csv'} and {theirs / 'runs.csv'}"
    assert f"{record().name} differs in {places}: error 22.7 and 23.0, device CPU and H100; nothing was merged" in err
    assert content(mine) == before
    assert (
        f"differs in {theirs / 'runs.csv'} and {mine / 'runs.csv'}"
        in (repro(capsys, "merge", theirs, mine, "--results", tmp_path / "new")[2])
    )
    assert content(tmp_path / "new") == {}


@pytest.mark.parametrize("error", [22.7, 23.0])
def test_all_runs_that_differ_are_named_at_once(
    error: float, tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(3):
        machine(tmp_path / "mine", record(seed=seed), f"m{seed}")
        machine(tmp_path / "theirs", record(seed=seed, seconds=2.0, error=error if seed == 2 else 22.7), f"n{seed}")
        seconds = replace(EPOCH, seconds=float(seed))
        write_curve([seconds], curve_path(tmp_path / "theirs", record(seed=seed).name))
    status, _, err = repro(capsys, "merge", tmp_path / "theirs", "--results", tmp_path / "mine")
    assert (status, err.count("error: ")) == (2, 1)
    names = [record(seed=seed).name for seed in range(3)]
    assert f"{names[0]} differs in" in err
    assert f": seconds 1.0 and 2.0; so do 2 others: {names[1]}, {names[2]}" in err
    assert ("; all measured values are equal; nothing was merged" in err) == (error == 22.7)
    assert "; of each, remove one of the two\n" in err


def test_a_run_that_differs_from_several_records_is_named_once(
    tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(tmp_path / "mine", record(), "m")
    for seconds in (2.0, 3.0):
        machine(tmp_path / "theirs", record(seconds=seconds), "n")
    err = repro(capsys, "merge", tmp_path / "theirs", "--results", tmp_path / "mine")[2]
    assert (err.count(record().name), "so do" in err) == (1, False)


@pytest.mark.parametrize("order", [("plain", "ten", "dense"), ("dense", "plain", "ten")])
def test_a_run_that_was_tested_further_on_another_machine_has_all_tests(
    order: tuple[str, ...], tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    ten = Protocol(views=Views.TEN_CROP, averaged=Averaged.PROBABILITIES)
    dense = Protocol(views=Views.DENSE, scales=(256,), averaged=Averaged.PROBABILITIES)
    tests = [ProtocolTest(protocol=each, error=22.0, error5=6.0, loss=1.0) for each in (ten, dense)]
    for name, of_run in (("plain", []), ("ten", tests[:1]), ("dense", tests[1:]), ("both", tests)):
        append_record(record(tests=plain(of_run)), tmp_path / name)
    own = tmp_path / order[0]
    for _ in range(2):
        status, out, _ = repro(capsys, "merge", *(tmp_path / each for each in order[1:]), "--results", own)
        assert (status, out.startswith(f"added to {own}: 0 records"), "1 record already" in out) == (0, True, True)
        (joined,) = every_record(own)
        assert replace(joined, tests=()) == record()
        assert {each.protocol for each in recorded_tests(joined)} == {ten, dense}
    append_record(record(tests=plain([msgspec.structs.replace(tests[0], loss=1.1)])), tmp_path / "on another GPU")
    assert repro(capsys, "merge", tmp_path / "on another GPU", "--results", own)[0] == 0
    append_record(record(tests=plain([msgspec.structs.replace(tests[0], error=23.0)])), tmp_path / "other")
    before = content(own)
    status, _, err = repro(capsys, "merge", tmp_path / "both", tmp_path / "other", "--results", own)
    assert (status, f"{record().name} differs in {own / 'runs.csv'} and" in err) == (2, True)
    assert content(own) == before


def test_lines_of_a_run_that_differ_in_their_tests_are_one_record(
    tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two branches of a repository may each add a test, and git keeps both lines."""
    ten, many = (Protocol(views=each, averaged=Averaged.OUTPUTS) for each in (Views.TEN_CROP, Views.CROPS_144))
    protocols = (ten, Protocol(views=Views.CENTRAL_CROP), many)
    tests = [ProtocolTest(protocol=each, error=22.0, error5=6.0, loss=1.0) for each in protocols]
    lines = [line_of(record(tests=plain([each]))) for each in tests[:2]]
    (tmp_path / "own").mkdir()
    (tmp_path / "own/runs.csv").write_bytes(csv_of(lines, header_of(Record)))
    (joined,) = every_record(tmp_path / "own")
    assert recorded_tests(joined) == tests[:2]
    append_record(record(tests=plain(tests[2:])), tmp_path / "other")
    out = repro(capsys, "merge", tmp_path / "other", "--results", tmp_path / "own")[1]
    assert "further tests of 1 run; 1 record already there" in out
    (joined,) = every_record(tmp_path / "own")
    assert recorded_tests(joined) == tests


@pytest.mark.parametrize("kind", ["curves", "gates", "times"])
def test_other_files_that_differ_are_named(
    kind: str, tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, theirs = (machine(tmp_path / name, record(), "m1") for name in ("mine", "theirs"))
    name = record().name
    if kind == "curves":
        write_curve([replace(EPOCH, test_error=1.0)], curve_path(theirs, name))
        line = (
            f"curves/{name}.csv differs in {curve_path(mine, name)} and {curve_path(theirs, name)}: test_error 22.7 and"
        )
    elif kind == "gates":
        write_gates([replace(GATE, run=name)] * 2, gates_path(theirs, name))
        write_gates([replace(GATE, run=name), replace(GATE, run=name, block=2)], gates_path(theirs, name))
        line = f"gates/{name}.csv differs in {gates_path(mine, name)} and {gates_path(theirs, name)}: lines 1 and 2;"
    else:
        (theirs / "times.csv").write_bytes(csv_of([line_of(replace(TIME, seconds=2.0))], header_of(StepTime)))
        line = "row r of table t, measurement m1 differs in"
    before = content(mine)
    status, _, err = repro(capsys, "merge", theirs, "--results", mine)
    assert status == 2
    assert line in err
    assert content(mine) == before


def test_a_run_that_one_machine_repeated_keeps_both_records(
    tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = record(), record(error=23.0, started="2026-02-01T00:00:00+00:00")
    for each in (first, second):
        append_record(each, tmp_path / "one")
    for _ in range(2):
        assert repro(capsys, "merge", tmp_path / "one", "--results", tmp_path / "results")[0] == 0
        assert every_record(tmp_path / "results") == [first, second]


@pytest.mark.parametrize("order", [("one", "both"), ("both", "one")])
def test_a_run_that_one_of_two_machines_repeated_is_merged_in_any_order(
    order: tuple[str, str], tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = record(), record(error=23.0, started="2026-02-01T00:00:00+00:00")
    append_record(first, tmp_path / "one")
    for each in (first, second):
        append_record(each, tmp_path / "both")
    assert repro(capsys, "merge", *(tmp_path / each for each in order), "--results", tmp_path / "results")[0] == 0
    assert every_record(tmp_path / "results") == [first, second]
    other = record(error=24.0, started="2026-03-01T00:00:00+00:00")
    append_record(other, tmp_path / "third")
    status, _, err = repro(capsys, "merge", tmp_path / "both", tmp_path / "third", "--results", tmp_path / "new")
    assert (status, f"{first.name} differs in {tmp_path / 'both'}" in err) == (2, True)


@pytest.mark.parametrize("kept", ["theirs", "mine"])
def test_curves_are_merged_after_one_folder_kept_the_second_record(
    kept: str, tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """There, the second curve has the name of the first one."""
    records = [record(error=error, epochs=1, started=f"2026-01-{error:g}T00:00:00+00:00") for error in (22.0, 23.0)]
    for folder in ("mine", "theirs"):
        for each in records:
            write_curve([replace(EPOCH, test_error=each.error)], new_curve_path(tmp_path / folder, each))
            append_record(each, tmp_path / folder)
    name, mine = records[0].name, tmp_path / "mine"
    assert repro(capsys, "runs", "keep", name, "--record", 2, "--yes", "--results", tmp_path / kept)[0] == 0
    for _ in range(2):
        status, out, err = repro(capsys, "merge", tmp_path / "theirs", "--results", mine)
        assert (status, "error" in err) == (0, False)
    assert "0 records, 0 curves" in out
    assert sorted(each.error for each in every_record(mine)) == [22.0, 23.0]
    assert [curve_of(each, [mine])[0].test_error for each in records] == [22.0, 23.0]
    assert len(curve_paths(mine, name)) == 2


def test_records_with_fewer_columns_and_columns_of_a_user_are_merged(
    tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = record(), record(seed=1, host="node7")
    columns = [each for each in header_of(Record) if each not in ("host", "environment")]
    lines = [{key: value for key, value in line_of(old).items() if key in columns}]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "runs.csv").write_bytes(csv_of([{**lines[0], "remark": "slow"}], [*columns, "remark"]))
    append_record(new, tmp_path / "results")
    assert repro(capsys, "merge", tmp_path / "old", "--results", tmp_path / "results")[0] == 0
    assert every_record(tmp_path / "results") == [new, old]
    assert ",remark\n" in (tmp_path / "results" / "runs.csv").read_text()
    append_record(record(seed=2), tmp_path / "results")
    assert ",slow\n" in (tmp_path / "results" / "runs.csv").read_text()


def test_folders_that_cannot_be_merged_are_refused(
    tmp_path: Path, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = machine(tmp_path / "mine", record(), "m1")
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "absent"):
        line = (
            f"{source} is not a folder of results: it has none of runs.csv, times.csv, weights.csv, curves/ and gates/"
        )
        assert line in repro(capsys, "merge", source, "--results", mine)[2]
    assert "is the folder that is merged into" in repro(capsys, "merge", mine, "--results", mine)[2]
    (tmp_path / "empty" / "runs.csv").write_text("id,name\n1,2,3\n")
    assert (
        "runs.csv, line 2: more cells than columns" in repro(capsys, "merge", tmp_path / "empty", "--results", mine)[2]
    )


def git(folder: Path, *words: str) -> None:
    own = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True)


def merged_by_git(folder: Path, *branches: Callable[[Path], object]) -> Path:
    """Return a folder of results that each branch extended from the same state before git merged them."""
    results = folder / "results"
    (folder / ".gitattributes").write_bytes((ROOT / ".gitattributes").read_bytes())
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "before")
    for number, extend in enumerate(branches):
        git(folder, "checkout", "-b", f"branch{number}", "main")
        extend(results)
        git(folder, "commit", "-am", "after")
    for number in range(1, len(branches)):
        git(folder, "checkout", "branch0")
        git(folder, "merge", f"branch{number}")
    return results


def test_git_keeps_the_lines_of_both_branches(tmp_path: Path, record: Make) -> None:
    runs = [record(seed=seed) for seed in range(4)]
    append_record(runs[0], tmp_path / "results")

    def two(results: Path) -> None:
        append_record(runs[2], results)
        append_record(runs[3], results)

    results = merged_by_git(tmp_path, lambda results: append_record(runs[1], results), two)
    text = (results / "runs.csv").read_text()
    assert text.count("id,name,model") == 1
    assert len(text.splitlines()) == 5
    assert sorted(every_record(results), key=lambda each: each.seed) == runs


def test_lines_of_branches_with_different_columns_are_read(tmp_path: Path, record: Make) -> None:
    """One branch has a program with fewer columns, so git keeps two headers and both forms of the first line."""
    runs = [record(seed=seed) for seed in range(4)]
    columns = [each for each in header_of(Record) if each not in ("host", "environment")]

    def older(results: Path, *records: Record) -> None:
        lines = [{key: value for key, value in line_of(each).items() if key in columns} for each in records]
        results.mkdir(exist_ok=True)
        (results / "runs.csv").write_bytes(csv_of(lines, columns))

    older(tmp_path / "results", runs[0])
    results = merged_by_git(
        tmp_path, lambda results: older(results, *runs[:2]), lambda results: append_record(runs[2], results)
    )
    assert (results / "runs.csv").read_text().count("id,name,model") == 2
    assert sorted(every_record(results), key=lambda each: each.seed) == runs[:3]
    append_record(runs[3], results)
    text = (results / "runs.csv").read_text()
    assert (text.count("id,name,model"), len(text.splitlines())) == (1, 5)
    assert sorted(every_record(results), key=lambda each: each.seed) == runs
