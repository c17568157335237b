"""The check of runs that share a CUDA graph as its branches: each must be bit-identical to the same run alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from repro.check.setting import EXACT, SHORT, STEPS, Setting, branches, difference, engine, experiments, states, trained
from repro.experiment import Experiment
from repro.training.engine.engine import Engine

BATCH = 8
"""Images in a batch of one of the runs, whose epochs therefore have nine steps instead of five."""


def runs_of(setting: Setting) -> list[Experiment]:
    """Return runs of different lengths; on a GPU also of several networks."""
    first, second = experiments(setting.small, 2, **SHORT)
    networks = [setting.deep, setting.dense] if setting.on_gpu else []
    others = [each for network in networks for each in experiments(network, **SHORT)]
    return [first, replace(second, recipe=replace(second.recipe, batch=BATCH)), *others]


def branches_and_alone(setting: Setting) -> float:
    """Return how far runs that share a graph are from each of them alone and run eagerly."""
    runs, images = runs_of(setting), setting.images()
    together = branches(setting.device, runs, images, **EXACT)
    train_together(together, STEPS)
    alone = [trained(engine(setting.device, [each], images, **EXACT), STEPS) for each in runs]
    return difference(*([one for each in some for one in states(each)] for some in (together, alone)))


def train_together(started: Sequence[Engine], steps: int) -> None:
    """Let each engine take `steps` steps, those of all at once, with a test after each epoch."""
    taken = [each.steps() for each in started]
    for _ in range(steps):
        for number, each in enumerate(started):
            if next(taken[number], None) is None:
                taken[number] = each.steps()
                next(taken[number])
        started[0].graphs.launch()
        for each in started:
            if each.step < steps and each.steps_left == 0:
                each.end_epoch()
