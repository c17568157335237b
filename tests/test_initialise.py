"""Initialisation: what each kind draws, what it sets to zero, and what it leaves as torch initialised it."""

import math

import pytest
import torch
from torch import nn

from repro.recipes.recipe import INIT_OF_LINEAR, Init
from repro.training.initialise import INITIALISERS

FAN_OUT = math.sqrt(2 / (9 * 256))


@pytest.mark.parametrize(
    ("kind", "stds"),
    [
        ("conv-fan-out", {"conv.weight": FAN_OUT, "classifier.bias": 0.0}),
        ("conv-and-classifier-fan-out", {"conv.weight": FAN_OUT, "classifier.weight": math.sqrt(2 / 100)}),
        ("conv-fan-out-alone", {"conv.weight": FAN_OUT}),
        (
            "conv-fan-out-linear-normal",
            {"conv.weight": FAN_OUT, "conv.bias": 0.0, "classifier.weight": 0.01, "classifier.bias": 0.0},
        ),
        ("as-built", {}),
    ],
)
def test_weights_are_normal_and_the_rest_is_unchanged(kind: str, stds: dict[str, float]) -> None:
    torch.manual_seed(0)
    layers = {"conv": nn.Conv2d(64, 256, 3), "bn": nn.BatchNorm2d(256), "classifier": nn.Linear(256, 100)}
    network = nn.ModuleDict(layers)
    torchs = {key: each.detach().clone() for key, each in network.named_parameters()}
    INITIALISERS[kind](network)
    for key, each in network.named_parameters():
        if key not in stds:
            assert torch.equal(each, torchs[key]), key
            continue
        assert each.mean().item() == pytest.approx(0, abs=0.02 * stds[key]), key
        assert each.std().item() == pytest.approx(stds[key], rel=0.02), key
        # The largest of many normal draws; uniform draws would not exceed 1.7 standard deviations.
        assert each.abs().max() >= 3.5 * stds[key], key


@pytest.mark.parametrize("kind", INITIALISERS)
def test_which_kinds_set_the_weights_of_convolutions_and_of_linear_layers(kind: Init) -> None:
    conv, linear = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
    before = [each.weight.detach().clone() for each in (conv, linear)]
    INITIALISERS[kind](nn.Sequential(conv, linear))
    same = [torch.equal(each.weight, other) for each, other in zip((conv, linear), before, strict=True)]
    assert same == [kind == "as-built", kind not in INIT_OF_LINEAR]


@pytest.mark.parametrize("kind", INITIALISERS)
def test_layers_may_lack_bias_and_affine_weights(kind: str) -> None:
    layers = [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False), nn.Linear(4, 2, bias=False)]
    network = nn.Sequential(*layers)
    INITIALISERS[kind](network)
    assert len(list(network.parameters())) == 2
    assert all(each.isfinite().all() for each in network.parameters())
