"""Networks from outside the package whose code prints, fails, or cannot be trained are answered in one line."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import refused, repro
from watching import Silent, stop_at

from repro.counting.demand import work_of
from repro.errors import Stopped, UserError
from repro.evaluation.evaluate import evaluate
from repro.experiment import check_network, experiment_for
from repro.models import find
from repro.models.outside.factory import factory_of
from repro.paths import Folders
from repro.runtime import Runtime
from repro.training.initialise import network_without_memory
from repro.training.runs.train import train

Capsys = pytest.CaptureFixture[str]
NETS = """
import sys

import torch
from torch import nn

print("imported")


class Net(nn.Module):
    def __init__(self, *, classes):
        print("built")
        super().__init__()
        self.head = nn.Linear(3, classes)
        self.calls = 0

    def forward(self, images):
        return self.head(images.mean((2, 3)))


class Normalised(Net):
    def __init__(self, *, how="weight_norm", classes):
        super().__init__(classes=classes)
        if how == "weight_norm":
            nn.utils.parametrizations.weight_norm(self.head)
        else:  # with hooks, as the earlier weight_norm
            nn.utils.spectral_norm(self.head)


class Prints(Net):
    def forward(self, images):
        print("called")
        return super().forward(images)


class Detached(Net):
    def forward(self, images):
        return super().forward(images).detach()


class Frozen(Net):
    def __init__(self, *, classes):
        super().__init__(classes=classes)
        self.requires_grad_(False)


class Complex(Net):
    def __init__(self, *, classes):
        super().__init__(classes=classes)
        self.phase = nn.Parameter(torch.zeros(2, dtype=torch.complex64))


class Table(Net):
    def __init__(self, dtype="int16", *, classes):
        super().__init__(classes=classes)
        self.register_buffer("table", torch.zeros(2, dtype=getattr(torch, dtype)))


class Half(Net):
    def __init__(self, *, classes):
        super().__init__(classes=classes)
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float16))


class Masked(Net):
    def __init__(self, *, classes):
        super().__init__(classes=classes)
        self.register_buffer("mask", torch.full((2,), -torch.inf))


class Late(Net):
    def forward(self, images):
        self.calls += 1
        if self.calls > 2:
            raise ValueError("too many calls\\nmore")
        return super().forward(images)


class Exits(Net):
    def forward(self, images):
        sys.exit()


class Open(Net):
    def __init__(self, **options):
        super().__init__(**options)


def halves(*, classes):
    layers = nn.Unflatten(0, (-1, 2)), nn.Flatten(0, 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))


def lone(*, classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, classes))


class Stochastic(Net):
    def __init__(self, *, classes):
        super().__init__(classes=classes)
        self.rates = [each.item() for each in torch.linspace(0, 0.5, 3)]
        self.shift = torch.zeros(classes)

    def forward(self, images):
        return super().forward(images) + self.shift
