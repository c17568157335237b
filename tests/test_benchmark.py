"""The benchmark measures what it reports."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import repro
from PIL import Image

from repro.benchmark import bench as measured
from repro.benchmark import random_images, roofline
from repro.benchmark.baseline import Decoded, baseline, folder_batches
from repro.benchmark.bench import ROUNDS, Speed, _measure, bench, data_of, images_in_recipe
from repro.benchmark.random_images import FILES, LISTED, random_data
from repro.benchmark.roofline import matmul_rate
from repro.benchmark.variants import Queue, Variant, VariantKind, combinations, in_memory_variants
from repro.cli.bench import _input_speeds
from repro.counting.count import Subject, count
from repro.counting.demand import work_of
from repro.data import SHIPPED
from repro.data.inputs.normalise import normaliser
from repro.data.readers.folder import list_files
from repro.errors import RunFailed, UserError
from repro.experiment import Experiment, experiment_for
from repro.models import build
from repro.recipes import RECIPES
from repro.runtime import Precision, Runtime
from repro.training.machine.device import set_products

TINY = experiment_for("densenet", {"depth": 7, "k": 4}, seed=0)
TINY = replace(TINY, recipe=replace(TINY.recipe, batch=8))
BENCH = ["bench", "densenet", "--depth", "7", "--k", "4", "--set", "batch=8", "--window", "0.01", "--device", "cpu"]


@pytest.fixture(autouse=True)
def short_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure peak rates once, with a small copy."""
    monkeypatch.setattr(roofline, "REPEATS", 1)
    monkeypatch.setattr(roofline, "COPIED_BYTES", 1 << 22)


def test_every_variant_is_measured_with_the_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    """Each speed is printed after its window."""
    usual, *ours = bench(TINY, Runtime(device="cpu"), 0.01, Path())
    assert (usual.ratio, usual.kind) == (1.0, VariantKind.BASELINE)
    assert [each.name for each in (usual, *ours)] == ["baseline, fp32", "repro, fp32", "repro, bf16"]
    for each in (usual, *ours):
        assert 0 < each.slowest <= each.images_per_second <= each.fastest
        assert each.recipe_seconds == pytest.approx(300 * 50_000 / each.images_per_second)
        assert each.peak_bytes is None
        assert (each.kept_bytes is None) == ("bf16" in each.name)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 * ROUNDS
    assert re.fullmatch(r"baseline, fp32: \d+ images/s in window 1 of 7", said[0])
    assert re.fullmatch(r"repro, bf16: \d+ images/s in window 7 of 7", said[-1])


@pytest.mark.slow
def test_validation_images_dropped_batches_and_whitening_are_measured_too() -> None:
    experiment = replace(TINY, recipe=replace(RECIPES["wrn-cifar10-zca"], validation_images=1000, batch=10))
    for each in bench(experiment, Runtime(device="cpu"), 0.01, Path()):
        assert each.recipe_seconds == pytest.approx(200 * 49_000 / each.images_per_second)


@pytest.mark.parametrize(
    ("experiment", "reason"),
    [
        (experiment_for("densenet", {"depth": 7, "k": 4}, seed=0, recipe_name="densenet-cifar10"), "uses dropout"),
        (experiment_for("resnet18", {}, seed=0, dataset="tiny-imagenet-10"), "is read from files"),
    ],
)
def test_seeds_that_cannot_be_trained_at_once_are_not_measured(experiment: Experiment, reason: str) -> None:
    with pytest.raises(UserError, match=f"{reason}.*; leave out --seeds"):
        bench(experiment, Runtime(device="cpu"), 0.01, Path(), seeds=2)


