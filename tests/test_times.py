"""Printed times and ours: as ratios to one row, measured together, without a verdict."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from records import judgements

from repro.api.tables import compared
from repro.benchmark.random_images import random_data
from repro.benchmark.steps import ROUNDS, measure_steps, step_experiment
from repro.benchmark.variants import endless
from repro.campaign.timing import measure_times
from repro.cli.output import show
from repro.comparison.join import Comparison, compare
from repro.comparison.pooling import pooled_over
from repro.comparison.spread import PRINTED_SPREAD
from repro.comparison.times import IN_TURN, OF_RUNS
from repro.errors import UserError
from repro.experiment import experiment_for
from repro.models import spec_of
from repro.report import Report, ReportFormat
from repro.report.notes import time_lines
from repro.runtime import Runtime
from repro.store.results import Record
from repro.store.step_times import StepTime, append_times, read_times
from repro.tables import Selection, Table, parse_table, read_table, table_names
from repro.training.engine.engine import Engine
from repro.training.tasks.in_memory import InMemoryClassification

Make = Callable[..., Record]
BLOCKS = read_table("wrn-blocks")
TINY = """
title = "Table 0"
caption = "Made up"
paper = "Nobody"
source = "Nowhere"
dataset = "digits"
flops_convention = "macs"

[[columns]]
key = "params"
label = "Params"
kind = "params"

[[columns]]
key = "took"
label = "Time s"
kind = "time"
batch = 8

[[rows]]
label = "narrow"
model = "densenet"
options = { depth = 7, k = 4 }
cells = { took = "2.0" }

[[rows]]
label = "quoted"
cells = { took = "3.0" }

