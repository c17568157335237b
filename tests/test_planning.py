"""The plan: how many seeds decide a row, how far each run is, how long the rest takes, and what it needs."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import repro
from records import record_of
from scipy.special import ndtri
from simulation import HALF, IMAGES, Truth, drawn, outcome
from watching import Silent, stop_at, train_one

from repro.comparison.rule import MeasuredError, moments
from repro.comparison.spread import PRINTED_SPREAD, Spread, binomial
from repro.counting.count import Subject
from repro.counting.demand import Demand, demand_of
from repro.errors import Diverged, Stopped, UserError
from repro.experiment import Experiment, experiment_for
from repro.locks import locked
from repro.paths import Folders, default_folders
from repro.planning.deciding import Known, deciding_seeds, probability
from repro.planning.device import device_called
from repro.planning.image_time import Basis, Measurements, measurements_on
from repro.planning.needed import missing, needed
from repro.planning.space import disk_bytes, memory_of
from repro.planning.state import RunState, RunStatus, status_of
from repro.runtime import DEFAULT_BRANCHES, Runtime
from repro.store.results import Record
from repro.store.run_folders import LOCK
from repro.store.step_times import StepTime
from repro.tables import AS_PUBLISHED, Cell, RunsPerRow, Selection, read_table
from repro.training.checkpoints.checkpoint import NEWEST

CPU = Runtime(device="cpu")
HERE = "CPU Some Processor, 2 threads"
Make = Callable[..., Record]
AS_PRINTED = Truth(PRINTED_SPREAD.phi, printed_are_draws=False)
B = binomial(22.95, IMAGES)
DEMAND = Demand(params=1000, flops=1.0, saved_bytes=10.0)


def known(statistic: str = "last", runs: int = 1, **changes: Any) -> Known:
    """Return a row of DenseResNet's table without runs, alone in its table."""
    plain = Known(statistic, runs, 0, 0.0, HALF / B, 1 / binomial(23, IMAGES), PRINTED_SPREAD, 1)
    return replace(plain, **changes)


@pytest.mark.parametrize(("statistic", "runs", "off"), [("last", 1, 0.005), ("median", 5, 0.01), ("best", 5, 0.015)])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_probability_of_a_decision_is_that_of_simulated_tables(
    statistic: str, runs: int, off: float, n: int
) -> None:
    """A lowest error is not normal, which the rule neglects too; hence the larger tolerance."""
    said = outcome(drawn(n, 1, AS_PRINTED, statistic=statistic, runs=runs))
    assert probability(known(statistic, runs), n) == pytest.approx((said.differs | said.equivalent).mean(), abs=off)


@pytest.mark.parametrize("statistic", ["last", "median"])
def test_with_runs_so_far_it_averages_to_that_without_runs(statistic: str) -> None:
    """The law of total probability, over the mean of m runs; the pool is so large that they do not move it."""
    row = known(statistic, runs=3, spread=Spread(0.62, 100_000), cells=20, bound=1.2)
    m, n, (mean, variance) = 2, 4, moments(statistic, 3)
    parts = (np.arange(100) + 0.5) / 100
    means = -0.62 * mean + 0.62 * np.sqrt(variance + 1 / m) * ndtri(parts)
    found = [probability(replace(row, n=m, mean=each), n) for each in means]
    assert np.mean(found) == pytest.approx(probability(row, n), abs=0.01)
    assert np.std(found) > 0.1  # the runs so far matter


def test_every_row_of_a_table_is_decided_by_few_seeds() -> None:
    table = read_table("cifar100")
    errors = [MeasuredError(each.cell, each.statistic, each.runs, (), each.images) for each in table.errors()]
    assert [deciding_seeds(each, PRINTED_SPREAD, len(errors)) for each in errors] == [3] * 5


def test_digits_coarser_than_the_bound_never_decide() -> None:
    assert deciding_seeds(MeasuredError(Cell("2"), "last", 1, (), IMAGES), PRINTED_SPREAD, 1) is None
    assert deciding_seeds(MeasuredError(Cell("2.0"), "last", 1, (), IMAGES), PRINTED_SPREAD, 1) is not None


def test_runs_so_far_count() -> None:
    def seeds(*values: float) -> int | None:
        return deciding_seeds(MeasuredError(Cell("22.62"), "last", 1, values, IMAGES), PRINTED_SPREAD, 5)

    assert seeds(22.5, 22.7) == 2  # reproduced
    assert seeds(40.0, 40.1) == 2  # not reproduced
    assert seeds(22.6) == 2
    assert seeds(22.62, 23.6) == 6
    assert seeds(23.3, 23.5) is None  # between the bound of the equivalence test and the margin, which stay apart


