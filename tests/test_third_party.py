"""State dicts of others in our networks: the same outputs, known names, one line for each mistake, real checkpoints."""

import errno
import gzip
import hashlib
import json
import os
import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from commands import repro
from safetensors.torch import save_file
from torch import Tensor, nn
from watching import Silent, train_one

from repro.data import DATASETS, SHIPPED
from repro.data.inputs.protocol import ONE_CROP, Averaged, Protocol, Views
from repro.errors import UserError
from repro.evaluation import weights_file
from repro.evaluation.channels import from_centred, orders, to_centred
from repro.evaluation.export import exported_network, with_names
from repro.evaluation.layouts import Normalisation, layout_named, layouts, theirs
from repro.evaluation.mapping import Receiver, insert
from repro.evaluation.state_dicts import KEYS, PREFIXES, StateDict, common_prefix, read_state_dict
from repro.evaluation.weights_file import Printed, printed_beside
from repro.experiment import experiment_for
from repro.models import OptionValue, build, resolve_options
from repro.models.resnet import ZeroPadShortcut
from repro.paths import Folders
from repro.runtime import Runtime

BC: dict[str, OptionValue] = {"depth": 22, "k": 6}
WRN: dict[str, OptionValue] = {"depth": 16, "k": 2}
NETWORKS: list[tuple[str, str, dict[str, OptionValue], str]] = [
    ("akamaster", "resnet20", {}, "cifar10"),
    ("akamaster", "resnet20", {"shortcut": "B"}, "cifar10"),
    ("chenyaofo", "resnet32", {"shortcut": "B"}, "cifar100"),
    ("gpleiss", "densenet-bc", BC, "cifar10"),
    ("kuangliu", "resnet18", {}, "cifar10"),
    ("kuangliu", "resnet50", {}, "cifar10"),
    ("repro", "wrn", WRN, "cifar10"),
    ("timm", "resnet20", {}, "cifar10"),
    ("timm", "resnet18", {}, "imagenet"),
    ("timm", "mobilenetv2", {}, "imagenet"),
    ("torchvision", "alexnet", {}, "imagenet"),
    ("torchvision", "resnet20", {}, "cifar10"),
    ("torchvision", "resnet18", {}, "imagenet"),
    ("torchvision", "mobilenetv2", {}, "imagenet"),
    ("weiaicunzai", "resnet18", {}, "cifar100"),
    ("weiaicunzai", "resnet50", {}, "cifar100"),
    ("xternalz", "wrn", WRN, "cifar100"),
]
"""A layout, and a network of ours that it names."""
KNOWN = {
    "akamaster resnet20": ("conv1.weight", "layer2.0.conv1.weight", "layer3.2.bn2.running_var", "linear.bias"),
    "chenyaofo resnet32": ("bn1.weight", "layer1.4.conv2.weight", "layer3.0.downsample.1.bias", "fc.bias"),
    "gpleiss densenet-bc": (
        "features.conv0.weight",
        "features.denseblock1.denselayer3.norm1.running_mean",
        "features.denseblock1.denselayer3.conv2.weight",
        "features.transition2.conv.weight",
        "features.norm_final.bias",
        "classifier.bias",
    ),
    "kuangliu resnet50": ("conv1.weight", "layer4.2.bn3.weight", "layer1.0.shortcut.0.weight", "linear.weight"),
    "timm mobilenetv2": (
        "conv_stem.weight",
        "blocks.0.0.conv_pw.weight",
        "blocks.0.0.bn2.bias",
        "blocks.5.2.conv_pwl.weight",
        "blocks.6.0.bn3.running_var",
        "conv_head.weight",
        "bn2.weight",
        "classifier.bias",
    ),
    "weiaicunzai resnet50": (
        "conv1.0.weight",
        "conv2_x.0.residual_function.7.weight",
        "conv5_x.2.residual_function.3.weight",
        "conv3_x.0.shortcut.1.running_mean",
        "fc.weight",
    ),
    "xternalz wrn": (
        "conv1.weight",
        "block1.layer.0.convShortcut.weight",
        "block3.layer.1.bn2.running_mean",
        "block2.layer.1.conv2.weight",
        "bn1.bias",
        "fc.bias",
    ),
}
"""Names in the files of the repositories, read in their code."""


