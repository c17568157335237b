"""The steps of engines to their ends: of one engine, or of several whose steps are launched together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from enum import IntEnum
from statistics import fmean

from repro.errors import Diverged, Stopped
from repro.paths import Folders
from repro.store.curves import write_curve
from repro.store.results import Record
from repro.store.run_folders import CURVE, describe
from repro.store.run_state import Ending
from repro.text import number_of
from repro.training.engine.engine import Engine
from repro.training.machine import processes
from repro.training.machine.signals import StopRequest
from repro.training.progress.course import Course, SharedCourse
from repro.training.progress.tensorboard import board, viewer
from repro.training.randomness import set_generators, states_of_generators
from repro.training.runs.final_tests import test_finished
from repro.training.runs.gates import write_run_gates
from repro.training.runs.opening import facts_of
from repro.training.runs.record import recorded, write_record
from repro.training.runs.resume import names_of
from repro.training.runs.running_loss import RunningLoss
from repro.training.runs.saver import Saver
from repro.training.runs.session import Session
from repro.training.runs.slowdown import SlowdownNotice


class Request(IntEnum):
    """What a process requests after a step; the greatest request of all processes wins."""

    CONTINUE = 0
    SAVE = 1
    STOP = 2


class Training:
    """An engine in a session: its steps, and what is written between them."""

    def __init__(self, engine: Engine, session: Session, stop: StopRequest, logs: ExitStack, *, alone: bool) -> None:
        """Take an engine that was just made: torch's generators are in the state that it resumes from.

        Args:
            engine: at the step from which it resumes.
            session: what it shares with others.
            stop: knows whether a signal arrived.
            logs: closes the logs at the end.
            alone: whether no other engine takes its steps at the same time.
        """
        self.engine, self.session, self.stop, self.alone = engine, session, stop, alone
        self.generators = states_of_generators(engine.device)
        self.saver, self.notice = Saver(engine, session.folders.runs), SlowdownNotice(engine, session.watcher)
        self.loss = RunningLoss(engine)
        folders = [session.folders.runs / each.name for each in engine.experiments] if processes.rank() == 0 else []
        self.curves = logs.enter_context(board(engine.runtime.log, folders, engine.epochs))
        self.steps: Iterator[int] = iter(())
        self.records: list[Record] = []

    @property
    def name(self) -> str:
        """The name of the run, or a short name of the stacked runs."""
        return names_of(self.engine.experiments)

    @property
    def course(self) -> Course:
        """The facts about the run that a watcher needs."""
        engine = self.engine
        return Course(
            name=self.name,
            recipe=engine.recipe,
            images=engine.task.images,
            runs=len(engine.experiments),
            step=engine.step,
            facts=facts_of(engine, self.session.folders.runs),
        )

    def begin(self) -> None:
        """Test an epoch that was saved after its last step, or record a run that was saved after its last test."""
        if self.engine.finished:
            self._record()
        elif self.engine.steps_left == 0:
            self._end_epoch()

    def step(self) -> None:
        """Take the next step, or let it wait for those of the other engines."""
        if next(self.steps, None) is None:
            self.steps = self.notice.timed(self.engine.steps())
            with self._own_generators():  # an epoch begins with its seed
                next(self.steps)

    def end_step(self, request: Request) -> None:
        """Save if requested, and end the epoch after its last step.

        Raises:
            Diverged: a loss or a weight is NaN or infinite; the last checkpoint, if there is one, is kept.
        """
        if request == Request.SAVE and self.engine.steps_left == 0:
            request = Request.CONTINUE  # the checkpoint after the test of the epoch follows at once
        if request != Request.CONTINUE:
            # A diverged state must not replace a good checkpoint; at the end of an epoch the engine checks for it.
            self.engine.check_loss()
            self.engine.check_weights()
            with self._own_generators():
                self.saver.save()
        if request != Request.STOP and self.engine.steps_left == 0:
            next(self.steps, None)  # ends the processes that read the images of the epoch
            self._end_epoch()

    def request(self) -> Request:
        """Return what all processes want after a step."""
        late = self.saver.older_than(self.engine.runtime.checkpoint_seconds)
        request = Request.STOP if self.stop.requested else Request.SAVE if late else Request.CONTINUE
        if processes.count() == 1:
            return request
        agree = self.engine.step % processes.AGREE_EVERY == 0
        return Request(processes.greatest(request, self.engine.device)) if agree else Request.CONTINUE

    def _end_epoch(self) -> None:
        """Test, save and show an epoch; after the last one, record the run."""
        engine, watcher = self.engine, self.session.watcher
        with self._own_generators():
            rows = engine.end_epoch(watcher.testing)
            self.saver.end_epoch()
        if processes.rank() == 0:
            for experiment, curve in zip(engine.experiments, engine.epoch_rows, strict=True):
                write_curve(curve, self.saver.runs / experiment.name / CURVE)
        watcher.epoch(rows, engine.recipe.all_epochs, "" if self.alone else self.name)
        self.curves.epoch(rows)
        if engine.finished:
            self._record()

    def _record(self) -> None:
        """Test the runs, which have ended, by the protocols of their printed errors, and record them.

        Raises:
            Stopped: a signal arrived during these tests; what is tested so far is saved.
        """
        engine, folders = self.engine, self.session.folders
        write_run_gates(engine, folders.results, self.session.watcher)
        tests = test_finished(engine, self.session, self.stop)
        self.records = [
            # by another process, while this one waited for the data
            recorded(experiment, engine.runtime, folders, self.session.protocols_of(experiment))
            or write_record(engine, number, tests[number], folders.results)
            for number, experiment in enumerate(engine.experiments)
        ]
        describe_all(engine, folders, Ending.RECORDED)

    @contextmanager
    def _own_generators(self) -> Iterator[None]:
        """Let torch's generators have the states that they would have if this engine were alone."""
        if self.alone:
            yield
            return
        set_generators(self.generators, self.engine.device)
        yield
        self.generators = states_of_generators(self.engine.device)


