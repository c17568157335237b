"""Datasets that a paper declares: read, refused, counted, trained, resumed and judged as the program's own."""

import hashlib
import json
import shlex
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import refused, repro
from PIL import Image
from watching import stop_at

from repro.api.library import using
from repro.api.plans import plan
from repro.benchmark import random_images
from repro.data import DATASETS, Dataset, find_dataset, load
from repro.data.readers.folder import ImageFolder
from repro.errors import UserError
from repro.experiment import Experiment, experiment_for
from repro.paths import data_in
from repro.runtime import Runtime
from repro.training.progress import watcher as progress
from repro.training.tasks import from_files
from repro.training.tasks.from_files import FileClassification
from repro.training.tasks.kinds import task_for

SQUARES = """
[datasets.my-squares]
summary = "Squares"
kind = "npz"
path = "squares.npz"
classes = 3
size = 8
"""
FLOWERS = SQUARES.replace('"npz"', '"image folder"').replace("squares.npz", "flowers").replace("my-squares", "flowers")
RECORDS = SQUARES.replace('"npz"', '"CIFAR binary"').replace("squares.npz", "records") + 'train = ["a.bin", "b.bin"]\n'
RECORDS += 'test = ["c.bin"]\n'
CELLS = SQUARES.replace('"npz"', '"segmentation folder"').replace("squares.npz", "cells").replace("classes = 3\n", "")
RECIPE = """
[recipes.short]
extends = "digits"
summary = "One epoch."
paper = "Mine"
dataset = "my-squares"
epochs = { value = 1, source = "printed" }
batch = { value = 20, source = "printed" }
default_for = ["densenet"]
"""
STREAMED = """
[recipes.streamed]
extends = "tiny-imagenet-10"
summary = "Flowers."
paper = "Mine"
dataset = "flowers"
epochs = { value = 1, source = "printed" }
batch = { value = 4, source = "printed" }
scaled_crop = { value = 8, source = "printed" }
resize = { value = 8, source = "printed" }
test_crop = { value = 8, source = "printed" }
mean = { value = [], source = "inferred" }
std = { value = [], source = "inferred" }
"""
TABLE = """
title = "Table 1"
caption = "Squares"
paper = "Mine"
source = "Mine, Table 1"
dataset = "my-squares"
flops_convention = "macs"
columns = [
  { key = "params", label = "Params", kind = "params" },
  { key = "error", label = "Error %", kind = "error", recipe = "short" },
]
[[rows]]
label = "Narrow"
model = "densenet"
options = { depth = 7, k = 4 }
cells = { params = "3.9k", error = "87.0" }
"""
DENSENET = ("densenet", "--depth", 7, "--k", 4)
TRAIN = ("train", *DENSENET, "--dataset", "my-squares", "--device", "cpu")


@pytest.fixture(autouse=True)
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a paper into ./papers/mine of the working folder, which is temporary; the datasets are in ./data."""
    monkeypatch.chdir(tmp_path)
    for name in ("REPRO_PAPERS", "REPRO_DATA"):
        monkeypatch.delenv(name, raising=False)

    def written(datasets: str, recipe: str = "", table: str = "") -> Path:
        home = Path("papers/mine")
        for file, text in (("datasets.toml", datasets), ("recipes/mine.toml", recipe), ("tables/mine.toml", table)):
            if text:
                (home / file).parent.mkdir(parents=True, exist_ok=True)
                (home / file).write_text(text, encoding="utf-8")
        return home

    return written


Write = Callable[..., Path]


@pytest.fixture
def library(paper: Write) -> Iterator[Callable[..., None]]:
    """Write a paper and make it part of the current library."""
    with ExitStack() as entered:

        def enter(*texts: str) -> None:
            paper(*texts)
            entered.enter_context(using(()))

        yield enter


def squares(**changes: Any) -> Path:
    """Write images of three classes, 60 for training and 15 for testing."""
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 100, (60, 8, 8, 3)).astype(np.uint8)
    images[np.arange(60), :, :, labels] += 100
    arrays = {"train_images": images, "train_labels": labels, "test_images": images[:15], "test_labels": labels[:15]}
    Path("data").mkdir(exist_ok=True)
    np.savez("data/squares.npz", **{key: value for key, value in {**arrays, **changes}.items() if value is not None})
    return Path("data/squares.npz")


def flowers(mode: str = "RGB", test: str = "test") -> Path:
    """Write image files of three classes, four for training and two for testing."""
    for split, number in (("train", 4), (test, 2)):
        for label in range(3):
            folder = Path("data/flowers", split, f"kind{label}")
            folder.mkdir(parents=True)
            for each in range(number):
                Image.new("RGB", (10, 12), (60 * label, 20 * each, 9 * each)).convert(mode).save(folder / f"{each}.png")
    return Path("data/flowers")


def records(label: int = 2) -> Path:
    """Write records of CIFAR's binary layout: twelve images in three files."""
    folder = Path("data/records")
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate("abc"):
        images = [bytes([(label + each) % 3, *[number] * 64, *[7] * 64, *[9] * 64]) for each in range(4)]
        (folder / f"{name}.bin").write_bytes(b"".join(images))
    return folder


