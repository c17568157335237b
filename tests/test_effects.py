"""A value that is said to have no effect has none in training, and has one where its need is met."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from watching import engine_of, train_to_end

from repro.data.inputs.deform import draw_warp, places
from repro.experiment import Experiment
from repro.recipes import RECIPES
from repro.recipes.effects import EFFECTS, without_effect

CPU = torch.device("cpu")
Changes = dict[str, Any]
TRAINED: list[tuple[str, tuple[Any, Any], Changes, Changes]] = [
    ("milestones", ((0.2,), (0.8,)), {"schedule": "cosine"}, {"schedule": "steps"}),
    ("gamma", (0.1, 0.5), {"schedule": "cosine", "milestones": (0.5,)}, {"schedule": "steps", "milestones": (0.5,)}),
    ("gamma", (0.1, 0.5), {"schedule": "steps"}, {"schedule": "steps", "milestones": (0.5,)}),
    ("momentum_reset", (False, True), {}, {"milestones": (0.5,)}),
    ("warmup_lr", (0.01, 0.02), {}, {"warmup_iterations": 2}),
    ("linear_warmup", (False, True), {}, {"warmup_iterations": 2, "warmup_lr": 0.01}),
    ("decay_scope", ("all", "weights"), {"weight_decay": 0.0}, {"weight_decay": 0.05}),
    ("padding_mode", ("zero", "reflect"), {"crop_padding": 0}, {"crop_padding": 2}),
    ("batchnorm_images", (256, 512), {}, {"batch": 600}),
]
"""A value, two settings of it, and changes of the recipe with which it has no effect and with which it has one."""
OF_TILES = {"elastic_grid", "border_sigma"}
OF_SEVERAL_EPOCHS = {"patience"}
"""test_engine_values.py trains with it."""


def weights(experiment: Experiment) -> Tensor:
    """Return the weights after an epoch."""
    engine = engine_of(experiment)
    train_to_end(engine)
    return torch.cat([each.detach().flatten() for each in engine.networks.parameters_by_name().values()])


@pytest.mark.slow
@pytest.mark.usefixtures("small_digits")
@pytest.mark.parametrize(("name", "settings", "without", "needed"), TRAINED, ids=lambda part: str(part)[:20])
def test_training_depends_on_a_value_only_if_its_need_is_met(
    tiny: Callable[..., Experiment], name: str, settings: tuple[Any, Any], without: Changes, needed: Changes
) -> None:
    usual: Changes = {"dropout": 0.0, "warmup_epochs": 0, "crop_padding": 0, "batch": 256}
    for changes, has_effect in ((without, False), (needed, True)):
        made = [tiny(epochs=1, **{**usual, **changes, name: each}) for each in settings]
        assert EFFECTS[name].holds(made[0].recipe) is has_effect
        assert torch.equal(*map(weights, made)) is not has_effect


def test_every_value_with_a_need_is_tried() -> None:
    assert {name for name, *_ in TRAINED} | OF_TILES | OF_SEVERAL_EPOCHS == EFFECTS.keys()


def test_a_coarse_grid_without_displacements_moves_nothing() -> None:
    found = [replace(RECIPES["unet-isbi"], elastic=0.0, elastic_grid=grid, tile=8, margin=0) for grid in (2, 3)]
    assert [EFFECTS["elastic_grid"].holds(each) for each in found] == [False, False]
    where = [places(draw_warp(each, 16, 16, torch.Generator().manual_seed(0)), each, CPU) for each in found]
    assert torch.equal(*where)


def test_only_stated_values_are_reported() -> None:
    changed = replace(RECIPES["digits"], gamma=0.5, milestones=(0.5,))
    assert list(without_effect(changed)) == []
    stated = replace(changed, stated=frozenset({"gamma", "milestones"}))
    assert [name for name, _ in without_effect(stated)] == ["milestones", "gamma"]
