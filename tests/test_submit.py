"""Submitting the runs of a table: what is refused, what is submitted, and jobs in the background of this machine."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from commands import repro
from narrow_paper import write_paper
from shell_programs import write_program
from slurm_cluster import wait_for

from repro.api.library import using
from repro.api.run_lines import run_lines
from repro.cli.work import work
from repro.cluster.program import copy_papers, copy_program
from repro.cluster.queue import live_jobs, logs_of
from repro.cluster.resources import Resources
from repro.cluster.submit import assigned_gpus, submit
from repro.cluster.tasks import Submission, Where, read_submission, split, submissions_in, trains_seeds_at_once
from repro.commit import commit
from repro.errors import Stopped, UserError
from repro.experiment import Experiment, experiment_for
from repro.locks import locked
from repro.papers import find_papers, paper_in, shipped
from repro.paths import Folders, data_folder
from repro.planning.state import jobs_of
from repro.recipes import current_library
from repro.runtime import Runtime
from repro.store.results import Record, put_record
from repro.store.run_folders import LOCK, describe
from repro.store.run_state import RunState
from repro.tables import read_table
from repro.training.runs.outcome import Outcome

ROOT = Path(__file__).parents[1]
ON_LOCAL = ("table", "narrow", "--run", "--on", "local", "--device", "cpu")
ON_SLURM = ("table", "narrow", "--run", "--on", "slurm", "--hours", 1, "--device", "cpu")


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a paper in it."""
    images = write_paper(tmp_path, epochs=1) / "images"
    images.mkdir()
    (images / "large.png").write_text("not copied", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(*words: str) -> str:
    """Return what a command on the table prints; its jobs outlive it."""
    command = [sys.executable, "-m", "repro", "table", "narrow", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def describe_in(folders: Folders, experiment: Experiment) -> None:
    """Make the folder of a run that was started."""
    (folders.runs / experiment.name).mkdir(parents=True)
    describe(experiment, Runtime(), folders)


def submission(folder: Path, where: Where = Where.SLURM, jobs: Sequence[str] = ("7_0", "7_1")) -> Submission:
    """Return two jobs of one run each."""
    return Submission(
        folder=folder,
        where=where,
        host="elsewhere",
        submitted="2026-01-01 00:00:00+00:00",
        tasks=[["first"], ["second"]],
        experiments={"first": {}, "second": {}},
        runtime=Runtime().values(),
        folders=Folders(Path("/data"), Path("/runs"), Path("/results")),
        papers={},
        jobs=list(jobs),
    )


def program(folder: Path, name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a shell program in place of one of Slurm's."""
    write_program(folder / "bin" / name, code)
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=os.pathsep)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("--run --hours 4", "--hours requires --on slurm\n"),
        ("--on local", "--on requires --run\n"),
        ("--run --on slurm", "--on slurm requires --hours, the time limit of each job"),
        ("--run --on slurm --hours inf", "'--hours': 'inf' is above 8760"),
        ("--run --on local --hours 4", "--hours requires --on slurm"),
        ("--run --on local --partition gpu", "--partition requires --on slurm"),
        ("--run --on local --slurm account=x", "--slurm requires --on slurm"),
        ("--run --on slurm --hours 1 --slurm account", "--slurm 'account' has no value; write NAME=VALUE"),
        ("--run --on slurm --hours 1 --slurm time=9:00:00", "--slurm time=9:00:00 cannot be used: use --hours"),
        ("--run --on slurm --hours 1 --slurm array=0-3", "--slurm array=0-3 cannot be used: use --parallel"),
        ("--run --on slurm --hours 1 --slurm job_name=x", "--slurm job_name=x cannot be used: it is set already"),
        (
            "--run --on slurm --hours 1 --slurm ntasks=2",
            "--slurm ntasks=2 cannot be used: a job is one task; leave it out",
        ),
        ("--run --on slurm --hours 1 --slurm gres=gpu:a100:4", "--slurm asks for 4 GPUs, but a job uses 1"),
        ("--run --on slurm --hours 1 --slurm gpus=2 --gpus 4", "--slurm asks for 2 GPUs, but a job uses 4"),
        ("--run --on slurm --hours 1 --partition a --slurm partition=b", "--partition and --slurm partition exclude"),
        ("--run --on slurm --hours 1 --slurm mem=1G --slurm mem=2G", "--slurm gives mem the values 1G and 2G; leave"),
        ("--run --on local --device cuda:1", "--device cuda:1 cannot be used with --on"),
        ("--run --on local --dry-run --device-name H100", "--device-name and --on exclude each other"),
        ("--run --gpus 4", "--gpus requires --on slurm or --on local"),
        ("--run --on local --gpus 2 --device cpu", "--gpus cannot be used with --device cpu; leave out one of them"),
        ("--run --on local --gpus 2 --graph", "--graph works with one process only, and this run has 2; leave it out"),
        ("--run --on slurm --hours 1 --fused", "--fused computes in TF32 or bf16; add --precision tf32 or --precision"),
        ("--run --on slurm --hours 1 --fused --precision tf32 --compile", "--fused and --compile cannot be combined"),
        ("--run --on slurm --hours 1 --fused --precision tf32", "--fused has kernels for DenseResNet and for ResNet"),
        ("--run --on slurm --hours 1 --save-memory --compile", "--save-memory and --compile cannot be combined"),
        ("--run --on slurm --hours 1 --device cpu --graph --dry-run", "--graph needs a GPU (CUDA graphs), and this"),
        ("--run --on local --device cpu --graph", "--graph needs a GPU (CUDA graphs), and this run uses the CPU"),
        ("--run --on local --device cpu --together branches", "--together branches needs a GPU (CUDA graphs)"),
        ("--run --on local --device cpu --precision tf32", "--precision tf32 needs a GPU; on the CPU use fp32 or bf16"),
        ("--try --on local", "--try and --on exclude each other"),
        ("--try --hours 4", "--try and --hours exclude each other"),
        ("--run --on local --check", "--on and --check exclude each other"),
        ("--run --on local --time", "--on and --time exclude each other"),
        ("--run --on local --format json", "--on and --format exclude each other"),
        ("--run --on local --output a.html", "--on and --output exclude each other"),
    ],
)
def test_options_that_have_no_effect_are_refused(
    paper: Path, capsys: pytest.CaptureFixture[str], options: str, line: str
) -> None:
    status, _, err = repro(capsys, "table", "narrow", *options.split())
    assert (status, line in err) == (2, True)
    assert not (paper / "runs").exists()


