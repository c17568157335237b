"""What the papers did to train their networks: nothing here knows of hardware or speed.

Every value says where it is from: printed in the paper, read in the authors' code, or inferred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

PRINTED, CODE, INFERRED = "printed", "code", "inferred"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to train, on one data set. Its values are the whole mathematics of a run beside network and seed."""

    name: str
    paper: str
    dataset: str
    epochs: int
    iterations: int | None = None
    """The run stops after so many steps, in the middle of the last epoch if need be."""
    batch: int
    """The last batch of an epoch is smaller and is kept."""
    lr: float
    schedule: str
    """`cosine`: once per epoch; `steps`: times `gamma` at each of `milestones`."""
    milestones: tuple[float, ...] = ()
    """Shares of the run's length."""
    gamma: float = 0.1
    warmup_epochs: int = 0
    """lr * (e + 1) / (warmup_epochs + 1) in the first epochs e = 0, 1, ..."""
    warmup_iterations: int = 0
    warmup_lr: float = 0.0
    """The rate of the first `warmup_iterations` steps."""
    momentum: float = 0.9
    nesterov: bool
    weight_decay: float
    """On every parameter, those of BatchNorm and the biases included."""
    init: str
    """A name of training/initialise.py."""
    dropout: float = 0.0
    crop_padding: int = 0
    """Pixels on each side before a random crop to the old size; 0: no crop."""
    padding_mode: str = "zero"
    """`zero`: the mean colour, since images are normalised before; `reflect`."""
    flip: bool = False
    """Mirrored with probability 1/2."""
    scaled_crop: int = 0
    """Side of a random crop of 8 % to 100 % of the area, scaled to this size (ImageNet); 0: none."""
    color_jitter: float = 0.0
    """Brightness, contrast and saturation are changed by up to this share."""
    lighting: float = 0.0
    """Standard deviation of AlexNet's colour noise."""
    tune_epochs: int = 0
    """After training, so many epochs of the classifier alone, at the test size."""
    tune_batch: int = 0
    tune_lr: float = 0.0
    mean: tuple[float, ...] = ()
    """Per channel, of pixels in 0..1; empty: the training set's own."""
    std: tuple[float, ...] = ()
    reported: str = "last"
    """The epoch whose test error is reported."""
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where each value is from: `printed`, `code` or `inferred`, and the place."""

    def _mathematics(self) -> dict[str, Any]:
        """Return every value beside the name and the sources."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in ("name", "paper", "origins")
        }

    def values(self) -> dict[str, Any]:
        """Return what the recipe does, without its name and sources.

        A value that is the default is left out, so that a recipe keeps its identity when recipes learn a new word.
        """
        defaults = {each.name: each.default for each in fields(self)}
        return {name: value for name, value in self._mathematics().items() if value != defaults[name]}

    def deviations(self) -> list[str]:
        """Return what differs from the recipe of this name, as `epochs=1 (300)`."""
        published = recipe(self.name)._mathematics()
        own = self._mathematics()
        return [f"{name}={value} ({published[name]})" for name, value in own.items() if value != published[name]]

    def with_epochs(self, epochs: int) -> Recipe:
        """Return the recipe with another length; where it counts in iterations, they shrink or grow alike."""
        iterations = self.iterations and round(self.iterations * epochs / self.epochs)
        return replace(self, epochs=epochs, iterations=iterations)


Channels = tuple[float, float, float]
CIFAR10: tuple[Channels, Channels] = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CIFAR100: tuple[Channels, Channels] = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
"""Mean and standard deviation of the training pixels in 0..1."""


def of_bytes(red: float, green: float, blue: float) -> Channels:
    """Return values given for pixels in 0..255 for pixels in 0..1."""
    return red / 255, green / 255, blue / 255


def miru2020(dataset: str) -> Recipe:
    """DenseResNet on CIFAR: Takeda, MIRU 2020, section 4; github.com/takedarts/DenseResNet, commit c1fa035.

    The paper prints 22.62 % error on CIFAR-100 for DenseResNet-110 with N = 4. It does not print the number of
    epochs: 300 is what the author's configuration of the following weeks says beside exactly the paper's batch,
    learning rate and weight decay.
    """
    mean, std = CIFAR100 if dataset == "cifar100" else CIFAR10
    code = f"{CODE}: takedarts/DenseResNet c1fa035"
    config = f"{INFERRED}: config/cifar100/resnet-110.txt of takedarts/DenseResNet 4cfca0f"
    return Recipe(
        name=f"miru2020-{dataset}",
        paper="DenseResNet, Takeda, MIRU 2020",
        dataset=dataset,
        epochs=300,
        batch=64,
        lr=0.05,
        schedule="cosine",
        warmup_epochs=5,
        nesterov=True,
        weight_decay=5e-4,
        init="conv-and-classifier-fan-out",
        crop_padding=4,
        padding_mode="reflect",
        flip=True,
        mean=mean,
        std=std,
        origins={
            **dict.fromkeys(("batch", "lr", "momentum", "nesterov"), PRINTED),
            **dict.fromkeys(("epochs", "warmup_epochs", "dropout"), config),
            **dict.fromkeys(("init", "crop_padding", "padding_mode", "flip", "mean", "std", "reported"), code),
            "schedule": f"{PRINTED}: cosine; once per epoch: {code}",
            "weight_decay": f"{PRINTED}; on every parameter: {code}",
        },
    )


