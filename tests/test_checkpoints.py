"""Checkpoints as they may be handed to us: damaged, lying, of other versions, unreadable, or larger than they seem."""

import errno
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import repro
from safetensors.torch import save_file
from watching import Silent, assert_same, stop_at, train_one, weights

from repro.errors import RunFailed, Stopped, UserError
from repro.evaluation.evaluate import evaluate
from repro.experiment import Experiment
from repro.paths import Folders
from repro.runtime import Runtime
from repro.tensor_file import Damaged
from repro.training.checkpoints import checkpoint
from repro.training.engine.stacked import as_networks
from repro.training.initialise import initialised
from repro.training.runs.train import train

CPU = Runtime(device="cpu")
STACKED = Runtime(device="cpu", together="stacked")
Make = Callable[..., Experiment]
Content = dict[str, Any]
pytestmark = pytest.mark.usefixtures("small_digits")


@pytest.fixture
def newest(tiny: Make, folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newest of two checkpoints of a run that was stopped at step 8, in its second epoch."""
    trained = replace(folders, runs=tmp_path_factory.getbasetemp() / "stopped")
    if not trained.runs.exists():
        with pytest.raises(Stopped):
            train_one(tiny(), CPU, trained, stop_at(8))
    shutil.copytree(trained.runs, folders.runs)
    return folders.runs / tiny().name / checkpoint.NEWEST


def rewrite(path: Path, change: Callable[[Content], object], *, checksum: bool = False) -> None:
    """Change the content of a checkpoint, without its checksum unless asked for."""
    content = torch.load(path, weights_only=True)
    if not checksum:
        del content["checksum"]
    change(content)
    torch.save(content, path)


def flips(size: int) -> Iterator[tuple[int, int]]:
    """Yield bits: 200 anywhere in a file, and 300 in its last bytes, which list its entries."""
    draws = random.Random(0)
    for begin, number in ((0, 200), (size - 6000, 300)):
        for _ in range(number):
            yield draws.randrange(max(0, begin), size), 1 << draws.randrange(8)


def test_a_flipped_bit_is_damage_or_changes_nothing(newest: Path) -> None:
    whole, right = newest.read_bytes(), checkpoint.load(newest)
    found = 0
    for place, bit in flips(len(whole)):
        content = bytearray(whole)
        content[place] ^= bit
        newest.write_bytes(content)
        try:
            saved = checkpoint.load(newest)
        except Damaged:
            found += 1
        else:
            assert_same(saved.network, right.network)
            assert (saved.step, saved.history, saved.experiment) == (right.step, right.history, right.experiment)
    assert found > 100


def test_damaged_weights_with_right_checksums_of_the_archive_are_found(newest: Path) -> None:
    """The case of a bit that flips in memory, or of an entry that claims to be a folder, which torch does not read."""
    rewrite(newest, lambda content: content["network"]["classifier.bias"][0].add_(1e-6), checksum=True)
    with pytest.raises(Damaged, match=r"checkpoint.pt is damaged \(checksum of its content\)"):
        checkpoint.load(newest)


def test_evaluation_and_training_use_the_checkpoint_before_a_damaged_one(
    newest: Path, tiny: Make, folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(newest, lambda content: content.update(seconds=1.0), checksum=True)
    assert evaluate(tiny().name, folders, CPU).steps == 6
    assert (
        "checkpoint.pt is damaged (checksum of its content); using the previous checkpoint" in capsys.readouterr().err
    )
    watcher = Silent()
    train_one(tiny(), CPU, folders, watcher)
    assert "is damaged" in watcher.said[1]
    assert "resuming from step 6" in watcher.said[2]


def test_the_checkpoint_before_one_that_holds_other_objects_is_used(newest: Path) -> None:
    """Nothing of the program writes such objects, and they are never unpickled."""
    content = torch.load(newest, weights_only=True)
    torch.save({**content, "experiment": Path("elsewhere")}, newest)
    saved, warning = checkpoint.load_newest(newest.parent)
    assert saved
    assert saved.step == 6
    reason = "is damaged or not a checkpoint (it has other objects than tensors); using the previous checkpoint"
    assert warning == f"{newest} {reason}"


def test_a_checkpoint_without_a_checksum_is_read(newest: Path) -> None:
    """As earlier versions wrote it."""
    right = checkpoint.load(newest)
    rewrite(newest, lambda content: None)
    saved = checkpoint.load(newest)
    assert_same(saved.network, right.network)
    assert saved.step == right.step == 8


def cast_to(dtype: torch.dtype) -> Callable[[Content], object]:
    """Return what gives a tensor a type that training does not save."""
    return lambda content: content["network"].update(extra=torch.zeros(2, dtype=dtype))


LIES: dict[str, tuple[Callable[[Content], object], str]] = {
    "network": (lambda content: content.update(network=[1]), "Expected `object`, got `array` - at `$.network`"),
    "weight": (lambda content: content["network"].update(extra="1"), "Expected a tensor, got str"),
    **{
        dtype: (cast_to(getattr(torch, dtype)), f"a tensor has the type torch.{dtype}")
        for dtype in ("float8_e4m3fn", "complex64", "float16")
    },
    "step": (lambda content: content.update(step="8"), r"Expected `int`, got `str` - at `$.step`"),
    "beyond": (lambda content: content.update(step=13), "step 13 is invalid"),
    "untested": (lambda content: content.update(step=5), "step 5 is invalid"),
    "missing": (lambda content: content.pop("rng"), "missing required field `rng`"),
    "unknown": (lambda content: content.update(ema={}), "unknown field `ema`); a later version may have written it"),
    "switch": (lambda content: content["runtime"].update(turbo=True), "runtime has an unknown key turbo"),
    "curve": (lambda content: content["history"][0].update(f1=1.0), "history has an unknown key f1"),
    "epochs": (lambda content: content["history"].append(content["history"][0]), "do not follow each other"),
    "sums": (lambda content: content.update(sums=torch.zeros(3)), "sums has the shape (3,), not (2,)"),
    "rng": (lambda content: content.update(rng=[]), "rng has no state for each process"),
    "value": (lambda content: content["experiment"]["values"].update(epochs="2"), "invalid value '2' for epochs"),
    "option": (lambda content: content["experiment"]["options"].update(k=[1]), "at `$.experiment.options"),
    "recipe": (lambda content: content["experiment"].update(recipe="none"), "its recipe none is unknown here"),
    "repeated": (
        lambda content: content["network"].update(big=torch.zeros(1).expand(1 << 14, 1 << 20)),
        "a tensor of 68,719,476,736 bytes repeats fewer values",
    ),
    "laughs": (lambda content: content["optimizer"].update(state={0: {"a": [[]]}}), "Expected a tensor, got list"),
    "format": (lambda content: content.update(format=2), "was written by a later version of repro (format 2)"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_checkpoint_that_lies_is_refused_with_its_own_reason(lie: str, newest: Path) -> None:
    """It is not damaged, so nothing advises to remove it, and the checkpoint before is not used instead."""
    change, reason = LIES[lie]
    rewrite(newest, change)
    with pytest.raises(UserError) as refused:
        checkpoint.load_newest(newest.parent)
    assert reason in str(refused.value)
    assert "checkpoint.pt" in str(refused.value)
    assert "remove" not in str(refused.value)
    assert not isinstance(refused.value, Damaged)


def momentum(content: Content) -> Content:
    found: Content = content["optimizer"]["state"][0]
    return found


MISMATCHES: dict[str, tuple[Callable[[Content], object], str]] = {
    "total": (lambda content: content.update(total=13), "it has 13 steps instead of 12"),
    "history": (lambda content: content["history"][0].update(step=5), "its history has other epochs"),
    "epoch": (lambda content: content.update(history=[]), "step 8 is not in epoch 1"),
    "momentum": (
        lambda content: momentum(content).update(momentum_buffer=torch.zeros(1)),
        "momentum of shape (1,) is for no parameter of shape",
    ),
    "parameter": (
        lambda content: content["optimizer"]["state"].update({999: momentum(content)}),
        "the optimizer has no parameter 999",
    ),
    "forgotten": (lambda content: content["optimizer"].update(state={}), "its momentum is missing"),
    "average": (
        lambda content: content.update(average=content["network"]),
        "its moving average is missing, or its recipe has none",
    ),
}


@pytest.mark.parametrize("mismatch", MISMATCHES)
def test_a_state_that_the_run_cannot_have_is_not_trained_on(
    mismatch: str, newest: Path, tiny: Make, folders: Folders
) -> None:
    change, reason = MISMATCHES[mismatch]
    rewrite(newest, change)
    before = newest.read_bytes()
    with pytest.raises(UserError) as refused:
        train_one(tiny(), CPU, folders, Silent())
    assert reason in str(refused.value)
    assert "is not from this run" in str(refused.value)
    assert newest.read_bytes() == before


def stopped_at(step: int, experiments: Sequence[Experiment], folders: Folders) -> None:
    with pytest.raises(Stopped):
        train(experiments, STACKED, folders, stop_at(step))


def test_a_checkpoint_without_the_average_of_its_recipe_is_not_trained_on(tiny: Make, folders: Folders) -> None:
    experiment = tiny(ema=0.9)
    stopped_at(2, [experiment], folders)
    rewrite(folders.runs / experiment.name / checkpoint.NEWEST, lambda content: content.update(average=None))
    with pytest.raises(UserError, match="is not from this run: its moving average is missing"):
        train_one(experiment, CPU, folders, Silent())


def test_stacked_seeds_are_not_trained_on_if_one_has_less_momentum(tiny: Make, folders: Folders) -> None:
    seeds = [tiny(seed, dropout=0.0) for seed in (0, 1)]
    stopped_at(2, seeds, folders)
    newest = folders.runs / seeds[1].name / checkpoint.NEWEST
    rewrite(newest, lambda content: content["optimizer"]["state"].pop(0))
    with pytest.raises(UserError, match="is not from this run: the momentum of one seed is missing"):
        train(seeds, STACKED, folders, Silent())


def test_a_weight_of_another_shape_is_not_repeated_for_one_of_several_seeds(tiny: Make) -> None:
    """`copy_` would broadcast it."""
    networks = as_networks([initialised(tiny(seed, dropout=0.0)) for seed in (0, 1)])
    smaller = {name: each.flatten()[:1] for name, each in networks.state_of(0).items()}
    with pytest.raises(RuntimeError, match="has another shape"):
        networks.load_state_of(1, smaller)


def test_a_key_with_an_older_name_is_read(newest: Path, tiny: Make, folders: Folders) -> None:
    rewrite(newest, lambda content: content.update(sittings=content.pop("sessions") + 2))
    assert train_one(tiny(), CPU, folders, Silent()).sessions == 4


def test_the_settings_of_a_checkpoint_do_not_overrule_the_recipe(newest: Path, tiny: Make, folders: Folders) -> None:
    """Without weight decay and Nesterov momentum, the run would end with other weights under the same ID."""
    other = replace(folders, runs=folders.runs.parent / "other", results=folders.results / "other")
    shutil.copytree(newest.parent, other.runs / tiny().name)
    train_one(tiny(), CPU, other, Silent())
    settings = {"weight_decay": 0.0, "nesterov": False, "momentum": 0.0, "maximize": True}
    rewrite(newest, lambda content: content["optimizer"]["param_groups"][0].update(settings))
    train_one(tiny(), CPU, folders, Silent())
    assert_same(weights(folders, tiny()), weights(other, tiny()))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE, errno.ENOMEM])
def test_a_checkpoint_that_cannot_be_read_now_is_never_called_damaged(
    number: int, newest: Path, tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path) -> bytes:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fails)
        with pytest.raises(UserError) as refused:
            checkpoint.load_newest(newest.parent)
    assert f"checkpoint.pt cannot be read ({os.strerror(number)}); the file may be intact" in str(refused.value)
    assert "remove" not in str(refused.value)
    assert checkpoint.load_newest(newest.parent)[1] is None


def test_removal_is_advised_only_if_all_checkpoints_are_damaged(newest: Path) -> None:
    newest.write_bytes(b"")
    assert "checkpoint.pt is damaged" in str(checkpoint.load_newest(newest.parent)[1])
    before = newest.with_name(checkpoint.BEFORE)
    rewrite(before, lambda content: content.update(format=2))
    with pytest.raises(UserError, match="later version") as refused:
        checkpoint.load_newest(newest.parent)
    assert "remove" not in str(refused.value)
    before.write_bytes(b"")
    with pytest.raises(
        UserError, match=r"checkpoint\.pt is .*checkpoint\.previous\.pt is .*; remove .* to start again"
    ):
        checkpoint.load_newest(newest.parent)


OTHERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "safetensors": (
        lambda file: save_file({"a": torch.ones(1)}, file),
        "is a safetensors file, not a checkpoint of repro train; if it has weights, test them: repro eval MODEL",
    ),
    "old": (
        lambda file: torch.save({"a": torch.ones(1)}, file, _use_new_zipfile_serialization=False),
        "is a file that torch.save wrote before version 1.6, not a checkpoint of repro train; if it has weights, test",
    ),
    "weights": (
        lambda file: torch.save({"a": torch.ones(1)}, file),
        "holds tensors but is not a checkpoint of repro train; if they are weights, test them: repro eval",
    ),
    "model": (
        lambda file: torch.save(torch.nn.Linear(1, 1), file),
        "holds a pickled model, not weights: it needs the object torch.nn.modules.linear.Linear, and nothing",
    ),
    "page": (lambda file: file.write_text("<html>"), "is a web page, not a checkpoint of repro train; download"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_file_of_another_kind_is_not_called_damaged(case: str, tmp_path: Path) -> None:
    write, reason = OTHERS[case]
    write(tmp_path / checkpoint.NEWEST)
    with pytest.raises(UserError) as refused:
        checkpoint.load_newest(tmp_path)
    assert f"{tmp_path / checkpoint.NEWEST} {reason}" in str(refused.value)
    assert not isinstance(refused.value, Damaged)


def test_too_little_memory_is_not_damage(newest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(RunFailed, match="the memory is too small to read"):
        checkpoint.load_newest(newest.parent)


def repack(path: Path, compression: int, attributes: int) -> None:
    """Write the entries of an archive again, with other attributes."""
    with zipfile.ZipFile(path) as archive:
        entries = [(each.filename, archive.read(each)) for each in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    before, *listed = path.read_bytes().split(b"PK\1\2")
    listed = [each[:34] + attributes.to_bytes(4, "little") + each[38:] for each in listed]
    path.write_bytes(b"PK\1\2".join([before, *listed]))


@pytest.mark.parametrize(("compression", "attributes"), [(zipfile.ZIP_DEFLATED, 0), (zipfile.ZIP_STORED, 0x10)])
def test_archives_that_torch_does_not_write_are_refused_before_they_are_inflated(
    compression: int, attributes: int, newest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repack(newest, zipfile.ZIP_STORED, 0)
    checkpoint.load(newest)
    repack(newest, compression, attributes)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("inflated"))
    with pytest.raises(Damaged, match="is compressed or not a plain file"):
        checkpoint.load(newest)


@pytest.mark.parametrize("where", ["before", "after"])
def test_other_bytes_around_an_archive_are_refused(where: str, newest: Path) -> None:
    """Python and torch may find different entries in such a file."""
    content = newest.read_bytes()
    newest.write_bytes(content * 2 if where == "before" else content + b"\0")
    with pytest.raises(Damaged, match="is damaged or not a checkpoint"):
        checkpoint.load(newest)


def test_an_entry_whose_name_is_no_text_is_damage_in_one_line(newest: Path) -> None:
    """It ended in a UnicodeDecodeError."""
    content = newest.read_bytes()
    newest.write_bytes(content.replace(b"data.pkl", b"\xff\xfe\xfd.pkl"))
    with pytest.raises(Damaged, match="is damaged") as found:
        checkpoint.load(newest)
    assert "\n" not in str(found.value)
    _, warning = checkpoint.load_newest(newest.parent)
    assert warning == f"{found.value}; using the previous checkpoint"


def test_weights_that_are_no_numbers_are_not_trained_on(newest: Path, tiny: Make, folders: Folders) -> None:
    rewrite(newest, lambda content: content["network"]["classifier.bias"].fill_(float("nan")))
    with pytest.raises(RunFailed, match=r"has weights that are NaN or infinite, the first one in classifier\.bias"):
        train_one(tiny(), CPU, folders, Silent())


def test_weights_that_are_no_numbers_are_not_evaluated(newest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NaN is never the largest output: the answer was the share of the images whose class is not the first one."""
    rewrite(newest, lambda content: content["network"]["classifier.bias"].fill_(float("inf")))
    status, out, err = repro(capsys, "eval", newest, "--device", "cpu", "--format", "json")
    assert (status, out) == (1, "")
    assert "has weights that are NaN or infinite, the first one in classifier.bias" in err.splitlines()[-1]


def test_outputs_that_are_no_numbers_are_not_evaluated(newest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(newest, lambda content: content["network"]["classifier.weight"].fill_(3e38))
    status, _, err = repro(capsys, "eval", newest, "--device", "cpu")
    assert status == 1
    assert "has outputs that are NaN or infinite on the test images" in err