[[rows]]
label = "wide"
model = "densenet"
options = { depth = 7, k = 6 }
cells = { took = "5.0" }
"""


@pytest.fixture
def tiny_table(tmp_path: Path) -> Callable[..., Table]:
    """Write a table of two networks that take milliseconds, and read it."""

    def make(old: str = "", new: str = "") -> Table:
        path = tmp_path / "tiny.toml"
        path.write_text(TINY.replace(old, new, 1))
        return parse_table(path)

    return make


def measured(seconds: dict[str, float], table: Table = BLOCKS, **changes: object) -> list[StepTime]:
    """Return a made-up measurement of some rows, by label."""
    facts: dict[str, object] = {
        "measurement": "a",
        "table": table.name,
        "batch": 128,
        "windows": 5,
        "device": "CPU",
        "threads": 2,
        "precision": "fp32",
        "torch": "2.15",
        "version": "0.1.0",
        "commit": "",
        "started": "2026-01-01T00:00:00+00:00",
    }
    return [
        StepTime(  # type: ignore[arg-type]
            row=row.label,
            model=str(row.model),
            options=table.options(row),
            dataset=table.dataset,
            seconds=seconds[row.label],
            fastest=0.9 * seconds[row.label],
            slowest=1.1 * seconds[row.label],
            **{**facts, **changes},
        )
        for row in table.rows
        if row.label in seconds
    ]


def row_data(comparison: Comparison, number: int) -> dict[str, Any]:
    """Return what JSON shows of a row."""
    return json.loads(Report([comparison], [], summary=False).text("json"))["rows"][number]


def ratios(comparison: Comparison) -> dict[str, float | None]:
    return {each.row.label: each.times["time"].ratio for each in comparison.rows}


def test_printed_times_are_shown_as_ratios_to_the_first_row() -> None:
    cells = [row.times["time"] for row in compare(BLOCKS, []).rows]
    assert [cell.published for cell in cells] == ["85.8", "67.5", "72.2", "82.2", "67.5", "59.9"]
    assert [cell.published_ratio for cell in cells] == pytest.approx(
        [1, 67.5 / 85.8, 72.2 / 85.8, 82.2 / 85.8, 67.5 / 85.8, 59.9 / 85.8]
    )
    assert {cell.ratio for cell in cells} == {None}


def test_a_quoted_row_has_its_printed_ratio_and_none_of_ours() -> None:
    table = read_table("wrn-imagenet")
    quoted = compare(table, []).rows[-1].times["time"]
    assert (quoted.reference, quoted.published_ratio, quoted.ratio) == ("ResNet-50", 154 / 49, None)


def test_the_reference_row_is_named_or_the_first_one_shown(tiny_table: Callable[..., Table]) -> None:
    named = tiny_table("batch = 8", 'batch = 8\nreference = "wide"')
    assert Selection(named, named.rows).reference == named.rows[2]
    assert Selection(named, named.rows[:2]).reference == named.rows[0]
    assert [row.times["took"].published_ratio for row in compare(named, []).rows] == [0.4, 0.6, 1.0]


def test_a_ratio_of_printed_times_has_their_units(tiny_table: Callable[..., Table]) -> None:
    rows = compare(tiny_table('"5.0"', '"1.2k"'), []).rows
    assert [row.times["took"].published_ratio for row in rows] == [1.0, 1.5, 600.0]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("batch = 8", 'reference = "quoted"', "column 2 (took): unknown reference 'quoted'; known: narrow, wide"),
        ("batch = 8", 'batch = "8"', "column 2 (took): batch is '8', not a whole number"),
        (
            'kind = "params"',
            'kind = "params"\nbatch = 8',
            "(params): batch belongs to a column of kind 'time'",
        ),
        ('"2.0"', '"0.0"', "row 1 (narrow): cell took is '0.0', but a time is above 0; leave the cell out"),
        ('"params"\nlabel = "Params"\nkind = "params"', '"x"\nlabel = "x"\nkind = "time"', "two columns are of kind"),
    ],
)
def test_malformed_times_are_refused(tiny_table: Callable[..., Table], old: str, new: str, reason: str) -> None:
    with pytest.raises(UserError) as error:
        tiny_table(old, new)
    assert reason in str(error.value)


def test_our_ratios_are_between_rows_measured_together() -> None:
    first = measured({"B(1,3,1)": 2.0, "B(3,1)": 1.0, "B(3,3)": 1.5})
    other = measured({"B(1,3)": 100.0}, measurement="b", device="slow")
    found = ratios(compare(BLOCKS, [], [*first, *other]))
    assert {label: ratio for label, ratio in found.items() if ratio} == {"B(1,3,1)": 1.0, "B(3,1)": 0.5, "B(3,3)": 0.75}


def test_the_newest_measurement_of_the_most_rows_is_shown() -> None:
    two = {"B(1,3,1)": 2.0, "B(3,1)": 1.0}
    old = measured(two)
    new = measured({"B(1,3,1)": 2.0, "B(3,1)": 1.8}, measurement="b", started="2026-02-01T00:00:00+00:00")
    assert ratios(compare(BLOCKS, [], [*new, *old]))["B(3,1)"] == 0.9
    more = measured({**two, "B(3,3)": 1.0}, measurement="c", started="2025-01-01T00:00:00+00:00")
    assert ratios(compare(BLOCKS, [], [*new, *old, *more]))["B(3,1)"] == 0.5
    assert ratios(compare(BLOCKS, [], [*more, *new], shown=BLOCKS.rows[:2]))["B(3,1)"] == 0.9


@pytest.mark.parametrize("changes", [{"table": "wrn-width"}, {"options": {"depth": 10}}, {"dataset": "cifar100"}])
def test_a_time_of_another_network_table_or_data_set_is_not_shown(changes: dict[str, object]) -> None:
    times = [replace(each, **changes) for each in measured({"B(1,3,1)": 2.0, "B(3,1)": 1.0})]  # type: ignore[arg-type]
    assert set(ratios(compare(BLOCKS, [], times)).values()) == {None}


@pytest.mark.parametrize(("batch", "ratio"), [(8, 2.5), (16, None)])
def test_a_time_of_another_batch_than_the_printed_one_is_not_shown(
    tiny_table: Callable[..., Table], batch: int, ratio: float | None
) -> None:
    table = tiny_table()
    rows = compare(table, [], measured({"narrow": 1.0, "wide": 2.5}, table, batch=batch)).rows
    assert rows[-1].times["took"].ratio == ratio


def test_without_the_reference_row_there_is_no_ratio() -> None:
    comparison = compare(BLOCKS, [], measured({"B(3,1)": 1.0}))
    assert set(ratios(comparison).values()) == {None}
    assert time_lines(comparison)[1] == "Time s: ours not measured; repro table wrn-blocks --time measures it"


@pytest.fixture
def block_run(record: Make) -> Make:
    """Make a run of a row of BLOCKS with a given number of seconds per epoch."""

    def make(place: int, seconds: float, seed: int = 0, **changes: object) -> Record:
        options = BLOCKS.options(BLOCKS.rows[place])
        experiment = experiment_for("wrn", options, seed=seed, recipe_name="wrn-cifar10-zca")
        facts = {"model": "wrn", "options": options, "dataset": "cifar10", "recipe": "wrn-cifar10-zca"}
        length = {"steps": 200 * 391, "seconds": 200 * seconds, "seed": seed, "id": experiment.id}
        return record(**{**facts, **length, **changes})

    return make


def test_runs_on_one_device_give_times_too(block_run: Make) -> None:
    runs = [block_run(0, 80.0), block_run(1, 60.0), block_run(1, 64.0, seed=1), block_run(1, 90.0, seed=2)]
    comparison = compare(BLOCKS, runs)
    cell = comparison.rows[1].times["time"]
    assert (cell.ratio, cell.seconds) == (pytest.approx(64 / 80), pytest.approx(64 / 391))
    assert cell.timing is not None
    assert cell.timing.how == OF_RUNS
    steps = measured({"B(1,3,1)": 2.0, "B(3,1)": 1.0})
    assert ratios(compare(BLOCKS, runs, steps))["B(3,1)"] == 0.5  # from steps measured in turn, not from runs


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "CPU of another kind"},
        {"precision": "bf16"},
        {"torch": "2.12"},
        {"runtime": {"compile": True}},
        {"runtime": {"side_by_side": True}},
        {"device": "NVIDIA H200", "runtime": {"side_by_side": None}},
        {"deviations": ["batch=64 (128)"]},
    ],
)
def test_a_run_under_other_conditions_is_not_compared(block_run: Make, changes: dict[str, object]) -> None:
    assert ratios(compare(BLOCKS, [block_run(0, 80.0), block_run(1, 60.0, **changes)]))["B(3,1)"] is None


def test_frequent_checkpoints_are_not_a_different_condition(block_run: Make) -> None:
    runs = [block_run(0, 80.0), block_run(1, 60.0, runtime={"checkpoint_seconds": 1.0})]
    assert ratios(compare(BLOCKS, runs))["B(3,1)"] == pytest.approx(0.75)


def test_a_busy_machine_is_reported_and_a_steady_measurement_is_preferred() -> None:
    two = {"B(1,3,1)": 2.0, "B(3,1)": 1.0}
    newer = [replace(each, fastest=each.seconds / 4) for each in measured(two, measurement="b", started="2027")]
    busy = compare(BLOCKS, [], newer)
    assert "the median window of a row took 4.0 times as long as its fastest" in time_lines(busy)[-1]
    assert row_data(busy, 1)["measured"]["time"]["spread"] == pytest.approx(4)
    both = compare(BLOCKS, [], [*newer, *measured({"B(1,3,1)": 2.0, "B(3,1)": 1.5})])
    assert ratios(both)["B(3,1)"] == 0.75
    assert not any("busy" in line for line in time_lines(both))


def test_times_change_no_verdict(block_run: Make) -> None:
    """Neither those of steps nor those of the runs that are judged."""
    errors = (5.6, 5.7, 5.9)
    slow, fast = (
        [block_run(1, seconds, seed=seed, error=error) for seed, error in enumerate(errors)] for seconds in (90.0, 1.0)
    )
    spread = pooled_over([BLOCKS], slow)
    assert spread == pooled_over([BLOCKS], fast)
    assert spread.degrees == PRINTED_SPREAD.degrees + 2
    times = measured({"B(1,3,1)": 2.0, "B(3,1)": 9.0})
    without, *others = (
        compare(BLOCKS, runs, taken, spread=spread) for runs, taken in ((slow, []), (slow, times), (fast, times))
    )
    assert without.rows[1].errors["error"].margin is not None
    for each in others:
        assert judgements(each) == judgements(without)
        assert [row.mismatches for row in each.rows] == [row.mismatches for row in without.rows]


def test_a_network_that_got_an_option_keeps_its_measured_times() -> None:
    usual = spec_of("wrn").options
    older = [
        replace(each, options={name: value for name, value in each.options.items() if value != usual[name]})
        for each in measured({"B(1,3,1)": 2.0, "B(3,1)": 1.0})
    ]
    assert all(each.options.keys() < usual.keys() for each in older)
    assert ratios(compare(BLOCKS, [], older))["B(3,1)"] == 0.5
    other = [replace(each, options={**each.options, "depth": 10}) for each in older]
    assert ratios(compare(BLOCKS, [], other))["B(3,1)"] is None


def test_every_format_shows_both_ratios() -> None:
    comparison = compare(BLOCKS, [], measured({"B(1,3,1)": 2.0, "B(3,1)": 1.0}))
    row = row_data(comparison, 1)
    assert row["published"]["time"] == "67.5"
    time = row["measured"]["time"]
    assert (time["seconds"], time["ratio"], time["device"], time["how"]) == (1.0, 0.5, "CPU", IN_TURN)
    assert time["published_ratio"] == pytest.approx(67.5 / 85.8)
    assert "verdict" not in time
    line = list(csv.DictReader(io.StringIO(Report([comparison], [], summary=False).text("csv"))))[1]
    figures = [line[f"time {each}"] for each in ("paper", "paper ratio", "ours s a step", "ours ratio", "device")]
    assert figures == ["67.5", "0.7867", "1.0", "0.5", "CPU"]
    for format in ("md", "latex", "html"):
        assert "67.5 (0.79)" in Report([comparison], [], summary=False).text(format)
    shown = Report([comparison], [], summary=False).text("rich")
    assert re.search(r"67\.5 \(0\.79\) +\(0\.50\)", shown)
    assert "the ratio to B(1,3,1); it depends on the hardware, so there is no verdict" in shown
    assert "2 s for a step of 128 images of B(1,3,1); CPU, fp32, 2026-01-01" in shown
    unmeasured = Report([compare(BLOCKS, [])], [], summary=False).text("csv")
    assert [line["time ours ratio"] for line in csv.DictReader(io.StringIO(unmeasured))] == [""] * 6


def test_times_survive_the_file(tmp_path: Path) -> None:
    first, second = measured({"B(1,3,1)": 2.0, "B(3,1)": 1.0}), measured({"B(3,3)": 1.5}, measurement="b")
    append_times(first, tmp_path)
    append_times(second, tmp_path)
    assert read_times([tmp_path, tmp_path / "none"]) == [*first, *second]
    with (tmp_path / "times.csv").open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(UserError, match=r"times\.csv, line 5: not a measured time"):
        read_times([tmp_path])


def test_steps_are_really_measured(
    tiny_table: Callable[..., Table],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("repro.benchmark.steps.WINDOW_SECONDS", 0.01)
    table = tiny_table()
    measure_times(Selection(table, table.rows), Runtime(device="cpu"), tmp_path)
    narrow, wide = read_times([tmp_path])
    assert (narrow.row, wide.row, narrow.measurement) == ("narrow", "wide", wide.measurement)
    for each in (narrow, wide):
        assert 0 < each.fastest <= each.seconds <= each.slowest
        assert (each.batch, each.windows, each.dataset, each.precision) == (8, ROUNDS, "digits", "fp32")
        assert each.device.startswith("CPU")
    comparisons = compared([Selection(table, table.rows)], tmp_path)
    show(Report(comparisons, [], summary=False), ReportFormat.JSON, None)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["measured"].get("took", {}).get("ratio") for row in rows] == [
        1.0,
        None,
        pytest.approx(wide.seconds / narrow.seconds),
    ]


def test_a_step_has_the_printed_batch_and_the_recipes_dropout() -> None:
    bottleneck = step_experiment(read_table("wrn-imagenet"), read_table("wrn-imagenet").rows[3])
    assert (bottleneck.model, bottleneck.recipe.batch) == ("wrn50-2-bottleneck", 16)
    block = step_experiment(BLOCKS, BLOCKS.rows[0])
    assert (block.recipe.batch, dict(block.options)) == (128, BLOCKS.options(BLOCKS.rows[0]))


def test_a_step_changes_no_weight(tiny_table: Callable[..., Table]) -> None:
    """Otherwise the network would learn the random images, and later steps would be different work."""
    table, runtime, device = tiny_table(), Runtime(device="cpu"), torch.device("cpu")
    experiment = step_experiment(table, table.rows[0])
    task = InMemoryClassification(experiment.recipe, random_data("digits", 8), runtime, device)
    engine = Engine([experiment], runtime, task, device)
    before = [each.clone() for each in engine.networks.parameters()]
    steps = endless(engine)
    assert [next(steps) for _ in range(3)] == [8, 8, 8]
    assert all(torch.equal(*each) for each in zip(before, engine.networks.parameters(), strict=True))


def test_a_row_without_a_batch_size_is_not_measured(tiny_table: Callable[..., Table]) -> None:
    table = tiny_table("batch = 8\n")
    with pytest.raises(UserError, match="neither the column took nor a recipe gives the batch size of narrow"):
        measure_steps(Selection(table, table.rows), Runtime(device="cpu"))


def test_every_printed_time_of_a_network_can_be_measured() -> None:
    tables = [read_table(name) for name in table_names()]
    batches = {
        table.name: [step_experiment(table, row).recipe.batch for row in table.rows if table.is_timed(row)]
        for table in tables
        if table.time
    }
    assert batches == {"wrn-blocks": [128] * 6, "wrn-imagenet": [16] * 4, "wrn-times": [32] * 5}
