"""The commands as a user types them: the answer on stdout; for a mistake, one line on stderr and status 2."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import typer
from commands import repro
from marking import COUNTS_ALL
from typer import Context

import repro as package
from repro.cli.app import main
from repro.cli.commands import COMMANDS, built
from repro.cli.lines import Kind
from repro.cli.options.shared import completing
from repro.cli.suggestion import after_table, suggest
from repro.comparison.join import Comparison
from repro.console import stdout
from repro.experiment import experiment_for
from repro.models import as_typed
from repro.tables import read_table

HEAVY = {"torch", "torchvision", "pandas", "numpy", "fvcore", "scipy", "sklearn", "matplotlib"}


def loaded_by(*arguments: str) -> set[str]:
    """Return the top-level modules that a command loads."""
    command = [sys.executable, "-X", "importtime", "-m", "repro", *arguments]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in text.splitlines() if "|" in line}


LIGHT = [
    "--help",
    *(f"{name} --help" for name in COMMANDS),
    "runs rm -h",
    "figure curves -h",
    "figure gates -h",
    "list recipes",
    "list runs",
]
LOADED_BY_EACH = """
import sys
from repro.__main__ import main
heavy, *commands = sys.argv[1:]
for command in commands:
    try:
        main(["--quiet", *command.split()])
    except SystemExit as end:
        print(f"{command}: {end.code or 0}", *sorted({*heavy.split()} & {*sys.modules}), file=sys.stderr)
