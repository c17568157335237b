"""Recipe values in training: momentum resets, dropped batches, validation images, whitened images; real data."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import pytest
import torch
from svhn_files import small_svhn
from watching import Silent, assert_same, correlated_images, engine_of, small, stop_at, train_one, weights

from repro.data import Dataset, Images, load
from repro.data.inputs.preprocess import preprocessed
from repro.data.readers import svhn
from repro.errors import Stopped, UserError
from repro.evaluation.evaluate import evaluate
from repro.experiment import Experiment, experiment_for
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.results import EpochRow
from repro.training.checkpoints import checkpoint
from repro.training.engine.engine import Engine
from repro.training.runs.record import reported_row
from repro.training.tasks import kinds
from repro.training.tasks.in_memory import InMemoryClassification, in_memory_task

CPU = Runtime(device="cpu")
DEVICE = torch.device("cpu")
Make = Callable[..., Experiment]
pytestmark = pytest.mark.usefixtures("small_digits")
DROP = {"schedule": "steps", "milestones": (0.5,), "gamma": 0.2, "warmup_epochs": 0, "lr": 0.1}


def trained_steps(engine: Engine) -> Iterator[int]:
    """Keep training, epoch after epoch."""
    while not engine.finished:
        yield from engine.steps()
        engine.end_epoch()


def test_momentum_starts_from_zero_at_the_step_of_a_drop(tiny: Make) -> None:
    """V = g, then w -= lr (g + 0.9 V) with weight decay in g, as in the first step of the run."""
    engine = engine_of(tiny(momentum_reset=True, **DROP))
    steps = trained_steps(engine)
    assert list(islice(steps, 6)) == [1, 2, 3, 4, 5, 6]  # the first of two epochs
    before = engine.alone(0).classifier.weight.detach().clone()
    next(steps)
    weight = engine.alone(0).classifier.weight
    decayed = weight.grad + 5e-4 * before
    torch.testing.assert_close(weight.detach(), before - 0.1 * 0.2 * 1.9 * decayed)


def test_without_a_reset_the_momentum_continues(tiny: Make) -> None:
    both = []
    for reset in (True, False):
        engine = engine_of(tiny(momentum_reset=reset, **DROP))
        steps, seen = trained_steps(engine), []
        for _ in range(7):
            next(steps)
            seen.append(engine.alone(0).classifier.weight.detach().clone())
        both.append(seen)
    same = [torch.equal(one, other) for one, other in zip(*both, strict=True)]
    assert same == [True] * 6 + [False]


def test_resume_around_a_drop_continues_bit_for_bit(tiny: Make, folders: Folders, elsewhere: Folders) -> None:
    """The run stops before the last step with the old rate, before the first step with the new one, and after it."""
    experiment = tiny(momentum_reset=True, **DROP)
    straight = train_one(experiment, CPU, elsewhere, Silent())
    for step in (5, 6, 7):
        with pytest.raises(Stopped):
            train_one(experiment, CPU, folders, stop_at(step))
    record = train_one(experiment, CPU, folders, Silent())
    assert (record.error, record.loss, record.sessions) == (straight.error, straight.loss, 4)
    assert_same(weights(folders, experiment), weights(elsewhere, experiment))


def test_a_smaller_last_batch_can_be_dropped(tiny: Make, folders: Folders) -> None:
    record = train_one(tiny(drop_last=True), CPU, folders, Silent())
    assert record.steps == 2 * 5  # 1,442 images are five batches of 256 and 162 images
    task = InMemoryClassification(tiny(drop_last=True).recipe, load("digits", Path()), CPU, DEVICE)
    assert [len(batch.targets) for batch in task.batches(0, 0, 3)] == [256, 256]


def with_validation(name: str, root: Path) -> Dataset:
    """Return the digits with every tenth training image set aside."""
    data = small(load(name, root))
    return replace(data, validation=torch.arange(0, len(data.train), 10))


def test_validation_images_are_tested_and_never_trained_on(tiny: Make) -> None:
    data = with_validation("digits", Path())
    pixels = data.train.pixels.clone()
    pixels[data.validation] = 255  # no digit is all white
    data = replace(data, train=Images(pixels, data.train.labels))
    recipe = tiny(validation_images=145, crop_padding=0, mean=(0.0,) * 3, std=(1.0,) * 3).recipe
    task = InMemoryClassification(recipe, data, CPU, DEVICE)
    assert task.images == 1442 - 145
    shown = torch.cat([batch.inputs for batch in task.batches(0, 0, 0)])
    assert len(shown) == 1297
    assert not (shown == 1).flatten(1).all(1).any()

    class White(torch.nn.Module):
        """Predicts 3 for white images and 0 for the others."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(3 * (x == 1).flatten(1).all(1).long(), 10).float()

    metrics = task.test(White())
    assert data.validation is not None
    labels = data.train.labels[data.validation]
    assert metrics.validation_error == pytest.approx(100 * (labels != 3).float().mean().item())
    assert metrics.error == pytest.approx(100 * (data.test.labels != 0).float().mean().item())