def cells(mode: str = "L") -> Path:
    """Write three images with masks for training, and as many for testing."""
    for split in ("train", "val"):
        for number in range(3):
            inside = np.zeros((24, 24), np.uint8)
            inside[4:12, 4 : 10 + number] = 255
            for part, pixels in (("images", Image.fromarray(inside // 2).convert(mode)), ("masks", inside)):
                file = Path("data/cells", split, part, f"{number}.png")
                file.parent.mkdir(parents=True, exist_ok=True)
                (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file)
    return Path("data/cells")


def read(name: str) -> Dataset:
    """Return a dataset in memory."""
    data = load(name, Path("data"))
    assert isinstance(data, Dataset)
    return data


def squares_experiment() -> Experiment:
    return experiment_for("densenet", {"depth": 7, "k": 4}, seed=0, dataset="my-squares")


WRONG = [
    ("size = 8", "sise = 8", "unknown key 'sise'; did you mean size?"),
    ("size = 8", 'size = "8"', "Expected `int`, got `str` - at `$.size`"),
    ("size = 8", "size = 0", "Expected `int` >= 1 - at `$.size`"),
    ("size = 8\n", "", "Object missing required field `size`"),
    ('kind = "npz"\n', "", "key 'kind' is missing; known: image folder, npz, CIFAR binary, segmentation folder"),
    ('"npz"', '"nzp"', "unknown kind 'nzp'; known: image folder, npz, CIFAR binary"),
    ("classes = 3", "classes = 1", "Expected `int` >= 2 - at `$.classes`"),
    ("classes = 3", 'classes = ["a", "a", "b"]', "classes contains a name twice"),
    ("size = 8", "size = 8\nchannels = 2", "channels is 2, but must be 1 for grey or 3 for RGB"),
    ("size = 8", "size = 8\nmean = [0.5]\nstd = [0.5]", "mean and std need one number for each of 3 channels"),
    ("size = 8", "size = 8\nmean = [0.5, 0.5, 0.5]", "mean and std need one number for each of 3 channels"),
    ("size = 8", "size = 8\nmean = [0, 0, 0]\nstd = [1, 1, 0]", "std must be greater than 0"),
    (
        "size = 8",
        "size = 8\nmean = [127.5, 127.5, 127.5]\nstd = [60.0, 60.0, 60.0]",
        "mean and std are of pixels in 0..1; divide those of pixels in 0..255 by 255",
    ),
    ("size = 8", 'size = 8\nsha256 = "abc"', "sha256 'abc' must have 64 digits in 0-9 and a-f"),
    ("size = 8", 'size = 8\ntrain = ["a.npz"]', "train and test go together; leave out both if path is one npz file"),
    ("size = 8", 'size = 8\ntrain = ["../a.npz"]\ntest = ["b.npz"]', "file '../a.npz' must be in the folder of path"),
    ('"squares.npz"', '"../squares.npz"', "path '../squares.npz' must be below the folder of the datasets"),
    ('"squares.npz"', '"/squares.npz"', "path '/squares.npz' must be below the folder of the datasets"),
    ('"squares.npz"', '""', "path '' must be below the folder of the datasets"),
    ("[datasets.my-squares]", '[datasets."a/b"]', "its name may have letters, digits, '-', '_' and '.'"),
]


@pytest.mark.parametrize(("old", "new", "why"), WRONG)
def test_a_wrong_declaration_is_refused_before_anything_is_done(
    paper: Write, capsys: pytest.CaptureFixture[str], old: str, new: str, why: str
) -> None:
    assert old in SQUARES
    paper(SQUARES.replace(old, new))
    name = "a/b" if "a/b" in new else "my-squares"
    line = refused(capsys, "train", "resnet20", "--dataset", "digits", "--papers", "papers/mine")
    assert line.startswith(f"error: papers/mine/datasets.toml: dataset {name}: {why}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[squares]\nsize = 8\n", "write only tables such as [datasets.flowers]"),
        ("[datasets\n", "not a TOML file: "),
        ("[datasets.a]\nmean = [nan]\n", "nan is not a finite number; write another"),
        ("datasets.one = 1\n", "dataset one: it is 1, not a table; write [datasets.one]"),
        (CELLS.replace("size = 8", "size = 8\nclasses = 3"), "dataset my-squares: classes is 3, but masks have 2"),
        (RECORDS.replace("size = 8", "size = 8\nlabel_bytes = 0"), "dataset my-squares: Expected `int` >= 1"),
        (
            RECORDS.replace("classes = 3", "classes = 300"),
            "dataset my-squares: classes is 300, but a label is one byte",
        ),
        (FLOWERS + 'sha256 = ""\n', "dataset flowers: unknown key 'sha256'; known: "),
    ],
)
def test_a_wrong_file_is_refused(paper: Write, capsys: pytest.CaptureFixture[str], text: str, why: str) -> None:
    paper(text)
    line = refused(capsys, "list", "datasets", "--papers", "papers/mine")
    assert line.startswith(f"error: papers/mine/datasets.toml: {why}")


def test_a_name_belongs_to_one_dataset(paper: Write, capsys: pytest.CaptureFixture[str]) -> None:
    paper(SQUARES)
    Path("other").mkdir()
    Path("other/datasets.toml").write_text(SQUARES.replace("my-squares", "My_Squares"))
    line = "papers/mine/datasets.toml: dataset my-squares: other/datasets.toml already has a dataset of that name"
    both = ("--papers", "other", "--papers", "papers/mine")
    assert refused(capsys, "list", "datasets", *both) == f"error: {line}; rename one of them"
    paper(SQUARES.replace("my-squares", "CIFAR_10"))
    line = refused(capsys, "list", "datasets", "--papers", "papers/mine")
    assert line.endswith("dataset CIFAR_10: the dataset cifar10 comes with the program; choose another name")


def test_it_is_listed_with_its_file_and_the_numbers_of_its_images(
    paper: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    paper(SQUARES + FLOWERS + CELLS.replace("my-squares", "cells") + RECORDS.replace("my-squares", "records"))
    squares(), flowers(), cells(), records()
    listed = {
        each["name"]: each for each in json.loads(repro(capsys, "list", "datasets", "--format", "json")[1])["datasets"]
    }
    numbers = {name: (each["train_images"], each["test_images"]) for name, each in listed.items() if each["file"]}
    assert numbers == {"my-squares": (60, 15), "flowers": (12, 6), "cells": (3, 3), "records": (8, 4)}
    assert (listed["cells"]["input"], listed["flowers"]["file"]) == ("1x8x8", "papers/mine/datasets.toml")
    assert listed["cifar10"]["file"] is None
    assert "papers/mine/datasets.toml" in repro(capsys, "list", "datasets")[1]


def test_networks_are_counted_on_it_under_any_spelling(paper: Write, capsys: pytest.CaptureFixture[str]) -> None:
    paper(SQUARES)
    answer = json.loads(repro(capsys, "count", *DENSENET, "--dataset", "MY_squares", "--format", "json")[1])
    assert (answer["dataset"], answer["input"], answer["classes"]) == ("my-squares", "3x8x8", 3)


def test_an_npz_is_read_in_its_order(library: Callable[..., None]) -> None:
    library(SQUARES)
    squares()
    data = read("my-squares")
    assert (tuple(data.train.pixels.shape), data.train.pixels.dtype) == ((60, 3, 8, 8), torch.uint8)
    assert data.train.labels.tolist() == [0, 1, 2] * 20
    assert data.train.pixels[1, 1].min() >= 100
    assert len(data.test) == 15


def test_grey_arrays_are_repeated_for_a_dataset_in_rgb_and_stay_grey_else(library: Callable[..., None]) -> None:
    library(SQUARES + SQUARES.replace("my-squares", "grey") + "channels = 1\n")
    squares(train_images=np.full((60, 8, 8), 7, np.uint8), test_images=np.full((15, 8, 8), 7, np.uint8))
    assert [read(name).train.pixels.shape[1] for name in ("my-squares", "grey")] == [3, 1]


def test_an_array_larger_than_the_memory_is_refused_before_it_is_read(
    library: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    library(SQUARES)
    squares()
    monkeypatch.setattr("repro.data.readers.arrays.host_memory", lambda: 1000)
    with pytest.raises(UserError, match=r"train_images needs [\d,]+ bytes, more than the memory of this machine"):
        read("my-squares")


def test_an_npz_may_be_in_several_files(library: Callable[..., None]) -> None:
    library(SQUARES.replace("squares.npz", "parts") + 'train = ["1.npz", "2.npz"]\ntest = ["test.npz"]\n')
    whole = np.load(squares())
    Path("data/parts").mkdir()
    for name in ("1", "2"):
        np.savez(f"data/parts/{name}.npz", **{key: whole[key] for key in whole if key.startswith("train")})
    np.savez("data/parts/test.npz", **{key: whole[key] for key in whole if key.startswith("test")})
    assert (len(read("my-squares").train), DATASETS["my-squares"].train_images) == (120, 120)


def test_binary_records_are_read_as_those_of_cifar(library: Callable[..., None]) -> None:
    library(RECORDS)
    records()
    data = read("my-squares")
    assert data.train.labels.tolist() == [2, 0, 1, 2] * 2
    assert data.train.pixels[5, :, 0, 0].tolist() == [1, 7, 9]
    assert len(data.test) == 4


def test_images_and_masks_are_read_in_grey_or_rgb(library: Callable[..., None]) -> None:
    library(CELLS + CELLS.replace("my-squares", "coloured") + "channels = 3\n")
    cells("RGB")
    grey, coloured = read("my-squares"), read("coloured")
    assert [tuple(each.train.pixels.shape) for each in (grey, coloured)] == [(3, 1, 24, 24), (3, 3, 24, 24)]
    assert torch.equal(grey.train.labels, coloured.train.labels)
    assert grey.train.labels.sum().item() == 8 * (6 + 7 + 8)


def test_val_is_tested_if_test_has_no_images(library: Callable[..., None]) -> None:
    library(CELLS)
    (cells() / "test").mkdir()
    assert (len(read("my-squares").test), DATASETS["my-squares"].test_images) == (3, 3)


def changed(name: str, **arrays: Any) -> Callable[[], object]:
    return lambda: squares(**{f"{name}_{key}": value for key, value in arrays.items()})


def replaced_by(file: Path, other: str) -> None:
    """Replace a file by a link."""
    file.unlink()
    file.symlink_to(other)


def with_entry(name: str, change: Callable[[bytes], bytes]) -> Callable[[], object]:
    """Return what writes an npz file in which the bytes of an array are changed; the archive itself is right."""

    def write() -> None:
        with zipfile.ZipFile(squares()) as archive:
            entries = {each: archive.read(each) for each in archive.namelist()}
        with zipfile.ZipFile("data/squares.npz", "w") as archive:
            for each, content in entries.items():
                archive.writestr(each, change(content) if each == f"{name}.npy" else content)

    return write


WRONG_FILES: list[tuple[str, Callable[[], object], str]] = [
    (SQUARES, lambda: None, "data/squares.npz does not exist; put it there, or name "),
    (SQUARES, lambda: replaced_by(squares(), "/proc/self/mem"), "data/squares.npz cannot be read (Input/output error)"),
    (SQUARES, changed("train", images=None), "data/squares.npz has no array train_images, only "),
    (SQUARES, with_entry("train_images", lambda _: b"text"), "squares.npz is broken: train_images cannot be read (it"),
    (
        SQUARES,
        with_entry("train_labels", lambda content: content.replace(b"}", b" ", 1)),
        "squares.npz is broken: train_labels cannot be read (",
    ),
    (
        SQUARES,
        changed("test", images=np.zeros((15, 9, 8, 3), np.uint8)),
        "test_images is (15, 9, 8, 3) of uint8, but size and channels need (N, 8, 8, 3) or (N, 8, 8) of uint8",
    ),
    (SQUARES, changed("test", images=np.zeros((15, 8, 8, 3))), "test_images is (15, 8, 8, 3) of float64, but size"),
    (SQUARES + "channels = 1\n", squares, "train_images is (60, 8, 8, 3) of uint8, but size and channels need"),
    (SQUARES, changed("train", labels=np.full(60, 3)), "train_labels has 3, but with classes = 3 labels are 0 to 2"),
    (SQUARES, changed("train", labels=np.full(60, -1)), "train_labels has -1, but with classes = 3 labels are 0 to 2"),
    (
        SQUARES,
        changed("train", labels=np.zeros(59, int)),
        "train_labels is (59) of int64; expected one whole number for",
    ),
    (SQUARES, changed("train", labels=np.zeros(60)), "train_labels is (60) of float64; expected one whole number for"),
    (SQUARES, changed("train", labels=np.array([{}] * 60)), "data/squares.npz is broken: train_labels cannot be read"),
    (SQUARES, lambda: squares().write_bytes(b"none"), "data/squares.npz is not an npz file; write it with numpy.savez"),
    (SQUARES + f'sha256 = "{"0" * 64}"\n', squares, f"sha256 is {'0' * 64}, but that of data/squares.npz is "),
    (SQUARES + "train_images = 61\n", squares, "train_images is 61, but there are 60"),
    (SQUARES + "test_images = 14\n", squares, "test_images is 14, but there are 15"),
    (RECORDS, lambda: (records() / "b.bin").unlink(), "data/records/b.bin does not exist"),
    (
        RECORDS,
        lambda: (records() / "b.bin").write_bytes(b"12"),
        "data/records/b.bin has 2 bytes, which is not a multiple of the 193 of a record: 1 of labels and 3 x 8 x 8 of",
    ),
    (RECORDS, lambda: (records() / "c.bin").write_bytes(b""), "dataset my-squares: its test files have no images"),
    (RECORDS.replace("classes = 3", "classes = 2"), records, "a.bin: labels has 2, but with classes = 2 labels are"),
    (CELLS, lambda: None, "data/cells needs train/ and test/ (or val/), each with images/ and masks/"),
]


@pytest.mark.parametrize(("text", "write", "why"), WRONG_FILES)
def test_files_that_do_not_fit_are_refused(
    library: Callable[..., None], text: str, write: Callable[[], object], why: str
) -> None:
    library(text)
    write()
    with pytest.raises(UserError) as error:
        load("my-squares", Path("data"))
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_the_checksum_is_that_of_sha256sum(library: Callable[..., None]) -> None:
    digest = hashlib.sha256(squares().read_bytes()).hexdigest()
    library(f'{SQUARES}sha256 = "{digest}"\n')
    assert read("my-squares").fingerprint == f"my-squares:{digest[:12]}"


def test_an_image_folder_is_read_with_test_or_val(library: Callable[..., None]) -> None:
    library(FLOWERS + "channels = 1\n")
    home = flowers(test="val")
    (home / "train/kind0/._0.png").write_bytes(b"what macOS leaves")
    shutil.copytree(home / "train/kind0", home / "train/@eaDir")  # what a Synology NAS leaves
    data = listed()
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert DATASETS["flowers"].train_images == len(data.train)
    assert (len(data.test), data.test.read(0).mode, data.test.folder.name) == (6, "L", "val")


def listed() -> ImageFolder:
    """Return the declared image folder."""
    data = load("flowers", Path("data"))
    assert isinstance(data, ImageFolder)
    return data


def move(old: str, new: str) -> None:
    (flowers() / old).rename(Path("data/flowers") / new)


WRONG_FOLDERS: list[tuple[str, Callable[[], object], str]] = [
    (FLOWERS, lambda: None, "flowers is not in data/flowers; expected: data/flowers/train/CLASS/*.png and"),
    (
        FLOWERS,
        lambda: move("test/kind1", "test/other"),
        "data/flowers/test has a class 'other' that data/flowers/train lacks; both need the same classes",
    ),
    (
        FLOWERS,
        lambda: move("test/kind1", "kind1"),
        "data/flowers/test lacks the class 'kind1' of data/flowers/train; both need the same classes",
    ),
    (
        FLOWERS,
        lambda: (flowers() / "test/kind0/9.png").symlink_to("gone"),
        "9.png cannot be read: No such file or dire",
    ),
    (FLOWERS, lambda: (flowers() / "train/none").mkdir(), "data/flowers/train/none has no images (.jpeg, "),
    (
        FLOWERS.replace("classes = 3", "classes = 4"),
        flowers,
        "classes is 4, but data/flowers/train has 3 class folders",
    ),
    (
        FLOWERS.replace("classes = 3", 'classes = ["kind0", "kind1", "rose"]'),
        flowers,
        "data/flowers/train has a class 'kind2' that classes in papers/mine/datasets.toml lacks",
    ),
    (FLOWERS + "train_images = 13\n", flowers, "train_images is 13, but there are 12"),
    (FLOWERS, lambda: Path("data/flowers/train").mkdir(parents=True), "data/flowers/train has no class folders; expec"),
    (FLOWERS, lambda: move("test", "tests"), "data/flowers/test does not exist; expected: "),
]


@pytest.mark.parametrize(("text", "write", "why"), WRONG_FOLDERS)
def test_a_wrong_image_folder_is_refused(
    library: Callable[..., None], text: str, write: Callable[[], object], why: str
) -> None:
    library(text)
    write()
    with pytest.raises(UserError) as error:
        len(listed().train) + len(listed().test)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def crops(train: int, test: int) -> str:
    return STREAMED.replace("scaled_crop = { value = 8", f"scaled_crop = {{ value = {train}").replace(
        "test_crop = { value = 8", f"test_crop = {{ value = {test}"
    )


TILES = """
[recipes.tiles]
extends = "unet-isbi"
summary = "Cells."
paper = "Mine"
dataset = "my-squares"
tile = { value = 6, source = "printed" }
margin = { value = 0, source = "printed" }
"""


@pytest.mark.parametrize(
    ("datasets", "recipe", "why"),
    [
        (FLOWERS, crops(4, 4), "size of flowers is 8, but the recipe shows the network 4x4 pixels; set size = 4, or"),
        (FLOWERS, crops(4, 6), "shows the network 4x4 and 6x6 pixels; set size = 6, or scaled_crop and test_crop to 8"),
        (CELLS, TILES, "size of my-squares is 8, but the recipe shows the network 6x6 pixels; set size = 6, or tile +"),
    ],
)
def test_a_size_that_the_recipe_does_not_show_is_refused(
    paper: Write, capsys: pytest.CaptureFixture[str], datasets: str, recipe: str, why: str
) -> None:
    paper(datasets, recipe)
    assert why in refused(capsys, "list", "recipes", "--papers", "papers/mine")
    status, out, _ = repro(capsys, "validate", "papers/mine")
    assert status == 1
    assert why in out


@pytest.mark.parametrize("recipe", [crops(6, 8), crops(8, 6)])
def test_training_and_test_may_show_other_sizes(paper: Write, capsys: pytest.CaptureFixture[str], recipe: str) -> None:
    paper(FLOWERS, recipe)
    assert repro(capsys, "list", "recipes", "streamed", "--papers", "papers/mine")[0] == 0
    arguments = ("train", "resnet18", "--recipe", "streamed", "--papers", "papers/mine", "--set", "scaled_crop=4")
    assert "set size = 4, or scaled_crop and test_crop to 8" in refused(capsys, *arguments, "--set", "test_crop=4")


def test_other_classes_in_the_test_set_of_a_shipped_dataset_are_named(write_images: Callable[..., None]) -> None:
    home = Path("data/tiny-imagenet-10")
    write_images(home / "train", classes=2, images=1, size=(8, 8))
    write_images(home / "val", classes=2, images=1, size=(8, 8))
    (home / "val/n00000001").rename(home / "val/n99999999")
    data = load("tiny-imagenet-10", Path("data"))
    assert isinstance(data, ImageFolder)
    with pytest.raises(UserError, match=r"val has a class 'n99999999' that .*train lacks"):
        assert data.test


def test_an_id_changes_with_what_changes_training_only(paper: Write) -> None:
    def id_of(datasets: str) -> str:
        paper(datasets, RECIPE)
        with using(()):
            return squares_experiment().id

    first = id_of(SQUARES)
    assert id_of(SQUARES.replace('summary = "Squares"', 'summary = "Other"')) == first
    assert id_of(f"{SQUARES}train_images = 60\ntest_images = 15") == first
    assert id_of(SQUARES.replace("squares.npz", "moved/squares.npz")) == first
    others = ["size = 9", "size = 8\nchannels = 1", "size = 8\nmean = [0.5, 0.5, 0.5]\nstd = [1, 1, 1]"]
    ids = {id_of(SQUARES.replace("size = 8", each)) for each in (*others, f'size = 8\nsha256 = "{"0" * 64}"')}
    assert len(ids | {first, id_of(SQUARES.replace("classes = 3", "classes = 4"))}) == 6


def test_rows_of_it_are_trained_counted_and_judged(paper: Write, capsys: pytest.CaptureFixture[str]) -> None:
    paper(SQUARES, RECIPE, TABLE)
    squares()
    status, out, err = repro(capsys, "table", "mine", "--run", "--format", "json")
    (row,) = json.loads(out)["rows"]
    assert (status, row["measured"]["error"]["n"], "deviat" in err) == (0, 1, False)
    tested = repro(capsys, "eval", "densenet")[1]
    assert ("my-squares" in tested, "top-5" in tested) == (True, False)
    assert "mine: 0 runs to train" in repro(capsys, "table", "mine", "--run")[2]
    paper(SQUARES.replace("size = 8", "size = 8\nmean = [0.5, 0.5, 0.5]\nstd = [1, 1, 1]"))
    (row,) = json.loads(repro(capsys, "table", "mine", "--format", "json")[1])["rows"]
    assert row["measured"]["error"]["n"] == 0
    assert "has changed since it was trained; restore papers/mine/datasets.toml" in refused(capsys, "eval", "densenet")


def test_a_stopped_run_is_resumed_by_the_command_that_the_list_prints(
    paper: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paper(SQUARES, RECIPE)
    squares()
    with monkeypatch.context() as patched:
        patched.setattr(progress, "watcher", lambda: stop_at(2))
        assert repro(capsys, *TRAIN)[0] == 130
    (line,) = json.loads(repro(capsys, "list", "runs", "--format", "json")[1])["runs"]
    assert line["command"] == f"repro {' '.join(map(str, TRAIN))}"
    status, out, _ = repro(capsys, *shlex.split(line["command"])[1:], "--format", "json")
    record = json.loads(out)
    assert (status, record["sessions"], record["steps"], record["deviations"]) == (0, 2, 3, [])


def test_seeds_are_trained_side_by_side(paper: Write, capsys: pytest.CaptureFixture[str]) -> None:
    paper(SQUARES, RECIPE)
    squares()
    status, out, _ = repro(capsys, *TRAIN, "--seeds", 2, "--together", "stacked", "--format", "json")
    assert (status, len(json.loads(out)["records"])) == (0, 2)


def test_image_files_are_trained_with_the_statistics_of_their_training_images(
    paper: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    paper(FLOWERS, STREAMED)
    flowers()
    words = ("train", "resnet20", "--recipe", "streamed", "--device", "cpu", "--workers", 0)
    assert repro(capsys, *words)[0] == 0
    status, out, _ = repro(capsys, "eval", "resnet20", "--workers", 0, "--device", "cpu", "--format", "json")
    assert json.loads(out)["error5"] is None
    protocol = json.loads(out)["protocol"]
    colours = np.array([(60 * label, 20 * each, 9 * each) for label in range(3) for each in range(4)]) / 255
    assert status == 0
    assert protocol["mean"] == pytest.approx(colours.mean(0).tolist(), abs=1e-6)
    assert protocol["std"] == pytest.approx(colours.std(0).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("datasets", "folder", "why"),
    [
        (
            FLOWERS,
            "flowers/Train/kind0",
            "flowers is not in data/flowers; expected: data/flowers/train/CLASS/*.png and",
        ),
        (
            CELLS,
            "cells/Train",
            "data/cells needs train/ and test/ (or val/), each with images/ and masks/ of equal name",
        ),
    ],
)
def test_images_in_another_layout_are_not_checked_and_the_reason_is_told(
    paper: Write, capsys: pytest.CaptureFixture[str], datasets: str, folder: str, why: str
) -> None:
    paper(datasets)
    assert "not checked" not in repro(capsys, "validate", "papers/mine")[1]
    Path("data", folder).mkdir(parents=True)
    status, out, _ = repro(capsys, "validate", "papers/mine")
    assert (status, out.count(f"its images were not checked: {why}")) == (0, 1)


def test_image_files_that_are_left_out_are_named(paper: Write, capsys: pytest.CaptureFixture[str]) -> None:
    paper(FLOWERS, STREAMED)
    home = flowers() / "train/kind1"
    for name in ("more/5.png", "more/still/6.JPG", "@eaDir/0.png", ".hidden/1.png"):
        (home / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (10, 12)).save(home / name)
    assert repro(capsys, "data", "flowers", "--check")[2].count("2 image files left out") == 1
    Image.new("RGB", (10, 12)).save(home / "7.gif")
    line = (
        f"flowers: 3 image files left out, such as {home / '7.gif'}; move those in subfolders up to the folder of "
        "their class, and convert other formats to PNG"
    )
    status, _, err = repro(capsys, "data", "flowers", "--check")
    assert (status, err.count(f"warning: {line}")) == (0, 1)
    assert f"warning: papers/mine/datasets.toml: dataset {line}" in repro(capsys, "validate", "papers/mine")[1]
    train = ("train", "resnet20", "--recipe", "streamed", "--device", "cpu", "--workers", 0, "--seeds", 2)
    assert repro(capsys, *train)[2].count(f"warning: {line}") == 1


def test_images_with_a_constant_channel_need_declared_statistics(library: Callable[..., None]) -> None:
    library(FLOWERS, STREAMED)
    for number, file in enumerate(flowers().rglob("*.png")):
        Image.new("RGB", (10, 12), (number, number, 9)).save(file)
    experiment = experiment_for("resnet20", {}, seed=0, recipe_name="streamed")
    with pytest.raises(
        UserError, match="a channel of the training images of flowers is constant; set mean and std in the recipe"
    ):
        task_for(experiment, Path("data"), Runtime(device="cpu", workers=0), torch.device("cpu"))


def test_declared_statistics_are_used_where_the_recipe_states_none(
    library: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = "mean = [0.1, 0.2, 0.3]\nstd = [0.4, 0.5, 0.6]\n"
    library(SQUARES + declared + FLOWERS + declared, RECIPE + STREAMED)
    squares(), flowers()
    monkeypatch.setattr(from_files, "statistics", lambda *_: pytest.fail("the declared ones are known"))
    runtime, device = Runtime(device="cpu", workers=0), torch.device("cpu")
    black = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    for experiment in (squares_experiment(), experiment_for("resnet20", {}, seed=0, recipe_name="streamed")):
        task: Any = task_for(experiment, Path("data"), runtime, device)
        assert task.normalise(black)[0, :, 0, 0].tolist() == pytest.approx([-0.25, -0.4, -0.5])
    assert isinstance(task, FileClassification)


def test_grey_image_files_are_trained(paper: Write, capsys: pytest.CaptureFixture[str]) -> None:
    grey = STREAMED + 'lighting = { value = 0, source = "inferred" }\n'
    paper(FLOWERS + "channels = 1\n", grey)
    flowers()
    here = ("--recipe", "streamed", "--device", "cpu", "--workers", 0)
    for network in (("resnet20",), (*DENSENET, "--save-memory")):
        assert repro(capsys, "train", *network, *here)[0] == 0
    paper(FLOWERS + "channels = 1\n", grey.replace("value = 0,", "value = 0.1,"))
    assert refused(capsys, "list", "recipes", "--papers", "papers/mine").endswith(
        "lighting is for images in RGB, and images of flowers have 1 channel"
    )


def test_steps_on_grey_images_are_timed(
    paper: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repro.benchmark.steps.WINDOW_SECONDS", 0.01)
    timed = TABLE.replace("columns = [", 'columns = [\n  { key = "took", label = "Time s", kind = "time" },')
    paper(SQUARES + "channels = 1\n", RECIPE, timed.replace("cells = {", 'cells = { took = "1.0",'))
    squares(**{f"{part}_images": np.zeros((n, 8, 8), np.uint8) for part, n in (("train", 60), ("test", 15))})
    status, _, err = repro(capsys, "table", "mine", "--time", "--device", "cpu")
    assert status == 0, err
    assert Path("results/times.csv").is_file()


def test_what_needs_the_number_of_images_says_so_where_they_are_missing(
    paper: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    paper(SQUARES, RECIPE)
    line = refused(capsys, "bench", *DENSENET, "--dataset", "my-squares")
    assert line == (
        "error: papers/mine/datasets.toml: dataset my-squares: no training images are in data; put them there, name "
        "their folder with $REPRO_DATA (or --data where the command has it), or declare train_images"
    )
    paper(SQUARES, RECIPE, TABLE)
    assert refused(capsys, "table", "mine").endswith(
        "verdicts need the number of test images, and no test images of my-squares are in data; put them there, name "
        "their folder with $REPRO_DATA (or --data where the command has it), or declare test_images in "
        "papers/mine/datasets.toml"
    )
    squares()
    Path("data").rename("elsewhere")
    status, _, err = repro(capsys, "table", "mine", "--data", "elsewhere")
    assert (status, err.splitlines()[-1]) == (0, "next: repro table mine --run --data elsewhere")
    for command in (("figure", "forest", "mine"), ("validate", "papers/mine")):
        status, _, err = repro(capsys, *command, "--data", "elsewhere")
        assert (status, err.splitlines()[-1]) == (0, "next: repro table mine --data elsewhere")
    paper(SQUARES + "test_images = 15\n")
    assert repro(capsys, "table", "mine")[0] == 0


def test_pixel_errors_of_a_declared_segmentation_have_no_verdict(
    paper: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    unjudged = TABLE.replace(', recipe = "short" }', ", comparable = false }")
    paper(CELLS + "test_images = 20\n", "", TABLE.replace(', recipe = "short"', ""))
    assert refused(capsys, "table", "mine").endswith(
        "and a network on my-squares predicts a class for each pixel; set comparable = false"
    )
    paper(CELLS + "test_images = 20\n", "", unjudged)
    assert repro(capsys, "table", "mine")[0] == 0


def test_a_plan_without_the_images_has_no_time(paper: Write, capsys: pytest.CaptureFixture[str]) -> None:
    paper(SQUARES + "test_images = 15\n", RECIPE, TABLE)
    command = ("plan", "--rows", "Narrow", "--papers", "papers/mine", "--device", "cpu", "--format", "json")
    squares()
    Path("data").rename("elsewhere")
    (row,) = [each for each in json.loads(repro(capsys, *command)[1])["rows"] if each["table"] == "mine"]
    assert (row["missing"], row["seconds"], [run["steps"] for run in row["runs"]]) == (len(row["runs"]), None, [0])
    (row,) = [
        each
        for each in json.loads(repro(capsys, *command, "--data", "elsewhere")[1])["rows"]
        if each["table"] == "mine"
    ]
    assert row["seconds"] > 0


def test_the_file_of_a_dataset_is_missing_or_shown_with_its_size(
    paper: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    paper(SQUARES)

    def found() -> dict[str, Any]:
        (only,) = json.loads(repro(capsys, "data", "my-squares", "--check", "--format", "json")[1])["datasets"]
        return only

    assert found()["state"] == "missing"
    file = squares()
    assert (found()["state"], found()["folder"], found()["bytes"]) == ("complete", str(file), file.stat().st_size)


def test_random_files_stand_in_for_missing_ones(library: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    library(FLOWERS + "channels = 1\n")
    monkeypatch.setattr(random_images, "FILES", 8)
    data = random_images.random_folder("flowers", Path("random").absolute())
    assert data.train.labels.max() == 2
    assert data.train.read(0).mode == "L"


def test_images_are_counted_in_the_folder_of_data(library: Callable[..., None]) -> None:
    library(SQUARES)
    squares()
    Path("data").rename("elsewhere")
    assert DATASETS["my-squares"].train_images == 0
    with data_in(Path("elsewhere")):
        assert DATASETS["my-squares"].train_images == 60


def test_a_batch_that_leaves_none_of_its_images_is_refused(paper: Write, capsys: pytest.CaptureFixture[str]) -> None:
    paper(SQUARES, RECIPE + 'drop_last = { value = true, source = "code" }\n')
    squares()
    line = refused(capsys, *TRAIN, "--set", "batch=61")
    assert line == "error: batch=61 with drop_last leaves no batch of my-squares"


def test_an_unknown_name_has_the_nearest_one(library: Callable[..., None]) -> None:
    library(SQUARES)
    with pytest.raises(UserError, match="unknown dataset 'mysquare'; did you mean my-squares"):
        find_dataset("mysquare")
    assert find_dataset("My_Squares") == "my-squares"


def test_a_plan_is_shown_with_the_papers_that_it_was_made_with(paper: Write) -> None:
    paper(SQUARES + "train_images = 60\ntest_images = 15\n", RECIPE, TABLE)
    Path("papers").rename("elsewhere")
    made = plan("mine", papers="elsewhere/mine", device_name="H100")
    (row,) = json.loads(made.text("json"))["rows"]
    assert row["runs"][0]["name"].startswith("densenet-depth7-k4-my-squares")
    assert "To train: " in repr(made)
    assert "</table>" in made._repr_html_()


@pytest.mark.parametrize("metric", ["iou", "isbi_rand", "ap50"])
def test_a_metric_that_runs_do_not_measure_is_refused(paper: Write, metric: str) -> None:
    column = f'recipe = "short", metric = "{metric}", comparable = false'
    paper(SQUARES + "test_images = 15\n", RECIPE, TABLE.replace('recipe = "short"', column))
    with pytest.raises(UserError, match=f"{metric} is not measured on my-squares; set kind"):
        plan("mine", device_name="H100")


def test_a_top_five_error_of_few_classes_has_no_verdict(paper: Write) -> None:
    told = "the top-5 error on the 3 classes of my-squares is always 0 and is not measured; set kind"
    for also in ("", ", comparable = false"):
        column = f'recipe = "short", metric = "error5"{also}'
        paper(SQUARES + "test_images = 15\n", RECIPE, TABLE.replace('recipe = "short"', column))
        with pytest.raises(UserError, match=told):
            plan("mine", device_name="H100")