@pytest.mark.parametrize(
    ("missing", "line"), [("submitit", "pip install submitit"), ("sbatch", "sbatch is not found; submit from a login")]
)
def test_what_is_missing_is_named(
    paper: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str, line: str
) -> None:
    if missing == "submitit":
        monkeypatch.setattr("repro.cluster.submit.find_spec", lambda name: None)
    monkeypatch.setattr("repro.cluster.submit.which", lambda name: None)
    status, _, err = repro(capsys, *ON_SLURM)
    assert (status, line in err) == (2, True)
    assert not (paper / "runs").exists()


def test_a_refusal_of_slurm_is_one_line_and_leaves_nothing(
    paper: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sbatch", "srun"):
        program(paper, name, "echo 'sbatch: error: invalid partition: nope' >&2; exit 1", monkeypatch)
    refused = "error: the jobs cannot be submitted: sbatch: error: invalid partition: nope"
    line = f"{refused}; check --hours, --partition and --slurm\n"
    assert repro(capsys, *ON_SLURM, "--partition", "nope") == (2, "", line)
    assert not (paper / "runs").exists()


@pytest.mark.parametrize(
    ("status", "line", "exit_status"),
    [
        (0, "failed: the jobs cannot be submitted: No space left on device: submission.json; free space there or", 1),
        (1, "error: the jobs were submitted, but not recorded, and scancel 7 failed; run it again", 2),
    ],
)
def test_jobs_of_slurm_whose_ids_cannot_be_written_are_cancelled(
    paper: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    line: str,
    exit_status: int,
) -> None:
    program(paper, "srun", "", monkeypatch)
    program(paper, "sbatch", "echo Submitted batch job 7", monkeypatch)
    program(paper, "scancel", f"echo $* > {paper}/cancelled; exit {status}", monkeypatch)
    full = OSError(ENOSPC, "No space left on device", "submission.json")
    monkeypatch.setattr("repro.cluster.tasks.write_atomically", Mock(side_effect=[None, full]))
    ended, _, err = repro(capsys, *ON_SLURM)
    assert (ended, err[: len(line)]) == (exit_status, line)
    assert (paper / "cancelled").read_text() == "7\n"
    assert not (paper / "runs").exists()


@pytest.mark.parametrize(
    ("runs", "why"), [("50%j", "%, which Slurm replaces in the"), ("at-9:30", ":, which separates the folders of")]
)
def test_a_folder_whose_name_would_not_reach_the_jobs_is_refused(
    paper: Path, capsys: pytest.CaptureFixture[str], runs: str, why: str
) -> None:
    status, _, err = repro(capsys, *ON_LOCAL, "--runs", runs)
    assert (status, f"--runs {paper / runs} contains {why}" in err) == (2, True)
    assert not (paper / runs).exists()


def test_a_refusal_that_ends_with_advice_is_told_by_the_line_before_it(
    paper: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = 'Try "sbatch --help" for more information'
    for name in ("sbatch", "srun"):
        program(
            paper, name, f"printf '%s\\n' \"sbatch: unrecognized option '--foo=1'\" '{advice}' >&2; exit 1", monkeypatch
        )
    status, _, err = repro(capsys, *ON_SLURM, "--slurm", "foo=1")
    refused = "the jobs cannot be submitted: sbatch: unrecognized option '--foo=1'; check"
    assert (status, refused in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "use", "jobs"),
    [
        (
            "--on slurm --hours 4 --device cpu --partition gpu --slurm mem=16G",
            "up to 16 at once, 4 h each, partition gpu, mem=16G",
            [[0], [1], [2], [3], [4], [5]],
        ),
        ("--on slurm --hours 0.5", "up to 16 at once, 0.5 h each, 1 GPU each", [[0, 1], [2, 3], [4, 5]]),
        ("--on slurm --hours 4 --gpus 4", "up to 16 at once, 4 h each, 4 GPUs each", [[0], [1], [2], [3], [4], [5]]),
        ("--on local --device cpu", "up to 2 at once", [[0], [3]]),
        ("--on local --parallel 6", "up to 6 at once", [[0], [1], [2], [3], [4], [5]]),
    ],
)
def test_a_dry_run_lists_the_jobs_and_submits_none(
    paper: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    use: str,
    jobs: list[list[int]],
) -> None:
    """Jobs of this machine share all runs, so each is shown with its first one."""
    monkeypatch.setattr("repro.cluster.submit.which", lambda name: None)  # there is no Slurm
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    status, out, err = repro(capsys, "table", "narrow", "--run", "--seeds", 2, "--dry-run", *options.split())
    assert status == 0
    with using(()):
        runs = [error.experiment(seed).name for error in read_table("narrow").errors() for seed in (0, 1)]
    local = "--on local" in options
    begin = "starts with " if local else ""
    assert out.splitlines() == [
        f"narrow: would submit 6 runs in {len(jobs)} jobs; {use}",
        *(f"job {number}: {begin}{', '.join(runs[each] for each in job)}" for number, job in enumerate(jobs)),
        *(["Each job then takes the next run that no other job trains."] if local else []),
    ]
    assert set(shlex.split(err)[1:]) == {"repro", "table", "narrow", "--run", "--seeds", "2", *options.split()}
    assert not (paper / "runs").exists()


@pytest.mark.parametrize(
    ("option", "value", "number"),
    [
        ("gres", "gpu:a100", 1),
        ("gres", "gpu:a100:4", 4),
        ("gres", "gpu:4,nvme:10", 4),
        ("gres", "nvme:10", None),
        ("gpus", "2", 2),
        ("gpus-per-node", "h100:8", 8),
        ("tres-per-job", "gres/gpu=3", 3),
        ("mem", "16G", None),
    ],
)
def test_the_gpus_that_an_option_of_sbatch_asks_for(option: str, value: str, number: int | None) -> None:
    use = Resources(where=Where.SLURM, parallel=1, hours=1, gpus=1, options={option: value})
    assert use.requested_gpus == number
    assert use.adds_gpus is (number is None)


def test_tasks_are_rows_where_their_seeds_train_at_once() -> None:
    runs = [experiment_for("resnet20", {}, dataset="digits", seed=seed) for seed in (0, 1)]
    other = [experiment_for("resnet32", {}, dataset="digits", seed=0)]
    assert split([*runs, *other], Runtime()) == [runs, other]
    assert split([*runs, *other], Runtime(device="cpu")) == [runs[:1], runs[1:], other]
    dropout = [experiment_for("wrn", {"dropout": 0.3}, dataset="digits", seed=seed) for seed in (0, 1)]
    assert split([*dropout, *runs], Runtime()) == [dropout[:1], dropout[1:], runs]


@pytest.mark.parametrize(
    ("runtime", "at_once"),
    [
        (Runtime(), True),
        (Runtime(device="cpu"), False),
        (Runtime(device="cpu", together="stacked"), True),
        (Runtime(together="off"), False),
        (Runtime(at_once=1), False),
        (Runtime(processes=4), False),
        (Runtime(processes=4, together="stacked"), True),
        (Runtime(fused=True), True),
        (Runtime(fused=True, together="stacked"), False),
        (Runtime(save_memory=True, together="stacked"), False),
    ],
)
def test_which_seeds_train_at_once(runtime: Runtime, at_once: bool) -> None:
    assert trains_seeds_at_once(experiment_for("resnet20", {}, dataset="digits", seed=0), runtime) == at_once


def test_a_machine_with_too_few_gpus_is_refused(paper: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr("repro.cluster.submit._gpus_here", lambda: ["0"])
    line = "error: --gpus 2: torch finds 1 GPU on this machine\n"
    assert repro(capsys, "table", "narrow", "--run", "--on", "local", "--gpus", 2) == (2, "", line)
    assert not (paper / "runs").exists()


def test_jobs_of_one_machine_share_its_gpus_in_turn() -> None:
    assert [assigned_gpus(job, 2, ["0", "1", "2", "3"]) for job in range(3)] == [["0", "1"], ["2", "3"], ["0", "1"]]
    assert [assigned_gpus(job, 1, ["0", "1"]) for job in range(3)] == [["0"], ["1"], ["0"]]
    assert assigned_gpus(0, 1, []) == []


@pytest.mark.parametrize(
    ("visible", "count", "gpus"),
    [(None, 2, ["0", "1", "0"]), ("3,GPU-8a", 2, ["3", "GPU-8a", "3"]), ("5, -1", 1, ["5", "5"]), ("", 0, [""])],
)
def test_jobs_of_one_machine_have_only_gpus_that_the_user_made_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, count: int, gpus: list[str]
) -> None:
    started = Mock(side_effect=[Mock(pid=pid) for pid in range(len(gpus))])
    monkeypatch.setattr("submitit.local.local.start_controller", started)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    tasks = [[experiment_for("resnet20", {}, dataset="digits", seed=seed)] for seed in range(len(gpus))]
    folders = Folders(tmp_path / "data", tmp_path / "runs", tmp_path / "results")
    submit(tasks, Runtime(), folders, Resources(where=Where.LOCAL, parallel=2, gpus=1), "digits")
    commands = [shlex.split(each.kwargs["command"]) for each in started.call_args_list]
    assert all(f"CUDA_VISIBLE_DEVICES={each}" in command for each, command in zip(gpus, commands, strict=True))


@pytest.mark.parametrize(("hours", "seconds"), [(4, 120), (0.05, 45), (None, 120)])
def test_a_run_has_time_to_save_before_the_limit(hours: float | None, seconds: int) -> None:
    assert Resources(where=Where.SLURM, parallel=1, hours=hours).saving_seconds == seconds


def test_a_submission_is_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "submissions" / "one"
    folder.mkdir(parents=True)
    submission(folder).write()
    assert read_submission(folder) == submission(folder)
    (tmp_path / "submissions" / "two").mkdir()
    (tmp_path / "submissions" / "two" / "submission.json").write_text("{", encoding="utf-8")
    assert submissions_in(tmp_path) == [submission(folder)]  # a broken one hides no other


def test_a_submission_of_another_version_is_refused(tmp_path: Path) -> None:
    of_another = replace(submission(tmp_path), runtime={**Runtime().values(), "turbo": True})
    with pytest.raises(UserError, match=r"by another version of the program .*turbo.*; submit its runs again"):
        _ = of_another.trained_by


def test_jobs_of_slurm_are_matched_with_their_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "submissions" / "one"
    folder.mkdir(parents=True)
    submission(folder).write()
    users = sorted((4321, os.getuid()))  # the second one submitted the jobs
    monkeypatch.setattr("os.getuid", lambda: 4321)  # in a container, a user may have only a number
    answer = "Welcome to the cluster\\n7_0|node3\\n7_1|\\n9|node1\\n"
    program(tmp_path, "squeue", f"case $* in *--user={users[0]},{users[1]}\\ *) printf '{answer}';; esac", monkeypatch)
    jobs = live_jobs(tmp_path)
    assert {name: (job.ids, job.host) for name, job in jobs.items()} == {
        "first": (["7_0"], "node3"),
        "second": (["7_1"], ""),
    }
    assert live_jobs(tmp_path, ["first"]).keys() == {"second"}
    program(tmp_path, "squeue", "echo 'controller is down' >&2; exit 1", monkeypatch)
    with pytest.raises(UserError, match="controller is down"):
        live_jobs(tmp_path)
    assert live_jobs(tmp_path, ["first", "second"]) == {}  # Slurm is not asked about runs that have ended


def test_a_run_whose_job_ended_before_it_began_is_listed_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):  # of an earlier submission, nothing is listed
        folder = tmp_path / "submissions" / name
        folder.mkdir(parents=True)
        jobs = submission(folder, jobs=[f"{name}_0", f"{name}_1"])
        (
            replace(jobs, tasks=[["old"], ["first"]], experiments={"old": {}, "first": {}}) if name == "one" else jobs
        ).write()
    program(tmp_path, "squeue", "echo 'two_1|node1'", monkeypatch)
    log = folder / "jobs" / "two_0_0_log.out"
    log.parent.mkdir()
    log.touch()
    queued, missing = run_lines(tmp_path)
    assert [(line.name, line.state, line.log) for line in (missing, queued)] == [
        ("first", "missing", str(log)),
        ("second", "queued", None),
    ]
    status, out, _ = repro(capsys, "list", "runs", "--runs", tmp_path)
    assert status == 0
    assert "first (missing): its job ended before the run started" in out
    assert out.splitlines()[-1] == f"log of first: {log}"
    program(tmp_path, "squeue", "echo 'no slots' >&2; exit 1", monkeypatch)
    unknown = run_lines(tmp_path)
    assert [(line.name, line.state) for line in unknown] == [(each, "unknown") for each in ("first", "old", "second")]
    assert {line.reason for line in unknown} == {"squeue failed, so it is unknown which runs are queued: no slots"}
    # Which of the runs of this machine are queued is known without Slurm.
    replace(jobs, where=Where.LOCAL, host=socket.gethostname()).write()
    known = {line.name: line.state for line in run_lines(tmp_path)}
    assert known == {"first": "missing", "old": "unknown", "second": "missing"}


