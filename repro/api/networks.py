"""Networks as torch modules: initialised as their papers do, or with the weights of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from repro.api.library import Papers, check_text, path_argument, plain, plain_options, text_argument, using
from repro.bounds import LARGEST_SEED
from repro.console import loading
from repro.data import DATASETS, find_dataset
from repro.errors import UserError
from repro.experiment import Experiment, check_task, experiment_for, own_dataset
from repro.models import OptionValue, resolve_options
from repro.models import build as build_network
from repro.recipes import default_recipe
from repro.tables.names import dataset_called, network_called, recipe_called

if TYPE_CHECKING:
    from torch import nn


def build(
    model: str,
    *,
    dataset: str | None = None,
    recipe: str | None = None,
    seed: int = 0,
    papers: Papers = (),
    **options: OptionValue,
) -> nn.Module:
    """Return a network on the CPU, for images (n, C, H, W) of a dataset.

    Its weights are those with which `repro train` starts, with the initialisation of the recipe and the seed. If no
    paper trains the network on the dataset, they are initialised as its code does. The random number generators of
    your program are not affected.

    Args:
        model: the name of a network, `FILE.py:NAME`, `PACKAGE.MODULE:NAME`, `timm:NAME` or `torchvision:NAME`; or the
            label of a row, whose recipe and dataset it then has.
        dataset: gives the input shape and the number of classes (default: the dataset of the recipe, or of
            the network's paper).
        recipe: gives the initialisation (default: the recipe in the network's paper).
        seed: of the weights.
        papers: one or several folders of papers, besides those that are found.
        options: those of the network, such as `depth=28`.

    Raises:
        UserError: there is no such network, option, dataset or recipe, or they do not go together.
    """
    seed = plain(seed)
    if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"seed={seed!r} is invalid; give a whole number from 0 to {LARGEST_SEED}")
    check_text(dataset=dataset, recipe=recipe)
    with using(papers):
        called = network_called(text_argument("model", model))
        name, options = called.name, called.with_options(model, plain_options(options))
        recipe = recipe or recipe_called(model, dataset)
        where = None if recipe else find_dataset(dataset) if dataset else dataset_called(model) or own_dataset(name)
        with loading():
            import torch

            from repro.training.initialise import initialised
            from repro.training.randomness import seed_of
        with torch.random.fork_rng(devices=[]):
            if where is None or default_recipe(name, where, resolve_options(name, options, where)):
                return initialised(
                    experiment_for(name, options, seed=seed, dataset=where or dataset, recipe_name=recipe)
                )
            check_task(name, where)
            data = DATASETS[where]
            torch.manual_seed(seed_of(seed, "init"))
            return build_network(name, resolve_options(name, options, where), classes=data.classes, input=data.input)


def load_weights(file: str | Path, *, papers: Papers = ()) -> tuple[nn.Module, Experiment]:
    """Return a network with the weights in a file of `repro export`, and the experiment that trained it.

    The network is in evaluation mode, on the CPU. The experiment has `model`, `options`, `dataset`, `recipe` and
    `seed`. The `mean` and `std` with which the images were normalised are in the model card and in the file's metadata.

    Args:
        file: the .safetensors file.
        papers: one or several folders of papers, besides those that are found: the recipe, or a network in a file, may
            be there.

    Raises:
        UserError: the file is broken, was not written by `repro export`, or does not match its network; or its network
            or dataset is in no paper that is found.
    """
    with using(papers):
        with loading():
            from repro.evaluation.export import exported_network
        return exported_network(path_argument("file", file))
