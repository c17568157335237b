"""Recipes as they were before a correction, so that a record of that time says what its run did otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from repro.recipes.recipe import CIFAR10, Recipe
from repro.recipes.resnet import resnet_cifar10


def _resnet_cifar10(*, warmup: bool) -> Recipe:
    """ResNet on CIFAR-10 until November 2026: every parameter decayed, and images normalised by channel."""
    return replace(
        resnet_cifar10(warmup), decay_scope="all", preprocessing="", mean=CIFAR10[0], std=CIFAR10[1], origins={}
    )


FORMER: dict[str, Callable[[], Recipe]] = {
    "resnet-cifar10": lambda: _resnet_cifar10(warmup=False),
    "resnet-cifar10-warmup": lambda: _resnet_cifar10(warmup=True),
}