def test_a_run_whose_job_ended_before_it_began_is_listed_with_what_trains_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (experiment_for("resnet20", {}, dataset="digits", seed=seed) for seed in (3, 4))
    folder = tmp_path / "submissions" / "one"
    folder.mkdir(parents=True)
    experiments = {each.name: each.to_json() for each in (one, two)}
    replace(submission(folder), tasks=[[one.name], [two.name]], experiments=experiments).write()
    program(tmp_path, "squeue", "echo '7_1|'", monkeypatch)
    monkeypatch.delenv("REPRO_DATA", raising=False)
    queued, missing = run_lines(tmp_path)
    assert [(line.model, line.dataset, line.seed, line.epochs) for line in (missing, queued)] == [
        ("resnet20", "digits", 3, 8),
        ("resnet20", "digits", 4, 8),
    ]
    assert (queued.command, queued.changed, missing.changed, missing.log) == (None, None, None, None)
    command = f"repro train resnet20 --dataset digits --seed 3 --data /data --runs {tmp_path} --results /results"
    assert missing.command == command
    status, out, err = repro(capsys, "list", "runs", "--runs", tmp_path)
    assert (status, out.splitlines()[-1], err.splitlines()[-1]) == (0, f"train: {command}", f"next: {command}")


def test_a_run_of_one_job_of_this_machine_has_its_log_and_one_of_several_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "submissions" / "one"
    folder.mkdir(parents=True)
    several = replace(submission(folder, Where.LOCAL, ["17", "18"]), host=socket.gethostname())
    several.write()
    assert {str(log.path) for log in logs_of(tmp_path).values()} == {str(folder / "jobs")}
    replace(several, jobs=["17"], tasks=[["first", "second"]]).write()
    assert {str(log.path) for log in logs_of(tmp_path).values()} == {str(folder / "jobs/17_0_log.out")}


