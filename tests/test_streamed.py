"""Image files: the randomness of each image is independent of workers and stops."""

import errno
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import repro
from forked import start
from torch import Tensor
from torch.nn import functional
from watching import Silent, assert_same, shrink_images, stop_at, train_one, weights

from repro.data import SHIPPED
from repro.data.inputs.views import EIGENVALUES, EIGENVECTORS, TrainViews, lighting_noise
from repro.data.readers.folder import ImageFolder
from repro.errors import Stopped, UserError
from repro.experiment import Experiment, experiment_for
from repro.paths import Folders
from repro.recipes import RECIPES, Recipe, library, reading
from repro.runtime import Runtime
from repro.training.checkpoints import checkpoint
from repro.training.runs import saver
from repro.training.tasks import from_files
from repro.training.tasks.from_files import FileClassification
from repro.training.tasks.stream import stream

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

CPU = torch.device("cpu")
HERE = Runtime(device="cpu", workers=0)
RECIPE = replace(RECIPES["tiny-imagenet-10"], batch=8, scaled_crop=32, resize=36, test_crop=32)
"""A recipe with small crops and small batches."""


def experiment(seed: int = 0, epochs: int = 2) -> Experiment:
    """Return an experiment that takes under a second."""
    return Experiment("resnet20", {"shortcut": "A"}, RECIPE.with_epochs(epochs), seed)


def everything(task: FileClassification, epoch: int = 0, begin: int = 0) -> list[tuple[Tensor, Tensor]]:
    return [(batch.inputs, batch.targets) for batch in task.batches(0, epoch, begin)]