def test_the_epoch_of_the_lowest_validation_error_is_reported(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "load", with_validation)
    experiment = tiny(epochs=3, validation_images=145, reported="lowest-validation", lr=0.3)
    record = train_one(experiment, CPU, folders, Silent())
    history = checkpoint.load(folders.runs / experiment.name / checkpoint.NEWEST).history
    errors = [row.validation_error for row in history]
    assert record.reported_epoch == 1 + errors.index(min(errors))
    reported = history[record.reported_epoch - 1]
    assert (record.error, record.error5) == (reported.test_error, reported.test_error5)
    assert (record.loss, record.train_loss) == (reported.test_loss, reported.train_loss)
    assert (record.epochs, record.steps) == (3, 3 * 6)  # 1,297 images are six batches
    assert train_one(experiment, CPU, folders, Silent()) == record  # the run is recognised as finished
    assert evaluate(record.id, folders, CPU).recorded == history[-1].test_error  # the kept weights are the last ones


def test_the_first_of_equal_validation_errors_is_reported(tiny: Make) -> None:
    figures = {"step": 0, "lr": 0.1, "train_loss": 0.0, "train_error": 0.0, "test_loss": 0.0, "seconds": 0.0}
    history = [
        EpochRow(epoch=epoch, test_error=test, validation_error=validation, **figures)  # type: ignore[arg-type]
        for epoch, test, validation in ((1, 5.0, 3.0), (2, 4.0, 2.0), (3, 3.0, 2.0), (4, 1.0, 4.0))
    ]
    recipe = tiny().recipe
    assert reported_row(recipe, history).epoch == 4
    assert reported_row(replace(recipe, reported="lowest-validation"), history).epoch == 2


def test_a_data_set_with_other_validation_images_is_refused(tiny: Make) -> None:
    with pytest.raises(UserError, match="needs 7 validation images, but digits defines 0"):
        engine_of(tiny(validation_images=7))


def photographs(root: Path) -> Dataset:
    """Return the middle 16x16 pixels of some of CIFAR-10."""
    splits = (load("cifar10", root).train, load("cifar10", root).test)
    train, test = (Images(each.pixels[:2000, :, 8:24, 8:24], each.labels[:2000]) for each in splits)
    return Dataset(train, test, "cifar10:small")


def losses(experiment: Experiment, data: Dataset, steps: int) -> list[float]:
    """Return the losses of the first steps of the recipe, with smaller batches."""
    experiment = replace(experiment, recipe=replace(experiment.recipe, batch=32))
    engine = engine_of(experiment, data)
    sums = [0.0]
    for _ in islice(engine.steps(), steps):
        sums.append(engine.sums[0, 0].item())
    return [(after - before) / 32 for before, after in pairwise(sums)]


