"""Every recipe for ImageNet trains: some steps of a tiny network, and with the marker `real` its own on photographs."""

import csv
import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from watching import assert_same

from repro.data import SHIPPED
from repro.data.readers.folder import ImageFolder
from repro.experiment import Experiment
from repro.recipes import RECIPES, Recipe
from repro.runtime import Runtime
from repro.training.engine.engine import Engine
from repro.training.tasks.from_files import FileClassification

TINY = "tiny-imagenet-10"
LINES = csv.DictReader((Path(__file__).parent / "recipe_ids.csv").read_text().splitlines())
NETWORKS = {
    line["recipe"]: (line["model"], json.loads(line["options"]))
    for line in LINES
    if RECIPES[line["recipe"]].dataset.startswith("imagenet")
}
"""The network and the options of the recorded experiment of each recipe."""
REAL_EPOCHS = 20


def shrunk(recipe: Recipe, side: int, batch: int, epochs: int) -> Recipe:
    """Return a recipe for images of `side` pixels, with a rate proportional to the batch, RMSprop's to its root."""
    crops = {"scaled_crop": side} if recipe.scaled_crop else {"random_crop": side, "shorter_side": side}
    largest = {"shorter_side_max": 2 * side} if recipe.shorter_side_max else {}
    lr = recipe.lr * (batch / recipe.batch) ** (1.0 if recipe.optimizer == "sgd" else 0.5)
    sizes = {"resize": side, "test_crop": side, "batchnorm_images": 0, "iterations": None}
    short = replace(recipe.with_epochs(epochs), dataset=TINY, batch=batch, lr=lr, **crops, **largest, **sizes)
    return replace(short, tune_epochs=0, tune_batch=0, tune_lr=0.0)


def engine_of(experiment: Experiment, data: ImageFolder) -> Engine:
    here, cpu = Runtime(device="cpu", workers=0), torch.device("cpu")
    return Engine([experiment], here, FileClassification(experiment.recipe, data, here, cpu), cpu)


def folder(home: Path, monkeypatch: pytest.MonkeyPatch, *, classes: int, train: int, test: int) -> ImageFolder:
    """Return the images in a folder in place of ten classes of Tiny ImageNet."""
    spec = replace(SHIPPED[TINY], classes=classes, train_images=train, test_images=test)
    monkeypatch.setitem(SHIPPED, TINY, spec)
    return ImageFolder(TINY, home, home / "val")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_recipe_changes_the_weights_of_a_tiny_network(
    name: str, write_images: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("train", "val"):
        write_images(tmp_path / part, classes=2, images=4, size=(20, 16))
    data = folder(tmp_path, monkeypatch, classes=2, train=8, test=8)
    chosen = replace(shrunk(RECIPES[name], 16, 4, 2), auxiliary=0.0, dropout=0.0)
    engine = engine_of(Experiment("densenet", {"depth": 7, "k": 4}, chosen, 0), data)
    before = engine.networks.state_of(0)["classifier.weight"].clone()
    assert list(islice(engine.steps(), 2)) == [1, 2]
    engine.check_loss()
    engine.check_weights()
    assert not torch.equal(before, engine.networks.state_of(0)["classifier.weight"])


@pytest.mark.real
@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_of_a_recipe_learns_photographs_and_resumes_bit_for_bit(
    name: str, real_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One photograph of each class, a step in each epoch, without the noise that would hide how the loss falls."""
    for part in ("train", "val"):
        for each in sorted((real_images / TINY / part).iterdir()):
            for file in sorted(each.rglob("*.JPEG"))[:1]:
                (tmp_path / part / each.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, tmp_path / part / each.name)
    data = folder(tmp_path, monkeypatch, classes=10, train=10, test=10)
    model, options = NETWORKS[name]
    chosen = shrunk(RECIPES[name], 32, 10, REAL_EPOCHS)
    quiet = replace(chosen, dropout=0.0, color_jitter=0.0, lighting=0.0)
    experiment = Experiment(model, options, quiet, 0)
    engine = engine_of(experiment, data)
    trained_to(engine, REAL_EPOCHS - 2)
    resumed = engine_of(experiment, data)
    saved = deepcopy(engine.checkpoints())
    for each in (engine, resumed):
        if each is resumed:
            each.restore(saved)
        trained_to(each, REAL_EPOCHS)
    one, two = engine.checkpoints()[0], resumed.checkpoints()[0]
    assert_same(one.network, two.network)
    assert_same(one.tested, two.tested)
    losses = [row.train_loss for row in engine.epoch_rows[0]]
    print(name, model, [round(each, 2) for each in losses], f"tested: {engine.epoch_rows[0][-1].test_loss:.2f}")
    assert sum(losses[-4:]) < sum(losses[:4])


def trained_to(engine: Engine, epochs: int) -> None:
    """Train and test an engine until it has a number of epochs."""
    while engine.epochs < epochs:
        assert len(list(engine.steps())) == 1
        engine.end_epoch()
