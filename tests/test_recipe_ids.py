"""The IDs of experiments stay the recorded ones, so that runs keep their folders and records."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from repro.experiment import Experiment, experiment_for
from repro.recipes import RECIPES, former_recipes

HERE = Path(__file__).parent
RECORDED = list(csv.DictReader((HERE / "recipe_ids.csv").read_text().splitlines()))
RUNS = list(csv.DictReader((HERE.parent / "results" / "runs.csv").read_text().splitlines()))


def experiment_of(line: dict[str, str], epochs: int | None = None) -> Experiment:
    options, seed = json.loads(line["options"]), int(line.get("seed", 0))
    return experiment_for(line["model"], options, seed=seed, recipe_name=line["recipe"], epochs=epochs)


@pytest.mark.parametrize("line", RECORDED, ids=[line["recipe"] for line in RECORDED])
def test_an_experiment_of_each_recipe_has_the_recorded_id(line: dict[str, str]) -> None:
    assert experiment_of(line).id == line["id"]


def test_every_recipe_has_a_recorded_id() -> None:
    recorded = {line["recipe"] for line in RECORDED}
    assert recorded <= set(RECIPES)
    assert not set(RECIPES) - recorded, "add a line for each to tests/recipe_ids.csv"


@pytest.mark.parametrize("line", RUNS, ids=[line["id"] for line in RUNS])
def test_a_recorded_run_has_the_id_of_its_recipe_or_of_the_former_one(line: dict[str, str]) -> None:
    experiment = experiment_of(line, epochs=int(line["epochs"]))
    former = former_recipes().get(line["recipe"])
    ids = {experiment.id} | ({replace(experiment, recipe=former).id} if former else set())
    assert line["id"] in ids


def test_former_recipes_are_those_of_the_recorded_runs_of_resnet_20() -> None:
    former = former_recipes()["resnet-cifar10"]
    runs = [experiment_for("resnet20", {}, seed=seed, recipe_name="resnet-cifar10") for seed in (0, 1)]
    assert [replace(each, recipe=former).id for each in runs] == ["f3d5e9b4", "64f5216e"]
    assert set(former_recipes()) <= set(RECIPES)
    assert former.differences(RECIPES["resnet-cifar10"])


@pytest.mark.parametrize("name", RECIPES)
def test_an_experiment_that_is_written_and_read_is_the_same(name: str) -> None:
    (line,) = (line for line in RECORDED if line["recipe"] == name)
    experiment = experiment_of(line)
    again = Experiment.from_json(json.loads(json.dumps(experiment.to_json())))
    assert (again.id, again.recipe, again.recipe.sources) == (line["id"], experiment.recipe, RECIPES[name].sources)