def small(seed: int = 1, **changes: object) -> Experiment:
    made = experiment_for("densenet", {"depth": 7, "k": 4}, seed=seed, dataset="digits", epochs=2)
    return replace(made, recipe=replace(made.recipe, **changes))  # type: ignore[arg-type]


@pytest.mark.usefixtures("small_digits")
def test_how_far_a_run_is(folders: Folders) -> None:
    """Nothing is written: the folder is the same before and after."""
    experiment = small()
    assert status_of(experiment, (), folders.runs, {}) == RunStatus(experiment, RunState.MISSING)
    assert not folders.runs.exists()
    with pytest.raises(Stopped):
        train_one(experiment, CPU, folders, stop_at(6))
    before = {each: each.stat().st_mtime_ns for each in folders.runs.rglob("*")}
    found = status_of(experiment, (), folders.runs, {})
    assert (found.state, found.step, found.steps) == (RunState.STOPPED, 6, 2 * 23)
    assert found.images_so_far == 6 * 64
    assert found.seconds > 0  # of the epoch that is not finished
    assert found.images_left == 2 * 1442 - 6 * 64
    assert {each: each.stat().st_mtime_ns for each in folders.runs.rglob("*")} == before
    with locked(folders.runs / experiment.name / LOCK):
        held = status_of(experiment, (), folders.runs, {})
    assert (held.state, held.step) == (RunState.RUNNING, 6)
    assert "process" in str(held.holder)
    assert status_of(experiment, {experiment.id}, folders.runs, {}).state is RunState.DONE
    for checkpoint in (folders.runs / experiment.name).glob("*.pt"):
        checkpoint.write_bytes(b"")
    with pytest.raises(UserError, match="all checkpoints are damaged"):
        status_of(experiment, (), folders.runs, {})


@pytest.mark.usefixtures("small_digits")
def test_a_diverged_run_is_not_to_be_trained_again(folders: Folders) -> None:
    endless = small(lr=1e30, warmup_epochs=0)
    with pytest.raises(Diverged):
        train_one(endless, CPU, folders, Silent())
    found = status_of(endless, (), folders.runs, {})
    assert (found.state, found.state.to_train, found.images_left) == (RunState.DIVERGED, False, 0)


def of_digits(record: Make, **values: object) -> Record:
    """Make a record of one epoch of the digits: 1,442 images."""
    plain = {"model": "densenet", "options": dict(small().options), "dataset": "digits", "recipe": "digits"}
    return record(**{**plain, "epochs": 1, "steps": 23, "device": HERE, "seconds": 14.42, **values})


def on_device(*records: Record, runtime: Runtime = CPU, times: tuple[StepTime, ...] = ()) -> Measurements:
    return measurements_on(HERE, runtime, records, times)


def test_time_is_estimated_from_the_best_measurement(record: Make) -> None:
    new = RunStatus(small(), RunState.MISSING)
    own = RunStatus(small(), RunState.STOPPED, step=23, seconds=7.21, device=HERE)
    same = of_digits(record)
    other = of_digits(record, id="1", options={**small().options, "k": 6}, epochs=10, steps=230, seconds=144.2)
    measured = on_device(same, other, times=(step_time(),))
    assert found(measured, own) == (pytest.approx(0.005), Basis.OWN, "its own steps so far")
    assert found(measured, replace(own, device="another"))[1] is Basis.RECORDS
    assert found(measured, new) == (pytest.approx(0.01), Basis.RECORDS, "1 record on this device")
    assert found(on_device(times=(step_time(),)), new, own)[2] == "steps so far of another seed"
    by_steps = 0.02 * (1 + 355 / 1442 / 3)
    assert found(on_device(other, times=(step_time(),)), new) == (
        pytest.approx(by_steps),
        Basis.STEPS,
        "step time on this device",
    )
    seconds, basis, text = found(on_device(other), new)
    assert (basis, text, basis.guess) == (Basis.RATE, "guess from FLOPs (1 record on this device)", True)
    assert 0.3 < seconds / 0.01 < 0.9  # k = 4 needs about half the FLOPs of k = 6
    assumed = "guess from FLOPs (0.15 TFLOP/s assumed)"
    assert found(on_device(), new)[2] == assumed
    assert found(on_device(replace(other, seconds=59.0)), new)[2] == assumed  # it mostly started
    large = RunStatus(experiment_for("resnet152", {}, seed=0), RunState.MISSING)
    assert found(on_device(other), large)[2] == assumed  # whose steps are much larger
    on_gpu = measurements_on("Some GPU", CPU, [same], [])
    assert found(on_gpu, new)[2] == "guess from FLOPs (5 TFLOP/s assumed)"


