"""A real Slurm of two nodes on this machine, for tests. It needs root and Debian's slurmctld, slurmd and munge."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "munged")
NODES = ("n1", "n2")
GPU_FILES = ("/dev/null", "/dev/zero")
"""In place of the device files of a node's GPUs: Slurm counts them, and no program opens them."""
START_SECONDS = 30


def missing() -> str:
    """Return why there can be no cluster here; empty if there can."""
    if os.geteuid():
        return "needs root, which Slurm's daemons need"
    without = [each for each in PROGRAMS if not shutil.which(each, path=f"{os.environ['PATH']}:/usr/sbin")]
    return f"needs {', '.join(without)} (Debian: slurmctld slurmd slurm-client munge)" if without else ""


@dataclass(frozen=True)
class Cluster:
    """A running cluster, and how its commands find it."""

    environment: dict[str, str]

    def command(self, *words: str) -> str:
        """Return what a command prints."""
        ran = subprocess.run(words, env=self.environment, check=True, stdout=subprocess.PIPE, text=True)
        return ran.stdout

    def states(self) -> dict[str, str]:
        """Return the state of each job that has not ended, by its ID."""
        lines = self.command("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def start_now(self) -> None:
        """Start requeued jobs at once; Slurm itself waits for two minutes."""
        for job, state in self.states().items():
            if state == "PENDING":
                words = ["scontrol", "update", f"jobid={job}", "starttime=now"]
                subprocess.run(words, env=self.environment, check=False, capture_output=True)


def wait_for(what: str, condition: Callable[[], object], seconds: float = 180) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not after {seconds:.0f} s"
        time.sleep(0.1)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run a cluster whose files are in a folder."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    found = Cluster({**os.environ, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")})
    _configure(folder)
    with ExitStack() as daemons:
        for words in _daemons(folder):
            daemons.enter_context(_running(words, found.environment, folder))
        wait_for(
            "idle nodes", lambda: found.command("sinfo", "-h", "-N", "-o%T").split() == ["idle"] * 2, START_SECONDS
        )
        try:
            yield found
        finally:
            found.command("scancel", "--signal=KILL", "--full", "--user=root")


def _daemons(folder: Path) -> Iterator[list[str]]:
    socket_, key = folder / "munge.socket", folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    files = [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    yield ["munged", "--foreground", "--force", f"--socket={socket_}", f"--key-file={key}", *files]
    yield ["slurmctld", "-D", "-f", str(folder / "slurm.conf")]
    for node in NODES:
        yield ["slurmd", "-D", "-N", node, "-f", str(folder / "slurm.conf")]


@contextmanager
def _running(words: list[str], environment: dict[str, str], folder: Path) -> Iterator[None]:
    """Run a daemon; it ends with the block."""
    with (folder / f"{words[0]}.out").open("ab") as log:
        daemon = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _configure(folder: Path) -> None:
    host = socket.gethostname().split(".")[0]
    ports = _free_ports(1 + len(NODES))
    for each in ("state", *(f"spool/{node}" for node in NODES)):
        (folder / each).mkdir(parents=True)
    nodes = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 CoresPerSocket=2 RealMemory=4000 "
        f"Gres=gpu:{len(GPU_FILES)}"
        for node, port in zip(NODES, ports[1:], strict=True)
    ]
    gpus = [f"NodeName={','.join(NODES)} Name=gpu File={file}" for file in GPU_FILES]
    (folder / "gres.conf").write_text("\n".join(gpus) + "\n", encoding="utf-8")
    lines = [
        "ClusterName=here",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={ports[0]}",
        "AuthType=auth/munge",
        f"AuthInfo=socket={folder}/munge.socket",
        "SlurmUser=root",
        "SlurmdUser=root",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={folder}/spool/%n",
        f"SlurmctldPidFile={folder}/slurmctld.pid",
        f"SlurmdPidFile={folder}/slurmd-%n.pid",
        f"SlurmctldLogFile={folder}/slurmctld.log",
        f"SlurmdLogFile={folder}/slurmd-%n.log",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "JobAcctGatherType=jobacct_gather/none",
        "AccountingStorageType=accounting_storage/none",
        "SchedulerType=sched/backfill",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core",
        "KillWait=3",
        "ReturnToService=2",
        "MpiDefault=none",
        "GresTypes=gpu",
        *nodes,
        f"PartitionName=main Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE State=UP",
    ]
    (folder / "slurm.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _free_ports(number: int) -> list[int]:
    with ExitStack() as sockets:
        held = [sockets.enter_context(socket.socket()) for _ in range(number)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
