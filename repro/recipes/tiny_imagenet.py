"""A recipe for ten classes of Tiny ImageNet."""

from __future__ import annotations

from dataclasses import fields

from repro.recipes.recipe import IMAGENET, INFERRED, Recipe


def tiny_imagenet_10() -> Recipe:
    """A short recipe of our own, for seeing the whole path of ImageNet on a small machine; no paper stands behind it.

    The images have 64 pixels and are shown in that size; any network for ImageNet takes them.
    """
    return Recipe(
        name="tiny-imagenet-10",
        paper="none: ImageNet's path on a small machine",
        dataset="tiny-imagenet-10",
        epochs=10,
        batch=64,
        lr=0.05,
        schedule="cosine",
        warmup_epochs=1,
        nesterov=True,
        weight_decay=5e-4,
        init="conv-fan-out",
        flip=True,
        scaled_crop=64,
        resize=72,
        test_crop=64,
        mean=IMAGENET[0],
        std=IMAGENET[1],
        origins={each.name: f"{INFERRED}: our own choice" for each in fields(Recipe)},
    )
