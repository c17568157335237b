"""Whitening against its definition and against a second implementation; the cache."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import fractional_matrix_power
from watching import correlated_images

from repro.data import Dataset, Images, load
from repro.data.inputs import preprocess
from repro.data.inputs.preprocess import FILTER_BIAS, SCALE, Whitener, contrast_normalised, fit, preprocessed, whitened


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A small dataset, and an empty cache."""
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path))
    return Dataset(correlated_images(2500), correlated_images(100, seed=1), "random:0")


@pytest.fixture
def real(real_data: Path) -> Images:
    """The middle 8x8 pixels of real photographs."""
    train = load("cifar10", real_data).train
    return Images(train.pixels[:5000, :, 12:20, 12:20], train.labels[:5000])


def test_every_image_has_mean_0_and_the_norm_55(data: Dataset) -> None:
    values = contrast_normalised(data.train.pixels)
    torch.testing.assert_close(values.mean(1), torch.zeros(2500), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.norm(dim=1), torch.full((2500,), 55.0))


def test_a_flat_image_is_not_divided() -> None:
    assert contrast_normalised(torch.full((1, 3, 4, 4), 7, dtype=torch.uint8)).eq(0).all()


def test_the_whitened_training_set_has_the_identity_as_covariance_but_for_the_bias(data: Dataset) -> None:
    """The covariance is C (C + b)^(-1): the identity minus b P^2, where P^2 = (C + b)^(-1)."""
    assert_white(data.train)


def test_real_photographs_are_whitened(real: Images) -> None:
    assert_white(real)


def assert_white(images: Images) -> None:
    whitener = fit(images.pixels)
    white = whitened(images.pixels, whitener).flatten(1).double()
    covariance = torch.from_numpy(np.cov(white.numpy(), rowvar=False, bias=True))
    P = whitener.P.double()
    identity = torch.eye(len(P), dtype=torch.float64)
    torch.testing.assert_close(covariance + FILTER_BIAS * P @ P, identity, atol=2e-4, rtol=0)
    torch.testing.assert_close(white.mean(0), torch.zeros(len(P), dtype=torch.float64), atol=1e-4, rtol=0)
    torch.testing.assert_close(whitener.P, whitener.P.T, atol=1e-6, rtol=0)
    eigenvalues = torch.linalg.eigvalsh(covariance)
    assert eigenvalues.max() < 1
    assert eigenvalues.median() > 0.8
    assert eigenvalues[0].item() == pytest.approx(0, abs=1e-4)  # the mean, which contrast normalisation removes


def test_numpy_and_scipy_give_the_same_whitening(data: Dataset) -> None:
    """A second implementation, from the definition and without eigenvectors."""
    flat = {name: images.pixels.numpy().reshape(len(images), -1).astype(np.float64) for name, images in splits(data)}
    flat = {name: x - x.mean(1, keepdims=True) for name, x in flat.items()}
    flat = {name: SCALE * x / np.sqrt((x**2).sum(1, keepdims=True)) for name, x in flat.items()}
    mean = flat["train"].mean(0)
    covariance = np.cov(flat["train"], rowvar=False, bias=True)
    root = fractional_matrix_power(covariance + FILTER_BIAS * np.eye(len(mean)), -0.5)
    ours = preprocessed(data, "zca")
    for name, images in splits(ours):
        expected = torch.from_numpy((flat[name] - mean) @ root).view(images.pixels.shape).float()
        torch.testing.assert_close(images.pixels, expected, atol=2e-4, rtol=1e-4)


def splits(data: Dataset) -> list[tuple[str, Images]]:
    return [("train", data.train), ("test", data.test)]


def test_the_whitener_ignores_the_test_images(data: Dataset) -> None:
    other = Dataset(data.train, correlated_images(100, seed=2), "random:1")
    assert torch.equal(preprocessed(data, "zca").train.pixels, preprocessed(other, "zca").train.pixels)


def test_without_preprocessing_the_data_set_is_unchanged(data: Dataset) -> None:
    assert preprocessed(data, "") is data


def counting_fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with every whitener that is computed."""
    fits: list[int] = []

    def counted(pixels: torch.Tensor) -> Whitener:
        fits.append(len(pixels))
        return fit(pixels)

    monkeypatch.setattr(preprocess, "fit", counted)
    return fits


def test_a_whitener_is_computed_once(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = counting_fits(monkeypatch)
    first = preprocessed(data, "zca")
    again = preprocessed(data, "zca")
    assert fits == [2500]
    assert torch.equal(first.train.pixels, again.train.pixels)
    assert [path.suffix for path in (tmp_path / "whiteners").iterdir()] == [".pt"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "other"])
def test_a_damaged_whitener_is_computed_again(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    fits = counting_fits(monkeypatch)
    first = preprocessed(data, "zca")
    (path,) = (tmp_path / "whiteners").iterdir()
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    if damage == "other":
        torch.save([1], path)
        content = bytearray(path.read_bytes())
    path.write_bytes({"truncated": content[:-500], "emptied": b""}.get(damage, content))
    again = preprocessed(data, "zca")
    assert fits == [2500, 2500]
    assert torch.equal(first.test.pixels, again.test.pixels)


def test_other_images_have_another_whitener(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = counting_fits(monkeypatch)
    preprocessed(data, "zca")
    preprocessed(Dataset(correlated_images(600, seed=3), data.test, "random:3"), "zca")
    assert fits == [2500, 600]


def test_an_unwritable_cache_does_not_change_the_result(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRO_CACHE", "/dev/null/nowhere")
    assert preprocessed(data, "zca").train.pixels.isfinite().all()