"""


def test_help_and_light_commands_load_nothing_heavy(tmp_path: Path) -> None:
    words = [sys.executable, "-c", LOADED_BY_EACH, " ".join(HEAVY), *LIGHT]
    ran = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stderr.splitlines() == [f"{command}: 0" for command in LIGHT]


def test_a_known_table_loads_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    assert repro(capsys, "table", "cifar100")[0] == 0
    assert not loaded_by("table", "cifar100") & {"torch", "torchvision", "fvcore"}


def test_known_networks_load_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    lines = json.loads(repro(capsys, "list", "models", "--format", "json")[1])["models"]
    assert {line["name"]: line["params"] for line in lines}["resnet50"] == 25_557_032
    assert not loaded_by("list", "models") & HEAVY


def test_training_on_cifar_needs_no_torchvision_fvcore_or_tabulate() -> None:
    code = (
        "import sys; import repro.benchmark.fastest, repro.training.runs.train, repro.training.progress.watcher\n"
        "import repro.data.readers.cifar, repro.cli.train\n"
        "unwanted = {'torchvision', 'fvcore', 'triton', 'tabulate', 'sklearn', 'scipy', 'platformdirs'}\n"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_count_answers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = repro(capsys, "count", "denseresnet34", "--N", 4, "--format", "json")
    answer = json.loads(out)
    assert status == 0
    assert {key: answer[key] for key in ("model", "options", "dataset", "input", "params", "flops")} == {
        "model": "denseresnet34",
        "options": {"N": 4},
        "dataset": "imagenet",
        "input": "3x224x224",
        "params": 23382808,
        "flops": 3694019680,
    }
    assert answer["flops_convention"] == "paper"
    (row,) = answer["published"]
    assert (row["table"], row["params"], row["flops"]) == ("imagenet", "23.38M", "3.69G")
    assert (row["params_match"], row["flops_match"]) == (True, True)


def test_resnet_110_on_cifar_100_has_projections(capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(repro(capsys, "count", "ResNet_110", "--dataset", "CIFAR-100", "--format", "json")[1])
    assert answer["options"] == {"shortcut": "B"}
    assert [row["table"] for row in answer["published"]] == ["cifar100"]


def test_count_of_another_input_claims_no_published_row(capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(repro(capsys, "count", "denseresnet34", "--input", "3x160x160", "--format", "json")[1])
    assert answer["published"] == []
    assert answer["dataset"] is None


def test_several_models_share_a_table_and_each_takes_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["count", "resnet20", "resnet32", "denseresnet110", "--N", 2, "--flops", "all"]
    out = repro(capsys, *words)[1]
    ours = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith(("resnet", "dense"), 1)}
    assert ours["resnet32"] == ["--shortcut", "A", "464,154", "70,222,464", "69,472,896", "68,862,592"]
    assert ours["denseresnet110"][:2] == ["--N", "2"]
    assert out.count("Default of resnet20, resnet32: shortcut A, zero padding") == 1
    answer = json.loads(repro(capsys, *words, "--format", "json")[1])
    assert [each["options"] for each in answer["counts"]] == [{"shortcut": "A"}, {"shortcut": "A"}, {"N": 2}]
    assert answer["counts"][1]["flops_by_convention"] == {"paper": 70222464, "fvcore": 69472896, "macs": 68862592}


def test_all_conventions_are_shown_and_a_printed_count_under_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split() for line in repro(capsys, "count", "denseresnet110", "--flops", "all")[1].splitlines()]
    assert ["Parameters", "FLOPs", "(paper)", "FLOPs", "(fvcore)", "FLOPs", "(macs)"] in lines
    assert ["ours", "2,230,868", "262,911,040", "255,765,728", "253,637,888"] in lines
    (printed,) = [line for line in lines if line[:1] == ["cifar100:"]]
    assert printed[-4:] == ["2.23M", "✓", "263M", "✓"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "Default: shortcut A, zero padding without parameters, as the ResNet paper uses on CIFAR-10"),
        ("--dataset cifar100", "Default: shortcut B, projections, as the parameters that the DenseResNet paper prints"),
        ("--shortcut B", ""),
    ],
)
def test_count_says_why_a_shortcut_is_the_default(capsys: pytest.CaptureFixture[str], words: str, reason: str) -> None:
    out = repro(capsys, "count", "resnet110", *words.split())[1]
    assert (reason or "Input:") in out
    assert reason or "Default" not in out


def test_count_compares_nothing_with_a_row_that_prints_no_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unet-isbi" not in repro(capsys, "count", "unet")[1]


@pytest.mark.parametrize(
    ("size", "why"),
    [
        (
            "5x33x32",
            "5 channels, where images have 1 or 3; not square; 33 cannot be halved, so that strides round",
        ),
        ("3x4x4", "a side of under 8 pixels"),
        ("1x28x28", None),
    ],
)
def test_an_unusual_input_is_questioned_in_one_line(
    capsys: pytest.CaptureFixture[str], size: str, why: str | None
) -> None:
    status, _, err = repro(capsys, "count", "resnet20", "--input", size)
    asked = f"warning: unusual input {size}: {why}; the dataset of resnet20 has 3x32x32"
    assert (status, err.splitlines()[:-1]) == (0, [asked] if why else [])


def test_count_shows_modules(capsys: pytest.CaptureFixture[str]) -> None:
    out = repro(capsys, "count", "resnet20", "--by-module")[1]
    assert "stages.0.0.conv1" in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["count", "denseresnet43"], "unknown model 'denseresnet43'; did you mean denseresnet34 or denseresnet110?"),
        (["count", "denseresnet34", "--N", "0"], "N = 0 is invalid"),
        (["count", "resnet20", "--k", "12"], "resnet20 has no option --k; its options: --shortcut"),
        (["count", "densenet", "--depth", "41"], "layers (40, 43, ...)"),
        (["count", "densenet-bc", "--depth", "99"], "layers (94, 100, ...)"),
        (["count", "densenet", "--k", "0"], "k = 0 is invalid"),
        (["count", "densenet", "--compression", "2"], "compression 2 is invalid"),
        (["count", "resnet20", "--shortcut", "C"], "shortcut 'C' is unknown: A (zero padding) or B (projection)"),
        (["count", "mobilenetv2", "--width", "0"], "mobilenetv2: width is 0; it must be positive, such as 0.5"),
        (["count", "resnet20", "--input", "3x4"], "--input '3x4' is not a shape; expected CxHxW"),
        (["count", "densenet", "--input", "3x2x2"], "densenet does not accept an input of 3x2x2"),
        (["count", "resnet20", "--input", "32x32x3"], "it has 32 channels; did you mean 3x32x32?"),
        (["count", "resnet20", "wrn", "--N", "4"], "none of resnet20, wrn has an option N; leave it out"),
        (["count", "resnet20", "wrn", "--by-module"], "--by-module shows the modules of one model"),
        (["count", "resnet20", "--dataset", "cifar-11"], "did you mean cifar10"),
        (["count", "resnet20", "--flops", "mac"], "'mac' is not one of 'paper', 'fvcore', 'macs', 'all'"),
        (["count", "mobilenetv3"], "did you mean mobilenetv3-large or mobilenetv3-small?"),
        (["table", "cifar1000"], "did you mean cifar100?"),
        (["table", "cifar100", "--columns", "params,size"], "cifar100 has no column 'size'; choose from params, flops"),
        (["table", "cifar100", "--columns", "params", "--try"], "--try and --columns exclude each other"),
        (["table", "cifar100", "--bare", "--run", "--dry-run"], "--dry-run and --bare exclude each other"),
        (["table", "--bare"], "--bare requires the name of a table"),
        (["table", "cifar100", "--rows", "vgg"], "no row of cifar100 matches 'vgg'; its rows: ResNet-110 |"),
        (["table", "cifar100", "--format", "pdf"], "is not one of 'rich', 'csv', 'json', 'md', 'latex', 'html'"),
        (["table", "cifar100", "--seeds", "7"], "--seeds requires --run or --try"),
        (
            ["table", "cifar100", "--run", "--time"],
            "cifar100 has no published times of these rows; --time is for tables",
        ),
        (
            ["table", "cifar100", "--save-memory"],
            "--save-memory requires --run or --try",
        ),
        (
            ["table", "wrn-blocks", "--time", "--graph"],
            "--graph requires --run or --try",
        ),
        (["table", "--try"], "--try requires the name of a table"),
        (["table", "cifar100", "--try", "--run"], "--try and --run exclude each other"),
        (["table", "cifar100", "--try", "--check"], "--try and --check exclude each other"),
        (["table", "cifar100", "--try", "--format", "md"], "this output has no format md; choose rich, csv or json"),
        (["table", "cifar100", "--time"], "cifar100 has no published times of these rows"),
        (["tabel"], "No such command 'tabel'"),
        (["train", "resnet20", "--nope"], "No such option: --nope"),
        (["train", "resnet20", "--seed", "x"], "'--seed'"),
        (
            ["train", "resnet20", "--epochs", "0"],
            "epochs = 0 is invalid: it must be a whole number from 1 to 1,000,000,000 (recipe: 164)",
        ),
        (["train", "resnet20", "--recipe", "miru"], "unknown recipe 'miru'; did you mean miru2020-cifar100,"),
        (["train", "resnet20", "--recipe", "digits", "--dataset", "cifar10"], "recipe digits is for digits"),
        (
            ["train", "resnet20", "--dataset", "cifar100"],
            "no recipe is the default for resnet20 on cifar100 (default_for); choose one with --recipe: ",
        ),
        (["train", "resnet20", "--precision", "fp8"], "'fp8' is not one of 'fp32', 'tf32', 'bf16'"),
        (["train", "resnet20", "--device", "tpu"], "unknown device 'tpu'"),
        (["train", "unet", "--recipe", "digits"], "unet predicts a class for each pixel, and digits needs a model"),
        (["train", "resnet20", "--dataset", "isbi2012"], "resnet20 predicts one class for an image, and isbi2012"),
        (["eval", "unet", "--weights", "torchvision", "--picture", "x.png"], "--picture needs a run of a U-Net"),
        (["train", "resnet34"], "imagenet is not in data/imagenet; expected: data/imagenet/train/<wnid>/*.JPEG"),
        (["train", "densenet", "--depth", "41", "--dataset", "digits"], "depth 41 is invalid"),
        (["eval", "nothing"], "'nothing' is neither a run in runs nor a checkpoint file"),
        (
            ["eval", "ResNet34"],
            "no run of resnet34 in runs; train one with repro train resnet34, or use --weights torchvision",
        ),
        (["eval", "resnet20"], "no run of resnet20 in runs; train one with repro train resnet20"),
        (["train", "resnet20", "--seed", "-1"], "'--seed'"),
        (
            ["train", "wrn", "--k", "10000", "--dataset", "digits", "--epochs", "1", "--device", "cpu"],
            "GiB of memory; choose a smaller network",
        ),
        (
            ["train", "resnet20", "--together", "stacked"],
            "--together stacked trains several seeds at once; set their number",
        ),
        (["table", ""], "unknown table ''"),
        (["table", "cifar100", "--results", "elsewhere"], "--results elsewhere does not exist"),
        (["table", "--nope"], "(repro table --help)"),
        (["train", "resnet20", "--seed"], "'--seed' requires an argument. (repro train --help)"),
        (["--quiet", "figure", "curves", "--output"], "'--output' requires an argument. (repro figure curves --help)"),
        (["table", "/usr/bin"], "/usr/bin is a folder; give the name of a table, or its file in /usr/bin/tables"),
        (["count", "denseresnet110", "--N", "x"], "'--N': 'x' is not a "),
        (["count", "resnet20", "--classes", "0"], "'--classes': '0' is below 1 (repro count --help)"),
        (["runs", "rm", "nothing"], "'nothing' is neither a run in runs or results nor the folder of one"),
        (["train", "resnet20", "--seed", "1", "--seeds", "2"], "--seed and --seeds exclude each other"),
        (["table", "cifar100", "--output", "."], ". is a folder; name a file in it"),
        (["plan", "--output", "p.xyz"], "p.xyz: unknown extension (known: .csv, .json); or choose a --format"),
        (
            ["table", "cifar100", "--try", "--output", "t.xyz"],
            "t.xyz: unknown extension (known: .csv, .json); or choose a --format",
        ),
        (["table", "cifar100", "--output", "t.pdf"], "t.pdf: unknown extension (known: .csv, .json, .md"),
        (["table", "cifar100", "--run", "--format", "pdf"], "'pdf' is not one of"),
        (
            ["table", "cifar100", "--format", "md", "--output", "t.csv"],
            "t.csv has the extension of csv, but --format is md",
        ),
        (
            ["count", "resnet20", "--input", "3x1000000x1000000"],
            "counting resnet20 with images of 3x1000000x1000000 needs about",
        ),
        (["count", "wrn", "--k", "99999999999999999999"], "wrn: option k is 99,999,999,999,999,999,999; the largest"),
        (["count", "wrn", "--depth", "40", "--l", "1", "--dropout", "0.3"], "dropout 0.3 is invalid with l = 1"),
        (
            ["train", "resnet20", "--save-memory"],
            "resnet20 does not support --save-memory; models that do: densenet",
        ),
        (["bench", "resnet34", "--workers", "-1"], "'--workers'"),
        (["bench", "resnet20", "--window", "0"], "'--window'"),
        (["bench", "resnet20", "--precision", "fp8"], "'fp8' is not one of 'fp32', 'tf32', 'bf16'"),
        (["list", "modls"], "'modls' is not one of 'models', 'tables', 'datasets', 'recipes', 'runs'"),
        (["list", "recipes", "miru"], "unknown recipe 'miru'; did you mean miru2020-cifar100,"),
        (["list", "models", "resnet20"], "repro list models takes no name; see repro count MODEL and repro table NAME"),
    ],
)
def test_a_mistake_is_reported_in_one_line_with_status_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPRO_DATA", raising=False)
    status, out, err = repro(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert line in err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_failure_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = repro(capsys, "table", "cifar100", "--format", "csv", "--output", "/dev/full")
    reason = "/dev/full cannot be written (No space left on device); free space there or use another folder"
    assert (status, err.splitlines()[-1]) == (1, f"failed: {reason}")


@pytest.mark.parametrize("options", [["--format", "json"], []])
def test_a_full_disk_at_stdout_is_a_failure_with_status_1(options: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "repro", "--quiet", "list", "models", *options]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, text=True, check=False)
    line = "failed: No space left on device; free space there or use another folder\n"
    assert (done.returncode, done.stderr) == (1, line)


INTERRUPTED_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "repro.cli.app":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from repro.__main__ import main
main(["list", "runs"])
"""


