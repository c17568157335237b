"""The training loop: one experiment from one seed, on one device."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import torch
from torch import nn

from repro.errors import RunFailed
from repro.experiment import Experiment
from repro.models import build
from repro.results import EpochRow
from repro.runtime import Runtime
from repro.training.checkpoint import Checkpoint
from repro.training.device import autocast, placed
from repro.training.initialise import INITIALISERS
from repro.training.machine import machine
from repro.training.randomness import seed_of
from repro.training.schedule import lr_at, steps_per_epoch, total_steps
from repro.training.task import Batch, Task


def network_of(experiment: Experiment) -> nn.Module:
    """Return an experiment's network, with torch's own initialisation."""
    classes, channels, dropout = experiment.classes, experiment.channels, experiment.recipe.dropout
    return build(experiment.model, experiment.options, classes=classes, channels=channels, dropout=dropout)


class Engine:
    """A run in memory: network, optimizer, data on the device, and how far it is.

    Chance is a function of the seed and the epoch alone (data order, augmentation, dropout), so that a run
    that was stopped and gone on with is the run that was not: on a CPU bit for bit.
    """

    def __init__(self, experiment: Experiment, runtime: Runtime, task: Task, device: torch.device) -> None:
        recipe = experiment.recipe
        self.experiment, self.runtime, self.device, self.recipe = experiment, runtime, device, recipe
        self.task = task
        torch.manual_seed(seed_of(experiment.seed, "init"))
        network = network_of(experiment)
        INITIALISERS[recipe.init](network)
        self.network = placed(network, device, runtime)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.steps_per_epoch = steps_per_epoch(recipe, task.images)
        self.total_steps = total_steps(recipe, task.images)
        self.step = 0
        self.history: list[EpochRow] = []
        self.sums = torch.zeros(2, device=device)
        self.seconds = self.epoch_seconds = 0.0
        self.sittings = 1
        self.machine = machine(device)
        self.started = datetime.now(UTC).isoformat(timespec="seconds")

    @property
    def finished(self) -> bool:
        """Whether the last epoch is tested."""
        return bool(self.history) and self.history[-1].step == self.total_steps

    @property
    def steps_of_epoch(self) -> int:
        """Steps taken of the epoch begun, which is the one after the history's last."""
        return self.step - len(self.history) * self.steps_per_epoch

    def steps(self) -> Iterator[int]:
        """Train to the end of the epoch begun, yielding after each step the number of steps so far.

        Between two steps the run can be checkpointed or left.
        """
        self.network.train()
        epoch, begun = len(self.history), self.steps_of_epoch
        if begun == 0:
            torch.manual_seed(seed_of(self.experiment.seed, "dropout", epoch))
        end = min((epoch + 1) * self.steps_per_epoch, self.total_steps)
        clock = time.perf_counter()
        for batch in islice(self.task.batches(self.experiment.seed, epoch, begun), end - self.step):
            self._train_batch(batch)
            self.step += 1
            now = time.perf_counter()
            self.epoch_seconds += now - clock
            clock = now
            yield self.step

    def check_loss(self) -> None:
        """Raise RunFailed if the loss, summed over the epoch begun, is no number any more."""
        loss = self.sums[0].item()
        if not math.isfinite(loss):
            where = f"epoch {len(self.history) + 1} (step {self.step})"
            raise RunFailed(f"the training loss is {loss} in {where}; the last good checkpoint is kept")

    def end_epoch(self) -> EpochRow:
        """Test the network after an epoch's last step and write the epoch into the history.

        Raises:
            RunFailed: the loss is no number any more.
        """
        begin = time.perf_counter()
        epoch = len(self.history) + 1
        shown = min(self.task.images, self.steps_of_epoch * self.recipe.batch)
        self.check_loss()
        loss, wrong = (each / shown for each in self.sums.tolist())
        tested = self.task.test(self.network)
        self.epoch_seconds += time.perf_counter() - begin
        row = EpochRow(
            epoch=epoch,
            step=self.step,
            lr=lr_at(self.recipe, self.step - 1, self.task.images),
            train_loss=loss,
            train_error=100 * wrong,
            test_loss=tested.loss,
            test_error=tested.error,
            test_error5=tested.error5,
            seconds=self.epoch_seconds,
            **tested.extra,
        )
        self.history.append(row)
        self.seconds += self.epoch_seconds
        self.epoch_seconds = 0.0
        self.sums.zero_()
        return row

    def checkpoint(self) -> Checkpoint:
        """Return all that is needed to go on from here."""
        rng = [torch.get_rng_state()]
        if self.device.type == "cuda":
            rng.append(torch.cuda.get_rng_state(self.device))
        return Checkpoint(
            experiment=self.experiment,
            runtime=self.runtime,
            network=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            step=self.step,
            sums=self.sums,
            rng=rng,
            history=self.history,
            seconds=self.seconds,
            epoch_seconds=self.epoch_seconds,
            sittings=self.sittings,
            started=self.started,
            data=self.task.fingerprint,
            machine=self.machine,
        )

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint of the same experiment."""
        self.network.load_state_dict(saved.network)
        self.optimizer.load_state_dict(saved.optimizer)
        self.step, self.history, self.started = saved.step, list(saved.history), saved.started
        self.sums = saved.sums.to(self.device)
        self.seconds, self.epoch_seconds = saved.seconds, saved.epoch_seconds
        self.sittings = saved.sittings + 1
        if self.finished and saved.machine:  # nothing is left to do here
            self.machine = saved.machine
        torch.set_rng_state(saved.rng[0])
        if self.device.type == "cuda" and len(saved.rng) > 1:
            torch.cuda.set_rng_state(saved.rng[1], self.device)

    def _train_batch(self, batch: Batch) -> None:
        """Take one step; nothing here waits for the device."""
        self.optimizer.param_groups[0]["lr"] = lr_at(self.recipe, self.step, self.task.images)
        with autocast(self.device, self.runtime):
            outputs = self.network(batch.inputs)
        loss = self.task.loss(outputs, batch.targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            wrong = self.task.wrong(outputs, batch.targets)
            self.sums += torch.stack([loss.detach() * len(batch.targets), wrong])