def test_the_measured_product_takes_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product is as large as possible on a fast device, and small on one without instructions for the precision."""
    sides = []

    def seconds(side: int, device: torch.device, dtype: torch.dtype) -> float:
        sides.append(side)
        return 2 * side**3 / (1e12 if dtype == torch.float32 else 4e8)

    monkeypatch.setattr(roofline, "_product_seconds", seconds)
    cpu = torch.device("cpu")
    assert [matmul_rate(cpu, each) for each in (torch.float32, torch.bfloat16)] == pytest.approx([1e12, 4e8])
    assert sides == [256, 512, 1024, 2048, 256]


def test_a_run_that_counts_in_iterations_ends_within_an_epoch() -> None:
    assert images_in_recipe(RECIPES["resnet-cifar10"], 50_000) == 163 * 50_000 + 267 * 128


def test_the_baseline_shows_the_recipes_images() -> None:
    """Without augmentation, the baseline and ours have the same inputs."""
    chosen = RECIPES["densenet-cifar10"]
    images = random_data("cifar10").train
    plain, _ = Decoded(images, chosen)[7]
    ours = normaliser(chosen, images.pixels)(images.pixels[7:8])[0]
    torch.testing.assert_close(plain, ours)


def test_the_baseline_takes_the_recipes_steps() -> None:
    steps = baseline(TINY, random_data("cifar10").train, torch.device("cpu"))
    assert [next(steps) for _ in range(3)] == [8, 8, 8]


def test_work_is_three_times_the_forward_pass() -> None:
    with torch.device("meta"):
        work = work_of(build("resnet20", {}, classes=10), (3, 32, 32))
    counts = count(Subject("resnet20", {}, (3, 32, 32), 10))
    assert work.flops == 3 * 2 * counts.flops["macs"]
    # fvcore counts 2 per BatchNorm output; each convolution of ResNet-20 has a BatchNorm after it.
    assert work.elements > 3 * 2 * (counts.flops["fvcore"] - counts.flops["macs"]) // 2


def speed(kind: VariantKind, rate: float, switches: dict[str, str | bool] | None) -> Speed:
    """Return a speed of so many images per second."""
    precision = str((switches or {}).get("precision", "fp32"))
    return Speed(kind, precision, "", rate, 1, 1, 1, 1, 1, None, None, None, None, switches)


FP32, BF16 = {"precision": "fp32"}, {"precision": "bf16"}


@pytest.mark.parametrize(
    ("asked", "ways", "stated"),
    [
        ("--compile --save-memory", [(2, FP32 | {"compile": True}), (1, FP32 | {"save_memory": True})], " --compile"),
        ("--compile --save-memory", [(2, FP32)], ""),
        ("", [(1, FP32), (2, BF16)], ""),
        ("--precision bf16", [(1, BF16), (9, None)], " --precision bf16"),
        ("--precision fp32 --precision bf16", [(2, FP32), (1, BF16)], ""),
        ("--fused", [(1, FP32), (3, BF16 | {"fused": True}), (2, BF16)], " --precision bf16 --fused"),
        ("--graph", [], ""),
    ],
)
def test_the_next_command_trains_in_the_fastest_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, asked: str, ways: list[Any], stated: str
) -> None:
    monkeypatch.delenv("REPRO_DATA", raising=False)
    speeds = [speed(VariantKind.TRAINING, *each) for each in ways]
    monkeypatch.setattr(measured, "bench", lambda *_: speeds)
    status, _, err = repro(capsys, "bench", "resnet20", *asked.split())
    assert status == 0
    assert err.splitlines()[-1] == f"next: repro train resnet20{stated}"


def test_the_next_command_trains_what_was_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REPRO_DATA", raising=False)
    monkeypatch.setattr(measured, "bench", lambda *_: [speed(VariantKind.NETWORK, 1, None)])
    choice = ("--dataset", "cifar100", "--recipe", "densenet-cifar100", "--threads", 1, "--data", tmp_path)
    status, out, err = repro(capsys, *BENCH, *choice)
    assert status == 0
    command = "repro train densenet --depth 7 --k 4 --dataset cifar100 --recipe densenet-cifar100 --set batch=8"
    assert out.startswith("densenet --depth 7 --k 4 --no-bottleneck --compression 1.0, ")
    assert err.splitlines()[-1] == f"next: {command} --device cpu --threads 1 --data {tmp_path}"


STREAMED = experiment_for("densenet", {"depth": 7, "k": 4}, seed=0, dataset="tiny-imagenet-10")
STREAMED = replace(STREAMED, recipe=replace(STREAMED.recipe, batch=4, scaled_crop=16, resize=18, test_crop=16))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_input_and_network_are_measured_separately_and_together(tmp_path: Path) -> None:
    speeds = bench(STREAMED, Runtime(device="cpu", workers=1), 0.01, tmp_path)
    names = ["baseline, fp32", "repro, fp32", "repro, bf16", "baseline, input only", "repro, input only"]
    assert [each.name for each in speeds] == [*names, "network only, fp32", "network only, bf16"]
    inputs = [VariantKind.BASELINE_INPUT, VariantKind.INPUT]
    kinds = [VariantKind.BASELINE, *[VariantKind.TRAINING] * 2, *inputs, *[VariantKind.NETWORK] * 2]
    assert [each.kind for each in speeds] == kinds
    assert [each.precision for each in speeds] == ["fp32", "fp32", "bf16", None, None, "fp32", "bf16"]
    assert [each.ratio == 1 for each in speeds] == [True, False, False, True, False, False, False]
    assert speeds[3].matmul_share is speeds[4].matmul_share is None
    assert all(0 < each.slowest <= each.images_per_second <= each.fastest for each in speeds)
    assert list(tmp_path.iterdir()) == []


def test_random_files_replace_a_missing_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with data_of(experiment_for("resnet34", {}, seed=0), tmp_path) as data:
        assert (len(data.train), len(data.test)) == (LISTED, FILES)
        assert data.train.path(FILES + 3) == data.train.path(3)
        with Image.open(data.train.path(LISTED - 1)) as image:
            assert image.size == (500, 375)
        home = data.folder
    assert not home.exists()
    assert f"imagenet is not in {tmp_path}: measuring with random images, unlike photographs" in capsys.readouterr().err


def test_enlarged_photographs_replace_imagenet(
    tmp_path: Path,
    write_images: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = replace(SHIPPED["tiny-imagenet-10"], classes=2, train_images=2, test_images=2)
    monkeypatch.setitem(SHIPPED, "tiny-imagenet-10", small)
    monkeypatch.setattr(random_images, "FILES", 4)
    for split in ("train", "val"):
        write_images(tmp_path / "tiny-imagenet-10" / split, classes=2, images=1, size=(64, 64))
    with data_of(experiment_for("resnet34", {}, seed=0), tmp_path) as data, Image.open(data.test.path(0)) as image:
        assert image.size == (500, 375)
        assert image.getpixel((250, 190))[0] > 100  # the images of the first class are red
    assert "measuring with photographs of tiny-imagenet-10, enlarged" in capsys.readouterr().err
    with data_of(STREAMED, tmp_path) as data:
        assert len(data.train) == 2  # its own files, which are there


def test_the_baseline_opens_the_same_files_as_our_training(tmp_path: Path, write_images: Callable[..., None]) -> None:
    write_images(tmp_path, classes=2, images=3, size=(20, 20))
    first = min(each for each in tmp_path.iterdir() if each.is_dir())
    (first / "._1.JPEG").write_bytes(b"of macOS")
    (first / "1.ppm").write_bytes(b"P6 1 1 255 ...")
    (tmp_path / ".empty").mkdir()
    batches = folder_batches(STREAMED.recipe, list_files(tmp_path, "listing"), 0, torch.device("cpu"))
    labels = torch.cat([labels for _, labels in islice(batches, 2)])
    assert sorted(labels.tolist()) == [0, 0, 0, 1, 1, 1]


def test_what_limits_training_on_image_files_is_reported() -> None:
    usual = speed(VariantKind.BASELINE, 1, FP32)
    files = replace(usual, kind=VariantKind.INPUT, precision=None, images_per_second=500.0)
    networks = [
        replace(usual, kind=VariantKind.NETWORK, precision=name, images_per_second=rate)
        for name, rate in (("fp32", 100.0), ("bf16", 900.0))
    ]
    assert _input_speeds([usual, replace(files, ratio=1.254), *networks]) == [
        "Reading alone is 1.25 times as fast as torchvision's loader and transforms in a DataLoader.",
        "Training in fp32 is limited by the model: 500 images/s are read, the model can process 100.",
        "Training in bf16 is limited by reading the images: 500 images/s are read, the model can process 900.",
    ]
    assert _input_speeds([usual]) == []


def test_ready_batches_are_not_counted() -> None:
    queue = Queue(length=2)
    batches = queue.drained(iter(range(8)))
    assert next(batches) == 0
    queue.waiting = queue.length
    assert next(batches) == 3


@pytest.mark.slow
def test_switches_and_seeds_are_measured_in_addition_to_the_eager_step(capsys: pytest.CaptureFixture[str]) -> None:
    speeds = bench(TINY, Runtime(device="cpu"), 0.01, Path(), seeds=2)
    assert [each.name for each in speeds[1:]] == ["repro, fp32", "repro, fp32, 2 seeds", "repro, bf16"]
    assert "repro, bf16, 2 seeds is left out: stacked seeds in bf16 need a GPU" in capsys.readouterr().err


@pytest.mark.parametrize(("precision", "fused"), [("fp32", []), ("tf32", ["fused", "fused graph"])])
def test_which_switches_are_measured_together(precision: str, fused: list[str]) -> None:
    every = combinations(Runtime(compile=True, graph=True, fused=True), 5, precision)
    names = [(" ".join(sorted(name for name, on in each.items() if on)), seeds, way) for each, seeds, way in every]
    others = ["", "compile", "graph", "compile graph"]
    alone = [(name, 1, "off") for name in [*others, *fused]]
    branches = [(name, number, "branches") for name, *_ in alone if "graph" in name for number in (2, 3, 4, 6)]
    assert sorted(names) == sorted([*alone, *((name, 5, "stacked") for name in others), *branches])


def test_saving_memory_is_measured_next_to_the_eager_step() -> None:
    every = combinations(Runtime(save_memory=True), 1, "fp32")
    assert [[name for name, on in each.items() if on] for each, _, _ in every] == [[], ["save_memory"]]


def failing(after: int, error: Exception, name: str = "repro, bf16") -> Callable[..., list[Variant]]:
    """Return a function that makes the variants, one of which fails after some steps."""

    def variants(*arguments: Any) -> list[Variant]:
        made = in_memory_variants(*arguments)
        (variant,) = (each for each in made if each.name == name)
        variant.steps = broken(variant.steps)
        return made

    def broken(steps: Iterator[int]) -> Iterator[int]:
        yield from islice(steps, after)
        raise error

    return variants


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 5])
def test_a_variant_that_fails_does_not_lose_the_others(
    after: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fails at its first step, or after windows that were measured."""
    error = torch.OutOfMemoryError("CUDA out of memory.\nAnd what follows.")
    monkeypatch.setattr(measured, "in_memory_variants", failing(after, error))
    speeds = bench(TINY, Runtime(device="cpu"), 0.01, Path())
    assert [each.name for each in speeds] == ["baseline, fp32", "repro, fp32"]
    said = capsys.readouterr().err.splitlines()
    assert said.count("repro, bf16 is left out: CUDA out of memory.") == 1
    assert "And what follows." not in said


