"""The training loop: one experiment from one seed, or from several side by side, on one device."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import reduce
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from repro.data import DATASETS
from repro.errors import Diverged
from repro.experiment import Experiment
from repro.models import build, save_memory
from repro.runtime import Runtime
from repro.store.results import EpochRow
from repro.training import processes
from repro.training.checkpoint import Checkpoint
from repro.training.device import autocast, placed
from repro.training.initialise import INITIALISERS
from repro.training.optimizer import optimizer_for
from repro.training.provenance import machine, through
from repro.training.randomness import seed_of
from repro.training.schedule import Phase, lr_at, phase_of_epoch, resets_momentum, steps_per_epoch, total_steps
from repro.training.stacked import Stacked
from repro.training.statistics import take_exact_statistics
from repro.training.step import step_for
from repro.training.tasks.task import Progress, Task
from repro.training.tuning import freeze_all_but_the_classifier


def network_of(experiment: Experiment, *, memory_saved: bool = False) -> nn.Module:
    """Return an experiment's network, with torch's own initialisation.

    Raises:
        UserError: there is no such network, or it is to save memory and has no way to.
    """
    data, dropout = DATASETS[experiment.dataset], experiment.recipe.dropout
    network = build(experiment.model, experiment.options, classes=data.classes, input=data.input, dropout=dropout)
    if memory_saved:
        save_memory(experiment.model, network)
    return network


def initialised(experiment: Experiment, *, memory_saved: bool = False) -> nn.Module:
    """Return an experiment's network as its recipe and seed begin it."""
    torch.manual_seed(seed_of(experiment.seed, "init"))
    network = network_of(experiment, memory_saved=memory_saved)
    INITIALISERS[experiment.recipe.init](network)
    return network


