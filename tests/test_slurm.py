"""Jobs on a real Slurm of two nodes: requeued, over their time limit, on a node that goes down, and killed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from narrow_paper import NETWORK, write_paper
from slurm_cluster import Cluster, cluster, missing, wait_for

pytestmark = pytest.mark.slurm
ROOT = Path(__file__).parents[1]
MEASURED = ("id", "error", "loss", "train_loss", "epochs", "steps", "deviations")
EPOCHS = 4


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if reason := missing():
        pytest.skip(reason)
    with cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """A folder with a paper, in which the commands run."""
    write_paper(tmp_path, EPOCHS)
    return tmp_path


def words(*more: str) -> list[str]:
    """Return a command on the table."""
    return [sys.executable, "-m", "repro", "table", "narrow", "--run", "--device", "cpu", "--threads", "1", *more]


def environment(slurm: Cluster) -> dict[str, str]:
    return {**slurm.environment, "PYTHONPATH": str(ROOT)}


def in_background(slurm: Cluster, folder: Path) -> subprocess.Popen[bytes]:
    """Start the training of the table without the cluster."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(words(), cwd=folder, env=environment(slurm), **quiet)


def submit(slurm: Cluster, folder: Path) -> tuple[str, str]:
    """Submit what is missing; return what is printed, and the ID of the array."""
    command = words("--on", "slurm", "--hours", "1")
    ran = subprocess.run(command, cwd=folder, env=environment(slurm), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr, ran.stdout.strip().rsplit(" ", 1)[-1]


def worker_of(task: int) -> int:
    """Return the process that trains a task."""
    return int(subprocess.run(["pgrep", "-f", f"repro work .* {task}$"], stdout=subprocess.PIPE, check=True).stdout)


def log(folder: Path, job: str) -> str:
    (file,) = folder.glob(f"runs/submissions/*/jobs/{job}_0_log.out")
    return file.read_text(encoding="utf-8")


def halt(folder: Path, job: dict[int, str], halted: dict[int, int]) -> dict[int, int]:
    """Halt those of the first four tasks that have trained an epoch; return the processes of all that are halted."""
    for task in set(range(4)) - halted.keys():
        if any(folder.glob(f"runs/submissions/*/jobs/{job[task]}_0_log.out")) and "epoch 1/" in log(folder, job[task]):
            halted[task] = worker_of(task)
            os.kill(halted[task], signal.SIGSTOP)
    return halted


def trained(folder: Path) -> list[tuple[str, ...]]:
    """Return what was measured, a line for each run."""
    file = folder / "results" / "runs.csv"
    lines = csv.DictReader(file.read_text("utf-8").splitlines()) if file.exists() else []
    return sorted(tuple(line[name] for name in MEASURED) for line in lines)


def curves(folder: Path) -> dict[str, list[list[str]]]:
    """Return the curves of all runs without their times."""
    found = {}
    for file in (folder / "results" / "curves").glob("*.csv"):
        rows = csv.DictReader(file.read_text("utf-8").splitlines())
        found[file.stem] = [[text for name, text in row.items() if name != "seconds"] for row in rows]
    return found


def shown(folder: Path) -> str:
    command = [sys.executable, "-m", "repro", "table", "narrow", "--format", "csv"]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_a_job_with_two_gpus_trains_its_run_with_two_processes(slurm: Cluster, paper: Path) -> None:
    recipe = paper / "papers/narrow/recipes/narrow.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("value = 32", "value = 64"), encoding="utf-8")
    jobs = ["--on", "slurm", "--hours", "1", "--gpus", "2"]
    command = [sys.executable, "-m", "repro", "table", "narrow", "--run", "--rows", "k*4", "--seeds", "1"]
    subprocess.run([*command, *jobs], cwd=paper, env=environment(slurm), check=True)
    wait_for("the record", lambda: len(trained(paper)) == 1, 300)
    (record,) = csv.DictReader((paper / "results" / "runs.csv").read_text("utf-8").splitlines())
    assert '"processes": 2' in record["runtime"]
    wait_for("the end of the job", lambda: not slurm.states())


def test_six_runs_end_as_without_a_cluster(slurm: Cluster, paper: Path, tmp_path_factory: pytest.TempPathFactory):
    alone = tmp_path_factory.mktemp("alone")
    (alone / "papers").symlink_to(paper / "papers")
    baseline = in_background(slurm, alone)
    printed, array = submit(slurm, paper)
    assert "submitted 6 runs in 6 jobs" in printed
    job = {task: f"{array}_{task}" for task in range(6)}
    (paper / "papers/narrow/nets.py").write_text("raise SystemExit('queued jobs have a copy')", encoding="utf-8")

    # The first four jobs are halted in the middle of an epoch and the others held, so that none ends before its turn.
    slurm.command("scontrol", "hold", f"{job[4]},{job[5]}")
    halted: dict[int, int] = {}
    wait_for("an epoch of four jobs", lambda: len(halt(paper, job, halted)) == 4)
    # One exceeds its time limit, and one is requeued by an administrator: both save.
    minutes = int(slurm.command("squeue", "--noheader", f"--jobs={job[1]}", "--format=%M").split(":")[0])
    slurm.command("scontrol", "update", f"jobid={job[1]}", f"timelimit={minutes + 2}")  # it is warned 2 minutes before
    wait_for("the time limit", lambda: "Caught signal SIGUSR2" in log(paper, job[1]))
    os.kill(halted[1], signal.SIGCONT)
    slurm.command("scontrol", "requeue", job[0])
    os.kill(halted[0], signal.SIGCONT)
    wait_for("two requeued jobs", lambda: [slurm.states()[job[task]] for task in (0, 1)] == ["PENDING"] * 2)
    assert f"Requeued job {job[1]}" in log(paper, job[1])
    assert all("stopped: saved at epoch" in log(paper, job[task]) for task in (0, 1))
    # One is killed: the same command submits only its run.
    os.kill(halted[2], signal.SIGKILL)
    wait_for("the killed job's end", lambda: job[2] not in slurm.states())
    (paper / "papers/narrow/nets.py").write_text(NETWORK, encoding="utf-8")
    printed, _ = submit(slurm, paper)
    assert "5 runs queued or running" in printed
    assert "submitted 1 run in 1 job" in printed
    slurm.command("scontrol", "release", f"{job[4]},{job[5]}")
    # The node of the last one goes down.
    lost = slurm.command("squeue", "--noheader", f"--jobs={job[3]}", "--format=%N").strip()
    slurm.command("scontrol", "update", f"nodename={lost}", "state=down", "reason=test")
    wait_for("no job on the lost node", lambda: not slurm.command("squeue", "--noheader", f"--nodelist={lost}"))
    assert slurm.states()[job[3]] == "PENDING"
    slurm.command("scontrol", "update", f"nodename={lost}", "state=idle")

    # Two other workers take runs of the same table.
    both = [in_background(slurm, paper) for _ in range(2)]
    assert [each.wait(400) for each in both] == [0, 0]

    def ended() -> bool:
        slurm.start_now()
        return not slurm.states()

    wait_for("the end of all jobs", ended)
    assert baseline.wait(400) == 0
    assert len(trained(paper)) == 6
    assert trained(paper) == trained(alone)
    assert curves(paper) == curves(alone)
    assert shown(paper) == shown(alone)
    assert "no run to submit" in submit(slurm, paper)[0]
