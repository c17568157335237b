"""Records of a recipe that has been corrected since are shown as deviating from it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from repro.comparison.corrections import as_of_today, records_today
from repro.experiment import experiment_for
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.results import Record, read_records, shipped_results
from repro.store.run_folders import describe


def test_the_first_resnet_20_runs_deviate_from_the_recipe_as_it_is_now() -> None:
    """They applied weight decay to every parameter and normalised by channel; their records stay unchanged."""
    written = {each.id: each for each in read_records([shipped_results()])}
    shown = {each.id: each for each in records_today([shipped_results()])}
    for run in ("f3d5e9b4", "64f5216e"):
        assert written[run].faithful
        assert shown[run].deviations == [
            "decay_scope=all (weights)",
            "preprocessing=– (mean-image)",
            "mean=0.4914, 0.4822, 0.4465 (the training set's own)",
            "std=0.247, 0.2435, 0.2616 (the training set's own)",
        ]
        assert replace(shown[run], deviations=[]) == written[run]


def test_a_run_of_the_recipe_as_it_is_now_stays_faithful(record: Callable[..., Record]) -> None:
    experiment = experiment_for("resnet20", {}, seed=3)
    made = record(model="resnet20", options={"shortcut": "A"}, recipe="resnet-cifar10", dataset="cifar10", seed=3)
    assert as_of_today(replace(made, id=experiment.id)).faithful


def test_a_run_with_the_values_that_a_recipe_was_corrected_to_counts(record: Callable[..., Record]) -> None:
    """The ID is a hash of the values, whatever the recipe was when the run was recorded."""
    experiment = experiment_for("resnet20", {}, seed=3)
    made = record(model="resnet20", options={"shortcut": "A"}, recipe="resnet-cifar10", dataset="cifar10", seed=3)
    changed = replace(made, id=experiment.id, deviations=["decay_scope=weights (all)"])
    assert as_of_today(changed).faithful
    assert not as_of_today(replace(changed, id="00000000")).faithful


def test_a_run_of_an_unknown_version_of_a_recipe_says_so(record: Callable[..., Record]) -> None:
    made = replace(record(), id="00000000")
    assert as_of_today(made).deviations == ["another version of miru2020-cifar100, its dataset or its network"]


@pytest.mark.parametrize("recorded", [[], ["lr=0.1 (0.05)"]])
def test_a_run_whose_folder_has_its_values_deviates_by_those_from_the_recipe_as_it_is_now(
    record: Callable[..., Record], tmp_path: Path, recorded: list[str]
) -> None:
    """Only values that give the ID of the run are its own."""
    followed = experiment_for("resnet20", {}, seed=3, overrides=["lr=0.2", "batch=32"])
    describe(followed, Runtime(), Folders(tmp_path, tmp_path, tmp_path))
    made = record(model="resnet20", options={"shortcut": "A"}, recipe="resnet-cifar10", dataset="cifar10", seed=3)
    made = replace(made, id=followed.id, name=followed.name, deviations=recorded)
    assert as_of_today(made, tmp_path).deviations == ["batch=32 (128)", "lr=0.2 (0.1)"]
    unknown = recorded or ["another version of resnet-cifar10, its dataset or its network"]
    assert as_of_today(made, tmp_path / "none").deviations == unknown
    assert as_of_today(replace(made, id="00000000"), tmp_path).deviations == unknown


def test_records_of_unknown_recipes_and_models_are_unchanged(record: Callable[..., Record], tmp_path: Path) -> None:
    for gone in (replace(record(), recipe="gone"), replace(record(), model="gone")):
        assert as_of_today(gone) == gone
    assert records_today([tmp_path]) == []
