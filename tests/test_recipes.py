"""Recipes: what the papers did, with where each value is from."""

from dataclasses import MISSING, fields

import pytest

from repro.recipes import RECIPES, Recipe, deviations, recipe
from repro.runtime import Runtime
from repro.training.initialise import INITIALISERS
from repro.training.schedule import lr_at, steps_per_epoch, total_steps

CIFAR = 50_000


@pytest.mark.parametrize("name", RECIPES)
def test_every_value_says_where_it_is_from(name: str) -> None:
    chosen = recipe(name)
    assert chosen.name == name
    for each in fields(Recipe):
        if each.name in ("name", "paper", "dataset", "origins") or getattr(chosen, each.name) == each.default:
            continue
        assert chosen.origins[each.name].split(":")[0].split(";")[0] in ("printed", "code", "inferred"), each.name
    required = {each.name for each in fields(Recipe) if each.default is MISSING and each.default_factory is MISSING}
    assert required - {"name", "paper", "dataset"} <= set(chosen.origins)


@pytest.mark.parametrize("name", RECIPES)
def test_every_initialisation_is_known(name: str) -> None:
    assert recipe(name).init in INITIALISERS


def test_the_epochs_of_the_miru_paper_are_marked_as_inferred() -> None:
    assert recipe("miru2020-cifar100").epochs == 300
    assert recipe("miru2020-cifar100").origins["epochs"].startswith("inferred")


def test_the_miru_recipe_is_as_published() -> None:
    chosen = recipe("miru2020-cifar100")
    assert (chosen.batch, chosen.lr, chosen.momentum, chosen.nesterov) == (64, 0.05, 0.9, True)
    assert (chosen.weight_decay, chosen.padding_mode, chosen.crop_padding, chosen.flip) == (5e-4, "reflect", 4, True)
    assert chosen.reported == "last"


def test_warm_up_then_cosine_once_per_epoch() -> None:
    chosen = recipe("miru2020-cifar100")
    steps = steps_per_epoch(chosen, CIFAR)
    assert steps == 782
    rates = [lr_at(chosen, epoch * steps, CIFAR) for epoch in (0, 4, 5, 150, 299)]
    cosine_5, cosine_299 = 0.05 * (1 + 0.998629534754574) / 2, 0.05 * (1 - 0.9999451693655121) / 2
    assert rates == pytest.approx([0.05 / 6, 0.05 * 5 / 6, cosine_5, 0.025, cosine_299])
    assert lr_at(chosen, 6 * steps - 1, CIFAR) == lr_at(chosen, 5 * steps, CIFAR)


def test_densenet_divides_the_rate_at_half_and_three_quarters() -> None:
    chosen = recipe("densenet-cifar10+")
    steps = steps_per_epoch(chosen, CIFAR)
    rates = [lr_at(chosen, step, CIFAR) for step in (0, 150 * steps - 1, 150 * steps, 225 * steps - 1, 225 * steps)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_densenet_drops_out_only_without_augmentation() -> None:
    assert [recipe(name).dropout for name in ("densenet-cifar10", "densenet-cifar10+")] == [0.2, 0.0]
    assert [recipe(name).crop_padding for name in ("densenet-cifar100", "densenet-cifar100+")] == [0, 4]


def test_resnet_counts_in_iterations() -> None:
    chosen = recipe("resnet-cifar10")
    assert total_steps(chosen, CIFAR) == 64_000
    rates = [lr_at(chosen, step, CIFAR) for step in (31_999, 32_000, 47_999, 48_000)]
    assert rates == pytest.approx([0.1, 0.01, 0.01, 0.001])
    warm = recipe("resnet-cifar10-warmup")
    assert [lr_at(warm, step, CIFAR) for step in (0, 399, 400)] == [0.01, 0.01, 0.1]


def test_a_changed_recipe_says_what_it_changed() -> None:
    assert deviations(recipe("miru2020-cifar100")) == []
    assert deviations(recipe("miru2020-cifar100").with_epochs(1)) == ["epochs=1 (300)"]
    assert deviations(recipe("resnet-cifar10").with_epochs(82)) == ["epochs=82 (164)", "iterations=32000 (64000)"]


def test_recipe_and_runtime_share_no_word() -> None:
    assert not {each.name for each in fields(Recipe)} & {each.name for each in fields(Runtime)}