def test_runs_that_several_jobs_of_this_machine_share_name_all_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "submissions" / "one"
    folder.mkdir(parents=True)
    waiting = [sys.executable, "-c", "input()", folder / "jobs"]
    with ExitStack() as ended:
        jobs = [ended.enter_context(subprocess.Popen(waiting, stdin=subprocess.PIPE)) for _ in range(2)]
        ids = [str(each.pid) for each in jobs]
        replace(submission(folder, Where.LOCAL, ids), host=socket.gethostname()).write()
        wait_for("two processes", lambda: len(live_jobs(tmp_path)["first"].ids) == 2)
        assert [line.where for line in run_lines(tmp_path)] == [f"jobs {', '.join(ids)} on {socket.gethostname()}"] * 2
        for each in jobs:
            each.communicate(b"\n")


def test_jobs_of_this_machine_are_found_however_the_folder_of_the_runs_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "submissions" / "one"
    folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    waiting = [sys.executable, "-c", "input()", tmp_path / "link" / ".." / "runs" / "submissions" / "one" / "jobs"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE) as job:
        replace(submission(folder, Where.LOCAL, [str(job.pid), "1"]), host=socket.gethostname()).write()
        for runs in (tmp_path / "runs", tmp_path / "link", tmp_path / "runs" / ".." / "link"):
            wait_for("the process", lambda runs=runs: live_jobs(runs).keys() == {"first", "second"})
        job.communicate(b"\n")


