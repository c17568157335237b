"""The attacks: hostile command lines, papers, results, checkpoints, descriptions of runs, and cached counts."""

import contextlib
import csv
import io
import json
import os
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from fuzzing import Attack, Content, changed, damaged, folder, one_line, scalars, toml_file
from hypothesis import strategies as st

from repro.api.library import using
from repro.api.records import RECORD_COLUMNS
from repro.cached import read_cached, write_cached
from repro.cli import app
from repro.cli.commands import built
from repro.cluster.tasks import FILE, Submission, Where, read_submission
from repro.comparison.corrections import records_today
from repro.console import set_quiet
from repro.counting.count import Count
from repro.errors import RunFailed, UserError
from repro.experiment import Experiment, experiment_for
from repro.frames import frame_of
from repro.papers import shipped
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.curves import read_curve
from repro.store.gates import read_gates
from repro.store.results import EpochRow, repeated_records, shipped_results
from repro.store.run_folders import DESCRIPTION, check_papers, describe, runs_in
from repro.store.step_times import read_times
from repro.store.weights_tests import read_weights_tests
from repro.tables import read_table
from repro.templates import paper_files
from repro.training.checkpoints.checkpoint import NEWEST, Checkpoint, load, save
from repro.training.checkpoints.stored_checkpoint import checksum_of
from repro.training.initialise import network_of

DATASETS = {
    "datasets": {
        "squares": {"summary": "Squares", "kind": "npz", "path": "squares.npz", "classes": 2, "size": 8, "channels": 1},
        "shapes": {"summary": "Shapes", "kind": "image folder", "path": "shapes", "classes": ["a", "b"], "size": 32},
        "cells": {"summary": "Cells", "kind": "segmentation folder", "path": "cells", "size": 64, "mean": [0.5]},
        "bytes": {"summary": "B", "kind": "CIFAR binary", "path": "b", "classes": 10, "size": 32, "train": ["a"]},
    }
}


@cache
def papers() -> dict[str, Content]:
    """Return the files of a paper, by path: those of the template, and some that come with the program."""
    files = {str(path): content for path, content in paper_files("demo", Path("demo"), found=True).items()}
    found = {path: tomllib.loads(text.decode()) for path, text in files.items() if path.endswith(".toml")}
    own = {file.name: tomllib.loads(file.read_text("utf-8")) for file in shipped().tables}
    tables = ("cifar100.toml", "densenet-cifar.toml", "unet-isbi.toml", "classics.toml")
    return {
        **found,
        "datasets.toml": DATASETS,
        **{f"tables/my-{name}": own[name] for name in tables},
        "recipes/steps.toml": {"recipes": {"steps": {**STEPS, "extends": "digits"}}},
    }


STEPS = {
    "summary": "Steps.",
    "paper": "Steps",
    "epochs": {"value": 2, "source": "printed", "place": "section 4"},
    "schedule": {"value": "steps", "source": "code"},
    "milestones": {"every": 60, "of": 200, "source": "printed"},
    "lr": {"value": 0.1, "source": "inferred", "note": "or 0.2", "alternatives": [0.2]},
    "default_for": ["resnet20"],
    "default_with": {"shortcut": "B"},
}


@st.composite
def paper_file(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return the path of a paper's file, and a hostile content."""
    path = draw(st.sampled_from(sorted(papers())))
    good = papers()[path]
    if draw(st.integers(0, 9)):
        return path, toml_file(draw(changed(st.just(good))))
    return path, draw(damaged(st.just(toml_file(good))))


def read_paper(file: tuple[str, bytes]) -> None:
    """Read a paper with a hostile file, and build the experiments of its tables."""
    path, content = file
    with folder() as home:
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content)
        with one_line(), using([home]):
            if path.startswith("tables/"):
                for error in read_table(str(home / path)).errors():
                    if error.recipe:
                        with one_line():
                            error.experiment(0)


@cache
def results_files() -> dict[str, list[list[str]]]:
    """Return files of results, by path, as their cells."""
    shipped = [*shipped_results().glob("*.csv"), *shipped_results().glob("*/*.csv")]
    names = {"curves": "curves/run.csv", "gates": "gates/run.csv"}
    return {
        names.get(each.parent.name, each.name): list(csv.reader(io.StringIO(each.read_text("utf-8"))))[:6]
        for each in shipped
    }


JSON_CELLS = ["[" * 99_999, '{"a": 1e999}', '["\\ud800"]', '{"N": [1]}', '{"N": null}', "[{}]", '{"threads": "x"}']
cells = st.one_of(scalars.map(str), st.sampled_from([*JSON_CELLS, "9999-12-31T00:00:00+00:00", "2026-02-30"]))


