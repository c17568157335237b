"""Published weights of torchvision."""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from repro.console import is_live
from repro.data.downloads.checksum import checksum
from repro.data.inputs.procedure import Procedure
from repro.errors import RunFailed, UserError
from repro.evaluation.layouts import layouts
from repro.evaluation.state_dicts import StateDict
from repro.models.registry import IMAGENET, TORCHVISION


@dataclass(frozen=True)
class Published:
    """Torchvision's description of its weights for a network."""

    name: str
    """Name of the weights, as in ResNet34_Weights.IMAGENET1K_V1."""
    url: str
    procedure: Procedure
    """The test published with the weights: one crop."""
    error: float
    """Top-1 error in % with one crop, as torchvision reports it."""
    error5: float
    """Top-5 error in % with one crop, as torchvision reports it."""


def published(model: str) -> Published:
    """Return torchvision's first weights for one of our networks; UserError if there are none."""
    if model not in TORCHVISION:
        raise UserError(f"torchvision has no weights for {model}; it has weights for {', '.join(TORCHVISION)}")
    from torchvision.models import get_model_weights

    weights: Any = get_model_weights(TORCHVISION[model])["IMAGENET1K_V1"]
    shown = weights.transforms()
    normalised = layouts()["torchvision"].normalisation_of(model, {}, IMAGENET)
    assert normalised
    accuracy = weights.meta["_metrics"]["ImageNet-1K"]
    return Published(
        name=str(weights),
        url=weights.url,
        procedure=Procedure(
            resize=shown.resize_size[0],
            crop=shown.crop_size[0],
            interpolation=shown.interpolation.value,
            mean=normalised.mean,
            std=normalised.std,
        ),
        error=round(100 - accuracy["acc@1"], 3),
        error5=round(100 - accuracy["acc@5"], 3),
    )


def fetch(url: str) -> StateDict:
    """Return the tensors at a URL, downloaded once to torch's cache and checked against the hash in the file's name.

    Raises:
        RunFailed: the download failed, or the file is not the published one.
        UserError: the file in the cache is broken or not the published one.
    """
    name = url.rsplit("/", 1)[-1]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    _check_cached(folder / name)
    try:
        with redirect_stdout(sys.stderr):  # torch announces a download on stdout, which is for the answer
            tensors = torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=is_live(), check_hash=True, weights_only=True
            )
    except Exception as error:  # torch's reader raises all kinds of errors for a broken file
        reason = f"{getattr(error, 'reason', error)}".strip().partition("\n")[0]
        if (folder / name).exists():
            raise UserError(f"{folder / name} is broken ({reason}); remove it to download it again") from error
        raise RunFailed(f"{url} could not be downloaded ({reason}); put the file into {folder} by hand") from error
    return StateDict(folder / name, tensors)


def _check_cached(path: Path) -> None:
    """Raise UserError unless a file has the SHA-256 that begins as its name says; torch checks only what it downloads.

    `resnet18-f37072fd.pth` has one that begins with f37072fd.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a file; remove it to download the weights")
    published = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if path.exists() and published and not checksum("sha256", path).startswith(published[1]):
        raise UserError(f"{path} is not the published file (SHA-256 differs); remove it to download it again")
