"""The job scripts of docs/cluster.md, run by bash with programs in place of Slurm and of the training."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from shell_programs import write_program
from slurm_cluster import wait_for

PAGE = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## Your own job script") : PAGE.index("## Results of several machines")]
WITH_SRUN, WITHOUT = re.findall(r"^```sh\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
END = WITH_SRUN[WITH_SRUN.index("if [") :]
"""How both scripts end: the second one is shown only as far as it differs."""
REPRO = """
trap 'sleep 0.1; touch saved; exit 140' USR2
trap 'exit 143' TERM
echo "$@" > asked
echo $$ > training
until [ -e finished ]; do sleep 0.02; done
"""
"""A training that takes a moment to save when its time is up, and that ends once there is a file `finished`."""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the programs that the scripts start."""
    write_program(tmp_path / ".venv" / "bin" / "repro", REPRO)
    write_program(tmp_path / "bin" / "srun", 'exec "$@"')
    write_program(tmp_path / "bin" / "scontrol", 'echo "$@" $(ls saved) >> scontrol')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    return tmp_path


def started(script: str, node: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a script, and return it and the process of its training."""
    job = subprocess.Popen(["bash", "-c", script], cwd=node)
    wait_for("the training", lambda: (node / "training").exists() and (node / "training").read_text(), 10)
    return job, int((node / "training").read_text())


@pytest.mark.parametrize("script", [WITH_SRUN, WITHOUT + END], ids=["srun", "without srun"])
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGUSR2, 140), (signal.SIGTERM, 143), (None, 0)], ids=["limit", "scancel", "end"]
)
def test_a_job_is_requeued_at_its_time_limit_only(
    node: Path, script: str, number: signal.Signals | None, status: int
) -> None:
    job, training = started(script, node)
    asked = (node / "asked").read_text().split()
    assert asked[:6] == ["train", "resnet110", "--dataset", "cifar100", "--seed", "3"]
    if number is None:
        (node / "finished").touch()
    else:  # without srun, Slurm sends SIGUSR2 to the script alone
        os.kill(job.pid if script != WITH_SRUN and number == signal.SIGUSR2 else training, number)
    assert job.wait(10) == status
    requeued = (node / "scontrol").read_text().splitlines() if (node / "scontrol").exists() else []
    assert requeued == (["requeue 77 saved"] if status == 140 else [])
