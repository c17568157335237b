"""Values that replace those of a recipe: how they are read, what is refused, and what is recorded."""

import json
from pathlib import Path

import pytest
from commands import repro

from repro.errors import UserError
from repro.experiment import Experiment, experiment_for
from repro.recipes import RECIPES, deviations, overridden, overrides_of
from repro.recipes.overrides import SETTABLE
from repro.store.results import every_record

DIGITS = ["densenet", "--depth", "7", "--k", "4", "--dataset", "digits", "--device", "cpu"]


def resnet20(*overrides: str, epochs: int | None = None) -> Experiment:
    return experiment_for("resnet20", {}, seed=0, epochs=epochs, overrides=overrides)


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("batch=32", "batch", 32),
        ("batch=1_024", "batch", 1024),
        ("Batch = 32", "batch", 32),
        ("weight_decay=5e-4", "weight_decay", 5e-4),
        ("weight-decay=5e-4", "weight_decay", 5e-4),
        ("lr=1", "lr", 1.0),
        ("nesterov=yes", "nesterov", True),
        ("nesterov=True", "nesterov", True),
        ("flip=no", "flip", False),
        ("flip=false", "flip", False),
        ("decay_scope=all", "decay_scope", "all"),
        ("init=CONV-FAN-IN", "init", "conv-fan-in"),
        ("preprocessing=", "preprocessing", ""),
        ("milestones=0.5,0.75", "milestones", (0.5, 0.75)),
        ("milestones=0.5, 1", "milestones", (0.5, 1.0)),
        ("milestones=", "milestones", ()),
        ("iterations=32_000", "iterations", 32_000),
        ("iterations=none", "iterations", None),
        ("batchnorm_images=64", "batchnorm_images", 64),
    ],
)
def test_a_value_is_read_by_the_type_of_its_field(override: str, name: str, value: object) -> None:
    found = getattr(overridden(RECIPES["resnet-cifar10"], [override]), name)
    assert (found, type(found)) == (value, type(value))


REFUSED = [
    (["weight_deacy=1"], "unknown option or recipe value 'weight_deacy'; did you mean weight_decay?"),
    (["warmup=1"], "did you mean warmup_epochs, warmup_iterations or warmup_lr?"),
    (["name=mine"], "unknown option or recipe value 'name'; densenet has the options depth, k, "),
    (["dataset=cifar10"], "--set cannot change the dataset; use --dataset"),
    (["batch"], "--set 'batch' has no value; write NAME=VALUE, such as batch=32"),
    (["batch=many"], "batch = many is invalid: it must be a whole number from 1 to 1,000,000,000 (recipe: 64)"),
    (["batch=0"], "batch = 0 is invalid: it must be a whole number from 1 to 1,000,000,000 (recipe: 64)"),
    (["batch=3.5"], "batch = 3.5 is invalid: it must be a whole number from 1 to 1,000,000,000 (recipe: 64)"),
    (["epochs=0"], "epochs = 0 is invalid: it must be a whole number from 1 to 1,000,000,000 (recipe: 8)"),
    (["crop_padding=-1"], "crop_padding = -1 is invalid: it must be a whole number from 0 to 10,000 (recipe: 4)"),
    (["lr=nan"], "lr = nan is invalid: it must be a number of at least 0 (recipe: 0.1)"),
    (["momentum=1"], "momentum = 1 is invalid: it must be a number of at least 0 and below 1 (recipe: 0.9)"),
    (["nesterov=maybe"], "nesterov = maybe is invalid: it must be yes or no (recipe: yes)"),
    (
        ["decay_scope=some"],
        "decay_scope = some is invalid: it must be all, weights or weights-not-depthwise (recipe: all)",
    ),
    (["preprocessing=pca"], "preprocessing = pca is invalid: it must be empty, zca or mean-image (recipe: –)"),
    (["milestones=7,11"], "milestones = 7,11 is invalid: it must be numbers from 0 to 1, separated by commas"),
    (["batch=32", "batch=64"], "batch is given twice"),
    (["warmup_iterations=5"], "recipe digits with warmup_iterations=5 (0) is invalid: warmup_iterations needs"),
    (["flip_half=yes"], "recipe digits with flip_half=yes (no) is invalid: flip_half needs flip"),
    (["crop_padding=0", "crop_draw=batch"], "crop_draw=batch needs crop_padding"),
    (["tune_lr=0.1"], "tune_batch and tune_lr need tune_epochs"),
    (["momentum=0"], "recipe digits with momentum=0 (0.9) is invalid: nesterov needs a momentum above 0"),
    (["mean=0.5,0.5,0.5"], "mean and std need equally many numbers; set both"),
    (["mean=0.5", "std=0.5"], "mean and std need one number per channel, and images of digits have 3"),
    (["std=0,1,1", "mean=0,0,0"], "std must be above 0"),
    (["reported=lowest-validation"], "reported=lowest-validation needs validation_images"),
    (["crop_padding=32", "padding_mode=reflect"], "crop_padding=32 is too large to mirror images of 32 pixels"),
    (["batch=2_000", "drop_last=yes"], "batch=2000 with drop_last leaves no batch of digits"),
    (["iterations=200"], "iterations=200 is more than the 184 of epochs=8 with 23 steps each; change one of"),
    (["batch=2_000"], "batch=2000 is more than the 1,442 training images of digits"),
    (["schedule=steps", "milestones=0.9,0.5"], "milestones must be strictly increasing"),
    (["milestones=0.5"], 'milestones have no effect without schedule = "steps" or "exponential"'),
    (["interpolation=bicubic"], "recipe digits has interpolation=bicubic, which is not supported for images in memory"),
    (["turn=yes"], "recipe digits has turn=yes, which is not supported for images in memory"),
]