def test_ctrl_c_while_the_program_is_loaded_ends_it_in_one_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "interrupted\n")


def test_a_broken_checkpoint_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "bad.pt").write_bytes(b"garbage")
    status, _, err = repro(capsys, "eval", tmp_path / "bad.pt")
    assert (status, err.count("\n")) == (2, 1)
    assert "damaged or not a checkpoint" in err


@pytest.mark.usefixtures("small_digits")
def test_a_trained_run_is_evaluated_and_not_trained_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    training = ["train", "densenet", "--depth", 7, "--k", 4, "--dataset", "digits", "--epochs", 1, "--no-channels-last"]
    status, out, err = repro(capsys, *training, "--format", "json")
    record = json.loads(out)
    assert (status, record["schema"]) == (0, 1)
    assert record["runtime"]["channels_last"] is False
    assert "deviates from digits" in err
    assert (tmp_path / "results" / "runs.csv").exists()
    found = json.loads(repro(capsys, "eval", record["name"], "--format", "json")[1])
    assert found["error"] == record["error"] == found["recorded_error"]
    assert found["schema"] == 1
    assert json.loads(repro(capsys, *training, "--format", "json")[1]) == record


@pytest.mark.usefixtures("small_digits")
def test_each_of_several_seeds_has_a_record(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ["densenet", "--depth", 7, "--k", 4, "--dataset", "digits", "--epochs", 1]
    records = json.loads(repro(capsys, "train", *model, "--seeds", 2, "--format", "json")[1])["records"]
    assert [record["seed"] for record in records] == [0, 1]
    assert records[0]["loss"] != records[1]["loss"]
    assert [record["runtime"]["channels_last"] for record in records] == [True, True]


@pytest.mark.slow
def test_a_table_pipes_cleanly(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(repro(capsys, "table", "imagenet", "--format", "csv")[1])))
    assert [row["params paper"] for row in rows][:2] == ["21.80M", "22.75M"]
    assert repro(capsys, "table", "cifar100", "--format", "md")[1].startswith("| Row")
    assert "\\toprule" in repro(capsys, "table", "cifar100", "--format", "latex")[1]
    assert json.loads(repro(capsys, "table", "cifar100", "--format", "json")[1])["table"] == "cifar100"
    assert repro(capsys, "table", "cifar100", "--output", tmp_path / "t.html")[1] == ""
    assert (tmp_path / "t.html").read_text().startswith("<!DOCTYPE html>")