def miru2020_imagenet(network: str) -> Recipe:
    """DenseResNet on ImageNet: Takeda, MIRU 2020, section 4; the author's code and configurations.

    The paper prints 23.34 % error for DenseResNet-34 with N = 6. ResNet-34 is trained at 160 pixels and tested
    at 224, MobileNet-v2 at 224 throughout.
    """
    mobile = network == "mobilenetv2"
    config = "config/imagenet/mobilenetv2-1.0.txt of takedarts/DenseResNet 3ec9456"
    defaults = f"{INFERRED}: {config if mobile else 'defaults of takedarts/DenseResNet c1fa035'}"
    code = f"{CODE}: takedarts/DenseResNet c1fa035"
    return Recipe(
        name=f"miru2020-imagenet-{network}",
        paper="DenseResNet, Takeda, MIRU 2020",
        dataset="imagenet",
        epochs=300,
        batch=64,
        lr=0.0125 if mobile else 0.025,
        schedule="cosine",
        warmup_epochs=5,
        nesterov=True,
        weight_decay=4e-5 if mobile else 1e-4,
        init="conv-and-classifier-fan-out",
        flip=True,
        scaled_crop=224 if mobile else 160,
        color_jitter=0.4,
        lighting=0.1,
        tune_epochs=60,
        tune_batch=256,
        tune_lr=0.002 if mobile else 0.004,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        origins={
            **dict.fromkeys(("batch", "lr", "momentum", "nesterov", "scaled_crop"), PRINTED),
            **dict.fromkeys(("epochs", "warmup_epochs", "dropout", "tune_epochs", "tune_batch", "tune_lr"), defaults),
            **dict.fromkeys(("init", "flip", "color_jitter", "lighting", "mean", "std", "reported"), code),
            "schedule": f"{PRINTED}: cosine; once per epoch: {code}",
            "weight_decay": f"{PRINTED}; on every parameter: {code}",
        },
    )


def densenet_cifar(dataset: str, augmented: bool) -> Recipe:
    """DenseNet on CIFAR: arXiv 1608.06993, section 4.2; github.com/liuzhuang13/DenseNet, commit e3d24fb.

    The paper prints 4.10 % on C10+ for k = 12, L = 100: 300 epochs, one run a cell, the error at the end.
    Without augmentation (C10, C100) a dropout of 0.2 follows every convolution but the first.
    """
    code = f"{CODE}: liuzhuang13/DenseNet e3d24fb"
    mean, std = {
        "cifar10": (of_bytes(125.3, 123.0, 113.9), of_bytes(63.0, 62.1, 66.7)),
        "cifar100": (of_bytes(129.3, 124.1, 112.4), of_bytes(68.2, 65.4, 70.4)),
    }[dataset]
    return Recipe(
        name=f"densenet-{dataset}{'+' if augmented else ''}",
        paper="DenseNet, Huang et al., arXiv 1608.06993",
        dataset=dataset,
        epochs=300,
        batch=64,
        lr=0.1,
        schedule="steps",
        milestones=(0.5, 0.75),
        nesterov=True,
        weight_decay=1e-4,
        init="conv-fan-out",
        dropout=0.0 if augmented else 0.2,
        crop_padding=4 if augmented else 0,
        flip=augmented,
        mean=mean,
        std=std,
        origins={
            "epochs": PRINTED,
            "batch": PRINTED,
            "lr": PRINTED,
            "schedule": PRINTED,
            "milestones": f"{PRINTED}: 50 % and 75 % of the epochs",
            "gamma": PRINTED,
            "momentum": PRINTED,
            "nesterov": PRINTED,
            "weight_decay": f"{PRINTED}; on every parameter: {code}",
            "init": f"{PRINTED}: as He et al.; fan-out: {code}",
            "dropout": PRINTED,
            "crop_padding": PRINTED,
            "padding_mode": code,
            "flip": PRINTED,
            "mean": code,
            "std": code,
            "reported": "printed: the error at the end of training",
        },
    )