class Engine:
    """Runs in memory: networks, optimizer, the task on the device, and how far they are.

    The experiments differ in the seed alone and are always at the same step. Chance is a function of the seed and
    the epoch alone (data order, augmentation, dropout), so that a run that was stopped and gone on with is the run
    that was not: on a CPU bit for bit.
    """

    def __init__(self, experiments: Sequence[Experiment], runtime: Runtime, task: Task, device: torch.device) -> None:
        self.experiments, self.runtime, self.device, self.task = list(experiments), runtime, device, task
        self.recipe = self.experiments[0].recipe
        networks = [
            placed(initialised(each, memory_saved=runtime.save_memory), device, runtime) for each in self.experiments
        ]
        self.network = Stacked(networks) if len(networks) > 1 else networks[0]
        self.sums = torch.zeros(len(networks), 2, device=device)
        self.total_steps = total_steps(self.recipe, task.images)
        self.step = 0
        self.histories: list[list[EpochRow]] = [[] for _ in networks]
        self._begin_phase(phase_of_epoch(self.recipe, 0, task.images))
        self.seconds = self.epoch_seconds = 0.0
        self.sittings = 1
        self.machine = machine(device)
        self.started = datetime.now(UTC).isoformat(timespec="milliseconds")  # a run may take less than a second

    def _begin_phase(self, phase: Phase) -> None:
        """Make the optimizer, which has no momentum yet, and the step of a phase."""
        self.phase, recipe = phase, phase.recipe
        if phase.tunes:
            freeze_all_but_the_classifier(self.network)
        self.optimizer = optimizer_for(self.network, recipe)
        batch = min(recipe.batch, self.task.images)
        size = len(range(batch)[processes.share(batch)])
        self.take_step = step_for(
            self.network, self.optimizer, self.task, self.sums, size, self.runtime, recipe.batchnorm_images
        )
        self.steps_per_epoch = steps_per_epoch(recipe, self.task.images)

    def _enter_phase(self) -> None:
        """Begin the phase of the next epoch, if it is another one."""
        phase = phase_of_epoch(self.recipe, self.epochs, self.task.images)
        if phase != self.phase:
            self._begin_phase(phase)

    @property
    def epochs(self) -> int:
        """Epochs that are over and tested."""
        return len(self.histories[0])

    @property
    def finished(self) -> bool:
        """Whether the last epoch is tested."""
        return self.epochs > 0 and self.histories[0][-1].step == self.total_steps

    @property
    def steps_of_epoch(self) -> int:
        """Steps taken of the epoch begun, which is the one after the histories' last."""
        return self.step - self._first_step_of_epoch

    @property
    def _first_step_of_epoch(self) -> int:
        return self.phase.step + (self.epochs - self.phase.epoch) * self.steps_per_epoch

    @property
    def lr(self) -> float:
        """The learning rate of the step to come, or of the last one."""
        return lr_at(self.recipe, min(self.step, self.total_steps - 1), self.task.images)

    def steps(self) -> Iterator[int]:
        """Train to the end of the epoch begun, yielding after each step the number of steps so far.

        Between two steps the run can be checkpointed or left.
        """
        self.network.train(not self.phase.tunes)  # BatchNorm keeps its statistics while the classifier is tuned
        if self.steps_of_epoch == 0:
            torch.manual_seed(seed_of(self.experiments[0].seed, "dropout", self.epochs) + processes.rank())
        left = min(self._first_step_of_epoch + self.steps_per_epoch, self.total_steps) - self.step
        seeds = [each.seed for each in self.experiments]
        batches = zip(*(self.task.batches(seed, self.epochs, self.steps_of_epoch) for seed in seeds), strict=True)
        clock = time.perf_counter()
        for batch in islice(batches, left):
            if resets_momentum(self.recipe, self.step, self.task.images):
                self._forget_momentum()
            self.take_step(batch, self.lr, self._weight(len(batch[0].targets)))
            self.step += 1
            now = time.perf_counter()
            self.epoch_seconds += now - clock
            clock = now
            yield self.step

    def _forget_momentum(self) -> None:
        """Begin the momentum anew; in place, since a CUDA graph knows where it lies."""
        for state in self.optimizer.state.values():
            state["momentum_buffer"].zero_()

    def _weight(self, images: int) -> float:
        """Return what makes the mean over processes of the mean over their images the mean over all images."""
        usual = self.phase.recipe.batch
        batch = min(usual, self.task.images - self.steps_of_epoch * usual)
        return images * processes.count() / batch

    def check_loss(self) -> None:
        """Raise Diverged if a loss, summed over the epoch begun, is no number any more."""
        for experiment, loss in zip(self.experiments, processes.total(self.sums)[:, 0].tolist(), strict=True):
            if not math.isfinite(loss):
                where = f"epoch {self.epochs + 1} (step {self.step})"
                several = len(self.experiments) > 1
                who = f" of seed {experiment.seed}" if several else ""
                others = "; --one-by-one goes on with the other seeds" if several else ""
                raise Diverged(f"the training loss{who} is {loss} in {where}; the last good checkpoint is kept{others}")

    def check_weights(self) -> None:
        """Raise Diverged if a weight or a BatchNorm statistic, the first process's, is no finite number any more."""
        processes.as_the_first(self.network)  # in all alike, so that none waits for one that has raised
        state = [each for each in self.network.state_dict().values() if each.is_floating_point()]
        if not torch.stack([each.isfinite().all() for each in state]).all():
            raise Diverged(f"weights are no numbers any more at step {self.step}; the last good checkpoint is kept")

    def end_epoch(self, progress: Progress = iter) -> list[EpochRow]:
        """Test the networks after an epoch's last step and write the epoch into the histories.

        `progress` wraps the beginnings of the batches of a test.

        Raises:
            Diverged: a loss or a weight is no number any more.
        """
        begin = time.perf_counter()
        self.check_loss()
        self.check_weights()
        self._take_statistics()
        shown = min(self.task.images, self.steps_of_epoch * self.phase.recipe.batch)
        sums = (processes.total(self.sums) / shown).tolist()
        tested = [self.task.test(self.alone(number), progress) for number in range(len(self.experiments))]
        self.epoch_seconds += time.perf_counter() - begin
        rows = [
            EpochRow(
                epoch=self.epochs + 1,
                step=self.step,
                lr=lr_at(self.recipe, self.step - 1, self.task.images),
                train_loss=loss,
                train_error=100 * wrong,
                test_loss=each.loss,
                test_error=each.error,
                test_error5=each.error5,
                validation_error=each.validation_error,
                seconds=self.epoch_seconds,
                **each.extra,
            )
            for each, (loss, wrong) in zip(tested, sums, strict=True)
        ]
        for history, row in zip(self.histories, rows, strict=True):
            history.append(row)
        self.seconds += self.epoch_seconds
        self.epoch_seconds = 0.0
        self.sums.zero_()
        self._enter_phase()
        return rows

    def _take_statistics(self) -> None:
        """After the last step, compute BatchNorm's statistics exactly if the recipe tests with such."""
        if self.recipe.batchnorm_statistics != "exact" or self.step < self.total_steps:
            return
        for number, experiment in enumerate(self.experiments):
            network = self.alone(number)
            with autocast(self.device, self.runtime):
                batches = self.task.batches(experiment.seed, self.epochs, 0)
                take_exact_statistics(network, (each.inputs for each in batches))
            if network is not self.network:
                self._load_network(number, network.state_dict())

    def checkpoints(self) -> list[Checkpoint]:
        """Return for each run all that it needs to go on from here, alone or side by side."""
        rng = [torch.get_rng_state()]
        if self.device.type == "cuda":
            rng.append(torch.cuda.get_rng_state(self.device))
        processes.as_the_first(self.network)
        rng, sums = processes.of_all(rng), processes.total(self.sums)
        return [
            Checkpoint(
                experiment=experiment,
                runtime=self.runtime,
                network=self._network_state(number),
                optimizer=self._optimizer_state(number),
                step=self.step,
                total=self.total_steps,
                sums=sums[number].clone(),
                rng=rng,
                history=self.histories[number],
                seconds=self.seconds,
                epoch_seconds=self.epoch_seconds,
                sittings=self.sittings,
                started=self.started,
                data=self.task.fingerprint,
                machine=self.machine,
            )
            for number, experiment in enumerate(self.experiments)
        ]

    def restore(self, saved: Sequence[Checkpoint]) -> None:
        """Go on from checkpoints of the same experiments, all of the same step."""
        for number, each in enumerate(saved):
            self._load_network(number, each.network)
            if processes.rank() == 0:  # of sums over all processes
                self.sums[number].copy_(each.sums)
        first = saved[0]
        self.step, self.started = first.step, min(each.started for each in saved)
        self.histories = [list(each.history) for each in saved]
        self._enter_phase()
        self._load_optimizer([each.optimizer for each in saved])
        self.seconds, self.epoch_seconds = first.seconds, first.epoch_seconds
        self.sittings = max(each.sittings for each in saved) + 1
        made_on = [each.machine for each in saved]
        self.machine = reduce(through, made_on if self.finished else [*made_on, self.machine]) or self.machine
        kinds = len(first.rng) // self.runtime.processes
        own = first.rng[processes.rank() * kinds :]
        torch.set_rng_state(own[0])
        if self.device.type == "cuda" and kinds > 1:
            torch.cuda.set_rng_state(own[1], self.device)

    def alone(self, number: int) -> nn.Module:
        """Return the network of run `number`; of runs side by side the next call changes it."""
        return self.network.alone(number) if isinstance(self.network, Stacked) else self.network

    def _network_state(self, number: int) -> dict[str, Any]:
        return self.network.state_of(number) if isinstance(self.network, Stacked) else self.network.state_dict()

    def _load_network(self, number: int, state: dict[str, Any]) -> None:
        if isinstance(self.network, Stacked):
            self.network.load_state_of(number, state)
        else:
            self.network.load_state_dict(state)

    def _optimizer_state(self, number: int) -> dict[str, Any]:
        """Return the optimizer's state as that of one network; the learning rate follows from the step."""
        content = self.optimizer.state_dict()
        if isinstance(self.network, Stacked):
            content["state"] = {
                index: {name: _of_seed(value, number) for name, value in state.items()}
                for index, state in content["state"].items()
            }
        content["param_groups"] = [{**group, "lr": self.phase.recipe.lr} for group in content["param_groups"]]
        return content

    def _load_optimizer(self, states: Sequence[dict[str, Any]]) -> None:
        content = dict(states[0])
        if len(states) > 1:
            content["state"] = {
                index: {name: _stacked([each["state"][index][name] for each in states]) for name in state}
                for index, state in content["state"].items()
            }
        self.optimizer.load_state_dict(content)
        for parameter, state in self.optimizer.state.items():
            # The fused update walks through memory: a buffer in another layout would go to other weights.
            state["momentum_buffer"] = torch.empty_like(parameter).copy_(state["momentum_buffer"])


def _of_seed(value: Any, number: int) -> Any:
    return value[number].clone() if isinstance(value, Tensor) else value


def _stacked(values: Sequence[Any]) -> Any:
    return torch.stack(list(values)) if isinstance(values[0], Tensor) else values[0]