def test_check_fails_on_a_mismatch(capsys: pytest.CaptureFixture[str]) -> None:
    assert repro(capsys, "table", "imagenet", "--check")[0] == 1  # MobileNet-v2: 315M printed, 314M counted
    assert repro(capsys, "table", "imagenet", "--check", "--rows", "*ResNet-34*")[0] == 0
    assert repro(capsys, "table", "imagenet", "--check", "--columns", "flops")[0] == 1
    assert repro(capsys, "table", "imagenet", "--check", "--columns", "params")[0] == 0


def test_without_a_terminal_there_is_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b" not in repro(capsys, "table", "cifar100")[1]


@pytest.mark.parametrize("what", ["models", "tables", "datasets", "recipes"])
def test_lists(capsys: pytest.CaptureFixture[str], what: str) -> None:
    names = [line["name"] for line in json.loads(repro(capsys, "list", what, "--format", "json")[1])[what]]
    assert len(names) > 1
    shown = repro(capsys, "list", what)[1]
    assert all(name in shown for name in names)


def test_ctrl_c_is_reported(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("repro.cli.count.chosen_network", interrupted)
    assert repro(capsys, "count", "resnet20") == (130, "", "interrupted\n")


def test_an_output_is_written_through_a_link(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target, link, pipe = (tmp_path / name for name in ("target.md", "link.md", "pipe.md"))
    target.write_text("old")
    link.symlink_to(target)
    repro(capsys, "table", "cifar100", "--output", link)
    assert link.is_symlink()
    assert target.read_text().startswith("| Row")
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True)
    repro(capsys, "table", "cifar100", "--output", pipe)
    assert reader.communicate()[0] == target.read_text()


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("what", ["models", "tables", "recipes"])
def test_a_list_does_not_cut_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, what: str, width: int
) -> None:
    monkeypatch.setattr(stdout(), "width", width)
    lines = json.loads(repro(capsys, "list", what, "--format", "json")[1])[what]
    shown = repro(capsys, "list", what)[1]
    assert "…" not in shown
    assert all(len(line) <= width for line in shown.splitlines() if not line.startswith("repro list"))
    words = {word for line in lines for key in ("name", "paper", "network") for word in str(line.get(key, "")).split()}
    assert words - set(re.split(r"[\s;]+", shown)) == set()


