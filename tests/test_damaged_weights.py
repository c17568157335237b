"""Files of weights that are damaged or hold what no network has are refused in one line, as are broken images."""

import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import repro
from PIL import Image
from torch import Tensor

from repro.data.files import image_files
from repro.errors import UserError
from repro.evaluation.checkpoint_place import place_of_checkpoint
from repro.evaluation.state_dicts import read_state_dict
from repro.experiment import experiment_for
from repro.tensor_file import read_tensors
from repro.training.initialise import network_of

EXPERIMENT = experiment_for("wrn", {"depth": 10, "k": 1}, seed=0, dataset="digits", recipe_name="digits")
Weights = dict[str, Tensor]


def weights() -> Weights:
    return network_of(EXPERIMENT).state_dict()


def evaluated(file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the only line of an evaluation that must fail."""
    normalised = ["--mean", "0,0,0", "--std", "1,1,1"]
    words = ("eval", "wrn", "--set", "depth=10", "--set", "k=1", "--dataset", "digits", "--weights", file)
    status, _, err = repro(capsys, *words, *normalised)
    assert status == 2
    (line,) = [each for each in err.splitlines() if each.startswith("error:")]
    return line


def test_a_flipped_bit_in_weights_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    state = weights()
    torch.save(state, path)
    read_state_dict(path)
    content = bytearray(path.read_bytes())
    content[content.index(state["classifier.weight"].numpy().tobytes()) + 3] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"net\.pth is damaged \(checksum of .*\); download it again"):
        read_state_dict(path)


def test_weights_that_would_be_inflated_are_refused(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "stored.pth")
    stored = zipfile.ZipFile(tmp_path / "stored.pth")
    with stored, zipfile.ZipFile(tmp_path / "net.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in stored.namelist():
            archive.writestr(name, stored.read(name))
    with pytest.raises(UserError, match="is compressed"):
        read_state_dict(tmp_path / "net.pth")


@pytest.mark.parametrize("protocol", [3, 4])
def test_weights_in_a_pickle_of_another_protocol_are_refused_without_a_warning(tmp_path: Path, protocol: int) -> None:
    torch.save({"weights": Path("elsewhere")}, tmp_path / "net.pth", pickle_protocol=protocol)
    with pytest.raises(UserError, match="needs the object pathlib"):
        read_state_dict(tmp_path / "net.pth")
    with pytest.raises(UserError, match="has other objects than tensors"):
        read_tensors(tmp_path / "net.pth")


def test_what_is_not_a_file_is_refused_as_such(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for each in (Path("/dev/null"), tmp_path / "pipe"):
        with pytest.raises(UserError, match=f"{each} is not a file; name the file of a state dict"):
            read_state_dict(each)
        with pytest.raises(UserError, match=f"{each} is not a file; name a run or the file of a checkpoint"):
            place_of_checkpoint(str(each), tmp_path)


def first_as(change: Callable[[Tensor], Tensor]) -> Weights:
    state = weights()
    name = next(iter(state))
    return {**state, name: change(state[name])}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor:UserWarning")
@pytest.mark.parametrize(
    ("state", "what"),
    [
        ({7: torch.zeros(3)}, "7 is no name of a tensor"),
        ({"weight": torch.eye(2).to_sparse()}, "is a sparse tensor or has no values"),
        (first_as(lambda tensor: tensor.to("meta")), "is a sparse tensor or has no values"),
        (first_as(lambda tensor: tensor.to(torch.float8_e4m3fn)), "weights must be floating-point; save them in fp32"),
        (first_as(lambda tensor: tensor.to(torch.complex64)), "weights must be floating-point; save them in fp32"),
        ({**weights(), "classifier.bias": torch.tensor(1.0)}, "classifier.bias has the shape ()"),
    ],
)
def test_weights_that_no_network_has_are_refused(
    state: dict[str, Tensor], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(state, tmp_path / "net.pth")
    assert what in evaluated(tmp_path / "net.pth", capsys)


@pytest.mark.parametrize("error", [TypeError("Missing dimensions"), struct.error("no integer"), IndexError(3)])
def test_whatever_pillow_raises_for_a_broken_image_names_the_file(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "one.png")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(image_files, "upright", fail)
    with pytest.raises(UserError, match=r"one\.png cannot be read as an image"):
        image_files.read(tmp_path / "one.png")


@pytest.mark.parametrize("arguments", [["wrn", "--dropout"], ["densenet", "--compression"], ["mobilenetv1", "--width"]])
def test_an_option_that_is_no_number_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = repro(capsys, "count", *arguments, "nan")
    assert status == 2
    assert "must be a number, not nan" in err
