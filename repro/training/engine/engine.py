"""Runs in memory: their networks, optimizer and progress, and one epoch of steps."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice

import torch
from torch import nn

from repro.data.inputs.normalise import statistics_of
from repro.experiment import Experiment
from repro.runtime import Runtime
from repro.store.results import EpochRow
from repro.training.checkpoints.checkpoint import Checkpoint
from repro.training.checkpoints.run_history import RunHistory
from repro.training.engine.average import Average
from repro.training.engine.exact_batchnorm import take_exact_statistics
from repro.training.engine.finite import check_losses, check_state, infinite_in
from repro.training.engine.graphs import GraphedStep, Graphs
from repro.training.engine.networks import Networks
from repro.training.engine.optimizer import load_optimizer_states, optimizer_for, optimizer_state_of, reset_momentum
from repro.training.engine.stacked import as_networks
from repro.training.engine.step import Step
from repro.training.engine.tuning import freeze_all_but_the_classifier
from repro.training.initialise import initialised
from repro.training.machine import processes
from repro.training.machine.device import autocast, placed
from repro.training.machine.provenance import machine
from repro.training.randomness import seed_of, set_generators, states_of_generators
from repro.training.schedule import (
    Phase,
    first_step_of_epoch,
    lr_at,
    phase_of_epoch,
    plateaus_in,
    resets_momentum,
    total_steps,
)
from repro.training.tasks.task import Progress, Task


class Engine:
    """Runs in memory: networks, optimizer, the task on the device, and the progress so far.

    The experiments differ only in the seed and are always at the same step. All randomness (data order, augmentation,
    dropout) is a function of the seed and the epoch, so that a resumed run equals an uninterrupted one; on a CPU bit
    for bit.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        runtime: Runtime,
        task: Task,
        device: torch.device,
        graphs: Graphs | None = None,
    ) -> None:
        """Make the networks and the optimizer; `graphs`, if given, launch its steps with those of other engines."""
        self.experiments, self.runtime, self.device, self.task = list(experiments), runtime, device, task
        self.graphs = graphs or Graphs()
        self.recipe = self.experiments[0].recipe
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)  # the peak of an earlier run does not count
        networks = [
            placed(initialised(each, memory_saved=bool(runtime.save_memory)), device, runtime)
            for each in self.experiments
        ]
        self.networks = as_networks(networks)
        self.infinite = infinite_in(self.networks.state_dict())
        self.average = Average(self.networks, self.recipe.ema) if self.recipe.ema else None
        self.sums = torch.zeros(len(networks), 2, device=device)
        self.total_steps = total_steps(self.recipe, task.images)
        self.step = 0
        self.epoch_rows: list[list[EpochRow]] = [[] for _ in networks]
        self._begin_phase(phase_of_epoch(self.recipe, 0, task.images))
        self.machine = machine(device)
        started = datetime.now(UTC).isoformat(timespec="milliseconds")  # a run may take less than a second
        self.run_histories = [RunHistory(runtime, self.machine, started) for _ in networks]

    def _begin_phase(self, phase: Phase) -> None:
        """Make the optimizer, which has no momentum yet, and the step of a phase."""
        self.phase, recipe = phase, phase.recipe
        if phase.tunes:
            freeze_all_but_the_classifier(self.networks)
        self.optimizer = optimizer_for(self.networks, recipe)
        batch = min(recipe.batch, self.task.images)
        kind = partial(GraphedStep, graphs=self.graphs) if self.runtime.graph else Step
        self.take_step = kind(
            networks=self.networks,
            optimizer=self.optimizer,
            task=self.task,
            runtime=self.runtime,
            sums=self.sums,
            batch=len(processes.share(batch)),
            batchnorm_images=recipe.batchnorm_images,
        )
        self.steps_per_epoch = recipe.steps_per_epoch(self.task.images)

    def _enter_phase(self) -> None:
        """Start the next epoch's phase if it differs from the current one."""
        phase = phase_of_epoch(self.recipe, self.epochs, self.task.images)
        if phase != self.phase:
            self._begin_phase(phase)

    @property
    def epochs(self) -> int:
        """Epochs that are trained and tested."""
        return len(self.epoch_rows[0])

    @property
    def finished(self) -> bool:
        """Whether the last epoch is trained and tested."""
        return self.epochs > 0 and self.epoch_rows[0][-1].step == self.total_steps

    @property
    def steps_of_epoch(self) -> int:
        """Steps taken in the current epoch, which has no row yet."""
        return self.step - self._first_step_of_epoch

    @property
    def images_of_epoch(self) -> int:
        """Images that each run was trained on in the current epoch."""
        return min(self.task.images, self.steps_of_epoch * self.phase.recipe.batch)

    @property
    def steps_left(self) -> int:
        """Steps left in the current epoch; 0 if it is only to be tested."""
        return min(self._first_step_of_epoch + self.steps_per_epoch, self.total_steps) - self.step

    @property
    def _first_step_of_epoch(self) -> int:
        return first_step_of_epoch(self.recipe, self.epochs, self.task.images)

    @property
    def lr(self) -> float:
        """Learning rate of the next step; after the last step, that step's learning rate."""
        return lr_at(self.recipe, min(self.step, self.total_steps - 1), self.task.images, self._plateaus)

    @property
    def _plateaus(self) -> int:
        """How many plateaus the error of the first run had; runs of such a recipe are trained alone."""
        return plateaus_in((row.monitored_error for row in self.epoch_rows[0]), self.recipe.patience)

    @property
    def tested(self) -> Networks:
        """The networks that are tested: those that are trained, or their moving average."""
        return self.average.networks if self.average else self.networks

    @property
    def peak_bytes(self) -> int | None:
        """Peak of the memory allocated on the GPU in this session; None on a CPU."""
        return None if self.device.type == "cpu" else torch.cuda.max_memory_allocated(self.device)

    def steps(self) -> Iterator[int]:
        """Train to the end of the current epoch, yielding the number of steps so far after each step.

        Between two steps the run can be checkpointed or stopped.
        """
        self.networks.train(not self.phase.tunes)  # BatchNorm keeps its statistics while the classifier is tuned
        if self.steps_of_epoch == 0:
            torch.manual_seed(seed_of(self.experiments[0].seed, "dropout", self.epochs) + processes.rank())
        seeds = [each.seed for each in self.experiments]
        batches = zip(*(self.task.batches(seed, self.epochs, self.steps_of_epoch) for seed in seeds), strict=True)
        clock = time.perf_counter()
        for batch in islice(batches, self.steps_left):
            if resets_momentum(self.recipe, self.step, self.task.images):
                reset_momentum(self.optimizer)
            then = partial(self.average.update, self.step + 1) if self.average else None
            self.take_step(batch, self.lr, self._weight(len(batch[0].targets)), then)
            self.step += 1
            now = time.perf_counter()
            self._add_time(now - clock)
            clock = now
            yield self.step

    def _add_time(self, seconds: float) -> None:
        """Add wall time to the current epoch of each run."""
        for each in self.run_histories:
            each.epoch_seconds += seconds

    def _weight(self, images: int) -> float:
        """Return the factor that turns the mean of the processes' mean losses into the mean over all images."""
        usual = self.phase.recipe.batch
        batch = min(usual, self.task.images - self.steps_of_epoch * usual)
        return images * processes.count() / batch

    def check_loss(self) -> None:
        """Raise Diverged if a training loss, summed over the current epoch, is NaN or infinite."""
        seeds = [each.seed for each in self.experiments]
        check_losses(processes.total(self.sums)[:, 0].tolist(), seeds, f"epoch {self.epochs + 1} (step {self.step})")

    def check_weights(self) -> None:
        """Raise Diverged if a weight or a BatchNorm statistic is NaN or infinite, unless it was so from the start."""
        processes.as_the_first(self.networks, self.tested)  # of the same values, either all processes raise or none
        state = self.networks.state_dict().items()
        check_state((each for name, each in state if name not in self.infinite), self.step)

    def end_epoch(self, progress: Progress = iter) -> list[EpochRow]:
        """Test the networks after an epoch's last step and add the epoch's row of each run.

        Args:
            progress: wraps the range of a test's batches.

        Raises:
            Diverged: a loss or a weight is NaN or infinite.
        """
        begin = time.perf_counter()
        self.check_loss()
        self.check_weights()
        self._take_statistics()
        sums = (processes.total(self.sums) / self.images_of_epoch).tolist()
        tested = [self.task.test(self.alone(number), progress) for number in range(len(self.experiments))]
        self._add_time(time.perf_counter() - begin)
        rows = [
            EpochRow(
                epoch=self.epochs + 1,
                step=self.step,
                lr=lr_at(self.recipe, self.step - 1, self.task.images, self._plateaus),
                train_loss=loss,
                train_error=None if math.isnan(wrong) else 100 * wrong,
                test_loss=each.loss,
                test_error=each.error,
                test_error5=each.error5,
                validation_error=each.validation_error,
                seconds=run.epoch_seconds,
                **each.extra,
            )
            for each, (loss, wrong), run in zip(tested, sums, self.run_histories, strict=True)
        ]
        for earlier, row, run in zip(self.epoch_rows, rows, self.run_histories, strict=True):
            earlier.append(row)
            run.end_epoch()
        self.sums.zero_()
        self._enter_phase()
        return rows

    def _take_statistics(self) -> None:
        """After the last step, compute exact BatchNorm statistics if the recipe tests with them."""
        if self.recipe.batchnorm_statistics != "exact" or self.step < self.total_steps:
            return
        for number, experiment in enumerate(self.experiments):
            network, batches = self.alone(number), self.task.batches(experiment.seed, self.epochs, 0)
            with autocast(self.device, self.runtime):
                take_exact_statistics(network, (each.inputs for each in batches))
            self.tested.load_state_of(number, network.state_dict())

    def checkpoints(self) -> list[Checkpoint]:
        """Return for each run the checkpoint from which it resumes, alone or together with others."""
        processes.as_the_first(self.networks, self.tested)
        rng, sums = processes.of_all(states_of_generators(self.device)), processes.total(self.sums)
        return [
            Checkpoint(
                experiment=experiment,
                runtime=run.recorded_runtime,
                network=self.networks.state_of(number),
                average=self.average.networks.state_of(number) if self.average else None,
                optimizer=optimizer_state_of(self.optimizer, self.networks, number, self.phase.recipe.lr),
                step=self.step,
                total=self.total_steps,
                sums=sums[number].clone(),
                rng=rng,
                history=self.epoch_rows[number],
                seconds=run.seconds,
                epoch_seconds=run.epoch_seconds,
                sessions=run.sessions,
                started=run.started,
                data=self.task.fingerprint,
                statistics=statistics_of(self.task.normalise),
                machine=run.machine,
                peak_bytes=run.peak_bytes(self.peak_bytes),
            )
            for number, (experiment, run) in enumerate(zip(self.experiments, self.run_histories, strict=True))
        ]

    def restore(self, saved: Sequence[Checkpoint]) -> None:
        """Resume from checkpoints of the same experiments, all at the same step."""
        for number, each in enumerate(saved):
            self.networks.load_state_of(number, each.network)
            if self.average:
                self.average.networks.load_state_of(number, each.average or {})
            if processes.rank() == 0:  # the saved sums are those of all processes
                self.sums[number].copy_(each.sums)
        first = saved[0]
        self.step = first.step
        self.epoch_rows = [list(each.history) for each in saved]
        self._enter_phase()
        load_optimizer_states(self.optimizer, self.networks, [each.optimizer for each in saved])
        self.run_histories = [own.after(each) for own, each in zip(self.run_histories, saved, strict=True)]
        kinds = len(first.rng) // self.runtime.processes
        set_generators(first.rng[processes.rank() * kinds :][:kinds], self.device)

    def alone(self, number: int) -> nn.Module:
        """Return the network of run `number` as it is tested; with several runs at once, the next call changes it."""
        return self.tested.alone(number)
