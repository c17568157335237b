"""The training loops of public repositories next to ours on a CPU: `python tests/peers.py FOLDER --write FILE`.

FOLDER has a clone of each repository of PEERS at its commit. Each runs its own, unchanged script. Around it, a process
replaces what a machine without a GPU, CIFAR-10 or optional packages lacks: `.cuda()` returns its object, the images are
random, and the packages `fire` and `tensorboard_logger` are stand-ins. Loops are measured in windows, in turns.
"""

import argparse
import hashlib
import json
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repro.bars import with_bar
from repro.runtime import let_threads_sleep

UNTIMED = 2
"""Batches at the start of a window before the clock starts, since the first ones were read while other loops ran."""


@dataclass(frozen=True)
class Peer:
    """A network of a public repository, and the same network of ours."""

    network: str
    repository: str
    commit: str
    script: str
    sha256: str
    """Of the script."""
    arguments: Sequence[str]
    model: str
    options: dict[str, int]
    batch: int
    differs: str
    """What its loop does that the others do not."""


AKAMASTER = ("akamaster/pytorch_resnet_cifar10", "d5489e8995e81e91ce6b1d69dcc98ad579b0b153", "trainer.py")
OF_AKAMASTER = "c6b1c2161328760223a8597e4af1df2cf2d323ff434e5e27649bef45f87a2558"
PEERS = (
    Peer("ResNet-20", *AKAMASTER, OF_AKAMASTER, ["--arch", "resnet20"], "resnet20", {}, 128, "4 workers"),
    Peer("ResNet-110", *AKAMASTER, OF_AKAMASTER, ["--arch", "resnet110"], "resnet110", {}, 128, "4 workers"),
    Peer(
        "DenseNet-BC-100, k = 12",
        "gpleiss/efficient_densenet_pytorch",
        "d2d0629dae2912ec4f0444fab5e3df4c375c44fd",
        "demo.py",
        "5c086b655729046260a81a1be1603c68f0c326350a7a71c076a44193c3130758",
        [],
        "densenet-bc",
        {},
        64,
        "efficient=False",
    ),
    Peer(
        "WRN-16-4",
        "xternalz/WideResNet-pytorch",
        "1171f93d5a9ae28eb5e603e5e7545f488d0df6ab",
        "train.py",
        "a7144ceb9642abcd40c4e8e98db59ee67266b8a0f7e2ab95ed532c1622347d0b",
        ["--layers", "16", "--widen-factor", "4"],
        "wrn",
        {"depth": 16, "k": 4},
        128,
        "1 worker, pads on tensors",
    ),
)


def in_turns(steps: Iterator[Any], size: int, seconds: float, answer: Callable[[float], None]) -> Iterator[Any]:
    """Pass steps of `size` images on in windows; each begins with a line on stdin and is answered with images/s."""
    untimed, started, images = UNTIMED, 0.0, 0
    sys.stdin.readline()
    for each in steps:
        now = time.perf_counter()
        if untimed:
            untimed, started, images = untimed - 1, now, 0
        else:
            images += size
            if now - started >= seconds:
                answer(images / (now - started))
                sys.stdin.readline()
                untimed = UNTIMED
        yield each


def run_peer(peer: Peer, folder: Path, passed: Callable[[Iterator[Any], int], Iterator[Any]]) -> None:
    """Run a repository's script, whose first loader passes its batches on in windows."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets

    script = folder / peer.repository.split("/")[1] / peer.script
    if hashlib.sha256(script.read_bytes()).hexdigest() != peer.sha256:
        raise SystemExit(f"{script} is not that of {peer.repository} at {peer.commit}; check out this commit")
    for kind in (torch.Tensor, torch.nn.Module):
        kind.cuda = lambda self, *_, **__: self
    batches = DataLoader.__iter__
    DataLoader.__iter__ = lambda self: passed(batches(self), self.batch_size)
    datasets.CIFAR10 = RandomCifar
    densenet = {"data": "data", "save": "save", "efficient": False}
    stand_ins = {"fire": {"Fire": lambda function: function(**densenet)}}
    stand_ins["tensorboard_logger"] = dict.fromkeys(("configure", "log_value"))
    for name, content in stand_ins.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(content)
    sys.argv = [str(script), *peer.arguments]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


class RandomCifar:
    """Random images with the interface of torchvision's CIFAR10."""

    def __init__(self, root: str, train: bool = True, transform: Any = None, download: bool = False) -> None:
        import numpy

        self.transform = transform
        self.data = numpy.random.default_rng(0).integers(256, size=(50_000, 32, 32, 3), dtype=numpy.uint8)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.data[index])), index % 10