def test_a_recipe_is_shown_with_every_value_and_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    shown = repro(capsys, "list", "recipes", "MIRU2020_cifar100")[1]
    assert re.search(r"batch +64 +printed", shown)
    assert re.search(r"epochs +300 +inferred: config/cifar100/resnet-110.txt", shown)
    assert re.search(r"padding_mode +reflect +authors' code: takedarts", shown)
    assert "Not used: iterations," in shown
    assert "The paper prints 22.62 % error" in shown
    assert "Default for: resnet110, denseresnet110 on cifar100" in shown
    answer = json.loads(repro(capsys, "list", "recipes", "miru2020-cifar100", "--format", "json")[1])
    assert answer["values"]["lr"] == {"value": 0.05, "source": "printed"}
    assert [each["source"] for each in answer["values"]["schedule"]["also"]] == ["code"]
    assert answer["default_for"] == ["resnet110", "denseresnet110"]
    assert answer["notes"][0].startswith("The paper prints 22.62 %")
    assert answer["values"]["mean"]["value"] == [0.5071, 0.4865, 0.4409]


def test_a_list_in_json_has_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    recipes = json.loads(repro(capsys, "list", "recipes", "--format", "json")[1])["recipes"]
    lengths = {line["name"]: (line["epochs"], line["iterations"], line["tune_epochs"]) for line in recipes}
    assert lengths["resnet-cifar10"] == (164, 64_000, 0)
    assert lengths["miru2020-imagenet-resnet34"] == (300, None, 0)
    assert lengths["miru2020-imagenet-resnet34-tuned"] == (300, None, 60)
    datasets = {
        line["name"]: line for line in json.loads(repro(capsys, "list", "datasets", "--format", "json")[1])["datasets"]
    }
    assert (datasets["cifar10"]["train_images"], datasets["segmentation"]["test_images"]) == (50_000, None)