"""
RUN = ("--dataset", "digits", "--epochs", 1)


@pytest.fixture(autouse=True)
def _file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_digits: None) -> None:
    """Write the networks into the working folder, which is temporary."""
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(NETS, encoding="utf-8")
    factory_of.cache_clear()


@pytest.mark.parametrize("name", ["Detached", "Frozen"])
def test_an_output_without_a_gradient_is_refused_before_the_training(capsys: Capsys, name: str) -> None:
    line = f"error: nets.py:{name} cannot be trained: its output has no gradient; "
    assert line in _refused(capsys, name)


def test_weights_that_are_not_real_numbers_are_refused(capsys: Capsys) -> None:
    assert "nets.py:Complex cannot be trained: phase is torch.complex64; " in _refused(capsys, "Complex")


@pytest.mark.parametrize("dtype", ["int16", "int8", "float16", "bfloat16", "complex64"])
def test_buffers_that_no_checkpoint_can_hold_are_refused_before_the_training(capsys: Capsys, dtype: str) -> None:
    line = f"table is torch.{dtype}, which no checkpoint can hold; use a tensor of float32, float64, int64, int32, "
    said = _refused(capsys, "Table", "--set", f"dtype={dtype}")
    assert f"nets.py:Table cannot be trained: {line}uint8 or bool" in said


def test_weights_that_no_checkpoint_can_hold_are_refused_before_the_training(capsys: Capsys) -> None:
    assert "cannot be trained: scale is torch.float16, which no checkpoint can hold; " in _refused(capsys, "Half")


@pytest.mark.parametrize("how", ["weight_norm", "spectral_norm"])
@pytest.mark.parametrize(
    ("values", "accepted"),
    [
        (["init=as-built", "decay_scope=all"], True),
        (["init=as-built", "decay_scope=weights"], False),
        (["init=as-built", "decay_scope=weights", "weight_decay=0"], True),
        (["init=glorot", "decay_scope=all"], False),
        (["init=conv-fan-in", "decay_scope=all"], True),
    ],
)
def test_weights_that_a_recipe_cannot_reach_are_refused(how: str, values: list[str], accepted: bool) -> None:
    model = find("nets.py:Normalised")
    run = experiment_for(model, {"how": how}, seed=0, dataset="digits", recipe_name="digits", overrides=values)
    line = "nets.py:Normalised cannot be trained with this recipe: head.weight is not a parameter, as with weight norm"
    with nullcontext() if accepted else pytest.raises(UserError, match=line):
        check_network(run)


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("seeds", [1, 2])
def test_a_buffer_that_is_infinite_from_the_start_is_no_divergence(folders: Folders, seeds: int, ema: float) -> None:
    model = find("nets.py:Masked")
    first = experiment_for(model, {}, seed=0, dataset="digits", recipe_name="digits", epochs=1)
    runs = [replace(first, seed=seed, recipe=replace(first.recipe, ema=ema)) for seed in range(seeds)]
    runtime = Runtime(device="cpu", together="stacked")
    with pytest.raises(Stopped):
        train(runs, runtime, folders, stop_at(3))
    for record in train(runs, runtime, folders, Silent()):
        assert evaluate(record.id, folders, runtime).metrics.error == pytest.approx(record.error)


def test_a_network_whose_constructor_reads_values_is_trained(folders: Folders) -> None:
    run = experiment_for(find("nets.py:Stochastic"), {}, seed=0, dataset="digits", recipe_name="digits", epochs=1)
    assert train([run], Runtime(device="cpu"), folders, Silent())[0].error is not None


def test_building_without_memory_leaves_the_random_numbers(folders: Folders) -> None:
    run = experiment_for(find("nets.py:Stochastic"), {}, seed=0, dataset="digits", recipe_name="digits", epochs=1)
    before = torch.get_rng_state()
    network = network_without_memory(run)
    assert work_of(network, run.input).flops > 0  # its tensors are all on one device
    assert torch.equal(before, torch.get_rng_state())


def test_a_failure_in_a_step_ends_in_one_line_with_the_line_of_the_file(capsys: Capsys) -> None:
    status, _, err = repro(capsys, "train", "nets.py:Late", *RUN)
    assert (status, err.splitlines()[-1]) == (1, "failed: nets.py:Late: ValueError: too many calls (line 75)")


def test_a_failure_in_a_layer_ends_in_one_line(capsys: Capsys) -> None:
    status, _, err = repro(capsys, "train", "nets.py:halves", *RUN)
    assert (status, err.splitlines()[-1][:37]) == (1, "failed: nets.py:halves: RuntimeError:")


@pytest.mark.parametrize("model", ["nets.py:lone", pytest.param("denseresnet34", marks=pytest.mark.nightly)])
def test_a_last_batch_of_one_image_is_explained(capsys: Capsys, model: str) -> None:
    """The 1,442 images are 11 batches and one image, of which BatchNorm has no variance after a pooling."""
    status, _, err = repro(capsys, "train", model, *RUN, "--recipe", "digits", "--set", "batch=131")
    line = "BatchNorm cannot normalise a batch of one image; change --set batch=N, or add --set drop_last=yes"
    last = err.splitlines()[-1]
    assert (status, last.startswith("failed: "), last.endswith(f": {line}")) == (1, True, True)


def test_the_file_of_a_network_is_not_a_table(capsys: Capsys) -> None:
    assert refused(capsys, "table", "nets.py") == "error: nets.py is not a table; the file of a table ends in .toml"


@pytest.mark.parametrize("command", ["count", "train"])
def test_a_network_that_exits_is_refused(capsys: Capsys, command: str) -> None:
    factory_of.cache_clear()
    status, out, err = repro(capsys, command, "nets.py:Exits", "--dataset", "digits")
    assert (status, out) == (2, "")
    assert "error: nets.py:Exits does not accept images of 3x32x32 (CxHxW): SystemExit" in err


TABLE = """
title = "Table 1"
caption = "Test error on the digits"
paper = "Two networks"
source = "Two networks, Table 1"
dataset = "digits"
flops_convention = "macs"
columns = [{ key = "error", label = "Error %", kind = "error", recipe = "digits" }]
rows = [
  { label = "Late", model = "nets.py:Late", cells = { error = "50.0" } },
  { label = "Net", model = "nets.py:Net", cells = { error = "50.0" } },
]
"""


def test_rows_after_a_network_that_fails_are_trained(capsys: Capsys) -> None:
    """Both are trained overnight; the failure is the last line, and the exit status."""
    paper = Path("papers/two")
    (paper / "tables").mkdir(parents=True)
    (paper / "tables/two.toml").write_text(TABLE, encoding="utf-8")
    Path("nets.py").rename(paper / "nets.py")
    status, _, err = repro(capsys, "table", "two", "--run", "--seeds", 1, "--epochs", 1)
    failed = [line for line in err.splitlines() if line.startswith("failed: ")]
    assert (status, len(failed), failed[-1]) == (1, 2, err.splitlines()[-1])
    assert all(line.endswith("nets.py:Late: ValueError: too many calls (line 75)") for line in failed)
    assert [line.split(",")[1][:8] for line in Path("results/runs.csv").read_text().splitlines()[1:]] == ["nets.Net"]


def test_a_network_that_fails_while_its_steps_are_timed_says_so_in_one_line(capsys: Capsys) -> None:
    paper = Path("papers/two")
    (paper / "tables").mkdir(parents=True)
    timed = TABLE.replace("columns = [", 'columns = [{ key = "time", label = "Time s", kind = "time" }, ')
    (paper / "tables/two.toml").write_text(timed.replace("cells = {", 'cells = { time = "1.0",'), encoding="utf-8")
    Path("nets.py").rename(paper / "nets.py")
    status, _, err = repro(capsys, "table", "two", "--time", "--rows", "Late")
    assert (status, err.splitlines()[-1]) == (
        1,
        "failed: papers/two/nets.py:Late: ValueError: too many calls (line 75)",
    )


def test_what_a_network_prints_does_not_get_into_the_answer(capsys: Capsys) -> None:
    for command in (["train", "nets.py:Prints", *RUN], ["count", "nets.py:Prints", "--dataset", "digits"]):
        factory_of.cache_clear()
        status, out, err = repro(capsys, *command, "--format", "json")
        assert status == 0
        assert json.loads(out)["schema"] == 1
        assert all(f"\n{said}\n" in f"\n{err}" for said in ("imported", "built", "called"))


def test_a_network_that_cannot_be_built_without_options_says_why(capsys: Capsys) -> None:
    said = _refused(capsys, "Open")
    assert "error: nets.py:Open cannot be built without options: TypeError: " in said
    assert said.endswith("; name the parameter classes in its signature to receive it")


def _refused(capsys: Capsys, name: str, *options: str) -> str:
    """Return the line that refuses to train a network, which printed that it was imported."""
    nets = Path("nets.py")
    nets.write_text(nets.read_text(encoding="utf-8").replace('print("imported")', "").replace('print("built")', "0"))
    return refused(capsys, "train", f"nets.py:{name}", *RUN, *options)
