"""`repro export`: the same network again from the file, and the facts of its model card."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import wrap

import pytest
import torch
from commands import repro
from records import append_record, runs_behind
from safetensors import safe_open
from watching import Silent, assert_same, stop_at, train_one

from repro.comparison.join import compare
from repro.comparison.verdict import NOT_RULED_OUT, WIDER_MARGIN
from repro.data import load
from repro.errors import Stopped
from repro.evaluation import weights_file
from repro.evaluation.layouts import Normalisation
from repro.evaluation.normalisation import exported_normalisation
from repro.evaluation.state_dicts import StateDict
from repro.experiment import Experiment, experiment_for
from repro.paths import Folders
from repro.report.model_card import CardFacts, model_card
from repro.runtime import Runtime
from repro.store.protocol_tests import plain
from repro.store.results import ProtocolTest, Record
from repro.tables import Selection, read_table
from repro.training.checkpoints import checkpoint
from repro.training.initialise import network_of
from repro.training.tasks import kinds

CPU = Runtime(device="cpu")
Make = Callable[..., Experiment]
pytestmark = pytest.mark.usefixtures("small_digits")


def export(capsys: pytest.CaptureFixture[str], folders: Folders, *arguments: object) -> tuple[int, str, str]:
    return repro(capsys, "export", *arguments, "--runs", folders.runs, "--results", folders.results)


def loaded_by(card: str) -> dict[str, object]:
    """Run the code of a model card, and return its names."""
    code = re.search("```python\n(.+?)```", card, re.DOTALL)
    assert code
    names: dict[str, object] = {}
    exec(code[1], names)
    return names


def test_the_card_loads_a_network_with_the_same_logits(
    tiny: Make,
    folders: Folders,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = train_one(tiny(), CPU, folders, Silent())
    status, out, err = export(capsys, folders, tiny().id, "--output", tmp_path / "net.safetensors")
    assert (status, out) == (0, "")
    assert f"wrote {tmp_path / 'net.safetensors'} and its model card, {tmp_path / 'net.md'}" in err
    assert export(capsys, folders, tiny().id, "--output", tmp_path / "net.safetensors")[0] == 0  # again
    (tmp_path / "README.md").write_text("# precious")
    refused = export(capsys, folders, tiny().id, "--output", tmp_path / "README.safetensors")
    assert refused[0] == 2
    assert f"would overwrite {tmp_path / 'README.md'}, which is another file" in refused[2]
    assert not (tmp_path / "README.safetensors").exists()
    assert err.endswith(f"next: repro eval densenet --weights {tmp_path / 'net.safetensors'}\n")
    monkeypatch.chdir(tmp_path)
    card = (tmp_path / "net.md").read_text()
    found = loaded_by(card)
    ours = network_of(tiny()).eval()
    ours.load_state_dict(checkpoint.load(folders.runs / record.name / checkpoint.NEWEST).tested)
    images = load("digits", tmp_path).test.pixels[:50, :, ::4, ::4] / 255  # type: ignore[union-attr]
    with torch.no_grad():
        assert torch.equal(found["network"](images), ours(images))  # type: ignore[operator]
    assert found["experiment"] == tiny()
    for line in (
        f"# {record.name}",
        f"Test error of these weights | {record.error:.2f} %",
        "Printed error               | no table has a row of this experiment",
        f"repro {record.version}, torch {record.torch}, fp32",
        "dropout=0.1",
    ):
        assert line in card


def test_the_card_of_a_finished_run_whose_record_is_elsewhere_says_that_it_is_finished(
    tiny: Make, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_one(tiny(), CPU, folders, Silent())
    elsewhere = replace(folders, results=tmp_path / "elsewhere")
    status, _, err = export(capsys, elsewhere, tiny().id, "--output", tmp_path / "net.safetensors")
    assert status == 0
    assert f"has no record in {tmp_path / 'elsewhere'}, so its card has no verdict on it; see --results" in err
    assert re.search(r"steps: finished +\|", (tmp_path / "net.md").read_text())


@pytest.mark.parametrize("file", ["", checkpoint.NEWEST])
def test_the_next_command_finds_a_run_that_was_named_by_its_folder_or_a_checkpoint(
    file: str,
    tiny: Make,
    folders: Folders,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train_one(tiny(), CPU, folders, Silent())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("repro.cli.export.classifies", lambda dataset: False)  # such runs are tested as runs
    elsewhere = folders.runs.rename(tmp_path / "elsewhere")
    err = repro(capsys, "export", elsewhere / tiny().name / file, "--results", folders.results)[2]
    assert err.endswith(f"next: repro eval {tiny().name} --runs elsewhere\n")


def test_a_run_with_a_moving_average_is_exported_with_its_average(
    tiny: Make, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file

    experiment, path = tiny(epochs=1, ema=0.9), tmp_path / "net.safetensors"
    record = train_one(experiment, CPU, folders, Silent())
    assert export(capsys, folders, experiment.id, "--output", path)[0] == 0
    saved = checkpoint.load(folders.runs / experiment.name / checkpoint.NEWEST)
    assert saved.average
    assert not torch.equal(saved.average["classifier.weight"], saved.network["classifier.weight"])
    assert_same(load_file(path), dict(saved.average))
    answer = json.loads(repro(capsys, "eval", "densenet", "--weights", path, "--device", "cpu", "--format", "json")[1])
    assert answer["error"] == record.error


def test_the_card_and_the_file_have_the_mean_and_std_of_the_training_images(
    tiny: Make, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, path = train_one(tiny(), CPU, folders, Silent()), tmp_path / "net.safetensors"
    assert not tiny().recipe.mean
    assert export(capsys, folders, tiny().id, "--output", path)[0] == 0
    pixels = load("digits", tmp_path).train.pixels / 255  # type: ignore[union-attr]
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    mean, std = (json.loads(metadata[name]) for name in ("mean", "std"))
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), rel=1e-4)
    assert std == pytest.approx(pixels.std((0, 2, 3)).tolist(), rel=1e-4)
    shown = [f"{name}: {', '.join(f'{each:.6g}' for each in of)}" for name, of in (("mean", mean), ("std", std))]
    card = " ".join(path.with_suffix(".md").read_text().split())
    assert f"normalised as in training ({'; '.join(shown)})" in card
    monkeypatch.setattr(weights_file, "exported_experiment", lambda found: None)  # as of a network with another name
    monkeypatch.setattr(weights_file, "load", kinds.load)
    arguments = ("eval", "densenet", "--weights", path, "--dataset", "digits", "--set", "depth=7", "--set", "k=4")
    status, out, err = repro(capsys, *arguments, "--device", "cpu", "--format", "json")
    assert status == 0, err
    answer = json.loads(out)
    assert (answer["error"], answer["mean"], answer["std"]) == (record.error, mean, std)
    assert answer["normalised_as"] == "the exported file"


@pytest.mark.parametrize("values", ["[0.5]", "[0.5, 0.5, 2.0]", "[0.5, 0.5, 0.0]", "0.5", "[", '["a", "b", "c"]'])
def test_a_std_that_no_images_have_is_not_used(values: str) -> None:
    metadata = {"experiment": "{}", "mean": "[0.5, 0.5, 0.5]", "std": values}
    assert exported_normalisation(StateDict(Path("net.safetensors"), {}, metadata=metadata), 3) is None
    right = StateDict(Path("net.safetensors"), {}, metadata={**metadata, "std": "[0.5, 0.5, 0.25]"})
    assert exported_normalisation(right, 3) == Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.25))


def test_an_older_checkpoint_without_mean_and_std_is_exported(
    tiny: Make, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment, path = tiny(epochs=1), tmp_path / "net.safetensors"
    record = train_one(experiment, CPU, folders, Silent())
    newest = folders.runs / experiment.name / checkpoint.NEWEST
    content = torch.load(newest, weights_only=True)
    del content["statistics"], content["checksum"]
    torch.save(content, newest)
    assert export(capsys, folders, experiment.id, "--output", path)[0] == 0
    card = " ".join(path.with_suffix(".md").read_text().split())
    assert "(mean: the training set's own; std: the training set's own)" in card
    answer = json.loads(repro(capsys, "eval", "densenet", "--weights", path, "--device", "cpu", "--format", "json")[1])
    assert (answer["error"], answer["mean"]) == (record.error, [])


def test_the_file_says_what_it_is(
    tiny: Make, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Stopped):
        train_one(tiny(), CPU, folders, stop_at(7))
    monkeypatch.chdir(tmp_path)
    assert export(capsys, folders, tiny().name)[0] == 0
    with safe_open(f"{tiny().name}.safetensors", "pt") as file:
        metadata = file.metadata()
    assert Experiment.from_json(json.loads(metadata.pop("experiment"))) == tiny()
    assert all(len(json.loads(metadata.pop(name))) == 3 for name in ("mean", "std"))
    assert metadata == {
        "format": "pt", "run": tiny().name, "error": "", "epochs": "1", "steps": "7", "finished": "false",
        "names": "repro", "version": metadata["version"],
    }  # fmt: skip
    card = Path(f"{tiny().name}.md").read_text()
    assert "1 epoch, 7 steps: not finished, of 2 epochs" in card
    assert "Test error" not in card


def test_the_card_of_a_row_tells_printed_error_and_verdict(
    folders: Folders, record: Callable[..., Record], tmp_path: Path
) -> None:
    from repro.api.tables import compared

    table = read_table("cifar100")
    runs = [record(seed=seed, error=22.5 + seed / 10, reported_epoch=290) for seed in range(2)]
    for each in runs:
        append_record(each, folders.results)
    comparison = compared([Selection(table, table.rows)], folders.results)[0]
    experiment = next(error for error in table.errors() if error.options == {"N": 4}).experiment(0)
    facts = CardFacts(experiment, 300, 234_600, True, 23.0, runs[0], comparison)
    card = model_card(facts, tmp_path / "net.safetensors")
    cell = facts.cells[0][1]
    for line in (
        "Test error of these weights | 23.00 %",
        "Test error of the run       | 22.50 %, after epoch 290",
        f"22.62 ({table.paper}, {table.title}, ",
        f"{cell.verdict.value}, of 2 runs: {cell.verdict.meaning}",
        "300 epochs, 234,600 steps: finished",
    ):
        assert line in card
    below = card.partition("```\n\n")[2]
    assert below.splitlines() == wrap(below, 100, break_on_hyphens=False)
    other = replace(facts, record=record(seed=7, deviations=["batch=32 (64)"]))
    card = model_card(other, tmp_path / "net.safetensors")
    assert f"{cell.verdict.value}, of 2 runs, without this one" in card
    assert "batch=32 (64)" in card


def test_the_card_names_the_column_the_statistic_and_the_protocol_of_a_printed_error(
    record: Callable[..., Record], tmp_path: Path
) -> None:
    table = read_table("classics")
    (row,) = table.matching("ResNet-18")
    (error,) = table.errors([row])
    tests = plain([ProtocolTest(protocol=error.protocol, error=27.5, error5=9.0, loss=None)])
    runs = [replace(each, error=30.0, tests=tests) for each in runs_behind(error, record, *[30.0] * 3)]
    facts = CardFacts(error.experiment(0), 90, 100, True, 30.0, runs[0], compare(table, runs, shown=[row]))
    card = " ".join(model_card(facts, tmp_path / "net.safetensors").split())
    printed = (
        f"27.88 ({table.paper}, {table.title}, ResNet-18; number of runs not printed, taken as one; 10 crops, prob"
    )
    for line in (
        "| Test error of these weights (1 crop) | 30.00 % |",
        f"| Printed: Top-1, 10 crops | {printed}",
        "| This run: Top-1, 10 crops | 27.50 % (10 crops, probabilities averaged) |",
        "| Verdict: Top-1, 10 crops | better than published, of 3 runs: our error is lower",
    ):
        assert line in card


@pytest.mark.parametrize(("n", "meaning"), [(1, WIDER_MARGIN), (2, NOT_RULED_OUT)])
def test_the_card_says_what_too_few_runs_means_for_their_number(
    record: Callable[..., Record], tmp_path: Path, n: int, meaning: str
) -> None:
    table = read_table("cifar100")
    (error,) = [each for each in table.errors() if each.options == {"N": 4}]
    runs = runs_behind(error, record, *[23.2] * n)
    facts = CardFacts(error.experiment(0), 300, 1, True, 23.2, runs[0], compare(table, runs))
    card = model_card(facts, tmp_path / "net.safetensors")
    assert f"too few runs ({n}): {meaning} |" in " ".join(card.split())


def test_the_card_writes_an_option_as_it_is_typed(tmp_path: Path) -> None:
    experiment = experiment_for("densenet", {"depth": 7, "k": 4, "bottleneck": False}, seed=0, dataset="digits")
    facts = CardFacts(experiment, 1, 1, False, None, None, None)
    assert "bottleneck = no" in model_card(facts, tmp_path / "net.safetensors")


def test_the_card_of_an_older_record_names_its_last_epoch(record: Callable[..., Record], tmp_path: Path) -> None:
    facts = CardFacts(experiment_for("denseresnet110", {"N": 4}, seed=0), 300, 234_600, True, None, record(), None)
    card = " ".join(model_card(facts, tmp_path / "net.safetensors").split())
    assert "| Test error of the run | 22.70 %, after epoch 300 |" in card


def test_the_card_shows_an_error_once_if_a_spreadsheet_cut_its_digits(
    record: Callable[..., Record], tmp_path: Path
) -> None:
    experiment = experiment_for("denseresnet110", {"N": 4}, seed=0)
    facts = CardFacts(experiment, 300, 234_600, True, 22.70000000000001, record(error=22.7), None)
    card = " ".join(model_card(facts, tmp_path / "net.safetensors").split())
    assert ("of these weights | 22.70 %" in card, "of the run" in card) == (True, False)


def test_the_card_of_a_detector_shows_the_ap_of_its_run(record: Callable[..., Record], tmp_path: Path) -> None:
    experiment = experiment_for("wrn18-fpn", {}, seed=0, dataset="coco")
    made = record(error=66.9, ap=33.1, reported_epoch=8, loss=None)
    facts = CardFacts(experiment, 12, 100, True, 66.0, made, None)
    card = " ".join(model_card(facts, tmp_path / "net.safetensors").split())
    assert "| Test AP of these weights | 34.00 % | | Test AP of the run | AP 33.10 %, after epoch 8 |" in card
    assert "error of" not in card
    assert "The input is `repro.models.detector.Scenes(images, [])`, where each image has the shape (3, height," in card
    assert "`labels` from 1 to 80 and `scores`" in card


def test_wrong_files_are_refused(
    tiny: Make, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    from repro.errors import UserError
    from repro.evaluation.export import exported_network

    for output, line in (
        (tmp_path / "net.pt", "net.pt: unknown extension (known: .safetensors)"),
        (tmp_path / "absent" / "net.safetensors", f"there is no folder {tmp_path / 'absent'}; create it"),
        (tmp_path, f"{tmp_path} is a folder; name a file in it, such as {tmp_path / 'NAME.safetensors'}"),
    ):
        status, _, err = export(capsys, folders, tiny().id, "--output", output)
        assert (status, err.count("\n")) == (2, 1)
        assert line in err
    assert "is neither a run in" in export(capsys, folders, tiny().id)[2]
    path = tmp_path / "other.safetensors"
    with pytest.raises(UserError, match=r"other\.safetensors does not exist"):
        exported_network(path)
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"other\.safetensors cannot be read as a safetensors file"):
        exported_network(path)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="was not written by repro export"):
        exported_network(path)
    save_file({"weight": torch.zeros(1)}, path, {"names": "repro", "experiment": json.dumps(tiny().to_json())})
    with pytest.raises(
        UserError, match=r"its tensor 1, weight \(1,\), does not match stem\.weight \(16, 3, 3, 3\) of densenet"
    ):
        exported_network(path)


def test_without_the_package_the_command_says_how_to_install_it(
    folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repro.cli.export.find_spec", lambda name: None)
    status, _, err = export(capsys, folders, "any")
    assert status == 2
    assert "exporting weights needs the package safetensors, which is not installed" in err
    assert "pip install safetensors" in err