def test_slurm_is_not_asked_if_all_submitted_runs_are_recorded_or_diverged(
    paper: Path, record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = paper / "runs" / "submissions" / "one"
    folder.mkdir(parents=True)
    submission(folder).write()
    program(paper, "squeue", "echo 'controller is down' >&2; exit 1", monkeypatch)
    diverged = SimpleNamespace(folder=Path("second"), state=RunState.DIVERGED)
    monkeypatch.setattr("repro.planning.state.runs_in", lambda runs: [diverged])
    first = record(name="first")
    assert jobs_of([first], (), paper / "runs") == {}
    with pytest.raises(UserError, match="controller is down"):
        jobs_of([], (), paper / "runs")
    put_record(first, paper / "other-results")
    replace(submission(folder), folders=Folders(Path("data"), Path("runs"), paper / "other-results")).write()
    assert jobs_of([], (), paper / "runs") == {}
    with pytest.raises(UserError, match="controller is down"):
        jobs_of([first], {first.id}, paper / "runs")  # its job tests it


def test_jobs_of_another_machine_are_not_looked_up_here(tmp_path: Path) -> None:
    folder = tmp_path / "submissions" / "one"
    folder.mkdir(parents=True)
    submission(folder, Where.LOCAL, [str(os.getpid()), "1"]).write()
    assert live_jobs(tmp_path) == {}


def test_the_copied_program_runs_and_keeps_its_commit(tmp_path: Path) -> None:
    copy_program(tmp_path / "program")
    code = "import repro.commit; print(repro.commit.__file__, repro.commit.commit())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "program"), "PYTHONSAFEPATH": "1"}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.split() == [str(tmp_path / "program" / "repro" / "commit.py"), commit()]
    assert (tmp_path / "program" / "tables" / "cifar100.toml").is_file()


def test_of_a_paper_only_what_the_program_reads_is_copied(paper: Path) -> None:
    ((copy, named),) = copy_papers([shipped(), paper_in(paper / "papers" / "narrow")], paper / "copies").items()
    files = {each.relative_to(copy).as_posix() for each in Path(copy).rglob("*") if each.is_file()}
    assert named is None
    assert files == {"tables/narrow.toml", "recipes/narrow.toml", "nets.py"}


@pytest.mark.parametrize("runs", ["runs", "."])
def test_a_paper_is_copied_without_the_runs_that_lie_in_its_folder(
    paper: Path, monkeypatch: pytest.MonkeyPatch, runs: str
) -> None:
    place = paper / "papers" / "narrow"
    monkeypatch.chdir(place)
    (place / "again").symlink_to(place)
    (place / "data").mkdir()
    (place / "data" / "script.py").touch()
    monkeypatch.setattr("submitit.local.local.start_controller", Mock(return_value=Mock(pid=1)))
    tasks = [[experiment_for("resnet20", {}, dataset="digits", seed=0)]]
    with using(["."]):
        folders = Folders(Path("data"), Path(runs), Path("results"))
        done = submit(tasks, Runtime(device="cpu"), folders, Resources(where=Where.LOCAL, parallel=1), "digits")
    copy = next(Path(each) for each, named in done.papers.items() if named == str(place))
    files = {each.relative_to(copy).as_posix() for each in copy.rglob("*") if each.is_file()}
    assert files == {"tables/narrow.toml", "recipes/narrow.toml", "nets.py"}


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("return nn", "return None  # nn", "returns NoneType; it must return a torch.nn.Module"),
        (
            "nn.Flatten(), ",
            "",
            "does not accept images of 3x32x32 (CxHxW): RuntimeError: mat1 and mat2 shapes cannot be multiplied (16x1 "
            "and 8x10)",
        ),
    ],
)
def test_a_network_that_does_not_work_is_refused_before_jobs_are_submitted(
    paper: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, what: str
) -> None:
    nets = paper / "papers" / "narrow" / "nets.py"
    nets.write_text(nets.read_text("utf-8").replace(old, new), encoding="utf-8")
    assert repro(capsys, *ON_LOCAL, "--rows", "k*8") == (
        2,
        "",
        f"error: papers/narrow/nets.py:my_net {what}\n",
    )
    assert not (paper / "runs").exists()


