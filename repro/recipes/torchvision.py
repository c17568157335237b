"""ImageNet as torchvision's reference scripts train: references/classification of github.com/pytorch/vision.

What the engine cannot do is left out: MobileNetV3 (RMSprop, AutoAugment, random erasing, averaged checkpoints) and the
newer weights. GoogLeNet's and DenseNet's weights were ported and have no recipe there; the papers' own are other ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from repro.recipes.recipe import CODE, IMAGENET, INFERRED, PRINTED, Recipe

README = f"{PRINTED}: references/classification/README.md of torchvision"
SCRIPTS = f"{CODE}: train.py and presets.py of torchvision's references/classification"
MODELS = f"{CODE}: torchvision/models"


@dataclass(frozen=True)
class _Network:
    """What the README gives for a network beside its defaults, and how torchvision's code begins its weights."""

    init: str
    epochs: int = 90
    lr: float = 0.1
    weight_decay: float = 1e-4
    every: int = 30
    """The rate is multiplied after so many epochs, and again after as many."""
    gamma: float = 0.1
    dropout: float = 0.0


NETWORKS = {
    "alexnet": _Network("as-built", lr=0.01, dropout=0.5),
    "vgg16": _Network("conv-fan-out-linear-normal", lr=0.01, dropout=0.5),
    "vgg16-bn": _Network("conv-fan-out-linear-normal", dropout=0.5),
    "resnet": _Network("conv-fan-out-alone"),
    "resnext50": _Network("conv-fan-out-alone", epochs=100),
    "mobilenetv2": _Network(
        "conv-fan-out-linear-normal", epochs=300, lr=0.045, weight_decay=4e-5, every=1, gamma=0.98, dropout=0.2
    ),
}


def torchvision_imagenet(network: str) -> Recipe:
    """Return the recipe of torchvision's first weights for one of `NETWORKS`; `resnet` is for 18 to 152 layers.

    Eight processes have batches of 32: 256 images a step here, with BatchNorm over all of them. torchvision reports
    30.24 % error for ResNet-18, 26.69 % for ResNet-34 and 28.12 % for MobileNetV2 (one crop).
    """
    chosen = NETWORKS[network]
    drops = range(chosen.every, chosen.epochs, chosen.every)
    return Recipe(
        name=f"torchvision-{network}",
        paper="torchvision, reference scripts",
        dataset="imagenet",
        epochs=chosen.epochs,
        batch=256,
        lr=chosen.lr,
        schedule="steps",
        milestones=tuple(epoch / chosen.epochs for epoch in drops),
        gamma=chosen.gamma,
        nesterov=False,
        weight_decay=chosen.weight_decay,
        init=chosen.init,
        dropout=chosen.dropout,
        flip=True,
        scaled_crop=224,
        resize=256,
        test_crop=224,
        mean=IMAGENET[0],
        std=IMAGENET[1],
        origins={
            **dict.fromkeys(("epochs", "lr", "momentum", "gamma"), README),
            **dict.fromkeys(("nesterov", "flip", "scaled_crop", "resize", "test_crop", "mean", "std"), SCRIPTS),
            "schedule": f"{README}: --lr-step-size",
            "milestones": f"{README}: every {chosen.every} epochs of {chosen.epochs}",
            "batch": f"{README}: 32 in each of 8 processes; one BatchNorm over all: {INFERRED}",
            "weight_decay": f"{README}; on every parameter: {SCRIPTS}",
            **dict.fromkeys(("init", "dropout"), MODELS),
            "reported": f"{INFERRED}: the end of training",
        },
    )