def run_ours(peer: Peer, kind: str, passed: Callable[[Iterator[Any], int], Iterator[Any]]) -> None:
    """Run our training or the baseline of `repro bench` on the peer's network."""
    from repro.benchmark.random_images import random_data
    from repro.benchmark.variants import in_memory_variants
    from repro.experiment import experiment_for
    from repro.runtime import Runtime
    from repro.training.machine.device import prepare

    changed = [f"batch={peer.batch}"]
    experiment = experiment_for(peer.model, peer.options, seed=0, dataset="cifar10", overrides=changed)
    runtime = Runtime(device="cpu")
    device = prepare(runtime)
    variants = in_memory_variants(experiment, runtime, ["fp32"], 1, random_data("cifar10", 50_000), device)
    (steps,) = (each.steps for each in variants if each.kind.value == kind)
    for _ in passed(steps, peer.batch):
        pass


LOOPS = ("peer", "baseline", "repro")


def measure(peer: Peer, folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """Return the images per second of each loop, in one window per round after a window that is dropped."""
    command = [
        sys.executable,
        os.path.abspath(__file__),
        str(folder),
        "--seconds",
        str(seconds),
        "--network",
        peer.network,
        "--loop",
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    rates: dict[str, list[float]] = {loop: [] for loop in LOOPS}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as ends:
        loops = {loop: subprocess.Popen([*command, loop], cwd=scratch, **pipes) for loop in LOOPS}
        for process in loops.values():
            ends.callback(process.wait)
            ends.callback(process.kill)
        for number in range(rounds + 1):
            for loop, process in loops.items():
                process.stdin.write("\n")
                process.stdin.flush()
                rate = float(process.stdout.readline())
                if number:
                    rates[loop].append(rate)
    return {**asdict(peer), "seconds": seconds, "images_per_second": rates}


def ratio(measured: dict[str, Any], loop: str) -> float:
    """Return the speed of a loop relative to the peer's, the median over the rounds."""
    rates = measured["images_per_second"]
    return statistics.median(one / other for one, other in zip(rates[loop], rates["peer"], strict=True))


def run_loop(peer: Peer, loop: str, folder: Path, seconds: float) -> None:
    """Be one of the loops; rates are written to stdout, and what the loop prints is dropped."""
    answers = sys.stdout

    def passed(steps: Iterator[Any], size: int) -> Iterator[Any]:
        return in_turns(steps, size, seconds, lambda rate: print(rate, file=answers, flush=True))

    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        if loop == "peer":
            run_peer(peer, folder, passed)
        else:
            run_ours(peer, loop, passed)


def main() -> None:
    """Measure every network, or be one loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--network")
    parser.add_argument("--loop", choices=LOOPS)
    given = parser.parse_args()
    chosen = [each for each in PEERS if given.network in (None, each.network)]
    if given.loop:
        run_loop(chosen[0], given.loop, given.folder, given.seconds)
        return
    folder = given.folder.absolute()
    found = [measure(each, folder, given.rounds, given.seconds) for each in with_bar(chosen, "measuring")]
    import torch

    from repro.training.machine.provenance import machine

    made = {each["network"]: {**each, "machine": machine(torch.device("cpu"))} for each in found}
    if given.write:
        before = json.loads(given.write.read_text(encoding="utf-8")) if given.write.exists() else {}
        given.write.write_text(json.dumps({**before, **made}, indent=1) + "\n", encoding="utf-8")
    for each in found:
        print(each["network"], *(f"{loop} {ratio(each, loop):.2f}" for loop in LOOPS))


if __name__ == "__main__":
    let_threads_sleep()
    main()
