"""Small files in the format of SVHN as published."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.io import savemat

from repro.data.readers.svhn import File, Svhn


def write_svhn(folder: Path, name: str, n: int, seed: int) -> tuple[File, np.ndarray, np.ndarray]:
    """Write n images (n, 32, 32, 3) with labels 1 to 10 as the publishers do; return the file and its content."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    labels = (1 + np.arange(n) % 10).astype(np.uint8)
    brightness = (20 * labels)[:, None, None, None]  # so that there is something to learn
    images = brightness + chance.integers(0, 56, (n, 32, 32, 3), dtype=np.uint8)
    savemat(folder / name, {"X": images.transpose(1, 2, 3, 0), "y": labels[:, None]}, do_compression=True)
    return File(name, hashlib.md5((folder / name).read_bytes()).hexdigest()), images, labels


def small_svhn(folder: Path) -> Svhn:
    """Write 60 training, 40 extra and 20 test images."""
    sizes = {"train_32x32.mat": 60, "extra_32x32.mat": 40, "test_32x32.mat": 20}
    train, extra, test = (write_svhn(folder, name, n, seed=n)[0] for name, n in sizes.items())
    return Svhn((replace(train, validation=2), replace(extra, validation=1)), test, "http://127.0.0.1:9")
