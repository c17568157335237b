"""`repro table NAME --try`: alternatives of inferred values are trained for the rows whose error differs."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from commands import refused, repro
from records import record_of
from short_paper import Write
from watching import Silent, stop_at

from repro.comparison.alternatives import Trial, TriedAlternative
from repro.comparison.alternatives import tried as tried_alternative
from repro.comparison.join import Comparison, compare
from repro.comparison.rule import Judgement
from repro.comparison.verdict import Verdict
from repro.recipes import RECIPES
from repro.recipes.alternatives import Alternative, alternatives_of
from repro.report import ReportFormat
from repro.report.alternatives import AlternativesReport
from repro.store.results import Record
from repro.tables.reading import read_table
from repro.training.progress import watcher as progress

RECIPE = """
[recipes.short]
extends = "digits"
summary = "A few epochs on the digits, with a learning rate that is too low."
paper = "Mine"
epochs = { value = 3, source = "printed" }
warmup_epochs = { value = 0, source = "printed" }
lr = { value = 1e-5, source = "inferred", note = "a typing error", alternatives = [0.1] }
weight_decay = { value = 5e-4, source = "inferred", note = "or none", alternatives = [0] }
"""
TABLE = """
title = "Table 1"
caption = "Test error on the digits"
paper = "Mine"
source = "Mine, Table 1"
dataset = "digits"
flops_convention = "macs"
columns = [{ key = "error", label = "Error %", kind = "error", recipe = "short" }]
[[rows]]
label = "Narrow"
model = "densenet"
options = { depth = 7, k = 4 }
cells = { error = "50.0" }
[[rows]]
label = "Chance"
model = "densenet"
options = { depth = 7, k = 6 }
cells = { error = "90.0" }
[[rows]]
label = "Later"
model = "densenet"
options = { depth = 7, k = 8 }
cells = { error = "90.0" }
"""
Capsys = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("small_digits")


def tried(capsys: Capsys, *more: object) -> tuple[list[dict[str, Any]], str]:
    """Return the alternatives that `repro table mine --try` shows, and what it says on stderr."""
    status, out, err = repro(capsys, "table", "mine", "--try", *more, "--format", "json")
    assert status == 0, err
    found: list[dict[str, Any]] = json.loads(out)["alternatives"]
    return found, err


def records() -> list[dict[str, str]]:
    with Path("results/runs.csv").open() as lines:
        return list(csv.DictReader(lines))


def verdicts(table: str) -> list[tuple[str, str]]:
    """Return the numbers of runs and the verdicts of a table in CSV."""
    return [(line["error n"], line["verdict"]) for line in csv.DictReader(io.StringIO(table))]


@pytest.mark.slow
def test_the_alternatives_of_a_row_that_differs_are_tried(
    write: Write, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("papers/mine", table=TABLE, recipe=RECIPE)
    for row in ("Narrow", "Chance"):
        last = repro(capsys, "table", "mine", "--rows", row, "--run")[2].splitlines()[-1]
        command = "repro table mine --try" if row == "Narrow" else "repro table mine --run --dry-run"
        assert last == f"next: {command} --rows {row}"
    before = repro(capsys, "table", "mine", "--format", "csv")[1]

    with monkeypatch.context() as patch:  # stopped in the run of the second alternative
        patch.setattr(progress, "watcher", lambda: stop_at(5) if len(records()) == 3 else Silent())
        status, out, err = repro(capsys, "table", "mine", "--try")
    assert (status, out) == (130, "")
    assert "run the same command again to resume" in err
    monkeypatch.setattr(progress, "watcher", Silent)
    found, err = tried(capsys)
    assert "left out, since no difference was found: Chance (too few runs), Later (not measured)\n" in err
    assert "mine: 2 alternatives, 1 run to train\n" in err

    names = ("row", "value", "recipe_value", "alternative", "within_margin", "seeds_recipe", "seeds_alternative")
    assert [tuple(each[name] for name in names) for each in found] == [
        ("Narrow", "lr", 1e-5, 0.1, True, [0], [0]),
        ("Narrow", "weight_decay", 5e-4, 0, False, [0], [0]),
    ]
    errors = {each["deviations"]: float(each["error"]) for each in records() if each["model"] == "densenet"}
    assert found[0]["error_alternative"] == errors['["lr=0.1 (1e-05)"]'] < found[0]["error_recipe"] - 10
    assert found[0]["difference"] == found[0]["error_alternative"] - found[0]["error_recipe"]

    assert "0 runs to train" in tried(capsys)[1]
    assert len(records()) == 4
    assert records()[3]["sessions"] == "2"
    after = repro(capsys, "table", "mine", "--format", "csv")[1]
    assert verdicts(before) == verdicts(after)

    out = repro(capsys, "table", "mine", "--try")[1]
    assert [line.split()[:5] for line in out.splitlines() if "Narrow" in line] == [
        ["Narrow", "lr", "1e-05", "0.1", "50.0"],
        ["Narrow", "weight_decay", "0.0005", "0", "50.0"],
    ]
    (first, _) = csv.DictReader(io.StringIO(repro(capsys, "table", "mine", "--try", "--format", "csv")[1]))
    assert (first["alternative"], first["within margin"], first["seeds alternative"]) == ("0.1", "True", "0")
    assert repro(capsys, "table", "mine", "--rows", "Narrow")[2].endswith(
        "next: repro figure curves mine --rows Narrow\n"
    )


def test_runs_of_other_seeds_and_epochs_are_compared_with_the_recipe_at_the_same(
    write: Write, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "watcher", Silent)
    recipe = RECIPE.replace("alternatives = [0]", "alternatives = []").replace(
        'value = 3, source = "printed"', 'value = 3, source = "inferred", alternatives = [4]'
    )
    recipe += 'iterations = { value = 60, source = "inferred", alternatives = [50] }\n'
    write("papers/mine", table=TABLE, recipe=recipe)
    repro(capsys, "table", "mine", "--rows", "Narrow", "--run")
    found, err = tried(capsys, "--rows", "Narrow", "--seeds", 2, "--epochs", 1)
    assert "the alternatives of epochs, iterations of recipe short are left out, since --epochs is given\n" in err
    assert "mine: 1 alternative, 4 runs to train\n" in err
    (only,) = found
    assert (only["value"], only["seeds_recipe"], only["seeds_alternative"]) == ("lr", [0, 1], [0, 1])
    assert [each["deviations"] != "[]" for each in records()] == [False, True, True, True, True]


def test_without_a_difference_or_alternatives_nothing_is_trained(write: Write, capsys: Capsys) -> None:
    write("papers/mine", table=TABLE, recipe=re.sub(r", alternatives = .*]", "", RECIPE))
    found, err = tried(capsys)
    assert found == []
    assert "Narrow (not measured), Chance (not measured), Later (not measured)\n" in err
    _, out, err = repro(capsys, "table", "mine", "--try")
    assert (out, err.splitlines()[-1]) == ("", "next: repro table mine --run")
    assert repro(capsys, "table", "mine", "--try", "--format", "csv")[1].startswith("row,column,recipe,value,")
    repro(capsys, "table", "mine", "--rows", "Narrow", "--run")
    assert "recipe short lists no alternatives; see repro list recipes short\n" in tried(capsys)[1]
    assert len(records()) == 1


@pytest.mark.parametrize(
    ("alternatives", "other", "why"),
    [
        (
            'crop_padding = { value = 4, source = "inferred", alternatives = [32] }',
            'padding_mode = { value = "reflect", source = "printed" }',
            "crop_padding: the alternative 32 is invalid: crop_padding=32 is too large",
        ),
        (
            'milestones = { value = [1], of = 4, source = "inferred", alternatives = [[2]] }',
            'schedule = { value = "cosine", source = "printed" }',
            'milestones: the alternative 0.5 has no effect without schedule = "steps"',
        ),
    ],
)
def test_an_alternative_that_does_not_suit_the_images_or_the_recipe_is_refused(
    write: Write, capsys: Capsys, alternatives: str, other: str, why: str
) -> None:
    write("papers/mine", recipe=f"{RECIPE}{alternatives}\n{other}\n")
    assert f"recipe short: {why}" in refused(capsys, "list", "recipes", "--papers", "papers/mine")


def test_an_alternative_that_the_network_of_a_row_cannot_have_is_refused(write: Write, capsys: Capsys) -> None:
    auxiliary = 'auxiliary = { value = 0.0, source = "inferred", alternatives = [0.3] }\n'
    write("papers/mine", table=TABLE, recipe=RECIPE + auxiliary)
    reason = "densenet has no auxiliary classifiers, but its recipe needs auxiliary 0.3"
    line = refused(capsys, "table", "mine")
    assert f"row 1 (Narrow): the alternative auxiliary=0.3 of recipe short: {reason}" in line


def test_an_alternative_without_dropout_for_a_network_with_its_own_is_refused(write: Write, capsys: Capsys) -> None:
    recipe = '[recipes.short]\nextends = "vgg16-imagenet"\nsummary = "Also without dropout."\npaper = "Mine"\n'
    recipe += 'dropout = { value = 0.5, source = "inferred", alternatives = [0.0] }\n'
    row = '[[rows]]\nlabel = "D"\nmodel = "vgg16"\ncells = { error = "25.6" }\n'
    table = TABLE.partition("[[rows]]")[0].replace('dataset = "digits"', 'dataset = "imagenet"')
    write("papers/mine", table=table + row, recipe=recipe)
    line = refused(capsys, "table", "mine")
    assert "row 1 (D): the alternative dropout=0.0 of recipe short: dropout=0 leaves the dropout of vgg16" in line


def test_a_recipe_is_listed_with_its_alternatives(write: Write, capsys: Capsys) -> None:
    write("papers/mine", recipe=RECIPE)
    lines = repro(capsys, "list", "recipes", "short")[1].splitlines()
    assert [line.split()[:3] for line in lines if " lr " in line] == [["lr", "1e-05", "0.1"]]
    values = json.loads(repro(capsys, "list", "recipes", "short", "--format", "json")[1])["values"]
    assert (values["lr"]["alternatives"], "alternatives" in values["batch"]) == ([0.1], False)
    assert "Alternatives" not in repro(capsys, "list", "recipes", "digits")[1]


def report_of(alternative: Alternative, expected: float = 0.0, changed: float = 8.1) -> AlternativesReport:
    """Return the report on one alternative for the first error of ResNet on CIFAR-10, which is 8.0 with the recipe."""
    error = read_table("resnet-cifar").errors()[0]
    judgement = Judgement(Verdict.TOO_FEW, expected=expected, margin=0.53, at_most=1.0, bound=0.6)
    trial = Trial(error, alternative, seeds=(0,), epochs=None)
    tried = TriedAlternative(trial, 8.0, (0,), changed, (0,), changed - 8.0, judgement)
    return AlternativesReport(cast(Comparison, SimpleNamespace(table=error.table)), [tried])


@pytest.mark.parametrize(
    ("seeds", "difference"),
    [([1, 2], pytest.approx(-1.0)), ([0, 1, 2], pytest.approx(-4 / 3)), ([3], None), ([], None)],
)
def test_the_difference_is_over_the_seeds_that_have_both_runs(
    record: Callable[..., Record], seeds: list[int], difference: float | None
) -> None:
    table = read_table("resnet-cifar")
    alternative = next(alternatives_of(RECIPES["resnet-cifar10"]))
    trial = Trial(table.errors()[0], alternative, seeds=(0, 1, 2, 3), epochs=None)
    own = [record_of(record, trial.with_recipe[seed], error=error) for seed, error in enumerate((9.0, 8.0, 7.0))]
    changed = [record_of(record, trial.with_alternative[seed], error=(7.0, 7.0, 6.0, 5.0)[seed]) for seed in seeds]
    found = tried_alternative(trial, compare(table, own), {each.id: each for each in (*own, *changed)})
    assert (found.own_seeds, found.changed_seeds) == ((0, 1, 2), tuple(seeds))
    assert found.difference == difference


@pytest.mark.parametrize(("expected", "margin"), [(0.0, "± 0.53"), (0.17, "+0.17 ± 0.53")])
def test_the_margin_of_the_best_of_several_runs_is_shown_with_what_is_expected(expected: float, margin: str) -> None:
    (line,) = report_of(next(alternatives_of(RECIPES["resnet-cifar10"])), expected).grid.lines
    assert margin in [each.text for each in line.cells]


def test_csv_rounds_figures_and_no_values_of_recipes() -> None:
    report = report_of(Alternative("weight_decay", 2e-5), changed=8.123456)
    (line,) = csv.DictReader(io.StringIO(report.text(ReportFormat.CSV)))
    assert (line["alternative"], line["error alternative"]) == ("2e-05", "8.1235")
