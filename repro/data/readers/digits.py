"""The handwritten digits in scikit-learn: 1,797 real images that need no download.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test set).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch.nn.functional import one_hot

from repro.data import Dataset, Images
from repro.data.images import fingerprint

SCALE = 4
"""Factor that enlarges 8x8 pixels to 32x32, the size of CIFAR."""
TEST_EVERY = 5
"""Of each digit, every fifth image is a test image (scikit-learn defines no split)."""


def load(name: str, root: Path) -> Dataset:
    """Return the digits in the shape of CIFAR, (n, 3, 32, 32) uint8, grey; `root` is not read."""
    from sklearn.datasets import load_digits

    raw, labels = load_digits(return_X_y=True)
    grey = torch.from_numpy(raw).view(-1, 1, 8, 8) * (255 / 16)
    pixels = grey.round().to(torch.uint8).repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3).repeat(1, 3, 1, 1)
    targets = torch.from_numpy(labels).long()
    rank_in_class = one_hot(targets).cumsum(0).gather(1, targets[:, None]).squeeze(1)
    test = rank_in_class % TEST_EVERY == 0
    digest = hashlib.sha256(raw.tobytes() + labels.tobytes()).hexdigest()
    train, tested = (Images(pixels[each], targets[each]) for each in (~test, test))
    return Dataset(train, tested, fingerprint(name, digest))