def test_a_baseline_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "in_memory_variants", failing(3, RuntimeError("no loop"), "baseline, fp32"))
    with pytest.raises(RuntimeError, match="no loop"):
        bench(TINY, Runtime(device="cpu"), 0.01, Path())


def test_a_bench_of_only_the_baseline_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "in_memory_variants", failing(0, RuntimeError("no compiler"), "repro, bf16"))
    with pytest.raises(RunFailed, match="only the baseline can be measured"):
        bench(TINY, Runtime(device="cpu"), 0.01, Path(), precisions=[Precision.BF16])


@pytest.mark.slow
def test_precisions_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = repro(capsys, *BENCH, "--precision", "bf16", "--format", "json")
    assert status == 0
    assert [each["name"] for each in json.loads(out)["speeds"]] == ["baseline, fp32", "repro, bf16"]
    status, _, err = repro(capsys, *BENCH, "--precision", "bf16", "--precision", "tf32")
    assert status == 2
    assert "--precision tf32 needs a GPU" in err


def test_products_are_switched_before_each_window() -> None:
    """Each variant's steps run with the switch of their own precision, although it is global."""
    found = []

    def steps() -> Iterator[int]:
        while True:
            found.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
            yield 1

    variants = [Variant(VariantKind.TRAINING, each, steps()) for each in ("fp32", "tf32", "bf16")]
    for variant in variants:
        _measure(variant, variants, 0, torch.device("cpu"), 0.0)
    assert found == [(False, False)] * 2 + [(True, True)] * 2 + [(False, False)] * 2


@pytest.fixture
def products_of_fp32() -> Iterator[None]:
    yield
    set_products("fp32")


@pytest.mark.usefixtures("products_of_fp32")
@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_switched_products_can_be_read_by_every_name(precision: str) -> None:
    """Torch raises when its older and newer names disagree."""
    set_products(precision)
    expected = precision == "tf32"
    assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == expected
    assert (torch.get_float32_matmul_precision() == "high") == expected
    assert (torch.backends.cuda.matmul.fp32_precision == "tf32") == expected


def test_fused_kernels_are_measured_in_the_precisions_that_have_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command asks for the device's name without the switch, which fp32 excludes."""
    asked: list[Runtime] = []

    def one_speed(experiment: Experiment, runtime: Runtime, *others: Any) -> list[Speed]:
        asked.append(runtime)
        return [speed(VariantKind.TRAINING, 1, FP32)]

    monkeypatch.setattr(measured, "bench", one_speed)
    status, _, err = repro(capsys, "bench", "resnet20", "--device", "cpu", "--fused", "--precision", "bf16")
    assert status == 0, err
    assert asked == [Runtime(device="cpu", fused=True)]
