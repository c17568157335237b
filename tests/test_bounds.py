"""The ends of the number line: one line, at once, without filling the memory."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import repro as command

import repro
from repro.counting import count
from repro.errors import UserError
from repro.models import build, resolve_options
from repro.papers import Paper
from repro.recipes.library import Library

HUGE = str(2**63 - 1)
SMALL = ["train", "densenet", "--depth", "7", "--k", "4", "--dataset", "digits"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["count", "wrn", "--depth", HUGE],
            "wrn: option depth is 9,223,372,036,854,775,807; the largest is 2,000",
        ),
        (["count", "wrn", "--l", "1000000000"], "wrn: option l is 1,000,000,000; the largest is 100"),
        (["count", "densenet", "--k", HUGE], "the largest is 10,000"),
        (["count", "denseresnet110", "--N", HUGE], "the largest is 1,000"),
        (["count", "wrn18", "--width", "1e300"], "wrn18: option width is 1e+300; the largest is 100"),
        (["count", "unet", "--base", "1000000"], "the largest is 10,000"),
        (["count", "resnet20", "--classes", HUGE], "9,223,372,036,854,775,807 classes are too many"),
        (["count", "resnet20", "--input", f"3x{HUGE}x9"], f"images of 3x{HUGE}x9 are too large"),
        ([*SMALL, "--seeds", "2147483647"], "is above 1000 ("),
        ([*SMALL, "--seed", "9" * 25], "is above 2147483647 ("),
        ([*SMALL, "--threads", "9" * 25], "is above 1024 ("),
        ([*SMALL, "--workers", HUGE], "is above 1024 ("),
        ([*SMALL, "--at-once", HUGE], "is above 1000 ("),
        ([*SMALL, "--epochs", HUGE], "it must be a whole number from 1 to 1,000,000,000 (recipe: 8)"),
        ([*SMALL, "--set", "lr=1e999"], "lr = 1e999 is invalid: it must be a number of at least 0"),
        ([*SMALL, "--set", "crop_padding=9999"], "crop_padding=9999 is more than the side of images of 32 pixels"),
        (["bench", "resnet20", "--window", "1e9"], "is above 600"),
        (["bench", "resnet20", "--seeds", HUGE], "is above 100 ("),
        (["bench", "--check", "--seconds", "1e400"], "is above 86400"),
        (["plan", "--seeds", "9" * 14], "is above 1000 ("),
        (["table", "cifar100", "--run", "--seeds", HUGE], "is above 1000 ("),
    ],
)
def test_a_number_beyond_all_use_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = command(capsys, *words)
    (said,) = err.splitlines()
    assert status == 2
    assert said.startswith("error: ")
    assert line in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("side", [5_000, 100_000])
def test_memory_is_estimated_before_a_count(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    """The trace keeps the outputs of all convolutions, BatchNorms and shortcuts, in values of 4 bytes.

    At a side of 1,000 that is 1,461 MiB, and a count of ResNet-20 took 1,615.
    """
    maps = 14 * 16 + (12 * 32 + 32) / 4 + (12 * 64 + 64) / 16
    monkeypatch.setattr(count, "free_host_memory", lambda: 2**34)
    about = f"{(3 + maps) * 4 * side**2 / 2**30:,.1f} GiB of memory, and 16.0 GiB are free; choose smaller images"
    with pytest.raises(UserError, match=f"counting resnet20 with images of 3x{side}x{side} needs about {about}"):
        repro.count("resnet20", input=(3, side, side))


def test_a_network_that_exceeds_the_memory_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper prints 11.0 M parameters for k = 8, and they grow with the square of k: 64 TiB."""
    monkeypatch.setattr(count, "free_host_memory", lambda: 2**34)
    with pytest.raises(UserError, match=r"counting wrn with images of 3x32x32 needs about 6[34],\d\d\d\.\d GiB of mem"):
        repro.count("wrn", depth=16, k=10_000, classes=7)


def test_the_memory_of_a_network_of_ones_own_is_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image of 75,000,000 values, and two maps of 25,000,000 x 4 each."""
    monkeypatch.setattr(count, "free_host_memory", lambda: 2**29)
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\n\ndef net(classes):\n    layers = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)\n"
        "    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))\n"
    )
    status, _, err = command(capsys, "count", f"{tmp_path}/nets.py:net", "--input", "3x5000x5000", "--classes", 7)
    assert status == 2
    about = f"{(75 + 2 * 100) * 4e6 / 2**30:.1f} GiB of memory, and 512.0 MiB are free"
    assert about in err


def test_multiples_without_end_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "steps.toml"
    for every, line in (
        ("1e-9", "Expected at most 10,000 multiples of `every` below `of`"),
        ("0", "Expected `float` >"),
    ):
        file.write_text(
            '[recipes.steps]\nextends = "digits"\nsummary = "Steps."\npaper = "Steps"\n'
            f'milestones = {{ every = {every}, of = 300, source = "printed" }}\n'
        )
        library = Library((Paper(tmp_path, (), (file,)),))
        assert any(line in str(each) for each in library.reading.mistakes)


def test_a_whole_number_that_no_float_holds_is_refused() -> None:
    """A file may have one; what is typed is read as a float, and then infinite, too."""
    with pytest.raises(UserError, match="compression inf is invalid: it is above 0 and at most 1"):
        build("densenet", resolve_options("densenet", {"compression": 10**400}, "cifar10"), classes=10)
