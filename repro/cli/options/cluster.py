"""The cluster options: where the missing runs of a table are submitted as jobs, and what the jobs may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repro.cli.options.shared import Command, in_panel, with_options
from repro.cluster.resources import Resources
from repro.cluster.submit import SET_HERE
from repro.cluster.tasks import Where
from repro.errors import UserError
from repro.runtime import Runtime
from repro.text import number_of

OF_SLURM = ("hours", "partition", "slurm")
"""The options that jobs of this machine do not have."""
PARALLEL = {Where.SLURM: 16, Where.LOCAL: 2}
"""Jobs that run at once, unless the user says otherwise."""


_option = in_panel("Cluster options")
CLUSTER_OPTIONS = {
    "on": _option(
        Where,
        "--on",
        "With --run, submit the missing runs as jobs and return at once: jobs of Slurm, or background processes of "
        "this machine.",
        metavar="slurm|local",
    ),
    "hours": _option(
        float,
        "--hours",
        "Time limit of each job in hours (required with --on slurm); at the limit its runs are saved, and the job is "
        "requeued until they are done.",
        min=0.02,
        max=8760,
        metavar="HOURS",
    ),
    "partition": _option(
        str, "--partition", "Partition of Slurm (default: the cluster's); with --on slurm.", metavar="NAME"
    ),
    "parallel": _option(
        int, "--parallel", "Jobs that run at once (default: 16; on this machine 2).", min=1, metavar="N"
    ),
    "gpus": _option(
        int,
        "--gpus",
        "GPUs of each job; each of its runs is trained on all of them (default: 1).",
        min=1,
        metavar="N",
    ),
    "slurm": _option(
        list[str],
        "--slurm",
        "Option of sbatch by its long name, such as account=x or mem=16G, with --on slurm; repeat it for several.",
        metavar="NAME=VALUE",
    ),
}


def cluster_options(command: Command) -> Command:
    """Add the options for a cluster to a command, which receives the given ones as `cluster`."""
    return with_options(command, CLUSTER_OPTIONS, lambda given: {"cluster": given})


def resources_of(cluster: Mapping[str, Any], runtime: Runtime) -> Resources:
    """Return what the jobs may use.

    Args:
        cluster: the cluster options that were given, at least one.
        runtime: how the jobs train.

    Raises:
        UserError: an option is missing, has no effect, or is invalid.
    """
    if "on" not in cluster:
        name = next(iter(cluster))
        raise UserError(f"--{name} requires --on slurm{'' if name in OF_SLURM else ' or --on local'}")
    where: Where = cluster["on"]
    if runtime.device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {runtime.device} cannot be used with --on: a job sees only its own GPU; use cuda")
    if where is Where.SLURM and "hours" not in cluster:
        raise UserError("--on slurm requires --hours, the time limit of each job; longer runs are requeued and resumed")
    for name in OF_SLURM:
        if where is Where.LOCAL and name in cluster:
            raise UserError(f"--{name} requires --on slurm")
    if runtime.device == "cpu" and "gpus" in cluster:
        raise UserError("--gpus cannot be used with --device cpu; leave out one of them")
    resources = Resources(
        where=where,
        parallel=cluster.get("parallel", PARALLEL[where]),
        hours=cluster.get("hours"),
        gpus=0 if runtime.device == "cpu" else cluster.get("gpus", 1),
        partition=cluster.get("partition"),
        options=_slurm_options(cluster.get("slurm", ())),
    )
    if resources.partition and "partition" in resources.options:
        raise UserError("--partition and --slurm partition exclude each other; leave out one of them")
    if resources.gpus and (requested := resources.requested_gpus) not in (None, resources.gpus):
        asked = number_of(requested, "GPU")
        raise UserError(f"--slurm asks for {asked}, but a job uses {resources.gpus}; set --gpus to the same number")
    return resources


def _slurm_options(given: Sequence[str]) -> dict[str, str]:
    """Return the options of sbatch by their names; UserError for one that is invalid, or has two values."""
    options = dict[str, str]()
    for name, value in map(_name_and_value, given):
        if options.setdefault(name, value) != value:
            raise UserError(f"--slurm gives {name} the values {options[name]} and {value}; leave out one of them")
    return options


def _name_and_value(option: str) -> tuple[str, str]:
    name, equals, value = option.partition("=")
    if not (name and equals):
        raise UserError(f"--slurm {option!r} has no value; write NAME=VALUE, such as account=x")
    name = name.lstrip("-").replace("_", "-")
    if name in SET_HERE:
        raise UserError(f"--slurm {option} cannot be used: {SET_HERE[name]}")
    return name, value