def test_options_are_shown_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = repro(capsys, "count", "densenet", "--depth", 10)[1].splitlines()[0].split()
    assert "--no-bottleneck" in shown
    assert repro(capsys, "count", *shown)[1].splitlines()[0].split() == shown
    assert as_typed({"block": "B(3,3)", "bottleneck": True}) == "--block 'B(3,3)' --bottleneck"


@pytest.mark.parametrize(
    ("typed", "options"),
    [(["resnet20", "--shortcut", "b"], {"shortcut": "B"}), (["wrn", "--block", "b(3, 1)"], {"block": "B(3,1)"})],
)
def test_option_values_are_case_insensitive(
    capsys: pytest.CaptureFixture[str], typed: list[str], options: dict[str, str]
) -> None:
    answer = json.loads(repro(capsys, "count", *typed, "--format", "json")[1])
    assert options.items() <= answer["options"].items()


def test_an_input_may_be_given_by_its_side(capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(
        repro(capsys, "count", "mobilenetv1", "--width", "0.25", "--input", "128", "--format", "json")[1]
    )
    assert (answer["input"], answer["options"]) == ("3x128x128", {"width": 0.25})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "shape"),
    [
        (["unet", "--input", "570"], "1x570x570"),
        (["unet", "--input", "570", "--dataset", "cifar10"], "3x570x570"),
        (["torchvision:resnet18", "--input", "64", "--classes", "7"], "3x64x64"),
    ],
)
def test_a_side_has_the_channels_of_the_dataset(
    capsys: pytest.CaptureFixture[str], typed: list[str], shape: str
) -> None:
    _, out, err = repro(capsys, "count", *typed)
    assert shape in out + err


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        (["resnet20", "--shortcut", "B"], "train resnet20 --shortcut B --dataset cifar10"),
        (["resnet20", "--shortcut", "B", "--input", "64"], "count resnet20 --shortcut B --dataset cifar10"),
        (
            ["WRN-16-4, dropout (SVHN)", "--input", "48"],
            "count wrn --depth 16 --k 4 --block 'B(3,3)' --l 2 --dropout 0.4 --dataset svhn",
        ),
        (["resnet20", "--shortcut", "B", "--classes", "7"], "count resnet20 --shortcut B --dataset cifar10"),
    ],
)
def test_after_another_size_the_dataset_is_counted_next(
    capsys: pytest.CaptureFixture[str], typed: list[str], command: str
) -> None:
    assert repro(capsys, "count", *typed)[2].splitlines()[-1] == f"next: repro {command}"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from repro import __version__

    assert repro(capsys, "--version")[1] == f"repro {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["count", "ResNet20", "--format", "JSON", "--flops", "MACs"],
        ["list", "Recipes", "--format", "Json"],
        ["table", "CIFAR-100", "--format", "JSON"],
    ],
)
def test_choices_are_case_insensitive(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    status, out, _ = repro(capsys, *arguments)
    assert status == 0
    assert json.loads(out)["schema"] == 1


@pytest.mark.parametrize(
    "arguments",
    [["count", "resnet20"], *(["list", what] for what in Kind if what != Kind.RUNS), ["list", "recipes", "digits"]],
)
def test_a_json_answer_begins_with_its_schema_number(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    answer = json.loads(repro(capsys, *arguments, "--format", "json")[1])
    assert next(iter(answer.items())) == ("schema", 1)


@pytest.mark.parametrize(
    ("command", "choices"),
    [
        ("count", ["rich|json", "paper|fvcore|macs|all"]),
        ("train", ["fp32, tf32 or bf16", "cpu, cuda, cuda:1", "tensorboard"]),
        ("table", ["rich, csv, json, md, latex or html"]),
        ("list", ["models|tables|datasets|recipes|runs"]),
    ],
)
def test_help_lists_the_choices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, choices: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = repro(capsys, command, "-h")[1]
    assert [each for each in choices if each not in shown] == []
    assert repro(capsys, command, "--help")[1] == shown


def test_an_aborted_question_is_an_interruption(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typer raises Abort for Ctrl-C and Ctrl-D at a question; in newer versions it is a RuntimeError."""

    def aborted(*_: object, **__: object) -> None:
        raise typer.Abort

    monkeypatch.setattr("repro.cli.count.chosen_network", aborted)
    assert repro(capsys, "count", "resnet20") == (130, "", "interrupted\n")


@pytest.fixture
def commands_built_anew() -> Iterator[None]:
    """Their help has the width of the terminal on which they were built."""
    built.cache_clear()
    yield
    built.cache_clear()


@pytest.mark.usefixtures("commands_built_anew")
@pytest.mark.parametrize(("columns", "framed"), [(100, True), (60, False)])
def test_flags_have_no_type_and_narrow_help_no_frames(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, framed: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = repro(capsys, "train", "--help")[1]
    assert "<bool>" not in shown
    assert ("╭" in shown) == framed
    assert "--no-channels-last" in shown or framed


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    shown = repro(capsys, "--help")[1]
    first_words = {line.strip(" │").split(" ")[0] for line in shown.splitlines()}
    assert {name for name, source in COMMANDS.items() if not source.hidden} <= first_words


def test_every_option_has_a_help_text() -> None:
    commands = [each for name in COMMANDS for each in getattr(built(name), "commands", {"": built(name)}).values()]
    silent = [f"{command.name} {each.name}" for command in commands for each in command.params if not each.help]
    assert silent == []
    assert [command.name for command in commands if not command.help] == []


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("repro count densenet-", {"densenet-bc"}),
        ("repro table cifar1", {"cifar100"}),
        ("repro train resnet20 --recipe resnet-cifar10-w", {"resnet-cifar10-warmup"}),
        ("repro count resnet20 --flops m", {"macs"}),
    ],
)
def test_a_shell_completes_names(line: str, names: set[str]) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1), "_REPRO_COMPLETE": "complete_bash"}
    command = [sys.executable, "-m", "repro"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **words})
    assert set(answer.stdout.split()) == names


@pytest.mark.parametrize("typed", ["MyT", "myt", "MYT"])
def test_a_name_with_capital_letters_is_completed(typed: str) -> None:
    context = cast("Context", SimpleNamespace(params={}))
    assert completing(lambda: ["MyTable", "other"])(context, typed) == ["MyTable"]


def test_the_help_names_the_option_that_installs_completion(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--install-completion" in repro(capsys, "--help")[1]


@pytest.mark.slow
@pytest.mark.usefixtures("small_digits")
@pytest.mark.parametrize("before", [True, False])
def test_quiet_hides_notes_and_keeps_errors(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    monkeypatch.chdir(tmp_path)

    def quietly(*arguments: str) -> tuple[int, str, str]:
        return repro(capsys, "-q", *arguments) if before else repro(capsys, *arguments, "--quiet")

    training = ["train", "densenet", "--depth", "7", "--k", "4", "--dataset", "digits", "--epochs", "1"]
    status, out, err = quietly(*training)
    assert (status, err) == (0, "")
    assert "test error" in out
    assert quietly("table", "cifar100", "--output", "t.md") == (0, "", "")
    assert quietly("count", "resnet21")[::2] == (2, repro(capsys, "count", "resnet21")[2])
    assert quietly("table", "imagenet", "--check")[2].startswith("mismatch: imagenet")


def test_quiet_lasts_for_one_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["table", "cifar100", "--output", str(tmp_path / "t.md")]
    wrote = f"wrote {tmp_path / 't.md'}\nnext: repro table cifar100 --run\n"
    assert [repro(capsys, *quiet, *command)[2] for quiet in (["-q"], [])] == ["", wrote]


@pytest.mark.parametrize(
    ("module", "install"), [("fvcore.nn", "fvcore"), ("PIL", "pillow"), ("sklearn", "scikit-learn")]
)
def test_a_missing_dependency_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: str, install: str
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr("repro.cli.count.chosen_network", missing)
    line = f"error: the package {module.split('.')[0]} is not installed: pip install {install}\n"
    assert repro(capsys, "count", "resnet20") == (2, "", line)


def test_a_missing_module_of_the_program_itself_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'repro.lost'", name="repro.lost")

    monkeypatch.setattr("repro.cli.count.chosen_network", missing)
    with pytest.raises(ModuleNotFoundError, match=r"repro\.lost"):
        main(["count", "resnet20"])


def test_no_message_names_another_distribution() -> None:
    """The name `repro` belongs to another project on the package index."""
    files = [*Path(package.__file__).parent.rglob("*.py")]
    pattern = re.compile(r"pip install ['\"]?repro\b")
    assert [str(path) for path in files if pattern.search(path.read_text())] == []


@pytest.mark.parametrize(
    ("command", "following"),
    [
        ("count resnet20", "repro train resnet20 --shortcut A --dataset cifar10"),
        ("count xception", "repro train xception --dataset imagenet-299"),
        ("table cifar100", "repro table cifar100 --run"),
        ("list tables", "repro table cifar100"),
        ("list models", "repro count resnet20"),
        ("list recipes", "repro list recipes resnet-cifar10"),
    ],
)
def test_an_answer_ends_with_the_next_useful_command(
    capsys: pytest.CaptureFixture[str], command: str, following: str
) -> None:
    *words, last = command.split()
    assert repro(capsys, *words, last)[2].splitlines()[-1] == f"next: {following}"
    assert "next:" not in repro(capsys, "--quiet", *words, last)[2]
    assert "next:" not in repro(capsys, *words, last, "--format", "json")[2]


def test_a_table_with_runs_that_others_train_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = cast(Comparison, SimpleNamespace(table=read_table("cifar100"), rows=[], deviating=[]))
    given = {"rows": "ResNet*", "seeds": 2, "results": Path("results"), "precision": "bf16", "data": None}
    again = "repro table cifar100 --run --rows 'ResNet*' --seeds 2 --precision bf16"
    assert after_table(empty, given, trained=False) == again
    assert after_table(empty, given) == "repro table"
    own = given | {"data": Path("own"), "runs": Path("runs")}
    assert after_table(empty, own) == "repro table --data own"
    assert after_table(empty, own, trained=False) == f"{again} --data own"
    monkeypatch.setenv("REPRO_DATA", "own")
    assert after_table(empty, own, trained=False) == again


def test_the_next_command_is_about_the_rows_that_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = repro(capsys, "table", "imagenet", "--rows", "ResNet-34")[2].splitlines()[-1]
    assert shown == "next: repro table imagenet --run --rows ResNet-34"


def test_the_next_command_names_each_paper_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    named = SimpleNamespace(named=(Path("mine"), Path("mine2")))
    monkeypatch.setattr("repro.recipes.library.current_library", lambda: named)
    suggest("repro train resnet20 --papers mine2")
    assert capsys.readouterr().err == "next: repro train resnet20 --papers mine2 --papers mine\n"


@COUNTS_ALL
def test_the_next_command_has_the_folders_of_this_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, small_digits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    tiny = ("train", "wrn", "--depth", "10", "--k", "1", "--dataset", "digits", "--epochs", "1", "--device", "cpu")
    name = experiment_for("wrn", {"depth": 10, "k": 1}, seed=0, dataset="digits", epochs=1).name
    answers = {
        (*tiny, "--runs", "other", "--results", "own"): "repro list runs --runs other",
        ("list", "runs", "--runs", "other"): f"repro eval {name} --runs other",
        ("eval", f"other/{name}"): "repro list runs --runs other",
        ("eval", f"other/{name}/checkpoint.pt"): "repro list runs --runs other",
        ("list", "runs", "--runs", "none"): "repro train resnet20 --dataset digits --runs none",
        ("eval", "wrn", "--runs", "other", "--results", "own"): "repro list runs --runs other",
        ("table", "cifar100", "--results", "own"): "repro table cifar100 --run --results own",
        ("table", "--results", "own"): "repro table cifar100 --results own",
    }
    for typed, following in answers.items():
        assert repro(capsys, *typed)[2].splitlines()[-1] == f"next: {following}"
