"""The loop of popular CIFAR repositories, to measure against: DataLoader, torchvision transforms, eager fp32."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from repro.data import Images
from repro.experiment import Experiment
from repro.recipes import Recipe
from repro.training.engine import network_of


class Decoded(TorchDataset[tuple[Tensor, int]]):
    """Images one by one, as PIL images through torchvision transforms."""

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
        mean, std = recipe.mean or (0.5,) * 3, recipe.std or (0.5,) * 3
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def plain_loop(experiment: Experiment, images: Images, device: torch.device) -> Iterator[int]:
    """Train for ever, yielding the images of each step."""
    recipe = experiment.recipe
    workers = 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
    decoded = Decoded(images, recipe)
    loader = DataLoader(
        decoded, recipe.batch, shuffle=True, drop_last=recipe.drop_last, num_workers=workers, pin_memory=workers > 0
    )
    network = network_of(experiment).to(device).train()
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
    while True:
        for pixels, labels in loader:
            inputs, targets = pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            loss = nn.functional.cross_entropy(network(inputs), targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item()  # as such loops do, for their progress line
            yield len(targets)
