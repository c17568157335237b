"""Counts of networks of timm and torchvision, next to those that these packages publish.

timm_counts.csv has figures as they are printed in huggingface/pytorch-image-models: `params`, in millions, in
results/results-imagenet.csv (commit 4e5207c7bb6592474ca56e28b2cf85be8f1a550f), `gmacs` for images with `side` pixels in
results/benchmark-infer-amp-nchw-pt240-cu124-rtx3090.csv (commit 5c33776aa59f0f05bfb8008ff546ed4c09083f1a). Those are
totals of fvcore (profile_fvcore in its benchmark.py), so they are compared with the counts of that convention.

torchvision publishes exact parameters and GMACs with three decimals with its weights: `num_params` and `_ops`.
"""

import csv
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from marking import slow_or_nightly

import repro
from repro.counting.cache import counted_parameters
from repro.counting.count import Subject
from repro.models import find, resolve_options
from repro.tables.printed import Cell

with (Path(__file__).parent / "timm_counts.csv").open(encoding="utf-8") as file:
    TIMM = {row["name"]: row for row in csv.DictReader(file)}
WITH_GMACS = [name for name, row in TIMM.items() if row["gmacs"]]
TORCHVISION = [
    "efficientnet_b0", "mnasnet0_5", "mobilenet_v3_small", "regnet_y_400mf", "resnet50", "shufflenet_v2_x1_0",
    "squeezenet1_0",
]  # fmt: skip
WITH_OPERATIONS = [
    "convnext_tiny", "mobilenet_v2", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "vit_b_16",
]  # fmt: skip


def some_slow(names: list[str]) -> list[Any]:
    """Return names of timm's networks, of which every fifth is counted with the slow tests."""
    return slow_or_nightly(names, lambda name: names.index(name) % 5 == 0)


def parameters(model: str) -> int:
    """Return the parameters of a network on images of ImageNet."""
    name = find(model)
    (found,) = counted_parameters([Subject(name, resolve_options(name, {}, "imagenet"), (3, 224, 224), 1000)])
    return found


def metadata(name: str) -> dict[str, Any]:
    """Return what torchvision publishes of a network with its first weights."""
    from torchvision.models import get_model_weights

    found: dict[str, Any] = next(iter(get_model_weights(name))).meta
    return found


@pytest.fixture
def timm() -> Any:
    return pytest.importorskip("timm", reason="timm is not installed: pip install timm")


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("name", some_slow([name for name in TIMM if name not in WITH_GMACS]))
def test_parameters_of_timm_are_those_that_it_publishes(name: str) -> None:
    assert Cell(f"{TIMM[name]['params']}M").matches(parameters(f"timm:{name}"))


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("name", some_slow(WITH_GMACS))
def test_both_counts_of_timm_are_those_that_it_publishes(name: str) -> None:
    side, printed = int(TIMM[name]["side"]), Decimal(TIMM[name]["gmacs"])
    found = repro.count(f"timm:{name}", input=(3, side, side), classes=1000, flops="fvcore")
    assert Cell(f"{TIMM[name]['params']}M").matches(found.params)
    assert Decimal(found.flops).scaleb(-9).quantize(Decimal("0.01")) == printed


@pytest.mark.parametrize("name", TORCHVISION)
def test_parameters_of_torchvision_are_those_that_it_publishes(name: str) -> None:
    assert parameters(f"torchvision:{name}") == metadata(name)["num_params"]


@pytest.mark.parametrize("name", WITH_OPERATIONS)
def test_both_counts_of_torchvision_are_those_that_it_publishes(name: str) -> None:
    found = repro.count(f"torchvision:{name}", input=(3, 224, 224), classes=1000)
    assert (found.params, round(found.macs / 1e9, 3)) == (metadata(name)["num_params"], metadata(name)["_ops"])