@pytest.mark.parametrize(
    "overrides",
    [
        ["milestones=0.5", "momentum_reset=yes"],  # the momentum is set to zero there, whatever the schedule
        ["milestones=0.5", "schedule=steps"],
        ["batch=1_442"],
    ],
)
def test_a_value_that_has_an_effect_is_taken(overrides: list[str]) -> None:
    assert len(deviations(overridden(RECIPES["digits"], overrides))) == len(overrides)


def test_a_tuning_is_kept_however_few_epochs_there_are() -> None:
    tuned = RECIPES["miru2020-imagenet-resnet34-tuned"]
    made = overridden(tuned, ["epochs=1", "tune_epochs=1"])
    assert (made.tune_epochs, made.tune_batch, made.tune_lr) == (1, tuned.tune_batch, tuned.tune_lr)


@pytest.mark.parametrize(("overrides", "line"), REFUSED, ids=[" ".join(given) for given, _ in REFUSED])
def test_an_impossible_override_is_refused_before_anything_is_written(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = repro(capsys, "train", *DIGITS, *given(overrides))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert line in err
    assert list(tmp_path.iterdir()) == []


def given(overrides: list[str]) -> list[str]:
    return [word for each in overrides for word in ("--set", each)]


def test_epochs_and_its_override_exclude_each_other() -> None:
    with pytest.raises(UserError, match="epochs is given twice"):
        resnet20("epochs=3", epochs=3)


def test_an_override_of_the_epochs_is_that_option() -> None:
    """Iterations change in proportion, unless they are given too."""
    assert resnet20("epochs=82").id == resnet20(epochs=82).id
    assert deviations(resnet20("epochs=82").recipe) == ["epochs=82 (164)", "iterations=32000 (64000)"]
    assert deviations(resnet20("iterations=64000", "epochs=200").recipe) == ["epochs=200 (164)"]


def test_a_value_of_the_recipe_is_no_deviation() -> None:
    same = resnet20("lr=1e-1", "epochs=164", "flip=yes", "decay_scope=weights", "milestones=0.5,0.75")
    assert (same.id, deviations(same.recipe)) == (resnet20().id, [])


def test_overrides_are_part_of_the_experiment_and_of_its_deviations() -> None:
    """The name tells network, dataset and seed as before, and ends with the ID."""
    one, other = resnet20("batch=32", "decay_scope=all"), resnet20("decay_scope=all", "batch=32")
    assert one.id == other.id != resnet20().id
    assert one.name == f"resnet20-cifar10-s0-{one.id}"
    assert deviations(one.recipe) == ["batch=32 (128)", "decay_scope=all (weights)"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_overrides_between_two_recipes_lead_from_one_to_the_other(name: str) -> None:
    """Every value survives being written as text, in full precision."""
    names = list(RECIPES)
    other = RECIPES[names[names.index(name) - 1]]
    typed = overrides_of(other, RECIPES[name])
    made = overridden(RECIPES[name], [f"{key}={text}" for key, text in typed.items()])
    assert {each: getattr(made, each) for each in SETTABLE} == {each: getattr(other, each) for each in SETTABLE}


def test_a_run_with_overrides_is_warned_of_and_recorded_as_deviating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [
        "train",
        *DIGITS,
        *given(["epochs=1", "weight_decay=1e-3", "decay_scope=weights", "batchnorm_images=64"]),
    ]
    status, out, err = repro(capsys, *command, "--format", "json")
    changes = ["epochs=1 (8)", "weight_decay=0.001 (0.0005)", "decay_scope=weights (all)", "batchnorm_images=64 (0)"]
    assert (status, json.loads(out)["deviations"]) == (0, changes)
    assert f"this run deviates from digits ({', '.join(changes)}) and will not count as a reproduction" in err
    (record,) = (each for each in every_record(Path("results")) if each.dataset == "digits")
    assert record.deviations == changes
    status, _, err = repro(capsys, *command)
    assert (status, "is already finished; showing its record" in err) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["json", "rich"])
def test_a_speed_is_measured_with_another_batch(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", *DIGITS, "--window", "0.01", "--precision", "fp32", "--set", "batch=8", "--format", format]
    status, out, _ = repro(capsys, *arguments)
    assert status == 0
    if format == "json":
        assert json.loads(out)["deviations"] == ["batch=8 (64)"]
    else:
        assert "digits with batch=8 (64), batch size 8" in " ".join(out.split())


def test_no_dropout_is_refused_where_the_network_has_some_of_its_own() -> None:
    """Else a record would say dropout=0 of a training with 0.5."""
    with pytest.raises(UserError, match=r"dropout=0 leaves the dropout of vgg16, 0\.5, as it is; for none, set"):
        experiment_for("vgg16", {}, seed=0, overrides=["dropout=0"])
    densenet = experiment_for("densenet", {"depth": 7, "k": 4}, seed=0, dataset="cifar10", overrides=["dropout=0"])
    assert densenet.recipe.dropout == 0