@pytest.mark.parametrize(
    ("model", "options", "recipe_name"),
    [
        ("wrn", {"depth": 10, "k": 2}, "wrn-cifar10"),
        ("wrn", {"depth": 10, "k": 2}, "wrn-cifar10-zca"),
        ("densenet", {"depth": 10, "k": 12}, "densenet-cifar10"),
        ("densenet-bc", {"depth": 16, "k": 12}, "densenet-cifar10+"),
    ],
)
def test_real_photographs_are_learnt(
    real_data: Path, model: str, options: dict[str, int | float], recipe_name: str
) -> None:
    experiment = experiment_for(model, options, seed=0, recipe_name=recipe_name)
    found = losses(experiment, photographs(real_data), 50)
    assert len(found) == 50
    assert sum(found[-10:]) / 10 < sum(found[:10]) / 10 - 0.1


@pytest.mark.parametrize("name", ["densenet-cifar10+", "resnet-cifar10"])
def test_images_are_normalised_before_they_are_padded_with_zeros(name: str) -> None:
    """As in their authors' Lua code: the border is the mean colour, not black."""
    recipe = experiment_for("resnet20", {}, seed=0, recipe_name=name).recipe
    pixels = torch.zeros(200, 3, 32, 32, dtype=torch.uint8)
    pixels[::2] = 255
    images = Images(pixels, torch.zeros(200, dtype=torch.int64))
    task = in_memory_task(recipe, Dataset(train=images, test=images, fingerprint=""), CPU, DEVICE)
    shown = next(iter(task.batches(0, 0, 0))).inputs
    corners = shown[..., [0, 0, -1, -1], [0, -1, 0, -1]]  # some corners show the padding, others the image
    values = corners.movedim(1, -1).reshape(-1, 3).unique(dim=0)
    white, black = task.normalise(pixels[:2])[:, :, 0, 0]
    assert len(values) == 3
    assert all(any(torch.equal(value, each) for value in values) for each in (white, black, torch.zeros(3)))


def test_whitened_images_are_not_normalised() -> None:
    data = Dataset(correlated_images(2500), correlated_images(100, seed=1), "random:0")
    recipe = experiment_for("wrn", {}, seed=0, recipe_name="wrn-cifar10-zca").recipe
    task = in_memory_task(replace(recipe, crop_padding=0, flip=False), data, CPU, DEVICE)
    white = preprocessed(data, "zca").train.pixels
    batch = next(iter(task.batches(0, 0, 0)))
    order, _ = task._plan(0, 0)
    assert torch.equal(batch.inputs, white[order[:128]])


def test_svhn_is_learnt_from_files_as_published(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, server: tuple[str, Path]
) -> None:
    """The files are small and downloaded; the brightness of an image encodes its digit."""
    published = replace(small_svhn(server[1]), address=server[0])
    monkeypatch.setattr(svhn, "SVHN", published)
    monkeypatch.setattr(Experiment, "train_images", 70)
    experiment = experiment_for("densenet", {"depth": 7, "k": 4}, seed=0, dataset="svhn", epochs=8)
    experiment = replace(experiment, recipe=replace(experiment.recipe, validation_images=30, batch=16))
    record = train_one(experiment, CPU, folders, Silent())
    assert (record.steps, record.dataset, record.recipe) == (8 * 5, "svhn", "densenet-svhn")
    history = checkpoint.load(folders.runs / experiment.name / checkpoint.NEWEST).history
    assert history[-1].train_loss < history[0].train_loss - 0.2
    assert record.reported_epoch == reported_row(experiment.recipe, history).epoch
    assert train_one(experiment, CPU, folders, Silent()) == record
    wide = experiment_for("wrn", {"depth": 10, "k": 1, "dropout": 0.4}, seed=0, dataset="svhn", epochs=10)
    wide = replace(wide, recipe=replace(wide.recipe, batch=32))
    record = train_one(wide, CPU, folders, Silent())
    assert (record.steps, record.recipe) == (10 * (100 // 32), "wrn-svhn")
    history = checkpoint.load(folders.runs / wide.name / checkpoint.NEWEST).history
    assert history[-1].train_loss < history[0].train_loss - 0.1
