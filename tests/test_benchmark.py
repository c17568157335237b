"""The benchmark measures what it says it measures."""

import json

import pytest
import torch

from repro.benchmark.bench import bench, images_of, random_data
from repro.benchmark.plain import Decoded, plain_loop
from repro.benchmark.roofline import work_of
from repro.cli import main
from repro.counting.count import Subject, count
from repro.data.augment import normaliser
from repro.errors import UserError
from repro.experiment import experiment_for
from repro.models import build
from repro.recipes import recipe
from repro.runtime import Runtime

TINY = experiment_for("densenet", {"depth": 7, "k": 4}, seed=0)


def test_every_way_is_measured_beside_the_plain_loop() -> None:
    plain, *ours = bench(TINY, Runtime(device="cpu"), 0.01)
    assert (plain.ratio, plain.name) == (1.0, "plain loop, fp32")
    for each in (plain, *ours):
        assert 0 < each.slowest <= each.images_per_second <= each.fastest
        assert each.recipe_seconds == pytest.approx(300 * 50_000 / each.images_per_second)
        assert each.peak_bytes is None
        assert (each.kept_bytes is None) == ("bf16" in each.name)


def test_what_cannot_be_trained_is_not_measured() -> None:
    with pytest.raises(UserError, match="cannot be trained on imagenet here yet"):
        bench(experiment_for("resnet34", {}, seed=0), Runtime(device="cpu"), 0.01)


def test_a_run_that_counts_in_iterations_ends_within_an_epoch() -> None:
    assert images_of(recipe("resnet-cifar10"), 50_000) == 163 * 50_000 + 267 * 128


def test_the_plain_loop_shows_the_recipes_images() -> None:
    """Without augmentation both loops feed the network the same pixels."""
    chosen = recipe("densenet-cifar10")
    images = random_data("cifar10").train
    plain, _ = Decoded(images, chosen)[7]
    ours = normaliser(chosen, images.pixels)(images.pixels[7:8])[0]
    torch.testing.assert_close(plain, ours)


def test_the_plain_loop_takes_the_recipes_steps() -> None:
    steps = plain_loop(TINY, random_data("cifar10").train, torch.device("cpu"))
    assert [next(steps) for _ in range(3)] == [64, 64, 64]


def test_work_is_three_times_the_forward_pass() -> None:
    with torch.device("meta"):
        work = work_of(build("resnet20", {}, classes=10), (3, 32, 32))
    counts = count(Subject("resnet20", {}, (3, 32, 32), 10))
    assert work.flops == 3 * 2 * counts.flops["macs"]
    # fvcore counts 2 per BatchNorm output; each convolution of ResNet-20 has a BatchNorm after it.
    assert work.elements > 3 * 2 * (counts.flops["fvcore"] - counts.flops["macs"]) // 2


def test_bench_answers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(
            ["bench", "densenet", "--depth", "7", "--k", "4", "--window", "0.01", "--device", "cpu", "--format", "json"]
        )
    assert end.value.code == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in answer["speeds"]] == ["plain loop, fp32", "repro, fp32", "repro, bf16"]
