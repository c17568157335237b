"""Preprocessing of whole data sets: global contrast normalisation, then ZCA whitening.

That of pylearn2's scripts/datasets/make_cifar10_gcn_whitened.py (Goodfellow), with its defaults.
"""

from __future__ import annotations

import hashlib
import pickle
import time
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from repro.atomic import write_atomically
from repro.console import waiting, with_bar
from repro.data import Dataset, Images
from repro.paths import cache_folder

SCALE = 55.0
"""The Euclidean norm of every image after contrast normalisation."""
MIN_DIVISOR = 1e-8
"""An image of less contrast is not divided."""
FILTER_BIAS = 0.1
"""Added to the covariance's eigenvalues; contrast normalisation makes one of them 0."""
CHUNK = 2000
"""Images at once."""
EIGENVECTORS_COST = 28
"""For D values an image the eigenvectors take as long as the covariance of 28 D images, measured on two cores."""


class Whitener(NamedTuple):
    """x -> (x - mean) P, for contrast-normalised images of D = C * H * W values."""

    mean: Tensor
    """(D,) float32, of the training images."""
    P: Tensor
    """(D, D) float32, symmetric: (covariance + FILTER_BIAS)^(-1/2)."""


def preprocessed(data: Dataset, preprocessing: str) -> Dataset:
    """Return a data set whitened, if that is a recipe's `preprocessing`; with any other, as it is."""
    if preprocessing != "zca":
        return data
    whitener = whitener_of(data)
    train, test = (Images(whitened(images.pixels, whitener), images.labels) for images in (data.train, data.test))
    return replace(data, train=train, test=test)


def contrast_normalised(pixels: Tensor) -> Tensor:
    """Return images (n, C, H, W) as (n, D) float32, each with mean 0 and, unless it is flat, the norm SCALE."""
    values = pixels.flatten(1).float()
    values = values - values.mean(1, keepdim=True)
    divisor = values.norm(dim=1, keepdim=True) / SCALE
    return values / torch.where(divisor < MIN_DIVISOR, 1.0, divisor)


def whitener_of(data: Dataset) -> Whitener:
    """Return the whitener of the training images: computed once, then read from the cache."""
    path = _path(data)
    if known := _load(path):
        return known
    whitener = fit(data.train.pixels)
    with suppress(OSError):  # a cache that cannot be written costs time, not the answer
        write_atomically(path, lambda file: torch.save(whitener._asdict(), file))
    return whitener


def fit(pixels: Tensor) -> Whitener:
    """Return the whitener of images (n, C, H, W).

    The covariance of the whitened images is C (C + b)^(-1), where C is that of the contrast-normalised ones, with
    1 / n, and b is FILTER_BIAS: the identity but for b.
    """
    n, size = len(pixels), pixels[0].numel()
    total = torch.zeros(size, dtype=torch.float64)
    products = torch.zeros(size, size, dtype=torch.float64)
    clock = time.perf_counter()
    for begin in with_bar(range(0, n, CHUNK), "whitening: covariance"):
        values = contrast_normalised(pixels[begin : begin + CHUNK]).double()
        total += values.sum(0)
        products.addmm_(values.T, values)
    mean = total / n
    seconds = (time.perf_counter() - clock) * EIGENVECTORS_COST * size / n
    with waiting(f"whitening: eigenvectors, about {seconds:.0f} s"):
        root = _inverse_root(products / n - mean.outer(mean))
    return Whitener(mean.float(), root.float())


def _inverse_root(covariance: Tensor) -> Tensor:
    """Return (covariance + FILTER_BIAS)^(-1/2), which is symmetric."""
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
    return (eigenvectors * (eigenvalues + FILTER_BIAS).rsqrt()) @ eigenvectors.T


def whitened(pixels: Tensor, whitener: Whitener) -> Tensor:
    """Return images (n, C, H, W) contrast-normalised and whitened, float32."""
    result = torch.empty(pixels.shape, dtype=torch.float32)
    for begin in with_bar(range(0, len(pixels), CHUNK), "whitening"):
        part = slice(begin, begin + CHUNK)
        values = (contrast_normalised(pixels[part]) - whitener.mean) @ whitener.P
        result[part] = values.view(-1, *pixels.shape[1:])
    return result


def _path(data: Dataset) -> Path:
    """Return where the whitener of a data set is kept, by the data and by the code that computes it."""
    digest = hashlib.sha256(f"{data.fingerprint}/{tuple(data.train.pixels.shape)}".encode())
    digest.update(Path(__file__).read_bytes())
    return cache_folder() / "whiteners" / f"{digest.hexdigest()[:32]}.pt"


def _load(path: Path) -> Whitener | None:
    """Return the whitener of a file whose checksums are right."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        return None if damaged else Whitener(**torch.load(path, weights_only=True))
    except (OSError, zipfile.BadZipFile, RuntimeError, EOFError, TypeError, pickle.UnpicklingError):
        return None