def randomly(model: str, options: Mapping[str, OptionValue], dataset: str) -> Receiver:
    """Return a network with random weights and statistics, in evaluation mode."""
    torch.manual_seed(0)
    data = DATASETS[dataset]
    chosen = resolve_options(model, options, dataset)
    network = build(model, chosen, classes=data.classes, input=data.input).eval()
    for name, value in network.state_dict().items():
        if name.endswith(("running_mean", "running_var", "bias")) or value.dim() == 1:
            value.uniform_(0.5, 1.0)
    return Receiver(network, model, chosen, dataset)


def empty(receiver: Receiver) -> Receiver:
    """Return the same network with other weights."""
    data = DATASETS[receiver.dataset]
    network = build(receiver.model, receiver.options, classes=data.classes, input=data.input).eval()
    return replace(receiver, network=network)


def published(receiver: Receiver, layout: str) -> dict[str, Tensor]:
    """Return the state dict of a network as a layout has it."""
    return with_names(receiver.network.state_dict(), layout, receiver.model, receiver.options)


@pytest.fixture(scope="module")
def ours() -> Receiver:
    return randomly("resnet20", {}, "cifar10")


@pytest.mark.parametrize(("layout", "model", "options", "dataset"), NETWORKS)
@torch.inference_mode()
def test_a_state_dict_with_the_names_of_a_layout_gives_the_same_logits(
    layout: str, model: str, options: dict[str, OptionValue], dataset: str
) -> None:
    receiver = randomly(model, options, dataset)
    state = published(receiver, layout)
    other = empty(receiver)
    mapping = insert(other, StateDict(Path("f"), dict(reversed(state.items()))))
    assert layout in [each.name for each in mapping.layouts]
    images = torch.randn(2, 3, 64, 64) if dataset == "imagenet" else torch.randn(2, 3, 32, 32)
    logits = receiver.network(images)
    assert logits.isfinite().all()
    assert torch.equal(other.network(images), logits)


def test_every_layout_is_tested() -> None:
    assert {layout for layout, *_ in NETWORKS} == set(layouts())
    assert {f"{layout} {model}" for layout, model, *_ in NETWORKS} >= set(KNOWN)


@pytest.mark.parametrize(("layout", "model", "options", "dataset"), NETWORKS)
def test_names_are_those_of_the_repository(
    layout: str, model: str, options: dict[str, OptionValue], dataset: str
) -> None:
    with torch.device("meta"):
        network = build(model, options, classes=10, input=DATASETS[dataset].input)
    _, networks = layout_named(layout, model, resolve_options(model, options, dataset))
    names = theirs(networks, network.state_dict())
    assert len(set(names.values())) == len(names)
    assert set(KNOWN.get(f"{layout} {model}", ())) <= set(names.values())
    if layout != "repro" and model != "alexnet":
        assert not [ours for ours, their in names.items() if ours == their and not ours.startswith("classifier")]


