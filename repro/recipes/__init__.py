"""What the papers did to train their networks: one file per paper, nothing here knows of hardware or speed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from repro.recipes.dense_resnet import miru2020, miru2020_imagenet, miru2020_imagenet_tuned
from repro.recipes.densenet import densenet_cifar, densenet_imagenet, densenet_svhn
from repro.recipes.digits import digits
from repro.recipes.recipe import Recipe
from repro.recipes.resnet import resnet_cifar10
from repro.recipes.tiny_imagenet import tiny_imagenet_10
from repro.recipes.torchvision import NETWORKS, torchvision_imagenet
from repro.recipes.unet import unet_isbi, unet_isbi_padded, unet_segmentation
from repro.recipes.wide_resnet import wrn_cifar, wrn_svhn

__all__ = ["RECIPES", "Recipe", "default_recipe", "deviations", "recipe"]

RECIPES: dict[str, Callable[[], Recipe]] = {
    "miru2020-cifar100": lambda: miru2020("cifar100"),
    "miru2020-cifar10": lambda: miru2020("cifar10"),
    "miru2020-imagenet-resnet34": lambda: miru2020_imagenet("resnet34"),
    "miru2020-imagenet-mobilenetv2": lambda: miru2020_imagenet("mobilenetv2"),
    "miru2020-imagenet-resnet34-tuned": lambda: miru2020_imagenet_tuned("resnet34"),
    "miru2020-imagenet-mobilenetv2-tuned": lambda: miru2020_imagenet_tuned("mobilenetv2"),
    "densenet-cifar10+": lambda: densenet_cifar("cifar10", augmented=True),
    "densenet-cifar10": lambda: densenet_cifar("cifar10", augmented=False),
    "densenet-cifar100+": lambda: densenet_cifar("cifar100", augmented=True),
    "densenet-cifar100": lambda: densenet_cifar("cifar100", augmented=False),
    "densenet-svhn": densenet_svhn,
    "densenet-imagenet": densenet_imagenet,
    "wrn-cifar10": lambda: wrn_cifar("cifar10", zca=False),
    "wrn-cifar10-zca": lambda: wrn_cifar("cifar10", zca=True),
    "wrn-cifar100": lambda: wrn_cifar("cifar100", zca=False),
    "wrn-cifar100-zca": lambda: wrn_cifar("cifar100", zca=True),
    "wrn-svhn": wrn_svhn,
    "resnet-cifar10": lambda: resnet_cifar10(warmup=False),
    "resnet-cifar10-warmup": lambda: resnet_cifar10(warmup=True),
    "unet-isbi": unet_isbi,
    "unet-isbi-padded": unet_isbi_padded,
    "unet-segmentation": unet_segmentation,
    **{f"torchvision-{network}": partial(torchvision_imagenet, network) for network in NETWORKS},
    "digits": digits,
    "tiny-imagenet-10": tiny_imagenet_10,
}

_DEFAULTS: dict[str, dict[str, str]] = {
    "imagenet": {
        **dict.fromkeys(("resnet34", "denseresnet34"), "miru2020-imagenet-resnet34"),
        **dict.fromkeys(("mobilenetv2", "densemobilenetv2"), "miru2020-imagenet-mobilenetv2"),
        **{f"densenet{depth}": "densenet-imagenet" for depth in (121, 161, 169, 201, 264)},
    },
    "isbi2012": {"unet": "unet-isbi"},
    "segmentation": {"unet": "unet-segmentation"},
    "cifar100": {
        "resnet110": "miru2020-cifar100",
        "denseresnet110": "miru2020-cifar100",
        "densenet": "densenet-cifar100+",
        "densenet-bc": "densenet-cifar100+",
        "wrn": "wrn-cifar100",
    },
    "cifar10": {
        "denseresnet110": "miru2020-cifar10",
        "densenet": "densenet-cifar10+",
        "densenet-bc": "densenet-cifar10+",
        "wrn": "wrn-cifar10",
        **{f"resnet{depth}": "resnet-cifar10" for depth in (20, 32, 44, 56)},
        **{f"resnet{depth}": "resnet-cifar10-warmup" for depth in (110, 1202)},
    },
    "svhn": {"densenet": "densenet-svhn", "densenet-bc": "densenet-svhn", "wrn": "wrn-svhn"},
}


def recipe(name: str) -> Recipe:
    """Return a registered recipe."""
    return RECIPES[name]()


def default_recipe(model: str, dataset: str, padded: bool = False) -> str | None:
    """Return the name of the recipe with which a model's paper trains it on a data set, if there is one.

    A padded U-Net is no paper's, and has a recipe of its own.
    """
    own = dataset in ("digits", "tiny-imagenet-10")  # recipes of our own, for every network
    name = dataset if own else _DEFAULTS.get(dataset, {}).get(model)
    return f"{name}-padded" if padded and f"{name}-padded" in RECIPES else name


def deviations(changed: Recipe) -> list[str]:
    """Return what differs from the recipe of the same name, as `epochs=1 (300)`; empty for a faithful one."""
    return changed.differences(recipe(changed.name))
