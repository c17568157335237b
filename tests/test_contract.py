"""Properties of every registered network: shapes, a gradient for every parameter, counts that torch confirms."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from marking import slow_or_nightly
from torch.utils.flop_counter import FlopCounterMode

from repro.counting import meta_batchnorm
from repro.counting.cache import counted
from repro.counting.count import Subject, analysis, empty_network, without_memory
from repro.counting.demand import demand_of
from repro.counting.meta_batchnorm import FastBatchNorm
from repro.data import DATASETS, DatasetKind
from repro.models import MODELS, OptionValue, build
from repro.models.wide_resnet import BLOCKS

VARIANTS: list[tuple[str, dict[str, OptionValue]]] = [
    ("resnet20", {"shortcut": "B"}),
    ("densenet", {"depth": 22, "k": 6, "bottleneck": True}),
    ("densenet", {"depth": 22, "k": 6, "compression": 0.5}),
    *(("wrn", {"depth": 16, "k": 2, "block": block}) for block in BLOCKS),
    *(("wrn", {"depth": 40, "k": 2, "l": l}) for l in (1, 3, 4)),
    ("wrn", {"depth": 16, "k": 2, "dropout": 0.3}),
    ("wrn18", {"width": 1.5}),
    ("denseresnet110", {"N": 1}),
    ("denseresnet34", {"N": 8}),
    ("densemobilenetv2", {"N": 100}),
]
FREE = {"hardtanh", "hardtanh_", "softmax", "mean", "pad", "dropout", "dropout_", "sub", "hardswish_", "hardsigmoid"}
FREE |= {"avg_pool3d", "mul", "div", "pow"}  # of local response normalisation
"""Operators that no convention counts; the last six occur in no network of the paper behind `paper`."""
DETECTORS = [name for name, spec in MODELS.items() if DATASETS[spec.dataset].kind is DatasetKind.DETECTION]
"""Their outputs have other shapes: tests/test_detection.py tests them."""
OTHERS = {name: spec for name, spec in MODELS.items() if name not in DETECTORS}
KINDS = {(spec.builder, spec.fixed.get("name")): name for name, spec in reversed(OTHERS.items())}
"""The first network of every builder."""
MAPS = {(572, 572): (388, 388), (64, 64): (64, 64)}
"""Height and width of U-Net's output for each input size."""


def subjects() -> Iterator[Subject]:
    """Yield every network as in its paper, the variants, and one ImageNet network per builder for small images."""
    for name, options in [*((name, {}) for name in OTHERS), *VARIANTS]:
        spec = DATASETS[MODELS[name].dataset]
        yield Subject(name, options, spec.input, spec.classes)
    yield Subject("unet", {"padded": True}, (1, 64, 64), 2)
    yield from (small(name) for name in KINDS.values() if MODELS[name].small)


def small(model: str) -> Subject:
    return Subject(model, {}, (3, 32, 32), 10)


def label(subject: Subject) -> str:
    options = "".join(f" {key}={value}" for key, value in subject.options.items())
    return f"{subject.model}{options} {'x'.join(map(str, subject.input))}"


SUBJECTS = list(subjects())


def is_first(subject: Subject) -> bool:
    """Whether no earlier network differs from this one only in depth, width and size."""
    return subject.model in KINDS.values() or bool(subject.options)


def test_every_registered_network_is_tested_at_its_papers_size() -> None:
    tried = {(each.model, each.input) for each in SUBJECTS}
    assert all(spec.small or spec.dataset.startswith(("cifar", "isbi")) for spec in OTHERS.values())  # all but U-Net
    assert {(name, DATASETS[spec.dataset].input) for name, spec in OTHERS.items()} <= tried


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].small and name not in KINDS.values()])
def test_the_other_imagenet_networks_are_trained_on_small_images_too(name: str) -> None:
    network = without_memory(small(name)).train()
    with FastBatchNorm():
        output = network(torch.zeros(2, 3, 32, 32, device="meta"))
    assert output.shape == (2, 10)
    output.sum().backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("subject", slow_or_nightly(SUBJECTS, is_first), ids=label)
def test_shapes_gradients_and_counts(subject: Subject) -> None:
    """A training batch of two gives (2, classes), or such maps, and a gradient reaches every parameter.

    Our multiply-adds are half of torch's own count. They are read from the cache that all tests share, in which the
    tables' networks are counted once.
    """
    network = without_memory(subject).train()
    with FastBatchNorm(), FlopCounterMode(display=False) as counter:
        output = network(torch.zeros(2, *subject.input, device="meta"))
    size = MAPS[subject.input[1:]] if subject.model == "unet" else ()
    assert output.shape == (2, subject.classes, *size)
    output.sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert counted(subject).flops["macs"] * 4 == counter.get_total_flops()  # two images, 2 for a multiply-add


@pytest.mark.parametrize("subject", [small("resnet50"), small("densenet121"), Subject("resnet20", {}, (3, 32, 32), 10)])
def test_a_fast_batchnorm_demands_what_torchs_demands(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = demand_of(subject)
    monkeypatch.setattr(meta_batchnorm, "FastBatchNorm", nullcontext)
    assert demand_of(subject) == fast


SHALLOW: dict[str, dict[str, OptionValue]] = {
    "densenet": {"depth": 10, "k": 4},
    "wrn": {"depth": 10, "k": 1},
    "denseresnet110": {"N": 2},
}


OF_EACH_BUILDER = [each for each in SUBJECTS if is_first(each) and max(each.input) <= 64]
"""The first network of every builder, and the variants, for small images."""


@pytest.mark.slow
@pytest.mark.parametrize("subject", [*OF_EACH_BUILDER, Subject("unet", {}, (1, 188, 188), 2)], ids=label)
def test_operators_without_a_counting_rule_are_known(subject: Subject) -> None:
    options = {**SHALLOW.get(subject.model, {}), **subject.options}
    ours = analysis(empty_network(replace(subject, options=options)), subject.input, subject.model)
    assert {each.removeprefix("aten::") for each in ours.unsupported_ops()} <= FREE


@pytest.mark.parametrize("name", KINDS.values())
def test_gradients_are_finite_and_not_all_zero(name: str) -> None:
    """The values of the gradients are checked too: a parameter that only looks connected would have zeros."""
    torch.manual_seed(0)
    size = (1, 188, 188) if name == "unet" else (3, 32, 32)
    network = build(name, SHALLOW.get(name, {}), classes=10, input=size).train()
    network(torch.randn(4, *size)).logsumexp(1).mean().backward()
    gradients = {key: each.grad for key, each in network.named_parameters()}
    assert [key for key, each in gradients.items() if each is None or not each.any()] == []
    assert all(each.isfinite().all() for each in gradients.values())
