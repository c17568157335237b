"""The baseline, the loop of popular repositories: DataLoader, torchvision transforms, eager fp32 without TF32."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, repeat

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from repro.data import Images
from repro.data.readers.folder import Files
from repro.experiment import Experiment
from repro.recipes import Recipe
from repro.training.initialise import network_of

BASELINE_PREFETCH = 2
"""Batches ahead per worker: the default of DataLoader."""


class Decoded(TorchDataset[tuple[Tensor, int]]):
    """Images in memory, each one converted to a PIL image for torchvision's transforms."""

    def __init__(self, images: Images, recipe: Recipe) -> None:
        from torchvision import transforms

        self.pixels = images.pixels.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = images.labels.tolist()
        steps: list[object] = []
        if recipe.crop_padding:
            mode = "constant" if recipe.padding_mode == "zero" else recipe.padding_mode
            size = images.pixels.shape[-1]
            steps.append(transforms.RandomCrop(size, padding=recipe.crop_padding, padding_mode=mode))
        if recipe.flip:
            steps.append(transforms.RandomHorizontalFlip())
        channels = images.pixels.shape[1]
        if channels == 1:
            self.pixels = self.pixels[..., 0]
        mean, std = recipe.mean or (0.5,) * channels, recipe.std or (0.5,) * channels
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


class Opened(TorchDataset[tuple[Tensor, int]]):
    """Image files, each one opened and transformed by torchvision."""

    def __init__(self, files: Files, recipe: Recipe) -> None:
        self.files, self.transform = files, _folder_transform(recipe)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from torchvision.datasets.folder import default_loader

        return self.transform(default_loader(str(self.files.path(index)))), int(self.files.labels[index])


def baseline(experiment: Experiment, images: Images, device: torch.device) -> Iterator[int]:
    """Train on images in memory forever, yielding the number of images of each step."""
    recipe = experiment.recipe
    workers = 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
    decoded = Decoded(images, recipe)
    loader = DataLoader(
        decoded,
        recipe.batch,
        shuffle=True,
        drop_last=recipe.drop_last,
        num_workers=workers,
        pin_memory=workers > 0,
        persistent_workers=workers > 0,  # these epochs are shorter than a dataset's
    )
    return train_on(chain.from_iterable(repeat(loader)), experiment, device)


def shown_on(batches: Iterable[list[Tensor]], device: torch.device) -> Iterator[int]:
    """Yield the number of images of each batch when it is on the device."""
    for pixels, labels in batches:
        pixels.to(device, non_blocking=True)
        yield len(labels)


def folder_batches(recipe: Recipe, files: Files, workers: int, device: torch.device) -> Iterator[list[Tensor]]:
    """Yield normalised batches of image files forever."""
    pinned = device.type == "cuda"
    loader = DataLoader(
        Opened(files, recipe),
        recipe.batch,
        shuffle=True,
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=workers > 0,
    )
    return chain.from_iterable(repeat(loader))


def _folder_transform(recipe: Recipe) -> Callable[[object], Tensor]:
    """Return the recipe's transforms as such loops write them, without lighting noise, which torchvision lacks."""
    from torchvision import transforms

    steps: list[object] = [transforms.RandomResizedCrop(recipe.train_side)]
    if recipe.random_crop:
        smallest, largest = recipe.shorter_side, recipe.shorter_side_max or recipe.shorter_side
        middle = [transforms.Lambda(lambda image: transforms.functional.center_crop(image, min(image.size)))]
        scaled = transforms.RandomChoice([transforms.Resize(side) for side in range(smallest, largest + 1)])
        steps = [scaled, *(middle if recipe.square else ()), transforms.RandomCrop(recipe.random_crop)]
    if len(recipe.mean) == 1:
        steps.append(transforms.Grayscale())
    if recipe.flip:
        steps.append(transforms.RandomHorizontalFlip())
    if recipe.color_jitter:
        steps.append(transforms.ColorJitter(*(recipe.color_jitter,) * 3))
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(recipe.mean, recipe.std)])


def train_on(batches: Iterable[list[Tensor]], experiment: Experiment, device: torch.device) -> Iterator[int]:
    """Train on batches, yielding the number of images of each step."""
    recipe = experiment.recipe
    # Such loops have no auxiliary classifiers.
    network = network_of(replace(experiment, recipe=replace(recipe, auxiliary=0.0))).to(device).train()
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
    for pixels, labels in batches:
        inputs, targets = pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        loss = nn.functional.cross_entropy(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()  # such loops print it in their progress line
        yield len(targets)
