"""Recipes: what the papers did, and the source of each value."""

from dataclasses import MISSING, fields, replace
from typing import get_args

import pytest
import torch

from repro.data.inputs.normalise import normaliser
from repro.experiment import experiment_for
from repro.models import build
from repro.recipes import RECIPES, Recipe, SourceKind, deviations
from repro.recipes.recipe import VALUES, Init
from repro.recipes.values import values_of
from repro.runtime import Runtime
from repro.training.initialise import INITIALISERS
from repro.training.schedule import drops, images_per_epoch, lr_at, resets_momentum, total_steps

CIFAR = 50_000


@pytest.mark.parametrize("name", RECIPES)
def test_every_value_has_a_source(name: str) -> None:
    chosen = RECIPES[name]
    assert chosen.name == name
    for each in fields(Recipe):
        if each.name in VALUES and each.name != "dataset" and getattr(chosen, each.name) != each.default:
            assert chosen.sources[each.name], each.name
    required = {each.name for each in fields(Recipe) if each.default is MISSING and each.default_factory is MISSING}
    assert required - {"name", "paper", "dataset"} <= set(chosen.sources)
    assert chosen.summary.endswith(".")


def test_recipes_may_name_every_initialisation() -> None:
    assert get_args(Init) == tuple(INITIALISERS)


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("miru2020")])
def test_the_epochs_of_the_miru_paper_are_marked_as_inferred(name: str) -> None:
    chosen = RECIPES[name]
    assert (chosen.epochs, chosen.warmup_epochs) == (300, 5)
    tuning = ["tune_epochs", "tune_batch", "tune_lr"] if name.endswith("-tuned") else []
    unprinted = ["epochs", "warmup_epochs", *tuning]
    assert {chosen.sources[each][0].kind for each in unprinted} == {SourceKind.INFERRED}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in RECIPES
        if name.startswith(("miru2020", "densenet", "wrn"))
        and name not in ("miru2020-cifar10", "densenet-svhn", "wrn-imagenet")
    ],
)
def test_all_parameters_decay_as_in_the_authors_code(name: str) -> None:
    """In DenseResNet at c1fa035, from the weeks of the paper; its option to exclude BatchNorm is newer (40abad8)."""
    scope = {each.name: each for each in values_of(RECIPES[name])}["decay_scope"]
    assert (scope.value, scope.sources[0].kind, scope.inferred) == ("all", SourceKind.CODE, False)


def test_warm_up_then_cosine_once_per_epoch() -> None:
    chosen = RECIPES["miru2020-cifar100"]
    steps = chosen.steps_per_epoch(CIFAR)
    assert steps == 782
    rates = [lr_at(chosen, epoch * steps, CIFAR) for epoch in (0, 4, 5, 150, 299)]
    cosine_5, cosine_299 = 0.05 * (1 + 0.998629534754574) / 2, 0.05 * (1 - 0.9999451693655121) / 2
    assert rates == pytest.approx([0.05 / 6, 0.05 * 5 / 6, cosine_5, 0.025, cosine_299])
    assert lr_at(chosen, 6 * steps - 1, CIFAR) == lr_at(chosen, 5 * steps, CIFAR)


@pytest.mark.parametrize(
    ("name", "images", "steps", "epochs", "rates"),
    [
        ("densenet-cifar10", CIFAR, 782, (150, 225), (0.1, 0.01, 0.001)),
        ("densenet-cifar10+", CIFAR, 782, (150, 225), (0.1, 0.01, 0.001)),
        ("densenet-cifar100", CIFAR, 782, (150, 225), (0.1, 0.01, 0.001)),
        ("densenet-cifar100+", CIFAR, 782, (150, 225), (0.1, 0.01, 0.001)),
        ("densenet-svhn", 604_388 - 6_000, 9_350, (20, 30), (0.1, 0.01, 0.001)),
        ("densenet-imagenet", 1_281_167, 5_005, (31, 61), (0.1, 0.01, 0.001)),
        ("wrn-cifar10", CIFAR, 390, (60, 120, 160), (0.1, 0.02, 0.004, 0.0008)),
        ("wrn-cifar100-zca", CIFAR, 390, (60, 120, 160), (0.1, 0.02, 0.004, 0.0008)),
        ("wrn-svhn", 604_388, 4_721, (80, 120), (0.01, 0.001, 0.0001)),
    ],
)
def test_rates_drop_at_the_start_of_the_authors_epochs(
    name: str, images: int, steps: int, epochs: tuple[int, ...], rates: tuple[float, ...]
) -> None:
    """As in their Lua code, whose epochs begin with 1 and which sets the rate before an epoch; exact to the step."""
    chosen = RECIPES[name]
    assert chosen.steps_per_epoch(images) == steps
    begins = [(epoch - 1) * steps for epoch in epochs]
    assert drops(chosen, images) == begins
    assert [lr_at(chosen, step, images) for step in (0, *begins)] == pytest.approx(rates)
    assert [lr_at(chosen, step - 1, images) for step in (*begins, total_steps(chosen, images))] == pytest.approx(rates)