def resnet_cifar10(warmup: bool) -> Recipe:
    """ResNet on CIFAR-10: arXiv 1512.03385, section 4.2.

    The paper prints 8.75 % for 20 layers: 64,000 iterations of 128 images, the rate divided by 10 at 32,000 and
    48,000. ResNet-110 starts with a rate of 0.01 until the training error is below 80 %, about 400 iterations.
    """
    return Recipe(
        name="resnet-cifar10-warmup" if warmup else "resnet-cifar10",
        paper="ResNet, He et al., arXiv 1512.03385",
        dataset="cifar10",
        epochs=164,
        iterations=64_000,
        batch=128,
        lr=0.1,
        schedule="steps",
        milestones=(0.5, 0.75),
        warmup_iterations=400 if warmup else 0,
        warmup_lr=0.01 if warmup else 0.0,
        nesterov=False,
        weight_decay=1e-4,
        init="conv-fan-out",
        crop_padding=4,
        flip=True,
        mean=CIFAR10[0],
        std=CIFAR10[1],
        origins={
            "epochs": f"{INFERRED}: 64,000 steps of 128 of 50,000 images",
            "iterations": PRINTED,
            "batch": PRINTED,
            "lr": PRINTED,
            "schedule": PRINTED,
            "milestones": f"{PRINTED}: 32,000 and 48,000 of 64,000 iterations",
            "gamma": PRINTED,
            "warmup_iterations": f"{PRINTED}: until the training error is below 80 %, about 400 iterations",
            "warmup_lr": PRINTED,
            "momentum": PRINTED,
            "nesterov": f"{INFERRED}: the paper speaks of momentum alone",
            "weight_decay": f"{PRINTED}; on every parameter: {INFERRED}",
            "init": f"{PRINTED}: as He et al.; fan-out: {INFERRED}",
            "dropout": f"{PRINTED}: none",
            "crop_padding": PRINTED,
            "padding_mode": f"{INFERRED}: zeros, after the mean is subtracted",
            "flip": PRINTED,
            "mean": f"{INFERRED}: the paper subtracts a mean image; per channel here",
            "std": f"{INFERRED}: per channel; the paper does not divide",
            "reported": f"{INFERRED}: the end of training",
        },
    )


def digits() -> Recipe:
    """A quick recipe of our own for the embedded digits; no paper stands behind it."""
    return Recipe(
        name="digits",
        paper="none: a default for people with no download",
        dataset="digits",
        epochs=15,
        batch=64,
        lr=0.1,
        schedule="cosine",
        warmup_epochs=1,
        nesterov=True,
        weight_decay=5e-4,
        init="conv-fan-out",
        crop_padding=4,
        origins={each.name: f"{INFERRED}: our own choice" for each in fields(Recipe)},
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "miru2020-cifar100": lambda: miru2020("cifar100"),
    "miru2020-cifar10": lambda: miru2020("cifar10"),
    "miru2020-imagenet-resnet34": lambda: miru2020_imagenet("resnet34"),
    "miru2020-imagenet-mobilenetv2": lambda: miru2020_imagenet("mobilenetv2"),
    "densenet-cifar10+": lambda: densenet_cifar("cifar10", augmented=True),
    "densenet-cifar10": lambda: densenet_cifar("cifar10", augmented=False),
    "densenet-cifar100+": lambda: densenet_cifar("cifar100", augmented=True),
    "densenet-cifar100": lambda: densenet_cifar("cifar100", augmented=False),
    "resnet-cifar10": lambda: resnet_cifar10(warmup=False),
    "resnet-cifar10-warmup": lambda: resnet_cifar10(warmup=True),
    "digits": digits,
}

_DEFAULTS: dict[str, dict[str, str]] = {
    "imagenet": {
        **dict.fromkeys(("resnet34", "denseresnet34"), "miru2020-imagenet-resnet34"),
        **dict.fromkeys(("mobilenetv2", "densemobilenetv2"), "miru2020-imagenet-mobilenetv2"),
    },
    "cifar100": {
        "resnet110": "miru2020-cifar100",
        "denseresnet110": "miru2020-cifar100",
        "densenet": "densenet-cifar100+",
        "densenet-bc": "densenet-cifar100+",
    },
    "cifar10": {
        "denseresnet110": "miru2020-cifar10",
        "densenet": "densenet-cifar10+",
        "densenet-bc": "densenet-cifar10+",
        **{f"resnet{depth}": "resnet-cifar10" for depth in (20, 32, 44, 56)},
        **{f"resnet{depth}": "resnet-cifar10-warmup" for depth in (110, 1202)},
    },
}


def recipe(name: str) -> Recipe:
    """Return a registered recipe."""
    return RECIPES[name]()


def default_recipe(model: str, dataset: str) -> str | None:
    """Return the name of the recipe with which a model's paper trains it on a data set, if there is one."""
    return "digits" if dataset == "digits" else _DEFAULTS.get(dataset, {}).get(model)