def assert_equal(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> None:
    assert len(one) == len(other)
    for (inputs, targets), (same_inputs, same_targets) in zip(one, other, strict=True):
        assert torch.equal(inputs, same_inputs)
        assert torch.equal(targets, same_targets)


STRONG = replace(RECIPE, color_jitter=0.4, lighting=0.1)


@pytest.mark.parametrize("chosen", [RECIPE, STRONG], ids=["plain", "strong"])
def test_the_number_of_workers_changes_nothing(small_images: ImageFolder, chosen: Recipe) -> None:
    none, one, two = (
        everything(FileClassification(chosen, small_images, replace(HERE, workers=workers), CPU))
        for workers in (0, 1, 2)
    )
    assert [len(targets) for _, targets in none] == [8, 8, 4]
    assert_equal(none, one)
    assert_equal(none, two)


def test_an_epoch_can_be_resumed_at_any_batch(small_images: ImageFolder) -> None:
    task = FileClassification(STRONG, small_images, HERE, CPU)
    assert_equal(everything(task, begin=1), everything(task)[1:])
    assert everything(task, begin=3) == []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The images and seeds that are read from now on, in their order."""
    found: list[tuple[int, int]] = []
    original = TrainViews.__getitem__
    monkeypatch.setattr(TrainViews, "__getitem__", lambda self, ask: found.append(ask) or original(self, ask))
    return found


def test_images_before_the_first_batch_are_not_read(small_images: ImageFolder, asked: list[tuple[int, int]]) -> None:
    everything(FileClassification(RECIPE, small_images, HERE, CPU), begin=2)
    assert len(asked) == 4


def test_every_epoch_has_every_image_once_with_new_augmentation(
    small_images: ImageFolder, asked: list[tuple[int, int]]
) -> None:
    task = FileClassification(RECIPE, small_images, HERE, CPU)
    for epoch in (0, 1):
        everything(task, epoch)
    first, second = asked[:20], asked[20:]
    assert sorted(index for index, _ in first) == sorted(index for index, _ in second) == list(range(20))
    assert len({seed for _, seed in asked}) == 40


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_draws_nothing_from_the_generator_of_dropout(small_images: ImageFolder, workers: int) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    everything(FileClassification(STRONG, small_images, replace(HERE, workers=workers), CPU))
    assert torch.equal(torch.rand(4), expected)


def test_colour_and_light_change_only_colours(small_images: ImageFolder) -> None:
    """The same seed gives the same crop with and without them, since the crop is drawn first."""
    plain, strong = (TrainViews(small_images.train, chosen)[3, 5] for chosen in (RECIPE, STRONG))
    assert not torch.equal(plain[0], strong[0])
    assert plain[1].tolist() == [0, 0, 0]
    assert strong[1].abs().max() > 0
    means = [each[0].float().flatten(1) - each[0].float().flatten(1).mean(1, keepdim=True) for each in (plain, strong)]
    assert functional.cosine_similarity(*means).min() > 0.8


def test_a_training_crop_is_scaled_as_the_recipe_says(small_images: ImageFolder) -> None:
    """Some bicubic weights are negative, which makes edges sharper than bilinear ones."""
    linear, cubic = (
        TrainViews(small_images.train, replace(RECIPE, interpolation=each))[3, 5][0].float()
        for each in ("bilinear", "bicubic")
    )
    assert 0 < (linear - cubic).abs().mean() < 20
    assert cubic.var() > linear.var()


def test_lighting_is_alexnets() -> None:
    """Section 4.1 of its paper: multiples of the principal components, with eigenvalues times random draws."""
    torch.testing.assert_close(EIGENVECTORS.T @ EIGENVECTORS, torch.eye(3), atol=2e-3, rtol=0)
    torch.manual_seed(0)
    noise = torch.stack([lighting_noise(0.1) for _ in range(4000)])
    torch.testing.assert_close((noise @ EIGENVECTORS).std(0), 0.1 * EIGENVALUES, rtol=0.05, atol=0)


def test_lighting_is_added_before_the_normalisation(small_images: ImageFolder) -> None:
    plain, lit = (
        everything(FileClassification(each, small_images, HERE, CPU))[0][0]
        for each in (RECIPE, replace(RECIPE, lighting=0.1))
    )
    added = (lit - plain) * torch.tensor(RECIPE.std).view(3, 1, 1)
    torch.testing.assert_close(added, added[:, :, :1, :1].expand_as(added), atol=1e-5, rtol=0)
    assert 1e-3 < added.std() < 0.1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named_in_one_line(small_images: ImageFolder, workers: int) -> None:
    path = small_images.train.path(0)
    path.write_bytes(path.read_bytes()[:200])
    task = FileClassification(RECIPE, small_images, replace(HERE, workers=workers), CPU)
    with pytest.raises(UserError) as error:
        everything(task)
    assert str(error.value).startswith(f"{path} cannot be read as an image (")
    assert "\n" not in str(error.value)


def test_missing_and_unsupported_recipe_values_are_refused(small_images: ImageFolder) -> None:
    with pytest.raises(UserError, match="recipe digits has no scaled_crop or random_crop, which image files need"):
        FileClassification(RECIPES["digits"], small_images, HERE, CPU)
    with pytest.raises(UserError, match="crop_padding=4, which is not supported for image files"):
        FileClassification(replace(RECIPE, crop_padding=4), small_images, HERE, CPU)


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name].dataset == "imagenet"])
def test_every_recipe_for_imagenet_has_the_values_for_image_files(small_images: ImageFolder, name: str) -> None:
    assert FileClassification(RECIPES[name], small_images, HERE, CPU).images == 20


@pytest.mark.parametrize("step", [1, 3, 5])
def test_resume_with_other_workers_continues_bit_for_bit(
    small_images: ImageFolder, folders: Folders, shared: Folders, step: int
) -> None:
    straight = train_one(experiment(), HERE, shared, Silent())
    with pytest.raises(Stopped):
        train_one(experiment(), replace(HERE, workers=2), folders, stop_at(step))
    record = train_one(experiment(), HERE, folders, Silent())
    assert (record.error, record.loss, record.train_loss) == (straight.error, straight.loss, straight.train_loss)
    assert_same(weights(folders, experiment()), weights(shared, experiment()))


Act = Callable[[list[int]], object]
"""What a process does at its second batch; its argument are the IDs of the processes that read images."""


def everyone_gets(number: int, workers: list[int]) -> None:
    for each in (*workers, os.getpid()):
        os.kill(each, number)


def is_killed(note: Path, workers: list[int]) -> None:
    note.write_text(" ".join(map(str, workers)))
    os.kill(os.getpid(), signal.SIGKILL)


def loses_a_reader(workers: list[int]) -> None:
    os.kill(workers[0], signal.SIGKILL)


def has_a_full_disk(workers: list[int]) -> None:
    saver.save = full_disk
    signal.raise_signal(signal.SIGTERM)


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def prepare(act: Act) -> None:
    """Train on twenty small images, act at the second batch, and then drop the batches that were read ahead."""
    shrink_images()
    read, original = library.survey_recipes, from_files.stream

    def small_recipe(files: Iterable[Path]) -> reading.Reading:
        found = read(files)
        small = replace(found.recipes["tiny-imagenet-10"], batch=1, scaled_crop=32, resize=36, test_crop=32)
        return replace(found, recipes={**found.recipes, "tiny-imagenet-10": small})

    def acting(*arguments: Any) -> Iterator[list[Tensor]]:
        for number, batch in enumerate(original(*arguments)):
            if number == 2:
                act([each.pid or 0 for each in multiprocessing.active_children()])
                time.sleep(0.5)
            if not 2 <= number < 15:
                yield batch

    library.survey_recipes, from_files.stream = small_recipe, acting


def run_and(act: Act, folders: Folders) -> tuple[int | None, str]:
    """Train in another process, which acts at its second batch; return its exit status and its last line."""
    places = ["--data", str(folders.data), "--runs", str(folders.runs), "--results", str(folders.results)]
    model = ["resnet20", "--dataset", "tiny-imagenet-10", "--workers", "2", "--device", "cpu"]
    process, lines = start(["train", *model, *places], partial(prepare, act))
    process.join(60)
    status = process.exitcode
    process.kill()
    with lines:
        return status, lines.read().splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR2])
def test_a_signal_to_every_process_of_a_job_saves(
    small_images: ImageFolder, folders: Folders, number: signal.Signals
) -> None:
    """A terminal sends SIGINT to a process group, and a cluster sends signals to every process of a job."""
    status, line = run_and(partial(everyone_gets, number), folders)
    assert (status, line[:18]) == (128 + number, "stopped: saved at ")
    assert "run the same command again to resume" in line
    (run,) = folders.runs.iterdir()
    assert checkpoint.load(run / checkpoint.NEWEST).step == 3


def test_a_run_whose_every_process_got_sigterm_resumes(small_images: ImageFolder, folders: Folders) -> None:
    for step in (3, 6):
        status, _ = run_and(partial(everyone_gets, signal.SIGTERM), folders)
        (run,) = folders.runs.iterdir()
        assert (status, checkpoint.load(run / checkpoint.NEWEST).step) == (143, step)


def test_a_signal_to_the_readers_alone_changes_nothing(small_images: ImageFolder) -> None:
    task = FileClassification(replace(RECIPE, batch=1), small_images, replace(HERE, workers=2), CPU)
    batches, handler = task.batches(0, 0, 0), signal.getsignal(signal.SIGCHLD)
    next(batches)
    assert signal.getsignal(signal.SIGCHLD) is handler  # that of a DataLoader would raise an error wherever the run is
    for worker in multiprocessing.active_children():
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            os.kill(worker.pid or 0, number)
    assert len(list(batches)) == 19


def test_the_readers_die_with_a_killed_run(small_images: ImageFolder, folders: Folders, tmp_path: Path) -> None:
    """Otherwise they would keep the run's folder locked."""
    note = tmp_path / "workers"
    assert run_and(partial(is_killed, note), folders)[0] == -signal.SIGKILL
    workers = note.read_text().split()
    assert len(workers) == 2
    end = time.monotonic() + 3
    while any(map(runs, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(runs, workers))


def runs(process: str) -> bool:
    """Whether a process runs; a zombie, which nobody waited for, does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_worker_is_reported_in_one_line(small_images: ImageFolder, folders: Folders) -> None:
    status, line = run_and(loses_a_reader, folders)
    assert status == 1
    assert line.startswith("failed: DataLoader worker")
    assert "checkpoint" not in line  # it may be killed before there is one
    assert line.endswith("; fewer --workers need less memory")


def test_a_run_that_cannot_be_saved_ends_with_its_readers(small_images: ImageFolder, folders: Folders) -> None:
    """They are still there while the error is known, and block the SIGTERM with which Python ends them."""
    status, line = run_and(has_a_full_disk, folders)
    assert status == 1
    assert "No space left on device" in line


def test_the_loss_falls_on_real_images(
    real_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two classes of real images, small enough to learn within seconds."""
    home = tmp_path / "tiny-imagenet-10"
    for split, images in (("train", 48), ("val", 10)):
        for wnid in ("n01443537", "n03770439"):
            (home / split / wnid).mkdir(parents=True)
            for path in sorted((real_images / "tiny-imagenet-10" / split / wnid).iterdir())[:images]:
                (home / split / wnid / path.name).symlink_to(path)
    spec = replace(SHIPPED["tiny-imagenet-10"], classes=2, train_images=96, test_images=20)
    monkeypatch.setitem(SHIPPED, "tiny-imagenet-10", spec)
    small = {"tiny-imagenet-10": replace(RECIPE, batch=16, lr=0.02, epochs=6)}
    read = library.survey_recipes
    monkeypatch.setattr(
        library, "survey_recipes", lambda files: replace(read(files), recipes={**read(files).recipes, **small})
    )
    places = ["--data", tmp_path, "--runs", tmp_path / "runs", "--results", tmp_path / "results"]
    assert repro(capsys, "train", "resnet20", "--dataset", "tiny-imagenet-10", "--workers", 0, *places)[0] == 0
    (curve,) = (tmp_path / "results" / "curves").iterdir()
    losses = [float(line.split(",")[3]) for line in curve.read_text().splitlines()[1:]]
    assert losses[-1] < 0.8 * losses[0]
    answer = json.loads(repro(capsys, "eval", curve.stem, *places[:4], "--format", "json")[1])
    assert answer["error"] == answer["recorded_error"]


def test_a_batch_has_the_channels_last_in_memory_and_its_labels(small_images: ImageFolder) -> None:
    (batch,) = stream(TrainViews(small_images.train, RECIPE), [[(0, 1), (3, 2)]], HERE, CPU)
    pixels, noise, labels = batch
    one, other = (TrainViews(small_images.train, RECIPE)[each] for each in ((0, 1), (3, 2)))
    assert torch.equal(pixels, torch.stack([one[0], other[0]]))
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    assert (noise.shape, labels.tolist(), labels.dtype) == ((2, 3), [one[2], other[2]], torch.int64)


def test_streaming_ends_its_workers(small_images: ImageFolder) -> None:
    views = TrainViews(small_images.train, RECIPE)
    before = set(multiprocessing.active_children())
    batches: Iterator[list[Tensor]] = stream(views, [[(0, 1)], [(1, 1)]], replace(HERE, workers=2), CPU)
    next(batches)
    started = set(multiprocessing.active_children()) - before
    assert len(started) == 2
    batches.close()  # type: ignore[attr-defined]
    assert not started & set(multiprocessing.active_children())


def test_every_network_for_imagenet_takes_the_recipe() -> None:
    for model in ("resnet18", "mobilenetv2", "densenet121", "googlenet"):
        assert experiment_for(model, {}, seed=0, dataset="tiny-imagenet-10").recipe.name == "tiny-imagenet-10"