def test_a_job_has_the_folders_of_the_command_that_submitted_it(paper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = paper / "away"
    (paper / "papers" / "narrow").rename(away)
    copies = copy_papers(find_papers([away]), paper / "copies")
    replace(submission(paper), tasks=[[]], experiments={}, papers=copies).write()
    seen: list[object] = []

    def look(experiments: object, runtime: Runtime, folders: Folders) -> Outcome:
        seen.extend([data_folder(), current_library().named, *(each.folder for each in current_library().papers[1:])])
        return Outcome()

    monkeypatch.setattr("repro.cli.work.train_runs", look)
    work(paper, 0)  # its run is resumed with `--papers away`
    assert seen == [
        Path("/data"),
        (away,),
        *map(Path, copies),
    ]


@pytest.mark.parametrize(
    ("number", "after"),
    [
        (signal.SIGTERM, "repro list runs --runs /runs shows how to resume"),
        (signal.SIGUSR2, "its job is queued again and trains what is left"),
    ],
)
def test_a_stopped_job_says_what_resumes_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, after: str
) -> None:
    replace(submission(tmp_path), tasks=[[]], experiments={}).write()
    monkeypatch.setattr("repro.cli.work.train_runs", Mock(side_effect=Stopped("saved", number)))
    with pytest.raises(Stopped) as stopped:
        work(tmp_path, 0)
    assert (stopped.value.after, stopped.value.exit_status) == (after, 128 + number)


