"""The tests of a finished run by the protocols of its printed errors, besides the one crop after every epoch."""

from __future__ import annotations

import math
import time

import msgspec
import torch

from repro.data import DATASETS
from repro.data.inputs.protocol import ONE_CROP, Protocol, Views
from repro.errors import Stopped, UserError, first_line
from repro.experiment import Experiment
from repro.models import building_without_memory
from repro.models.fully_convolutional import fully_convolutional, not_dense
from repro.models.outside.factory import OWN_ERRORS
from repro.store.protocol_tests import StoppedTest, Tests, read_tests, write_tests
from repro.store.results import ProtocolTest
from repro.tables.lookup import protocols_of
from repro.training.checkpoints.stored_checkpoint import checksum_of
from repro.training.engine.engine import Engine
from repro.training.initialise import network_of
from repro.training.machine import processes
from repro.training.machine.signals import StopRequest
from repro.training.runs.session import Session
from repro.training.tasks.classification import class_metrics
from repro.training.tasks.from_files import FileClassification


def final_protocols(experiment: Experiment) -> tuple[Protocol, ...]:
    """Return the protocols by which a finished run of an experiment is tested, besides one crop.

    Raises:
        UserError: a table is malformed, or a dense test of the network is not implemented or needs larger images.
    """
    protocols = tuple(each for each in protocols_of(experiment) if each != ONE_CROP)
    if scales := [scale for each in protocols if each.views is Views.DENSE for scale in each.scales]:
        _check_dense(experiment, min(scales))
    return protocols


def _check_dense(experiment: Experiment, side: int) -> None:
    """Raise UserError if a network has no dense test of a square image of a side or of one of an odd, larger width."""
    classes = DATASETS[experiment.dataset].classes
    with building_without_memory(experiment.model), torch.no_grad():
        network = network_of(experiment).eval()
        dense = fully_convolutional(network)
        for width in (side, 2 * side + 1):
            images = torch.zeros(2, experiment.input[0], side, width)
            pixels = f"images of {width}x{side} pixels"
            try:
                found = tuple(dense(images).shape)
            except UserError:
                raise
            except OWN_ERRORS as error:
                raise not_dense(network, f"it does not accept {pixels} ({first_line(error)})") from error
            if found[:2] != (2, classes) or len(found) not in (2, 4):
                raise not_dense(network, f"it returns {found} for 2 {pixels}")


def test_finished(engine: Engine, session: Session, stop: StopRequest) -> list[list[ProtocolTest]]:
    """Return for each run the tests of its weights, after those by the final protocols; stopped ones are continued.

    Raises:
        Stopped: a signal arrived; what is tested so far is saved.
    """
    return [_tests(engine, number, session, stop) for number in range(len(engine.experiments))]


def _tests(engine: Engine, number: int, session: Session, stop: StopRequest) -> list[ProtocolTest]:
    name = engine.experiments[number].name
    protocols = session.protocols_of(engine.experiments[number])
    if not protocols:
        return []
    weights = checksum_of(engine.alone(number).state_dict())
    tests = processes.of_first(read_tests(session.folders.runs / name, weights))
    have = {each.protocol: each for each in tests.finished}
    for protocol in protocols:
        if protocol not in have:
            session.watcher.say(f"{name}: testing with {protocol}")
            have[protocol] = _test(engine, number, protocol, session, tests, stop)
            tests = Tests(weights=weights, finished=tuple(have.values()))
            if processes.rank() == 0:
                write_tests(tests, session.folders.runs / name)
    return [*have.values()]


def _test(
    engine: Engine, number: int, protocol: Protocol, session: Session, tests: Tests, stop: StopRequest
) -> ProtocolTest:
    """Test one run by one protocol, from where it was stopped; several processes start again and do not stop."""
    assert isinstance(engine.task, FileClassification)
    folder, network = session.folders.runs / engine.experiments[number].name, engine.alone(number)
    tester, alone = engine.task.tester_by(protocol), processes.count() == 1
    stopped = tests.stopped if alone and tests.stopped and tests.stopped.protocol == protocol else None
    first, sums = (stopped.files, torch.tensor(stopped.sums)) if stopped else (0, torch.zeros(3, device=session.device))
    images, saved = len(tester.files), time.monotonic()
    for files, so_far in tester.running_sums(network, session.watcher.testing, first, sums):
        sums = so_far
        late = time.monotonic() - saved > session.runtime.checkpoint_seconds
        if alone and files < images and (stop.requested or late):
            state = StoppedTest(protocol=protocol, files=files, sums=tuple(sums.tolist()))
            write_tests(msgspec.structs.replace(tests, stopped=state), folder)
            saved = time.monotonic()
            if stop.requested:
                raise Stopped(
                    f"saved when {files:,} of {images:,} images were tested with {protocol.short}", stop.signal
                )
    metrics = class_metrics(processes.total(sums), images, len(tester.files.classes))
    loss = metrics.loss if math.isfinite(metrics.loss or 0.0) else None
    return ProtocolTest(protocol=protocol, error=metrics.error, error5=metrics.error5, loss=loss)
