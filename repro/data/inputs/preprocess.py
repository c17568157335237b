"""Preprocessing of whole datasets: global contrast normalisation, then ZCA whitening.

As in pylearn2's scripts/datasets/make_cifar10_gcn_whitened.py (Goodfellow), with its defaults.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from repro.atomic import write_atomically
from repro.bars import with_bar
from repro.console import waiting
from repro.data import Dataset, Images
from repro.errors import UserError
from repro.paths import cache_folder
from repro.tensor_file import read_tensors, save_tensors

SCALE = 55.0
"""Euclidean norm of every image after contrast normalisation."""
MIN_DIVISOR = 1e-8
"""An image with a smaller divisor is not divided."""
FILTER_BIAS = 0.1
"""Added to the covariance's eigenvalues, one of which is 0 after contrast normalisation."""
CHUNK = 2000
"""Images that are processed at once."""
EIGENVECTORS_COST = 28
"""With D values per image, the eigenvectors take as long as the covariance of 28 D images, measured on two cores."""


class Whitener(NamedTuple):
    """The map x -> (x - mean) P for contrast-normalised images of D = C * H * W values."""

    mean: Tensor
    """(D,) float32: mean of the training images."""
    P: Tensor
    """(D, D) float32, symmetric: (covariance + FILTER_BIAS)^(-1/2)."""


def preprocessed(data: Dataset, preprocessing: str) -> Dataset:
    """Return a dataset, whitened if a recipe's `preprocessing` is zca."""
    if preprocessing != "zca":
        return data
    whitener = whitener_of(data)
    train, test = (Images(whitened(images.pixels, whitener), images.labels) for images in (data.train, data.test))
    return replace(data, train=train, test=test)


def contrast_normalised(pixels: Tensor) -> Tensor:
    """Return images (n, C, H, W) as (n, D) float32, each with mean 0 and, unless it is constant, norm SCALE."""
    values = pixels.flatten(1).float()
    values = values - values.mean(1, keepdim=True)
    divisor = values.norm(dim=1, keepdim=True) / SCALE
    return values / torch.where(divisor < MIN_DIVISOR, 1.0, divisor)


def whitener_of(data: Dataset) -> Whitener:
    """Return the whitener of the training images, from the cache if it was computed before."""
    path = _path(data)
    if known := _load(path):
        return known
    whitener = fit(data.train.pixels)
    with suppress(OSError):  # without a writable cache it is computed again next time
        write_atomically(path, partial(save_tensors, whitener._asdict()))
    return whitener


def fit(pixels: Tensor) -> Whitener:
    """Return the whitener of images (n, C, H, W).

    The covariance of the whitened images is C (C + b)^(-1), the identity except for b = FILTER_BIAS, where C is the
    covariance of the contrast-normalised images with factor 1 / n.
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
    """Return images (n, C, H, W), contrast-normalised and whitened, in float32."""
    result = torch.empty(pixels.shape, dtype=torch.float32)
    for begin in with_bar(range(0, len(pixels), CHUNK), "whitening"):
        part = slice(begin, begin + CHUNK)
        values = (contrast_normalised(pixels[part]) - whitener.mean) @ whitener.P
        result[part] = values.view(-1, *pixels.shape[1:])
    return result


def _path(data: Dataset) -> Path:
    """Return the whitener's path in the cache, which depends on the data and on this file."""
    digest = hashlib.sha256(f"{data.fingerprint}/{tuple(data.train.pixels.shape)}".encode())
    digest.update(Path(__file__).read_bytes())
    return cache_folder() / "whiteners" / f"{digest.hexdigest()[:32]}.pt"


def _load(path: Path) -> Whitener | None:
    """Return the whitener in a file; None if the file is missing or damaged."""
    try:
        return Whitener(**read_tensors(path))
    except (UserError, TypeError):
        return None
