"""The variant of bench whose threads wait in a loop."""

import multiprocessing
import os
from itertools import islice
from pathlib import Path

import pytest
from test_benchmark import TINY

from repro.benchmark.random_images import random_data
from repro.benchmark.spinning import spinning_variants
from repro.runtime import OPENMP, Runtime

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
HERE = Runtime(device="cpu")
DATA = random_data(TINY.dataset, 20)


def test_threads_that_spin_are_measured_in_a_process_without_our_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OPENMP.items():
        monkeypatch.setenv(name, value)
    (variant,) = spinning_variants(TINY, HERE, DATA)
    before = {*multiprocessing.active_children()}
    images = list(islice(variant.steps, 3))
    (process,) = {*multiprocessing.active_children()} - before
    environment = Path(f"/proc/{process.pid}/environ").read_text()
    assert not any(name in environment for name in OPENMP)
    assert {name: os.environ[name] for name in OPENMP} == OPENMP
    assert images[0] == min(TINY.recipe.batch, 20)
    variant.steps.close()  # type: ignore[attr-defined]
    assert not process.is_alive()
    assert variant.name == "repro, fp32, threads spin"


@pytest.mark.parametrize("runtime", [HERE, Runtime(device="cpu", threads=1)])
def test_without_our_variables_or_with_one_thread_nothing_spins_beside_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in OPENMP.items():
        monkeypatch.setenv(name, value)
    if runtime is HERE:
        monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert not spinning_variants(TINY, runtime, DATA)