def test_only_wide_resnets_for_small_images_reset_their_momentum_at_a_drop() -> None:
    chosen = RECIPES["wrn-cifar10"]
    forgets = [step for step in range(total_steps(chosen, CIFAR)) if resets_momentum(chosen, step, CIFAR)]
    assert forgets == [59 * 390, 119 * 390, 159 * 390]
    small = {name for name in RECIPES if name.startswith("wrn") and RECIPES[name].dataset != "imagenet"}
    assert {name for name in RECIPES if RECIPES[name].momentum_reset} == small


def test_wide_resnets_skip_the_smaller_last_batch() -> None:
    assert images_per_epoch(RECIPES["wrn-cifar10"], CIFAR) == 390 * 128
    assert images_per_epoch(RECIPES["densenet-cifar10"], CIFAR) == CIFAR


@pytest.mark.parametrize("name", ["wrn-svhn", "densenet-svhn"])
def test_svhn_is_only_divided_by_255(name: str) -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    torch.testing.assert_close(normaliser(RECIPES[name], pixels)(pixels), pixels / 255)


def test_densenet_on_svhn_trains_on_the_images_that_are_not_held_out() -> None:
    experiment = experiment_for("densenet", {}, seed=0, dataset="svhn")
    assert (experiment.recipe.name, experiment.train_images) == ("densenet-svhn", 598_388)


@pytest.mark.parametrize(
    ("name", "maps"), [("wrn-cifar10", 64), ("wrn-cifar100", 64), ("wrn-cifar10-zca", 128), ("wrn-svhn", 128)]
)
def test_wide_resnets_start_as_in_torch7(name: str, maps: int) -> None:
    """Convolutions are scaled by their inputs, before September 2016 by their outputs; BatchNorm weights in 0..1."""
    torch.manual_seed(0)
    network = build("wrn", {"depth": 10, "k": 4}, classes=10)
    INITIALISERS[RECIPES[name].init](network)
    first = network.get_submodule("groups.1.0.first")  # from 64 maps to 128
    assert isinstance(first, torch.nn.Conv2d)
    assert first.weight.std().item() == pytest.approx((2 / (9 * maps)) ** 0.5, rel=0.02)
    scales = torch.cat([each.weight for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)])
    assert 0 <= scales.min() < 0.01
    assert 0.99 < scales.max() <= 1
    assert scales.mean().item() == pytest.approx(0.5, abs=0.05)
    classifier = network.get_submodule("classifier")
    assert isinstance(classifier, torch.nn.Linear)
    assert classifier.bias.eq(0).all()
    assert classifier.weight.abs().max().item() == pytest.approx(256**-0.5, rel=0.01)


@pytest.mark.parametrize("name", ["resnet-cifar10", "resnet-cifar10-warmup"])
def test_resnet_counts_in_iterations(name: str) -> None:
    chosen = RECIPES[name]
    assert total_steps(chosen, CIFAR) == 64_000
    rates = [lr_at(chosen, step, CIFAR) for step in (31_999, 32_000, 47_999, 48_000)]
    assert rates == pytest.approx([0.1, 0.01, 0.01, 0.001])


def test_resnet_on_cifar_says_what_is_printed_and_what_is_not() -> None:
    """He et al., section 4.2, print the per-pixel mean and the training set, but not the scope of weight decay."""
    values = {each.name: each for each in values_of(RECIPES["resnet-cifar10"])}
    assert {values[name].kind for name in ("preprocessing", "validation_images")} == {SourceKind.PRINTED}
    unprinted = ("decay_scope", "batchnorm_images", "batchnorm_statistics")
    assert {values[name].kind for name in unprinted} == {SourceKind.INFERRED}
    assert "mean" not in values


@pytest.mark.parametrize("name", ["miru2020-imagenet-resnet34", "miru2020-imagenet-mobilenetv2"])
def test_the_miru_paper_prints_that_the_final_accuracy_is_reported(name: str) -> None:
    chosen = RECIPES[name]
    assert chosen.sources["reported"][0].kind is SourceKind.PRINTED
    assert chosen.phases == (chosen,)


def test_a_changed_recipe_says_what_it_changed() -> None:
    assert deviations(RECIPES["miru2020-cifar100"]) == []
    assert deviations(RECIPES["miru2020-cifar100"].with_epochs(1)) == ["epochs=1 (300)"]
    assert deviations(RECIPES["resnet-cifar10"].with_epochs(82)) == ["epochs=82 (164)", "iterations=32000 (64000)"]
    few = replace(RECIPES["resnet-cifar10"], epochs=1000, iterations=400)
    assert few.with_epochs(1).iterations == 1  # 0 would be no limit


def test_recipe_and_runtime_share_no_field_name() -> None:
    assert not {each.name for each in fields(Recipe)} & {each.name for each in fields(Runtime)}