def train_engines(makers: Sequence[Callable[[], Engine]], session: Session) -> list[Record]:
    """Train runs to their ends and record them; their folders are locked.

    Args:
        makers: each makes an engine, all with the same graphs; torch's generators are then in the state that it
            resumes from.
        session: of the runs.

    Raises:
        Diverged: of some engines; raised when the others have ended.
        Stopped: a signal came; the runs are saved, or recorded.
    """
    with ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        trainings = [Training(make(), session, stop, stack, alone=len(makers) == 1) for make in makers]
        for each in trainings:
            describe_all(each.engine, session.folders)
        course = _course(trainings)
        stack.enter_context(session.watcher.run(course))
        if session.runtime.log:
            session.watcher.say(f"the curves so far: {viewer(session.folders.runs)}")
        diverged = Loop(trainings, session, stop).run(course.step)
    if signal := processes.greatest(stop.signal, session.device):
        raise _stopped_at_the_end(trainings, diverged, signal)
    if diverged:
        raise Diverged("; ".join(diverged))
    return [record for each in trainings for record in each.records]


def _stopped_at_the_end(trainings: Sequence[Training], diverged: Sequence[str], signal: int) -> Stopped:
    """Return the error for a signal that came while the last runs ended: the next ones must not start."""
    done = [each for one in trainings if one.records for each in one.engine.experiments]
    finished = [f"{names_of(done)} finished and recorded"] if done else []
    after = f"the same command {'shows the record, and ' if done else ''}trains what is left"
    return Stopped("; ".join([*diverged, *finished]), signal, after)


class Loop:
    """Takes the steps of engines, one of each at a time, until all have ended."""

    def __init__(self, trainings: Sequence[Training], session: Session, stop: StopRequest) -> None:
        self.active, self.session, self.stop = list(trainings), session, stop
        self.diverged: list[str] = []
        """A line for each engine whose loss or weights became NaN or infinite."""

    def run(self, step: int) -> list[str]:
        """Train, and return why engines diverged; Stopped if a signal came.

        Args:
            step: from which the longest run continues.
        """
        self._each(Training.begin)
        while self.active:
            for each in self.active:
                each.step()
            self.active[0].engine.graphs.launch()
            step += 1
            self.session.watcher.step(step, _loss(self.active))
            requests = {each: each.request() for each in self.active}
            if stops := Request.STOP in requests.values():  # the signal may have come between two of them
                requests = dict.fromkeys(self.active, Request.STOP)
            self._end_steps(requests)
            if stops:
                self._stopped()
        return self.diverged

    def _end_steps(self, requests: Mapping[Training, Request]) -> None:
        """End the step of every engine as it requests."""
        self._each(lambda each: each.end_step(requests[each]))

    def _each(self, action: Callable[[Training], None]) -> None:
        """Do something with every engine, and leave out those that have ended then."""
        for each in list(self.active):
            try:
                action(each)
            except Diverged as error:
                self.active.remove(each)
                self._failed(each, str(error))
            else:
                if each.records:
                    self.active.remove(each)

    def _failed(self, training: Training, why: str) -> None:
        """Note that an engine diverged."""
        engine = training.engine
        self.diverged.append(f"{training.name}: {why}{training.saver.kept}")
        if len(engine.experiments) == 1:  # stacked seeds can continue one by one
            describe_all(engine, self.session.folders, Ending.DIVERGED)
        if self.active:
            self.session.watcher.say(f"failed: {self.diverged[-1]}; the other runs continue")

    def _stopped(self) -> None:
        """Raise Stopped unless all engines have ended."""
        if not self.active:
            return
        engine, others = self.active[0].engine, len(self.active) - 1
        where = f"epoch {engine.epochs + 1}, step {engine.steps_of_epoch} of {engine.steps_per_epoch}"
        more = f" ({self.active[0].name}), and {number_of(others, 'other run')}" if others else ""
        raise Stopped(f"saved at {where}{more}", processes.greatest(self.stop.signal, engine.device))


def _loss(trainings: Sequence[Training]) -> float | None:
    """Return the mean loss of some runs in the current epoch; None before it is known."""
    known = [loss for each in trainings if (loss := each.loss.so_far()) is not None]
    return fmean(known) if known else None


def _course(trainings: Sequence[Training]) -> Course | SharedCourse:
    """Return the facts about some runs that a watcher needs."""
    courses = [each.course for each in trainings]
    if len(courses) == 1:
        return courses[0]
    return SharedCourse(names_of([each for one in trainings for each in one.engine.experiments]), courses)


def describe_all(engine: Engine, folders: Folders, ended: Ending | None = None) -> None:
    """Let the first process write descriptions of an engine's runs into their folders."""
    if processes.rank() == 0:
        folders.results.mkdir(parents=True, exist_ok=True)  # `repro table` may read this folder meanwhile
        for experiment, run in zip(engine.experiments, engine.run_histories, strict=True):
            describe(experiment, run.runtime, folders, ended=ended, device=run.machine["device"])