@torch.inference_mode()
def test_channels_are_permuted_exactly(ours: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that pads on both sides, with permuted weights, computes what ours does."""
    images = torch.randn(2, 3, 32, 32)
    logits = ours.network(images)
    centred = empty(ours)
    centred.network.load_state_dict(to_centred(ours.network.state_dict()))
    assert (centred.network(images) - logits).abs().max() > 0.1 * logits.std()

    def both_sides(self: ZeroPadShortcut, x: Tensor) -> Tensor:
        half = self.new_channels // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))

    monkeypatch.setattr(ZeroPadShortcut, "forward", both_sides)
    torch.testing.assert_close(centred.network(images), logits, rtol=1e-4, atol=1e-4 * logits.abs().max().item())


def test_the_permutation_has_an_inverse(ours: Receiver) -> None:
    assert [order.sort().values.tolist() for order in orders()] == [list(range(width)) for width in (16, 32, 64)]
    state = ours.network.state_dict()
    again = from_centred(to_centred(state))
    assert all(torch.equal(again[name], value) for name, value in state.items())


@pytest.mark.parametrize("prefix", [*PREFIXES, "module._orig_mod."])
def test_prefixes_are_removed_only_from_all_names(prefix: str) -> None:
    assert common_prefix({f"{prefix}a": 0, f"{prefix}b": 0}) == prefix
    assert common_prefix({f"{prefix}a": 0, "b": 0}) == ""


def test_the_page_names_the_keys_and_the_prefixes() -> None:
    page = (Path(__file__).parents[1] / "docs" / "results.md").read_text(encoding="utf-8")
    sentence = r"The state dict may be under (.+?), or be the only .+? All names may begin with (.+?)\. Nothing"
    found = re.search(sentence, " ".join(page.split()))
    assert found
    assert [tuple(re.findall("`(.+?)`", each)) for each in found.groups()] == [KEYS, PREFIXES]


@pytest.mark.parametrize("key", ["", *KEYS])
def test_a_state_dict_is_found_in_its_file(key: str, ours: Receiver, tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in published(ours, "akamaster").items()}
    torch.save({key: state, "epoch": 3} if key else state, tmp_path / "net.pth")
    found = read_state_dict(tmp_path / "net.pth")
    assert (found.key, found.prefix) == (key, "module.")
    assert insert(empty(ours), found).permuted


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (lambda state: {"weights": state, "optimizer": {"lr": 0.1}}, "weights"),
        (lambda state: {"weights": state, "model": {"name": "resnet20", "depth": 20}}, "weights"),
        (lambda state: {"weights": state, "model": {"name": "resnet20", "args": {"depth": 20}}}, "weights"),
        (lambda state: {"state_dict": {"model": state}, "epoch": 3}, "state_dict.model"),
    ],
)
def test_the_only_state_dict_is_found(content: Callable[[Any], Any], key: str, ours: Receiver, tmp_path: Path) -> None:
    torch.save(content(published(ours, "akamaster")), tmp_path / "net.pth")
    assert read_state_dict(tmp_path / "net.pth").key == key


def test_without_known_names_order_and_shape_decide(ours: Receiver) -> None:
    own = ours.tensors
    state = {f"layer{index:03}.{name.rpartition('.')[2]}": value for index, (name, value) in enumerate(own.items())}
    other = empty(ours)
    mapping = insert(other, StateDict(Path("f"), state))
    assert (mapping.layouts, list(mapping.pairs)) == ((), list(own))
    assert all(torch.equal(value, own[name]) for name, value in other.tensors.items())
    statistics = [name for name in state if name.endswith("running_mean")]
    moved = {name: state[name] for name in [*[each for each in state if each not in statistics], *statistics]}
    with pytest.raises(
        UserError, match=r"its tensor 4, layer004\.running_var \(16,\), does not match stem\.1\.running"
    ):
        insert(empty(ours), StateDict(Path("f"), moved))
    with pytest.raises(UserError, match=r"no known layout and 96 tensors, and resnet20 has 97"):
        insert(empty(ours), StateDict(Path("f"), dict(list(state.items())[:-1])))


class Whole(nn.Module):
    """A module that is pickled whole."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def write_with(save: Callable[..., None], file: Path, *arrays: Any, **named: Any) -> None:
    """Write arrays as numpy does, without an extension of its own."""
    with file.open("wb") as opened:
        save(opened, *arrays, **named)


def itself() -> dict[str, Any]:
    """Return a dictionary that holds itself under the key of a state dict."""
    found = dict[str, Any]()
    found["model"] = found
    return found


Write = Callable[[Path, dict[str, Tensor]], object]
WRONG: dict[str, tuple[Write, str]] = {
    "absent": (lambda file, state: None, "does not exist; name the file of a state dict"),
    "folder": (lambda file, state: file.mkdir(), "is a folder; name the file of a state dict"),
    "empty": (lambda file, state: file.touch(), "is empty; copy or download it again"),
    "garbage": (lambda file, state: file.write_bytes(b"garbage" * 99), "is broken or needs objects other than tensors"),
    "cut": (
        lambda file, state: (torch.save(state, file), os.truncate(file, 20_000)),
        "is damaged (File is not a zip file)",
    ),
    "whole model": (
        lambda file, state: torch.save(Whole(), file),
        "a pickled model, not weights: it needs the object ",
    ),
    "old model": (
        lambda file, state: torch.save(Whole(), file, _use_new_zipfile_serialization=False),
        "holds a pickled model, not weights: it needs the object test_third_party.Whole, and nothing is unpickled "
        "here, since that could run code; if you trust it, save its weights in Python: torch.save(torch.load('",
    ),
    "arguments": (
        lambda file, state: torch.save({"state_dict": state, "args": Namespace(lr=1)}, file),
        "needs the object argparse.Namespace, and nothing is unpickled here, since that could run code; save only",
    ),
    "web page": (lambda file, state: file.write_text("\n<!DOCTYPE html>"), "is a web page; download the file itself"),
    "pointer": (
        lambda file, state: file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "is a pointer of Git LFS to a file; download the file itself",
    ),
    "npz": (lambda file, state: write_with(np.savez, file, a=np.ones(3)), "is a file of numpy; save its arrays as"),
    "npy": (
        lambda file, state: write_with(np.save, file, np.ones(3)),
        "is a file of numpy; save its arrays as tensors",
    ),
    "gzip": (
        lambda file, state: file.write_bytes(gzip.compress(b"weights")),
        "is a file compressed by gzip; unpack it with gunzip",
    ),
    "two dictionaries of tensors": (
        lambda file, state: torch.save({"params": state, "params_ema": state}, file),
        "params is of type dict, not a tensor; a state dict is at the top, under state_dict, model",
    ),
    "itself": (lambda file, state: torch.save(itself(), file), "model is of type dict, not a tensor"),
    "TorchScript": (lambda file, state: torch.jit.save(torch.jit.script(Whole()), str(file)), "a TorchScript archive"),
    "a tensor": (lambda file, state: torch.save(torch.zeros(1), file), "holds a Tensor, not a state dict"),
    "no tensors": (lambda file, state: torch.save({}, file), "has no tensors"),
    "an empty one": (lambda file, state: torch.save({"state_dict": {}, "epoch": 3}, file), "has no tensors"),
    "a number": (lambda file, state: torch.save({**state, "epoch": 3}, file), "epoch is of type int, not a tensor"),
    "NaN": (
        lambda file, state: torch.save({**state, "bn1.weight": torch.full((16,), torch.nan)}, file),
        "bn1.weight has NaN or infinite values",
    ),
    "integers": (
        lambda file, state: torch.save({**state, "bn1.weight": torch.ones(16, dtype=torch.int8)}, file),
        "bn1.weight has the type torch.int8",
    ),
    "classes": (
        lambda file, state: torch.save(
            {**state, "linear.weight": torch.zeros(100, 64), "linear.bias": torch.zeros(100)}, file
        ),
        "has 100 classes (linear.weight), and cifar10 has 10; name the dataset of these weights with --dataset",
    ),
    "shape": (
        lambda file, state: torch.save({**state, "conv1.weight": torch.zeros(64, 3, 3, 3)}, file),
        "conv1.weight has the shape (64, 3, 3, 3), and resnet20 needs (16, 3, 3, 3)",
    ),
    "missing": (
        lambda file, state: torch.save({name: each for name, each in state.items() if name != "bn1.bias"}, file),
        "has no bn1.bias for resnet20 (shortcut=A) with the names of akamaster",
    ),
    "surplus": (
        lambda file, state: torch.save({**state, "extra.weight": torch.zeros(1)}, file),
        "has the unexpected tensor extra.weight for resnet20 (shortcut=A) with the names of akamaster",
    ),
}


def test_the_content_of_a_file_counts_and_not_its_name(tmp_path: Path) -> None:
    state = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}
    save_file(state, tmp_path / "tensors.pth")
    torch.save(state, tmp_path / "torch.safetensors")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for each in tmp_path.iterdir():
        assert {name: value.tolist() for name, value in read_state_dict(each).tensors.items()} == {
            "a.weight": [[0, 1, 2], [3, 4, 5]],
            "a.bias": [1, 1],
        }


