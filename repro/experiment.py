"""An experiment: what is trained, on what, how and from which seed. Its hash is its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repro.data import DATASETS
from repro.data import find as find_dataset
from repro.errors import UserError
from repro.models import MODELS, OptionValue, resolve_options
from repro.models import find as find_model
from repro.recipes import RECIPES, Recipe, default_recipe, recipe
from repro.text import choose


@dataclass(frozen=True)
class Experiment:
    """Network, options, recipe (with its data set) and seed; no machine, no time, no path."""

    model: str
    options: Mapping[str, OptionValue]
    """Every free option, defaults included."""
    recipe: Recipe
    seed: int

    @property
    def dataset(self) -> str:
        """The data set, which is part of the recipe."""
        return self.recipe.dataset

    @property
    def train_images(self) -> int:
        """How many images are trained on."""
        return DATASETS[self.dataset].train_images - self.recipe.validation_images

    @property
    def id(self) -> str:
        """The hash of all that the experiment is, eight hexadecimal digits."""
        content = [self.model, self._telling_options(), self.recipe.name, self.recipe.values(), self.seed]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """A readable name with the identity at its end; the name of the run's folder."""
        options = [f"{key}{value}" for key, value in self._telling_options().items()]
        return "-".join([self.model, *options, self.dataset, f"s{self.seed}", self.id])

    def _telling_options(self) -> dict[str, OptionValue]:
        """Return the numbers, and of the other options those that are not as usual."""
        usual = MODELS[self.model].options
        return {key: value for key, value in self.options.items() if type(value) is int or value != usual[key]}

    def to_json(self) -> dict[str, Any]:
        """Return the experiment as plain data."""
        return {
            "model": self.model,
            "options": dict(self.options),
            "recipe": self.recipe.name,
            "values": self.recipe.values(),
            "seed": self.seed,
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Experiment:
        """Return the experiment that `to_json` wrote; KeyError, TypeError or UserError if it did not."""
        published = recipe(content["recipe"])
        values: dict[str, Any] = {
            key: tuple(each) if isinstance(each, list) else each for key, each in content["values"].items()
        }
        changed = Recipe(name=published.name, paper=published.paper, origins=published.origins, **values)
        options = resolve_options(content["model"], content["options"], changed.dataset)
        return Experiment(content["model"], options, changed, content["seed"])


def experiment_for(
    model: str,
    options: Mapping[str, OptionValue],
    *,
    seed: int,
    dataset: str | None = None,
    recipe_name: str | None = None,
    epochs: int | None = None,
) -> Experiment:
    """Return the experiment that a user's words describe; what they leave open is what the paper did.

    Raises:
        UserError: an unknown name, an option that the model has not, no recipe for model and data set, or a network
            for segmentation and a data set of classes, or the reverse.
    """
    model = find_model(model)
    named = recipe(choose("recipe", recipe_name, RECIPES)) if recipe_name else None
    where = find_dataset(dataset) if dataset else named.dataset if named else MODELS[model].dataset
    if segments(where) != segments(MODELS[model].dataset):
        raise UserError(f"{model} {_gives(MODELS[model].dataset)}, and {where} is for a network that {_gives(where)}")
    chosen = named or _default(model, where, padded=bool(options.get("padded")))
    if chosen.dataset != where:
        raise UserError(f"recipe {chosen.name} is for {chosen.dataset}, not for {where}; repro list recipes")
    if epochs is not None:
        if epochs < 1:
            raise UserError(f"--epochs {epochs} is impossible: 1 or more (the recipe: {chosen.epochs})")
        chosen = chosen.with_epochs(epochs)
    return Experiment(model, resolve_options(model, options, where), chosen, seed)


def segments(dataset: str) -> bool:
    """Whether a data set has a class for each pixel, not for each image."""
    return DATASETS[dataset].task.startswith("segmentation:")


def _gives(dataset: str) -> str:
    return "gives a class for each pixel" if segments(dataset) else "gives one class for an image"


def _default(model: str, dataset: str, padded: bool) -> Recipe:
    name = default_recipe(model, dataset, padded)
    if name is None:
        fitting = [each for each in RECIPES if recipe(each).dataset == dataset]
        hint = f"choose one with --recipe: {', '.join(fitting)}" if fitting else "repro list recipes"
        raise UserError(f"no paper here trains {model} on {dataset}; {hint}")
    return recipe(name)
