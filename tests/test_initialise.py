"""How weights begin: what each way draws, what it sets to zero, and what it leaves as torch made it."""

import math

import pytest
import torch
from torch import nn

from repro.training.initialise import INITIALISERS

FAN_OUT = math.sqrt(2 / (9 * 256))


@pytest.mark.parametrize(
    ("way", "begun"),
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
def test_weights_begin_normal_with_their_deviation_and_the_rest_stays(way: str, begun: dict[str, float]) -> None:
    torch.manual_seed(0)
    layers = {"conv": nn.Conv2d(64, 256, 3), "bn": nn.BatchNorm2d(256), "classifier": nn.Linear(256, 100)}
    network = nn.ModuleDict(layers)
    torchs = {key: each.detach().clone() for key, each in network.named_parameters()}
    INITIALISERS[way](network)
    for key, each in network.named_parameters():
        if key not in begun:
            assert torch.equal(each, torchs[key]), key
            continue
        assert each.mean().item() == pytest.approx(0, abs=0.02 * begun[key]), key
        assert each.std().item() == pytest.approx(begun[key], rel=0.02), key
        # The largest of so many; of uniform draws it would be 1.7.
        assert each.abs().max() >= 3.5 * begun[key], key