@pytest.mark.parametrize(
    ("prefix", "names", "kept", "removed"),
    [
        ("net.", ["net.0.weight", "net.2.weight"], "net.", ""),
        ("module.net.", ["net.0.weight", "net.2.weight"], "net.", "module."),
        ("module.", ["0.weight", "2.weight"], "", "module."),
        ("net.", ["net.0.weight", "head.weight"], "", "net."),
    ],
)
def test_a_prefix_that_our_names_have_too_stays(prefix: str, names: list[str], kept: str, removed: str) -> None:
    found = StateDict(Path("file"), {"0.weight": torch.ones(1)}, prefix=prefix).for_network(names)
    assert ([*found.tensors], found.prefix) == ([f"{kept}0.weight"], removed)


def test_a_number_format_that_torch_lacks_is_named(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    file = tmp_path / "a.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with pytest.raises(UserError, match=r"a\.safetensors has numbers in the format '?F4'?, which is not supported"):
        read_state_dict(file)


def test_the_hash_is_that_of_the_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is replaced while it is read."""
    file, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file({"a": torch.zeros(2)}, file, {"format": "pt"})
    save_file({"a": torch.ones(2)}, other)
    hashed = hashlib.sha256(file.read_bytes()).hexdigest()

    def read_and_replaced(path: Path) -> bytes:
        content = path.read_bytes()
        other.replace(path)
        return content

    monkeypatch.setattr("repro.evaluation.state_dicts.content_of", read_and_replaced)
    found = read_state_dict(file)
    assert (found.tensors["a"].tolist(), found.sha256, found.metadata) == ([0, 0], hashed, {"format": "pt"})


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ENOMEM])
def test_an_error_of_the_disk_is_not_taken_for_a_broken_file(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pt")

    def fails(path: Path) -> bytes:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "read_bytes", fails)
    with pytest.raises(UserError, match=rf"a\.pt cannot be read \({os.strerror(number)}\); the file may be intact$"):
        read_state_dict(tmp_path / "a.pt")


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_in_one_line(
    case: str, ours: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, line = WRONG[case]
    write(tmp_path / "net.pt", published(ours, "akamaster"))
    status, out, err = repro(capsys, "eval", "resnet20", "--weights", tmp_path / "net.pt")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {tmp_path / 'net.pt'}")
    assert line in err


@pytest.mark.parametrize(
    ("model", "line"), [("resnet32", "has no layer1.3.conv1.weight"), ("resnet8", "unknown model")]
)
def test_another_depth_is_refused(
    model: str, line: str, ours: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(published(ours, "akamaster"), tmp_path / "net.pt")
    status, _, err = repro(capsys, "eval", model, "--weights", tmp_path / "net.pt")
    assert (status, err.count("\n")) == (2, 1)
    assert line in err


def test_a_deeper_file_has_tensors_too_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(published(randomly("resnet32", {}, "cifar10"), "akamaster"), tmp_path / "net.pt")
    err = repro(capsys, "eval", "resnet20", "--weights", tmp_path / "net.pt")[2]
    assert "has the unexpected tensor layer1.3.conv1.weight for resnet20" in err


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--mean", "0.5,0.5,0.5"], "--mean and --std belong together"),
        (["--mean", "0.5,x,0.5", "--std", "1,1,1"], "--mean 0.5,x,0.5 is invalid: give numbers from 0 to 1"),
        (["--mean", "125,123,114", "--std", "63,62,67"], "--mean 125,123,114 is invalid: give numbers from 0"),
        (["--mean", "0.5,0.5,0.5", "--std", "1,0,1"], "--std 1,0,1 is invalid: each number must be above 0"),
        (["--mean", "0.5", "--std", "1"], "--mean and --std need 3 numbers each for cifar10"),
        (["--dataset", "digits"], "is unknown: no known repository trains this network with these names on digits"),
        (["--dataset", "isbi2012"], "resnet20 predicts one class for an image, and isbi2012 needs"),
        (["--set", "depth=20"], "resnet20 has no option depth; its options: shortcut"),
        (["--set", "shortcut=B"], "has no layer2.0.shortcut.0.weight for resnet20 (shortcut=B)"),
        (
            ["--protocol", "ten-crop", "--dataset", "digits", "--mean", "0,0,0", "--std", "1,1,1"],
            "--protocol is for image files; the images of digits are shown whole",
        ),
        (["--picture", "x.png"], "--picture needs a run of a U-Net"),
    ],
)
def test_impossible_requests_are_refused(
    more: list[str], line: str, ours: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(published(ours, "akamaster"), tmp_path / "net.pt")
    status, out, err = repro(capsys, "eval", "resnet20", "--weights", tmp_path / "net.pt", *more)
    assert (status, out) == (2, "")
    assert line in err.splitlines()[-1]


@pytest.mark.parametrize("option", ["--set", "--mean", "--std"])
def test_options_of_a_file_need_one(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    for source in ([], ["--weights", "torchvision"]):
        err = repro(capsys, "eval", "resnet18", *source, option, "a=1")[2]
        assert f"{option} requires --weights FILE" in err


def test_a_network_that_segments_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "net.pt")
    err = repro(capsys, "eval", "unet", "--weights", tmp_path / "net.pt")[2]
    assert "--weights FILE is for models that classify images, which unet does not" in err


@pytest.mark.usefixtures("small_digits")
def test_the_answer_says_what_was_read(ours: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.th"
    torch.save({"state_dict": {f"module.{name}": each for name, each in published(ours, "akamaster").items()}}, file)
    command = [
        "eval",
        "resnet20",
        "--weights",
        file,
        "--dataset",
        "digits",
        "--mean",
        "0.5,0.4,0.3",
        "--std",
        "1,1,0.5",
    ]
    answer = json.loads(repro(capsys, *command, "--device", "cpu", "--format", "json")[1])
    facts = {
        name: answer[name] for name in ("file", "model", "options", "dataset", "layouts", "permuted", "mean", "std")
    }
    assert facts == {
        "file": str(file), "model": "resnet20", "options": {"shortcut": "A"}, "dataset": "digits",
        "layouts": ["akamaster"], "permuted": True, "mean": [0.5, 0.4, 0.3], "std": [1, 1, 0.5],
    }  # fmt: skip
    assert answer["mapping"]["stages.1.0.conv1.weight"] == "layer2.0.conv1.weight"
    assert (answer["normalised_as"], answer["printed"], answer["run"]) == ("--mean and --std", [], None)
    status, out, err = repro(capsys, *command, "--device", "cpu")
    assert status == 0
    for line in (
        f"with {file}: test error {answer['error']:.2f} %",
        "akamaster; 97 tensors under 'state_dict'; without the prefix 'module.'; channels reordered",
        "mean 0.5, 0.4, 0.3, std 1, 1, 0.5; from --mean and --std",
        "no table prints an error of this network on digits",
        "never counted in a verdict",
    ):
        assert line in out
    assert "->" not in out
    assert err.endswith("next: repro count resnet20 --shortcut A --dataset digits\n")


@pytest.mark.usefixtures("small_digits")
def test_a_mapping_by_order_is_shown(ours: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = {f"t{index}.{name.rpartition('.')[2]}": each for index, (name, each) in enumerate(ours.tensors.items())}
    torch.save(state, tmp_path / "net.pt")
    normalised = ["--dataset", "digits", "--mean", "0,0,0", "--std", "1,1,1", "--device", "cpu"]
    out = repro(capsys, "eval", "resnet20", "--weights", tmp_path / "net.pt", *normalised)[1]
    assert (
        "of no known layout; 97 tensors; the shortcuts in this file are assumed to pad zero channels at the end" in out
    )
    assert "by order, shape and kind; check it" in out
    assert "t96.bias -> classifier.bias" in out


@pytest.mark.parametrize("names", ["repro", "akamaster", "torchvision", "timm"])
@pytest.mark.usefixtures("small_digits")
def test_an_exported_run_has_the_same_error(
    names: str, shared: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = experiment_for("resnet20", {}, seed=0, dataset="digits", epochs=1)
    recipe = replace(experiment.recipe, batchnorm_epsilon=0.5)  # which changes the answers, and is not in the file
    experiment = replace(experiment, recipe=recipe)
    record = train_one(experiment, Runtime(device="cpu"), shared, Silent())
    file = tmp_path / "net.safetensors"
    places = ["--runs", shared.runs, "--results", shared.results]
    assert repro(capsys, "export", experiment.id, "--output", file, "--names", names, *places)[0] == 0
    source = layouts()[names].source
    card = file.with_suffix(".md").read_text()
    assert f"The tensors have the names of {source};" in " ".join(card.split())
    assert re.search(r"\| Epsilon of BatchNorm +\| 0.5 +\|", card)
    answer = json.loads(repro(capsys, "eval", "resnet20", "--weights", file, "--device", "cpu", "--format", "json")[1])
    assert (answer["error"], answer["dataset"], answer["run"]) == (record.error, "digits", record.name)
    assert names in answer["layouts"]
    given = [f"--{each}={','.join(map(str, answer[each]))}" for each in ("mean", "std")]
    again = json.loads(repro(capsys, "eval", "resnet20", "--weights", file, *given, "--format", "json")[1])
    assert (again["error"], again["normalised_as"]) == (record.error, "--mean and --std")
    _, out, err = repro(capsys, "eval", "resnet20", "--weights", file, "--device", "cpu", *places[:2])
    assert "from the exported file" in out
    assert f"next: repro eval {record.name} --runs {shared.runs}\n" in err
    elsewhere = ["--runs", tmp_path / "elsewhere", "--device", "cpu"]
    err = repro(capsys, "eval", "resnet20", "--weights", file, *elsewhere)[2]
    assert "next: repro count resnet20 --shortcut A --dataset digits\n" in err
    network, again = exported_network(file)
    assert again == experiment
    assert network.state_dict().keys() == empty(randomly("resnet20", {}, "digits")).network.state_dict().keys()


@pytest.mark.usefixtures("small_digits")
def test_an_exported_run_is_not_tested_for_the_record_of_others(
    folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = experiment_for("resnet20", {}, seed=0, dataset="digits", epochs=1)
    train_one(experiment, Runtime(device="cpu"), folders, Silent())
    file, places = tmp_path / "net.safetensors", ["--runs", folders.runs, "--results", folders.results]
    assert repro(capsys, "export", experiment.id, "--output", file, *places)[0] == 0
    monkeypatch.setattr(weights_file, "test", lambda *_: pytest.fail("tested"))
    status, _, err = repro(capsys, "eval", "resnet20", "--weights", file, "--record", *places, "--device", "cpu")
    assert status == 2
    assert f"--record is for weights published elsewhere; {file} was exported from run {experiment.name}" in err


def test_a_layout_without_names_for_a_network_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"xternalz has no names for the tensors of resnet20 .* akamaster, timm or torch"
    ):
        layout_named("xternalz", "resnet20", {"shortcut": "A"})
    with pytest.raises(UserError, match="unknown layout 'pytorch'"):
        layout_named("pytorch", "resnet20", {"shortcut": "A"})


def test_rules_of_layouts_are_for_our_networks() -> None:
    """Each rule of each layout changes a name of some network, so that none is left over."""
    used = set[tuple[str, str]]()
    for layout, model, options, dataset in NETWORKS:
        with torch.device("meta"):
            network = build(model, options, classes=10, input=DATASETS[dataset].input)
        _, networks = layout_named(layout, model, resolve_options(model, options, dataset))
        for name in network.state_dict():
            for rule in networks.names:
                used |= {(layout, rule.ours)} if rule.applied(name) != name else set()
                name = rule.applied(name)
    rules = {(each.name, rule.ours) for each in layouts().values() for some in each.networks for rule in some.names}
    assert rules == used


def test_a_checkpoint_of_ours_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"experiment": {}, "history": [], "network": {"weight": torch.zeros(1)}}, tmp_path / "checkpoint.pt")
    err = repro(capsys, "eval", "resnet20", "--weights", tmp_path / "checkpoint.pt")[2]
    assert "is a checkpoint of repro train; test it without --weights: repro eval" in err


def test_printed_errors_of_the_same_network_are_found(ours: Receiver) -> None:
    assert printed_beside(ours, ONE_CROP) == (Printed("resnet-cifar", "ResNet-20", "Error %", "8.75"),)
    ten = Protocol(views=Views.TEN_CROP, averaged=Averaged.PROBABILITIES)
    assert printed_beside(ours, ten) == printed_beside(replace(ours, dataset="cifar100"), ONE_CROP) == ()


def test_googlenet_is_normalised_as_torchvision_does_it() -> None:
    found = layouts()["torchvision"].normalisation_of("googlenet", {}, "imagenet")
    assert found is not None
    assert found.mean == found.std == (0.5, 0.5, 0.5)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_image_files_are_cropped_as_torchvision_does_it(
    tmp_path: Path,
    write_images: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Weights whose classifier has only a bias predict class 1 for every image: two errors out of three."""
    spec = replace(SHIPPED["imagenet"], classes=3, train_images=0, test_images=6)
    monkeypatch.setitem(SHIPPED, "imagenet", spec)
    write_images(tmp_path / "imagenet" / "val", classes=3, images=2, size=(300, 260))
    receiver = randomly("resnet18", {}, "imagenet")
    state = published(receiver, "torchvision")
    state["fc.weight"].zero_()
    state["fc.bias"].copy_(torch.tensor([0.0, 3.0, 0.0]))
    torch.save(state, tmp_path / "net.pth")
    command = ["eval", "resnet18", "--weights", tmp_path / "net.pth", "--data", tmp_path, "--workers", 0]
    answer = json.loads(repro(capsys, *command, "--device", "cpu", "--format", "json")[1])
    assert (answer["error"], answer["images"]) == (pytest.approx(100 * 2 / 3), 6)
    assert (answer["layouts"], answer["normalised_as"]) == (["timm", "torchvision"], "timm, torchvision")
    assert (answer["protocol"]["resize"], answer["protocol"]["crop"], answer["protocol"]["views"]) == (
        256,
        224,
        "one-crop",
    )
    assert answer["protocol"]["mean"] == answer["mean"] == [0.485, 0.456, 0.406]


def test_image_files_that_no_recipe_crops_are_refused() -> None:
    with pytest.raises(UserError, match="no recipe says how mobilenetv1 is tested on imagenet-299"):
        weights_file._procedure(randomly("mobilenetv1", {}, "imagenet-299"), Normalisation((0.5,) * 3, (1.0,) * 3))


@pytest.mark.parametrize(
    ("model", "error", "digits"),
    [
        ("resnet20", 8.27, "12fca82f"),
        ("resnet32", 7.37, "d509ac18"),
        ("resnet44", 6.90, "014dd654"),
        ("resnet56", 6.61, "4bfd9763"),
    ],
)
def test_published_checkpoints_have_their_published_errors(
    model: str, error: float, digits: str, real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The errors are those of the README of akamaster/pytorch_resnet_cifar10, on the 10,000 test images of CIFAR-10."""
    file = real_data / "akamaster" / f"{model}.th"
    if not file.is_file() or not (real_data / "cifar-10-batches-bin").is_dir():
        pytest.skip(f"needs CIFAR-10 and akamaster/{model}.th under $REPRO_DATA")
    status, out, _ = repro(capsys, "eval", model, "--weights", file, "--data", real_data, "--format", "json")
    answer = json.loads(out)
    assert (status, round(answer["error"], 2), answer["sha256"][:8]) == (0, error, digits)
    assert (answer["layouts"], answer["permuted"], answer["mean"]) == (["akamaster"], True, [0.485, 0.456, 0.406])
    assert [each["table"] for each in answer["printed"]] == ["resnet-cifar"]
