"""`repro data`: what it downloads, verifies and reports."""

import hashlib
import json
import re
import tarfile
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import repro
from test_data import write_pickled

from repro import data
from repro.data import DATASETS, SHIPPED, sources
from repro.data.downloads import download
from repro.data.readers import cifar


@pytest.fixture
def small_cifar(server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Serve a small CIFAR-100 as the only dataset that is downloaded; returns the folder of the datasets."""
    address, served = server
    published = write_pickled(tmp_path / "made")
    archive = served / published.archive
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / published.pickled.folder, published.pickled.folder)
    published = replace(published, archive_md5=hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setitem(cifar.PUBLISHED, "cifar100", published)
    monkeypatch.setattr(cifar.Cifar, "urls", [f"{address}/{archive.name}"])
    monkeypatch.setattr(sources, "DOWNLOADED", ("cifar100",))
    monkeypatch.setattr("repro.cli.data.DOWNLOADED", ("cifar100",))
    monkeypatch.setattr(download, "PAUSES", ())
    return tmp_path / "data"


def states(answer: str) -> dict[str, Any]:
    return {each["name"]: each for each in json.loads(answer)["datasets"]}


def test_after_the_download_training_needs_no_network(
    small_cifar: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = repro(capsys, "data", "CIFAR-100", "--data", small_cifar)
    assert status == 0
    assert "complete" in out
    assert err.endswith("next: repro list recipes\n")
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("used the network"))
    assert len(data.load("cifar100", small_cifar).train) == 6
    assert repro(capsys, "data", "cifar100", "--data", small_cifar)[0] == 0


def test_without_a_name_all_that_can_be_downloaded_is_and_the_rest_is_explained(
    small_cifar: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = repro(capsys, "data", "--data", small_cifar, "--format", "json")
    found = states(out)
    assert status == 0
    assert list(found) == list(DATASETS)
    assert found["cifar100"] == {
        "name": "cifar100",
        "state": "complete",
        "folder": str(small_cifar / "cifar-100-python"),
        "bytes": sum(path.stat().st_size for path in (small_cifar / "cifar-100-python").iterdir()),
        "problem": None,
    }
    assert (found["digits"]["state"], found["digits"]["folder"]) == ("complete", None)
    assert found["imagenet"]["state"] == "missing"
    for line in (
        "imagenet is not in .* account at image-net.org",
        "isbi2012: .* put train-volume.tif",
        "segmentation: .* needs",
    ):
        assert re.search(line, err)


def test_a_check_downloads_and_writes_nothing(small_cifar: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = repro(capsys, "data", "--check", "--data", small_cifar, "--format", "json")
    assert (status, states(out)["cifar100"]["state"]) == (1, "missing")
    folder = small_cifar / "cifar-100-python"
    assert f"cifar100: {folder} does not exist; repro data cifar100 downloads it\n" in err
    assert not small_cifar.exists()


def test_a_changed_file_is_found(small_cifar: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repro(capsys, "data", "--data", small_cifar, "--quiet")
    (small_cifar / "cifar-100-python" / "test").write_bytes(b"changed")
    for arguments in (["--check"], ["--check", "cifar100"], ["cifar100"]):
        status, out, err = repro(capsys, "data", *arguments, "--data", small_cifar, "--format", "json", "--quiet")
        assert (status, states(out)["cifar100"]["state"]) == (1, "wrong")
        assert err.count("\n") == 1
        assert "test is not the published file (MD5 differs)" in err


def test_a_failed_download_is_reported_after_the_others(
    small_cifar: Path, server: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (server[1] / cifar.CIFAR100.archive).unlink()
    status, out, err = repro(capsys, "data", "cifar100", "digits", "--data", small_cifar, "--format", "json")
    assert status == 1
    assert [each["state"] for each in states(out).values()] == ["missing", "complete"]
    assert "cannot be downloaded (127.0.0.1" in err
    assert "404" in err


def test_image_files_are_counted(
    tmp_path: Path, write_images: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(DATASETS["tiny-imagenet-10"], train_images=10, test_images=10)
    monkeypatch.setitem(SHIPPED, "tiny-imagenet-10", small)
    folder = tmp_path / "tiny-imagenet-10"
    for split in ("train", "val"):
        write_images(folder / split, classes=10, images=1, size=(8, 8))
    out = repro(capsys, "data", "tiny-imagenet-10", "--check", "--data", tmp_path, "--format", "json")[1]
    found = states(out)["tiny-imagenet-10"]
    assert (found["state"], found["folder"]) == ("complete", str(folder))
    assert found["bytes"] == sum(path.stat().st_size for path in folder.rglob("*.JPEG"))


def test_missing_images_are_counted_too(tmp_path: Path, write_images: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val"):
        write_images(tmp_path / "tiny-imagenet-10" / split, classes=10, images=1, size=(8, 8))
    status, out, err = repro(capsys, "data", "tiny-imagenet-10", "--data", tmp_path, "--format", "json")
    assert (status, states(out)["tiny-imagenet-10"]["state"]) == (1, "wrong")
    assert "has 10 images of 10 classes; tiny-imagenet-10 has 5,000 of 10" in err


def test_archives_that_are_not_unpacked_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "imagenet"
    home.mkdir()
    (home / "ILSVRC2012_img_val.tar").touch()
    err = repro(capsys, "data", "imagenet", "--check", "--data", tmp_path)[2]
    assert f"ILSVRC2012_img_val.tar in {home} must be unpacked once: repro data imagenet" in err
    assert "next:" not in repro(capsys, "data", "tiny-imagenet-10", "--check", "--data", tmp_path)[2]
    assert not (home / "val").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["cifar11"], "unknown dataset 'cifar11'; did you mean cifar10 or cifar100?"),
        (["digits", "--data", __file__], "is not a folder; give the folder of the datasets with --data"),
    ],
)
def test_a_wrong_request_is_answered_in_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = repro(capsys, "data", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert line in err