def found(measured: Measurements, status: RunStatus, *seeds: RunStatus) -> tuple[float, Basis, str]:
    time = measured.image_time(status, together=False, seeds=seeds)
    return time.seconds, time.basis, time.text


def step_time() -> StepTime:
    what = {"model": "densenet", "options": dict(small().options), "dataset": "digits", "device": HERE}
    about = {"measurement": "0", "table": "t", "row": "r", "threads": 2, "precision": "fp32", "windows": 5}
    when = {"torch": "2", "version": "0", "commit": "", "started": ""}
    return StepTime(batch=64, seconds=1.28, fastest=1.0, slowest=2.0, **what, **about, **when)  # type: ignore[arg-type]


def test_records_with_the_same_switches_come_first(record: Make) -> None:
    slow, fast = of_digits(record), of_digits(record, seconds=1.442, runtime={"precision": "bf16"}, precision="bf16")
    new = RunStatus(small(), RunState.MISSING)
    in_bf16 = replace(CPU, precision="bf16")
    assert found(on_device(slow, fast, runtime=in_bf16), new)[0] == pytest.approx(0.001)
    assert found(on_device(slow, runtime=in_bf16), new)[2] == "1 record on this device, other switches"


def test_seeds_trained_at_once_share_their_time(record: Make) -> None:
    both = [of_digits(record, id=str(seed), seed=seed, runtime={"side_by_side": True}) for seed in range(2)]
    measured = on_device(*both, runtime=replace(CPU, together="stacked"))
    time = measured.image_time(RunStatus(small(), RunState.MISSING), together=measured.seeds_at_once(small(), 2) > 1)
    assert (time.seconds, time.text) == (pytest.approx(0.005), "2 records on this device")
    assert measured.seeds_at_once(small(dropout=0.1), 2) == 1
    assert on_device().seeds_at_once(small(), 2) == 1


@pytest.mark.parametrize(
    ("runtime", "experiment", "number"),
    [
        (Runtime(), {}, DEFAULT_BRANCHES),
        (Runtime(at_once=2), {}, 2),
        (Runtime(together="stacked"), {}, 5),
        (Runtime(together="stacked", at_once=4), {}, 4),
        (Runtime(together="off"), {}, 1),
        (Runtime(together="stacked", save_memory=True), {}, 1),
        (Runtime(together="stacked"), {"schedule": "plateau"}, 1),
        (Runtime(), {"schedule": "plateau"}, DEFAULT_BRANCHES),
        (Runtime(), {"dropout": 0.2}, 1),
        (Runtime(), {"dataset": "coco"}, 1),
    ],
)
def test_on_a_gpu_as_many_seeds_are_planned_at_once_as_are_trained(
    runtime: Runtime, experiment: dict[str, object], number: int
) -> None:
    on_gpu = measurements_on("NVIDIA H100 80GB HBM3", runtime, (), ())
    assert on_gpu.seeds_at_once(small(**experiment), 5) == number


def test_memory_is_the_recorded_peak_or_an_estimate(record: Make) -> None:
    estimate = memory_of(small(), DEMAND, on_device(), 1)
    assert (estimate.bytes, estimate.measured) == (3 * 4 * 1000 + 1.5 * 10 * small().recipe.batch, False)
    measured = on_device(of_digits(record, peak_bytes=123))
    assert memory_of(small(), DEMAND, measured, 1).bytes == 123
    stacked = replace(measured, runtime=replace(CPU, together="stacked"))
    assert not memory_of(small(), DEMAND, stacked, 3).measured  # nothing was trained at once


LARGE, LARGE_IN_SMALL_BATCHES = "fb-resnet-imagenet", "miru2020-imagenet-mobilenetv2"  # 224 pixels; 256 and 64 images


