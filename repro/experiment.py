"""An experiment: network, dataset, recipe and seed. Its hash is its ID."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec

from repro.data import DATASETS, DatasetKind, find_dataset
from repro.data.suitable import check_images, trained_on, training_input
from repro.errors import UserError
from repro.models import (
    MODELS,
    OptionValue,
    build,
    check_layers,
    check_no_dropout,
    is_outside,
    resolve_options,
    spec_of,
)
from repro.models.options import Shape
from repro.models.outside.factory import check_output
from repro.models.outside.location import label, outside, recorded, remember
from repro.models.typed import typed_name
from repro.paths import data_folder
from repro.recipes import RECIPES, Recipe, default_recipe, find_network, has_default, network_folders, overridden
from repro.recipes.entries import check_values
from repro.recipes.recipe import INIT_OF_LINEAR
from repro.stored_experiment import StoredExperiment
from repro.text import choose

ONE_CLASS = "predicts one class for an image"
PREDICTS = {
    DatasetKind.SEGMENTATION: "predicts a class for each pixel",
    DatasetKind.DETECTION: "predicts a box and a class for each object",
}
"""What a model predicts for a kind of dataset, if it is not one class for an image."""


@dataclass(frozen=True)
class Experiment:
    """Network, options, recipe (with its dataset) and seed, independent of machine, time and paths."""

    model: str
    options: Mapping[str, OptionValue]
    """All options, including defaults."""
    recipe: Recipe
    seed: int

    @property
    def dataset(self) -> str:
        """The dataset, which the recipe names."""
        return self.recipe.dataset

    @property
    def train_images(self) -> int:
        """Number of images trained on; UserError if it is unknown because a declared dataset is not there."""
        check_counted(self.dataset)
        return trained_on(self.recipe)

    @property
    def input(self) -> Shape:
        """C, H, W of the network's training input."""
        return training_input(self.recipe)

    @property
    def id(self) -> str:
        """The ID: a hash of the experiment, eight hexadecimal digits."""
        content = [self.model, self._distinguishing_options(), self.recipe.name, self.recipe.values(), self.seed]
        if version := DATASETS[self.dataset].version:
            content.append(version)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def shared_id(self) -> str:
        """The ID that the seeds of an experiment share: that of its seed 0."""
        return replace(self, seed=0).id

    @property
    def name(self) -> str:
        """A readable name that ends with the ID; also the name of the run's folder."""
        options, model = self._distinguishing_options(), self.model
        if is_outside(model):  # text may have signs that no folder has
            options, model = {key: value for key, value in options.items() if type(value) is int}, label(model)
        shown = [f"{key}{value}" for key, value in options.items()]
        return "-".join([model, *shown, self.dataset, f"s{self.seed}", self.id])

    def _distinguishing_options(self) -> dict[str, OptionValue]:
        """Return the integer options, and the other options that differ from their defaults.

        For a network from outside the package these are all: its defaults are known only when its code has run.
        """
        if is_outside(self.model):
            return dict(self.options)
        usual = spec_of(self.model).options
        return {key: value for key, value in self.options.items() if type(value) is int or value != usual[key]}

    def to_json(self) -> dict[str, Any]:
        """Return the experiment as plain data."""
        return {
            "model": self.model,
            "options": dict(self.options),
            "recipe": self.recipe.name,
            "values": self.recipe.values(),
            "seed": self.seed,
            **({"network": recorded(self.model)} if is_outside(self.model) else {}),
            **({"declaration": version} if (version := DATASETS[self.dataset].version) else {}),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Experiment:
        """Return the experiment that `to_json` wrote; UserError for other content."""
        try:
            stored = msgspec.convert(content, StoredExperiment)
        except (msgspec.ValidationError, RecursionError) as error:
            raise UserError(f"it holds no experiment ({error})") from None
        return Experiment.from_stored(stored)

    @staticmethod
    def from_stored(stored: StoredExperiment) -> Experiment:
        """Return the experiment in a file; UserError if its network, recipe or dataset is unknown or has changed."""
        model, options = stored.model, stored.options
        if not stored.network and model not in MODELS:
            raise UserError(f"its network {model!r} is unknown here")
        if stored.recipe not in RECIPES:
            raise UserError(f"its recipe {stored.recipe} is unknown here; name the folder of its paper with --papers")
        check_values(stored.values)
        changed = RECIPES[stored.recipe].with_values(stored.values)
        check_declaration(changed.dataset, stored.declaration or None)
        if stored.network:  # its code does not run before it is built
            model = remember(model, msgspec.to_builtins(stored.network), network_folders())
        else:
            options = resolve_options(model, options, changed.dataset)
        return Experiment(model, options, changed, stored.seed)


def experiment_for(
    model: str,
    options: Mapping[str, OptionValue],
    *,
    seed: int,
    dataset: str | None = None,
    recipe_name: str | None = None,
    epochs: int | None = None,
    overrides: Sequence[str] = (),
) -> Experiment:
    """Return the experiment for a user's options; the defaults are those of the model's paper.

    Args:
        model: its name.
        options: those of the model.
        seed: of weights, order and augmentation.
        dataset: its name.
        recipe_name: the recipe to follow.
        epochs: short for the override `epochs=N`.
        overrides: values that replace those of the recipe, such as `batch=32`.

    Raises:
        UserError: a name is unknown, the model has no such option, there is no recipe for this model and dataset,
            the model predicts something other than the labels of the dataset, or the recipe cannot have a value.
    """
    model = find_network(model)
    named = RECIPES[choose("recipe", recipe_name, RECIPES)] if recipe_name else None
    where = find_dataset(dataset) if dataset else named.dataset if named else own_dataset(model)
    check_task(model, where)
    chosen = named or _default(model, where, options)
    if chosen.dataset != where:
        raise UserError(f"recipe {chosen.name} is for {chosen.dataset}, not for {where}; see repro list recipes")
    length = [] if epochs is None else [f"epochs={epochs}"]
    changed = overridden(chosen, [*length, *overrides])
    check_images(changed, chosen)
    check_layers(model, changed.dropout, changed.auxiliary)
    if chosen.dropout and not changed.dropout and spec_of(model).dropout:
        check_no_dropout(model, options, DATASETS[where].classes, DATASETS[where].input)
    return Experiment(model, resolve_options(model, options, where), changed, seed)


def one_of_each(experiments: Iterable[Experiment]) -> dict[str, Experiment]:
    """Return one of the seeds of each experiment, by its `shared_id`."""
    return {each.shared_id: each for each in experiments}


def by_seeds(experiments: Iterable[Experiment]) -> list[list[Experiment]]:
    """Return experiments with neighbours that differ only in their seeds in one list."""
    return [list(seeds) for _, seeds in groupby(experiments, attrgetter("shared_id"))]


def own_dataset(model: str) -> str:
    """Return the dataset of a model's paper; UserError for a network from outside the package."""
    found = spec_of(model).dataset
    if not found:
        raise UserError(f"{typed_name(model)} has no dataset of its own; name one with --dataset, such as cifar10")
    return found


def check_task(model: str, dataset: str) -> None:
    """Raise UserError if a model predicts something else than the labels of a dataset."""
    own = spec_of(model).dataset
    predicts = _predicts(own) if own else ONE_CLASS
    if predicts != _predicts(dataset):
        told = predicts if own else f"is from outside the package and {ONE_CLASS}"
        raise UserError(f"{typed_name(model)} {told}, and {dataset} needs a model that {_predicts(dataset)}")


def check_network(experiment: Experiment) -> None:
    """Build a network from outside the package once, before anything is written or trained.

    Raises:
        UserError: it cannot be built for the dataset, does not return (batch, classes) when it is trained or tested,
            has no gradient, or has weights that the recipe can neither initialise nor decay.
    """
    if not is_outside(experiment.model):
        return
    from repro.models.outside.state import check_own_weights

    data, recipe = DATASETS[experiment.dataset], experiment.recipe
    network = build(
        experiment.model, experiment.options, classes=data.classes, input=data.input, dropout=recipe.dropout
    )
    check_output(experiment.model, network, data.classes, data.input, trains=True)
    check_output(experiment.model, network.eval(), data.classes, data.input)
    limited = recipe.decay_scope != "all" and recipe.weight_decay > 0
    convolutions, linear = limited or recipe.init != "as-built", limited or recipe.init in INIT_OF_LINEAR
    check_own_weights(outside(experiment.model).place, network, convolutions=convolutions, linear=linear)


def check_counted(dataset: str) -> None:
    """Raise UserError if the number of training images of a declared dataset is unknown."""
    spec = DATASETS[dataset]
    if spec.declaration and not spec.train_images:
        raise spec.declaration.refused(
            f"no training images are in {data_folder()}; put them there, name their folder with $REPRO_DATA (or --data "
            "where the command has it), or declare train_images"
        )


def check_declaration(dataset: str, version: str | None) -> None:
    """Raise UserError if the dataset of a run is unknown, or its declaration has changed since it was trained."""
    if dataset not in DATASETS:
        raise UserError(f"its dataset {dataset} is unknown here; name the folder of its paper with --papers")
    spec = DATASETS[dataset]
    if spec.version != version:
        where = spec.declaration.file if spec.declaration else "its file"
        raise UserError(f"the declaration of its dataset {dataset} has changed since it was trained; restore {where}")


def classifies(dataset: str) -> bool:
    """Whether a dataset has one class for each image."""
    return DATASETS[dataset].kind not in PREDICTS


def _predicts(dataset: str) -> str:
    return PREDICTS.get(DATASETS[dataset].kind, ONE_CLASS)


def _default(model: str, dataset: str, options: Mapping[str, OptionValue]) -> Recipe:
    known = has_default(model, dataset)  # otherwise no code of the network runs
    name = default_recipe(model, dataset, resolve_options(model, options, dataset)) if known else None
    if name is not None:
        return RECIPES[name]
    typed, fitting = typed_name(model), ", ".join(name for name, each in RECIPES.items() if each.dataset == dataset)
    if not fitting:
        raise UserError(f"no paper here trains {typed} on {dataset}; repro list recipes")
    reason = f"no recipe is the default for {typed} on {dataset} (default_for)"
    raise UserError(f"{reason}; choose one with --recipe: {fitting}")
