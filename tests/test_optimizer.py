"""Recipe values for optimizer and BatchNorm: scope of weight decay, parts of a batch, exact statistics."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from repro.experiment import Experiment
from repro.runtime import Runtime
from repro.training.engine.engine import Engine
from repro.training.engine.networks import Single
from repro.training.engine.optimizer import optimizer_for
from repro.training.tasks.kinds import task_for

CPU = torch.device("cpu")
Make = Callable[..., Experiment]
pytestmark = pytest.mark.usefixtures("small_digits")


def engine_of(experiment: Experiment, seeds: int = 1) -> Engine:
    runtime = Runtime(device="cpu")
    experiments = [replace(experiment, seed=seed) for seed in range(seeds)]
    return Engine(experiments, runtime, task_for(experiment, Path("data"), runtime, CPU), CPU)


def trained(experiment: Experiment, seeds: int) -> Engine:
    engine = engine_of(experiment, seeds)
    while not engine.finished:
        for _ in engine.steps():
            pass
        engine.end_epoch()
    return engine


@pytest.mark.parametrize("seeds", [1, 2])
def test_weight_decay_can_be_limited_to_weights(tiny: Make, seeds: int) -> None:
    """Weights of convolutions and the classifier decay, BatchNorm and biases do not, also with stacked seeds."""
    engine = engine_of(tiny(dropout=0.0, decay_scope="weights"), seeds)
    weights, others = engine.optimizer.param_groups
    stacked = int(seeds > 1)
    assert {each.ndim - stacked for each in weights["params"]} == {2, 4}
    assert {each.ndim - stacked for each in others["params"]} == {1}
    assert (weights["weight_decay"], others["weight_decay"]) == (5e-4, 0.0)
    assert len(weights["params"]) + len(others["params"]) == len(list(engine.networks.parameters()))


def test_parameters_without_decay_are_updated_by_their_gradient_only(tiny: Make) -> None:
    """From v = 0 Nesterov's first step is w -= 1.9 lr g, with decay in g for weights."""
    engine = engine_of(tiny(dropout=0.0, decay_scope="weights", weight_decay=0.1))
    before = [each.detach().clone() for each in engine.networks.parameters()]
    lr = engine.lr
    next(engine.steps())
    for old, new in zip(before, engine.networks.parameters(), strict=True):
        assert new.grad is not None
        decay = 0.1 * old if old.ndim > 1 else 0.0
        torch.testing.assert_close(new.detach(), old - 1.9 * lr * (new.grad + decay))


def test_batchnorm_can_normalise_over_parts_of_a_batch(tiny: Make) -> None:
    """As on two GPUs: the gradient is that of the halves' mean loss, each half normalised separately."""
    engine, reference = engine_of(tiny(dropout=0.0, batchnorm_images=128)), engine_of(tiny(dropout=0.0))
    whole = engine_of(tiny(dropout=0.0))
    inputs, labels = next(engine.task.batches(0, 0, 0))
    reference.networks.train()
    halves = zip(inputs.split(128), labels.split(128), strict=True)
    losses = [F.cross_entropy(reference.networks(images), truth) for images, truth in halves]
    torch.stack(losses).mean().backward()
    next(engine.steps())
    next(whole.steps())
    first = [next(each.networks.parameters()).grad for each in (engine, reference, whole)]
    torch.testing.assert_close(first[0], first[1], rtol=1e-3, atol=1e-6)
    assert not torch.allclose(first[0], first[2], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("scope", ["all", "weights"])
def test_blocks_that_are_skipped_in_some_steps_are_trained(tiny: Make, scope: str) -> None:
    """As by the update without fused kernels: stochastic depth leaves weights without a gradient, also at first."""
    recipe = tiny(decay_scope=scope).recipe
    plain = [nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2)]
    layers = [deepcopy(each) for each in plain]
    optimizer = optimizer_for(Single(nn.Sequential(*layers)), recipe)
    groups = [{**group, "fused": False, "params": []} for group in optimizer.param_groups]
    of_weights = {id(each) for each in optimizer.param_groups[0]["params"]}
    for own, other in zip(nn.Sequential(*layers).parameters(), nn.Sequential(*plain).parameters(), strict=True):
        groups[0 if id(own) in of_weights else 1]["params"].append(other)
    reference = torch.optim.SGD(groups)
    for kept in ((0, 1), (0, 2), (2,), (0, 1, 2)):
        inputs = torch.randn(4, 2)
        for networks, update in ((layers, optimizer), (plain, reference)):
            update.zero_grad()
            nn.Sequential(*(networks[each] for each in kept))(inputs).square().sum().backward()
            update.step()
    for own, other in zip(nn.Sequential(*layers).parameters(), nn.Sequential(*plain).parameters(), strict=True):
        torch.testing.assert_close(own, other)


def test_seeds_side_by_side_normalise_over_parts_too(tiny: Make) -> None:
    together, alone = (engine_of(tiny(dropout=0.0, batchnorm_images=128), seeds) for seeds in (2, 1))
    for each in (together, alone):
        next(each.steps())
    for own, other in zip(*(each.alone(0).state_dict().values() for each in (together, alone)), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_network_can_be_tested_with_exact_statistics(tiny: Make, seeds: int) -> None:
    """Averages over an epoch of training images after the last step: the weights and earlier tests are the same."""
    exact, running = (
        trained(tiny(dropout=0.0, batchnorm_statistics=kind, schedule="steps"), seeds) for kind in ("exact", "running")
    )
    for number in range(seeds):
        own, other = (each.checkpoints()[number].network for each in (exact, running))
        changed = {key for key in own if not torch.equal(own[key], other[key])}
        assert changed == {key for key in own if "running" in key or "num_batches" in key}
        first = next(layer for layer in exact.alone(number).modules() if isinstance(layer, nn.Conv2d))
        batches = list(exact.task.batches(number, 1, 0))
        means = torch.stack([first(each.inputs).mean((0, 2, 3)) for each in batches])
        assert len(means) == int(own[next(key for key in own if "num_batches" in key)])
        name = next(key for key in own if key.endswith("running_mean"))
        torch.testing.assert_close(own[name], means.mean(0), rtol=1e-3, atol=1e-4)
        tests = [each.epoch_rows[number][-1].test_loss for each in (exact, running)]
        assert tests[0] != tests[1]
        assert exact.epoch_rows[number][0].test_loss == running.epoch_rows[number][0].test_loss