def resnet34(recipe_name: str = "miru2020-imagenet-resnet34", **changes: object) -> Experiment:
    """Return ResNet-34 on ImageNet, by default with 64 images of 160x160 pixels."""
    made = experiment_for("resnet34", {}, seed=0, recipe_name=recipe_name)
    return replace(made, recipe=replace(made.recipe, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trained", "wanted", "basis", "seconds", "memory"),
    [
        (resnet34(), resnet34(), Basis.RECORDS, 1.0, True),
        (resnet34(), resnet34(LARGE), Basis.RATE, (224 / 160) ** 2, False),
        (resnet34(LARGE), resnet34(), Basis.RATE, (160 / 224) ** 2, False),
        (resnet34(LARGE), resnet34(LARGE_IN_SMALL_BATCHES), Basis.RECORDS, 1.0, False),
        (resnet34(batch=32), resnet34(), Basis.RATE, 1.0, False),
        (resnet34(scaled_crop=224), resnet34(), Basis.STATED, None, False),
    ],
)
def test_a_record_counts_for_images_of_its_size_and_its_peak_for_batches_of_its_size(
    record: Make, trained: Experiment, wanted: Experiment, basis: Basis, seconds: float | None, memory: bool
) -> None:
    images = trained.train_images
    facts = {"epochs": 1, "steps": images // trained.recipe.batch, "seconds": float(images)}
    measured = on_device(record_of(record, trained, device=HERE, peak_bytes=8, **facts))
    time = found(measured, RunStatus(wanted, RunState.MISSING))
    assert time[1] is basis
    assert seconds is None or time[0] == pytest.approx(seconds, rel=0.05)
    assert memory_of(wanted, DEMAND, measured, 1).measured is memory


def test_a_record_of_another_version_may_have_images_of_another_size(record: Make) -> None:
    trained = resnet34()
    facts = {"epochs": 1, "steps": 100, "seconds": 100.0, "deviations": ["another version of its recipe"]}
    measured = on_device(replace(record_of(record, trained, device=HERE), **facts))
    assert found(measured, RunStatus(trained, RunState.MISSING))[1] is Basis.STATED


def test_a_step_time_counts_for_whole_images() -> None:
    timed = on_device(times=(replace(step_time(), model="resnet34", options={}, dataset="imagenet"),))
    assert found(timed, RunStatus(resnet34(LARGE), RunState.MISSING))[1] is Basis.STEPS
    assert found(timed, RunStatus(resnet34(), RunState.MISSING))[1] is Basis.STATED


@pytest.mark.usefixtures("small_digits")
def test_disk_is_that_of_two_checkpoints(folders: Folders) -> None:
    """A wide network, whose weights are most of its checkpoint."""
    wide = experiment_for("densenet", {"depth": 7, "k": 24}, seed=0, dataset="digits", epochs=2)
    with pytest.raises(Stopped):
        train_one(wide, CPU, folders, stop_at(1))
    written = (folders.runs / wide.name / NEWEST).stat().st_size
    demand = demand_of(Subject(wide.model, wide.options, (3, 32, 32), 10))
    assert disk_bytes(wide, demand) == pytest.approx(2 * written, rel=0.15)


def test_a_device_is_found_by_a_part_of_its_name(record: Make) -> None:
    records = [record(device=each) for each in ("CPU A, 1 thread", "CPU A, 2 threads", "NVIDIA H100", "CPU A; CPU B")]
    assert device_called("h100", records, []) == "NVIDIA H100"
    assert device_called("cpu a, 2", records, []) == "CPU A, 2 threads"
    assert device_called("MI300", records, []) == "MI300"
    with pytest.raises(UserError, match=r"fits several devices; choose CPU A, 1 thread or CPU A, 2 threads$"):
        device_called("CPU A", records, [])


DRY = ("table", "resnet-cifar", "--rows", "ResNet-20", "--run", "--dry-run", "--device-name", "A100")


@pytest.fixture
def no_results(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, as if no results were shipped."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path_factory.mktemp("shipped")
    monkeypatch.setattr("repro.store.results.shipped_results", lambda: folder)


@pytest.mark.usefixtures("no_results")
def test_a_dry_run_lists_what_run_would_train(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, err = repro(capsys, *DRY, "--seeds", 2, "--format", "json")
    assert status == 0, err
    answer = json.loads(out)
    (row,) = answer["rows"]
    table = read_table("resnet-cifar")
    wanted = missing(Selection(table, table.matching("ResNet-20")), default_folders(), RunsPerRow(2))
    assert [each["id"] for each in row["runs"]] == [each.id for each in wanted]
    assert answer["totals"]["missing"] == len(wanted) == row["missing"] == 2
    assert answer["totals"]["device_hours"] * 3600 == pytest.approx(sum(each["seconds"] for each in row["runs"]))
    assert answer["totals"]["disk_bytes"] == row["disk_bytes"] == 2 * 2 * 8 * 269_722
    assert row["deciding_seeds"] == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_results")
def test_the_answer_ends_with_the_command_that_trains(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = repro(capsys, *DRY, "--seeds", 2, "--precision", "bf16")
    assert status == 0, err
    assert err.splitlines()[-1] == "next: repro table resnet-cifar --run --rows ResNet-20 --seeds 2 --precision bf16"
    lines = [line.strip() for line in out.splitlines()]
    assert lines[-4:-1] == [
        "2 runs: 2 missing.",
        "To train: 13 min of device time on A100, all of it guessed.",
        "Needed: 8.2 MiB for checkpoints, at most 889.9 MiB of memory (estimate from activations).",
    ]


def test_the_seeds_that_would_decide_a_row_are_trained_next(capsys: pytest.CaptureFixture[str]) -> None:
    plan = ("table", "cifar100", "--rows", "ResNet-110", "--run", "--dry-run", "--device-name", "A100")
    answer = json.loads(repro(capsys, *plan, "--format", "json")[1])
    seeds = answer["rows"][0]["deciding_seeds"]
    assert seeds > answer["rows"][0]["done"] == 1
    following = f"next: repro table cifar100 --run --rows ResNet-110 --seeds {seeds}"
    first, *_, last = repro(capsys, *plan)[2].splitlines()
    assert first == "nothing was measured on a device called A100, so all of its times are guessed"
    assert last == following


def test_without_runs_to_train_the_table_is_drawn_with_its_results(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plan = (*DRY[:2], "--rows", "ResNet-32", "--run", "--dry-run", "--seeds", 1, "--results")
    following = "next: repro figure curves resnet-cifar --rows ResNet-32"
    assert repro(capsys, *plan, tmp_path)[2].splitlines()[-1] == f"{following} --results {tmp_path}"
    assert repro(capsys, *plan, tmp_path / "none")[2].splitlines()[-1] == following
    following = f"{following} --data own --results {tmp_path}"
    assert repro(capsys, *plan, tmp_path, "--data", "own")[2].splitlines()[-1] == following


def test_all_tables_are_planned(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """WRN-40-4 is a row of several tables; a run that two of them need counts once."""
    file = tmp_path / "plan.csv"
    assert repro(capsys, "plan", "--rows", "WRN-40-4", "--device-name", "H100", "--output", file)[0] == 0
    lines = file.read_text().splitlines()
    assert len({line.split(",")[0] for line in lines[1:]}) > 1
    _, out, _ = repro(capsys, "plan", "--rows", "WRN-40-4", "--device-name", "H100", "--format", "json")
    answer = json.loads(out)
    ids = [run["id"] for row in answer["rows"] for run in row["runs"]]
    assert answer["totals"]["missing"] == len(set(ids))
    assert len(lines) == len(answer["rows"]) + 1


def test_planned_rows_of_one_label_are_told_apart(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = ("--rows", "DenseNet (k = 12)", "--run", "--dry-run", "--seeds", 1, "--device-name", "H100")
    words = ("table", "densenet-cifar", *rows, "--results", tmp_path)
    status, out, err = repro(capsys, *words, "--format", "json")
    assert status == 0, err
    names = {"DenseNet (k = 12), Depth 40", "DenseNet (k = 12), Depth 100"}
    assert {row["row"] for row in json.loads(out)["rows"]} == names
    lines = csv.DictReader(io.StringIO(repro(capsys, *words, "--format", "csv")[1]))
    assert {line["row"] for line in lines} == names


def test_needed_runs_are_seeds_with_a_recipe() -> None:
    (error,) = read_table("resnet-cifar").errors(read_table("resnet-cifar").matching("ResNet-110"))
    assert [each.seed for each in needed(error, AS_PUBLISHED)] == [0, 1, 2, 3, 4]  # as many as the paper ran
    assert [each.recipe.epochs for each in needed(error, RunsPerRow(1, 3))] == [3]
    assert needed(replace(error, recipe=None), AS_PUBLISHED) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["table", "cifar100", "--dry-run"], "--dry-run requires --run: it shows what --run would train"),
        (["table", "--run", "--dry-run"], "--run requires the name of a table"),
        (["table", "wrn-times", "--run", "--dry-run", "--time"], "--dry-run and --time exclude each other"),
        (["table", "cifar100", "--run", "--dry-run", "--check"], "--dry-run and --check exclude each other"),
        (["table", "cifar100", "--run", "--device-name", "H100"], "--device-name requires --run --dry-run"),
        (["table", "cifar100", "--run", "--dry-run", "--format", "md"], "this output has no format md; choose rich"),
        (["plan", "--output", "plan.tex"], "this output has no format latex; choose rich, csv or json"),
        (["plan", "--rows", "zzz"], "no row of any table matches 'zzz'"),
        (["plan", "--device", "cpu", "--device-name", "H100"], "--device and --device-name exclude each other"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = repro(capsys, *words)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert line in err
    assert list(tmp_path.iterdir()) == []
