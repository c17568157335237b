"""A recipe for people with no download."""

from __future__ import annotations

from dataclasses import fields

from repro.recipes.recipe import INFERRED, Recipe


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
