"""Shared fixtures: temporary folders, a tiny network, and real data if present."""

import gc
import os

# Triton chooses between its compiler and its interpreter when it is imported, which torchvision does.
os.environ.setdefault("TRITON_INTERPRET", "1")

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis.configuration import set_hypothesis_home_dir
from PIL import Image
from short_paper import Write
from watching import shrink_digits, shrink_images

from repro import console
from repro.counting import in_processes
from repro.data import SHIPPED
from repro.data.readers.folder import ImageFolder
from repro.experiment import Experiment, experiment_for
from repro.paths import Folders
from repro.store.results import Record
from repro.training.tasks import kinds

# Several test processes share the cores: each has one thread, and so do the programs that it starts.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the loaded modules, which a tenth of the tests' time would go into."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Use a cache that the processes of the test session share, so that each network is counted once.

    CI names one for both of its sessions.
    """
    in_processes.cores = lambda: 1  # the test processes share the cores already
    base = tmp_path_factory.getbasetemp()
    own = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache")
    os.environ["REPRO_CACHE"] = os.environ.get("REPRO_TEST_CACHE", own)
    set_hypothesis_home_dir(base / "hypothesis")  # otherwise it writes into the folder of the test session


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(data=tmp_path / "data", runs=tmp_path / "runs", results=tmp_path / "results")


@pytest.fixture
def elsewhere(folders: Folders, tmp_path: Path) -> Folders:
    """Other folders for runs, beside those of `folders`."""
    return replace(folders, runs=tmp_path / "other", results=tmp_path / "elsewhere")


@pytest.fixture
def shared(folders: Folders, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Folders:
    """Folders for runs that all tests of a file share: a run in them is trained once."""
    place = tmp_path_factory.getbasetemp() / request.module.__name__
    return replace(folders, runs=place / "runs", results=place / "results")


@pytest.fixture
def real_data() -> Path:
    """The folder of the real datasets; without it a test is skipped."""
    root = Path(os.environ.get("REPRO_DATA", "data"))
    if not (root / "cifar-100-binary").is_dir():
        pytest.skip("needs CIFAR-100 under $REPRO_DATA")
    return root


@pytest.fixture
def real_images() -> Path:
    """The folder of the real datasets; without ten classes of Tiny ImageNet a test is skipped."""
    root = Path(os.environ.get("REPRO_DATA", "data"))
    if not (root / "tiny-imagenet-10").is_dir():
        pytest.skip("needs tiny-imagenet-10 under $REPRO_DATA")
    return root


@pytest.fixture
def small_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce the digits to 8x8 pixels."""
    monkeypatch.setattr(kinds, "load", kinds.load)  # restored at teardown
    shrink_digits()


@pytest.fixture
def new_stderr() -> Iterator[None]:
    """Make the console anew for the stream and the environment of this test, and again after it."""
    console.stderr.cache_clear()
    yield
    console.stderr.cache_clear()


@pytest.fixture
def small_images(write_images: Callable[..., None], folders: Folders, monkeypatch: pytest.MonkeyPatch) -> ImageFolder:
    """Write twenty training and six test images of two classes in place of ten classes of Tiny ImageNet."""
    monkeypatch.setitem(SHIPPED, "tiny-imagenet-10", SHIPPED["tiny-imagenet-10"])  # restored at teardown
    shrink_images()
    home = folders.data / "tiny-imagenet-10"
    write_images(home / "train", classes=2, images=10, size=(48, 40))
    write_images(home / "val", classes=2, images=3, size=(40, 48), first=90)
    return ImageFolder("tiny-imagenet-10", home, home / "val")


@pytest.fixture
def float64() -> Iterator[None]:
    """Make new networks and images in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def tiny() -> Callable[..., Experiment]:
    """Make an experiment on the digits with dropout, which takes under a second per epoch."""

    def make(seed: int = 0, epochs: int = 2, **changes: object) -> Experiment:
        experiment = experiment_for("densenet", {"depth": 7, "k": 4}, seed=seed, dataset="digits", epochs=epochs)
        recipe = replace(experiment.recipe, **{"dropout": 0.1, "batch": 256, **changes})
        return replace(experiment, recipe=recipe)

    return make


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    """Make a record of DenseResNet-110, N = 4 on CIFAR-100."""

    def make(**values: object) -> Record:
        experiment = experiment_for("denseresnet110", {"N": 4}, seed=int(str(values.get("seed", 0))))
        facts: dict[str, object] = {
            "id": experiment.id,
            "name": experiment.name,
            "model": "denseresnet110",
            "options": {"N": 4},
            "dataset": "cifar100",
            "recipe": "miru2020-cifar100",
            "deviations": [],
            "seed": 0,
            "epochs": 300,
            "steps": 234600,
            "error": 22.7,
            "loss": 1.0,
            "train_loss": 1.0,
            "precision": "fp32",
            "runtime": {},
            "device": "CPU",
            "torch": "2.11",
            "python": "3.11",
            "version": "0.1.0",
            "commit": "",
            "started": "2026-01-01T00:00:00+00:00",
            "seconds": 1.0,
            "sessions": 1,
            "data": "cifar100:0",
        }
        return Record(**{**facts, **values})  # type: ignore[arg-type]

    return make


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a paper into a folder of the working folder, which is temporary."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPRO_PAPERS", raising=False)

    def written(folder: str = "mine", *, table: str = "", recipe: str = "", name: str = "mine") -> Path:
        for kind, text in (("tables", table), ("recipes", recipe)):
            if text:
                (tmp_path / folder / kind).mkdir(parents=True, exist_ok=True)
                (tmp_path / folder / kind / f"{name}.toml").write_text(text, encoding="utf-8")
        return Path(folder)

    return written


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder on the loopback address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", folder
        httpd.shutdown()
        thread.join()


@pytest.fixture
def write_images() -> Callable[..., None]:
    """Write `images` JPEG files into each of `classes` folders, one colour per folder."""

    def write(folder: Path, *, classes: int, images: int, size: tuple[int, int], first: int = 0) -> None:
        random = np.random.default_rng(first)
        for label in range(classes):
            wnid = folder / f"n{label:08}"
            wnid.mkdir(parents=True)
            colour = 255 * (np.arange(3) == label % 3)
            for number in range(first, first + images):
                noise = random.integers(-60, 60, (size[1] // 4, size[0] // 4, 3))
                pixels = np.clip(colour * 0.5 + 64 + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).resize(size).save(wnid / f"{wnid.name}_{number}.JPEG")

    return write
