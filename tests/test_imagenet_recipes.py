"""The recipes for ImageNet, torchvision's and the paper's, match what is printed and their code."""

import pytest
import torch

from repro.models import build
from repro.recipes import RECIPES
from repro.training.initialise import INITIALISERS
from repro.training.schedule import lr_at

IMAGES = 1_281_167


def rates(name: str, *epochs: int) -> list[float]:
    chosen = RECIPES[name]
    return [lr_at(chosen, epoch * chosen.steps_per_epoch(IMAGES), IMAGES) for epoch in epochs]


def test_the_rate_falls_every_thirty_epochs() -> None:
    assert rates("torchvision-resnet", 0, 29, 30, 59, 60, 89) == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert rates("torchvision-alexnet", 0, 30, 60) == pytest.approx([0.01, 0.001, 0.0001])
    assert rates("torchvision-vgg16-bn", 0) == [0.1]
    assert rates("torchvision-resnext50", 89, 90, 99) == pytest.approx([0.001, 0.0001, 0.0001])


def test_mobilenets_rate_falls_every_epoch() -> None:
    epochs = range(300)
    assert rates("torchvision-mobilenetv2", *epochs) == pytest.approx([0.045 * 0.98**epoch for epoch in epochs])


@pytest.mark.parametrize(
    ("name", "model", "twin"),
    [
        ("torchvision-resnet", "resnet18", "resnet18"),
        ("torchvision-mobilenetv2", "mobilenetv2", "mobilenet_v2"),
        ("torchvision-alexnet", "alexnet", "alexnet"),
    ],
)
def test_initial_weights_are_torchvisions(name: str, model: str, twin: str) -> None:
    """Each large tensor has torchvision's standard deviation, and each constant tensor has torchvision's constant."""
    import torchvision

    torch.manual_seed(0)
    ours, theirs = build(model, {}, classes=1000), torchvision.models.get_model(twin)
    INITIALISERS[RECIPES[name].init](ours)
    for own, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        if own.numel() > 10_000:
            assert own.std().item() == pytest.approx(their.std().item(), rel=0.05)
        elif their.numel() > 1 and their.std() == 0:
            assert torch.equal(own, their)