@st.composite
def results_file(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return the path of a file of results, and a hostile content."""
    path = draw(st.sampled_from(sorted(results_files())))
    lines = draw(changed(st.just(results_files()[path]), cells))
    text = io.StringIO()
    ends, delimiter = draw(st.sampled_from(["\n", "\r\n"])), draw(st.sampled_from(",;\t"))
    writer = csv.writer(text, delimiter=delimiter, lineterminator=ends)
    writer.writerows([line if isinstance(line, list) else [line] for line in lines])
    content = text.getvalue().encode("utf-8-sig" if draw(st.booleans()) else "utf-8")
    return path, draw(damaged(st.just(content))) if draw(st.integers(0, 3)) == 0 else content


def read_results(file: tuple[str, bytes]) -> None:
    """Read a folder of results with a hostile file; what is accepted is a DataFrame and strict JSON."""
    path, content = file
    with folder() as home:
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content)
        with one_line():
            rows: list[Any] = [*records_today([home]), *read_times([home]), *read_weights_tests([home])]
            rows += [*read_curve(home / "curves/run.csv"), *read_gates(home / "gates/run.csv")]
            repeated_records([home])
            json.dumps(list(map(vars, rows)), allow_nan=False)
            if path == "runs.csv":
                frame_of(map(vars, rows), RECORD_COLUMNS)


@cache
def run() -> Experiment:
    """Return a small run."""
    return experiment_for("densenet", {"depth": 7, "k": 4}, seed=0, dataset="digits", epochs=2)


@cache
def checkpoint() -> dict[str, Content]:
    """Return the content of a checkpoint after its first epoch."""
    row = EpochRow(epoch=1, step=23, lr=0.1, train_loss=1.0, test_error=50.0, seconds=1.0)
    weights = {name: value.clone() for name, value in network_of(run()).state_dict().items()}
    momentum = {0: {"momentum_buffer": torch.zeros(2)}}
    made = Checkpoint(
        run(), Runtime(device="cpu"), weights, {"state": momentum, "param_groups": [{"lr": 0.1}]}, 23, torch.zeros(2),
        [torch.get_rng_state()], [row], 1.0, 0.0, 1, "2026-01-01T00:00:00+00:00", "digits:0", 46, {"device": "CPU"},
    )  # fmt: skip
    with folder() as home:
        save(made, home)
        content: dict[str, Content] = torch.load(home / NEWEST, weights_only=True)
    return content


tensors = st.sampled_from([torch.zeros(0), torch.zeros(3, dtype=torch.uint8), torch.full((2,), float("nan"))])
values_and_tensors = st.one_of(scalars, tensors, st.lists(tensors, max_size=2), st.sampled_from([{}, [], (1, "a")]))


@st.composite
def checkpoint_file(draw: st.DrawFn) -> bytes:
    """Return a checkpoint with wrong values and the checksum of these, or a damaged one."""
    whole, file = checkpoint(), io.BytesIO()
    kept = {name: each for name, each in whole.items() if name in ("network", "sums", "rng")}  # copied slowly
    content = draw(changed(st.just({**whole, **kept}), values_and_tensors))
    if draw(st.booleans()):
        with contextlib.suppress(Exception):  # a value that no checksum can be of
            content["checksum"] = checksum_of(content)
    torch.save(content, file)
    return draw(damaged(st.just(file.getvalue()))) if draw(st.integers(0, 2)) == 0 else file.getvalue()


def read_checkpoint(content: bytes) -> None:
    """Read a hostile checkpoint."""
    with folder() as home:
        (home / NEWEST).write_bytes(content)
        with one_line(), contextlib.suppress(RunFailed):
            saved = load(home / NEWEST)
            assert isinstance(saved.finished, bool)
            assert saved.experiment.id
            assert all(torch.is_tensor(each) for each in saved.tested.values())


@cache
def written() -> dict[str, Content]:
    """Return what a run and a submission write about themselves, by path."""
    name, runtime = run().name, Runtime(device="cpu")
    with folder() as home:
        describe(run(), runtime, Folders(home, home, home))
        submission = Submission(
            home, Where.LOCAL, "host", "2026-01-01T00:00:00+00:00", [[name]], {name: run().to_json()},
            runtime.values(), Folders(Path("data"), Path("runs"), Path("results")), {}, ["1"],
        )  # fmt: skip
        submission.write()
        return {
            f"{name}/{DESCRIPTION}": json.loads((home / name / DESCRIPTION).read_bytes()),
            f"submissions/1/{FILE}": json.loads((home / FILE).read_bytes()),
            f"{name}/.lock.json": {"host": "host", "process": 1, "since": "2026-01-01 00:00:00+00:00"},
        }


@st.composite
def description(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return the path of a file in a folder of runs, and a hostile content."""
    path = draw(st.sampled_from(sorted(written())))
    content = json.dumps(draw(changed(st.just(written()[path]), scalars)), default=str).encode()
    return path, draw(damaged(st.just(content))) if draw(st.integers(0, 2)) == 0 else content


def read_runs(file: tuple[str, bytes]) -> None:
    """Read a folder of runs with a hostile file."""
    path, content = file
    with folder() as home:
        for each, good in written().items():
            (home / each).parent.mkdir(parents=True, exist_ok=True)
            (home / each).write_bytes(content if each == path else json.dumps(good).encode())
        for found in runs_in(home):
            assert found.state
            assert found.command is None or found.command.startswith(("repro train ", "torchrun "))
            with one_line():
                check_papers(found.folder)
        with one_line():
            submission = read_submission(home / "submissions/1")
            for number in range(len(submission.tasks)):
                with one_line():
                    submission.experiments_of(number)


COUNT = Count(params=123_456, flops={"paper": 10, "macs": 5})


@cache
def cached_file() -> bytes:
    """Return a cached count."""
    with folder() as home:
        write_cached(home / "count.json", COUNT)
        return (home / "count.json").read_bytes()


def read_count(content: bytes) -> None:
    """Read a damaged cached count: it counts as missing."""
    with folder() as home:
        (home / "count.json").write_bytes(content)
        assert read_cached(home / "count.json", Count) in ((COUNT,) if content == cached_file() else (None,))


NAMES = [
    "resnet20",
    "densenet",
    "wrn",
    "unet",
    "unet-isbi",
    "digits",
    "cifar10",
    "resnet-cifar10",
    "nets.py:Net",
    "x:y",
]
NAMES += ["lr=0.1", "depth=20", "k=4", "epochs=3", "3x32x32", "1x8x8", "csv", "json", "rm", "keep", "curves", "paper"]
COMMANDS = ("count", "train", "eval", "list", "export", "merge", "figure", "runs", "new", "table")
"""Those that neither download nor measure; a training ends before it begins."""
TRAIN = ("train_missing", "measure_times", "jobs_for", "submit_missing", "try_alternatives")
SAFE = ["out.csv", "out.html", "missing", "a" * 300, ".", "\0", "file.toml"]
"""Paths within the working folder."""


@cache
def options() -> dict[str, list[tuple[str, Any]]]:
    """Return the options of each command with their types."""
    return {
        name: [(spelled, each) for each in built(name).params for spelled in each.opts if spelled.startswith("-")]
        for name in COMMANDS
    }


@st.composite
def command_line(draw: st.DrawFn) -> list[str]:
    """Return the words of a command, some of which are right."""
    name = draw(st.sampled_from(COMMANDS))
    texts = st.one_of(st.sampled_from(NAMES), scalars.map(str))
    fewest = int(name == "table")  # all tables take long
    words = [name, *draw(st.lists(texts, min_size=fewest, max_size=2))]
    for spelled, option in draw(st.lists(st.sampled_from(options()[name] or [("--help", None)]), max_size=4)):
        kind = getattr(getattr(option, "type", None), "name", "")
        values = st.sampled_from(SAFE) if kind == "path" else texts
        words += [spelled] if getattr(option, "is_flag", True) else [spelled, draw(values)]
    return words


@contextlib.contextmanager
def harmless() -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """Run commands in a new folder, with streams that are returned, and without training or measuring."""
    out, said = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    stopped = mock.Mock(side_effect=UserError("training begins"))
    before, quiet = Path.cwd(), contextlib.ExitStack()
    with folder() as home, quiet:
        deep = home / "a/b/c/d"
        deep.mkdir(parents=True)
        for where in ("train.train_all", *(f"table.{each}" for each in TRAIN)):
            quiet.enter_context(mock.patch(f"repro.cli.{where}", stopped))
        quiet.enter_context(contextlib.redirect_stdout(out))
        quiet.enter_context(contextlib.redirect_stderr(said))
        quiet.callback(set_quiet, False)
        quiet.callback(os.chdir, before)
        os.chdir(deep)
        yield out, said


def run_command(words: list[str]) -> None:
    """Run a hostile command line."""
    status: Any = None
    with harmless() as (_, said):
        try:
            app.main(words)
        except SystemExit as end:
            status = end.code
    last = said.buffer.getvalue().decode().strip().splitlines()[-1:]  # type: ignore[attr-defined]
    assert status in (0, 1, 2), status
    assert status == 0 or last[0].startswith(("error: ", "failed: ", "mismatch: ")), last
    assert all(len(each) < 4 * max(map(len, words)) + 5000 for each in last)


ATTACKS = [
    Attack("Command lines", command_line(), run_command, examples=20),
    Attack("Files of papers (TOML)", paper_file(), read_paper, examples=30),
    Attack("Files of results (CSV)", results_file(), read_results),
    Attack("Checkpoints", checkpoint_file(), read_checkpoint, examples=60),
    Attack("Descriptions of runs and submissions (JSON)", description(), read_runs),
    Attack("Cached counts", damaged(st.builds(cached_file)), read_count),
]
