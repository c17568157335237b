"""How OpenMP's threads wait, which torch reads when it is loaded."""

import json
import os
import subprocess
import sys

import pytest

from repro.runtime import OPENMP, OPENMP_WAITS, let_threads_sleep

CODE = """
import builtins, json, os, sys
original = builtins.__import__
def noting(name, *arguments, **more):
    if name.split(".")[0] == "torch" and "torch" not in sys.modules:
        names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
        print(json.dumps({each: os.environ[each] for each in names if each in os.environ}))
        sys.stdout.flush()
        os._exit(0)
    return original(name, *arguments, **more)
builtins.__import__ = noting
from repro.__main__ import main
main(["train", "resnet20", "--dataset", "digits"])
"""


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what is set already."""
    for each in OPENMP_WAITS:
        monkeypatch.delenv(each, raising=False)


def test_waiting_threads_sleep_when_torch_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == OPENMP
    assert OPENMP["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "7"), ("KMP_BLOCKTIME", "0")]
)
def test_what_the_user_set_stays(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv(name, value)
    let_threads_sleep()
    assert {each: os.environ[each] for each in OPENMP_WAITS if each in os.environ} == {name: value}


def test_nothing_is_set_once_torch_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    let_threads_sleep()
    assert not OPENMP_WAITS & set(os.environ)