def test_a_run_that_a_process_trains_is_not_submitted(paper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with using(()):
        (row,) = read_table("narrow").matching("k = 4")
        (error,) = read_table("narrow").errors([row])
        runs = [error.experiment(seed) for seed in (0, 1)]
        folders = Folders(data=paper / "data", runs=paper / "runs", results=paper / "results")
        with ExitStack() as locks:
            for each in runs:
                describe_in(folders, each)
                locks.enter_context(locked(folders.runs / each.name / LOCK))
            status, _, err = repro(capsys, *ON_LOCAL, "--rows", "k*4")
    assert status == 0
    assert "2 runs queued or running" in err
    assert err.endswith("narrow: no run to submit\nnext: repro list runs\n")


@pytest.mark.slow
def test_jobs_of_this_machine_train_a_table(paper: Path) -> None:
    options = ["--run", "--rows", "k*4", "--on", "local", "--parallel", "2", "--device", "cpu"]
    assert "narrow: submitted 2 runs in 2 jobs" in answer(*options)
    (place,) = {job.place for job in live_jobs(paper / "runs").values()}  # the command does not wait for the jobs
    assert re.fullmatch(rf"jobs \d+, \d+ on {socket.gethostname()}", place)
    for folder in ("recipes", "tables"):  # the jobs have a copy
        shutil.rmtree(paper / "papers" / "narrow" / folder)
    records = paper / "results" / "runs.csv"
    wait_for("two records", lambda: records.exists() and len(records.read_text("utf-8").splitlines()) == 3, 300)
    wait_for("the end of the jobs", lambda: not live_jobs(paper / "runs"))
    write_paper(paper, epochs=1)
    assert "no run to submit" in answer(*options)
