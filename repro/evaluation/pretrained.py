"""Published weights: torchvision's, put into our own networks."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from repro.errors import RunFailed, UserError

if TYPE_CHECKING:
    from repro.data.views import Protocol

TWINS = {
    **{f"resnet{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    "resnext50": "resnext50_32x4d",
    "resnext101-64x4d": "resnext101_64x4d",
    "wrn50-2-bottleneck": "wide_resnet50_2",
    "mobilenetv2": "mobilenet_v2",
    "mobilenetv3-large": "mobilenet_v3_large",
    "mobilenetv3-small": "mobilenet_v3_small",
    **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
    "alexnet": "alexnet",
    "vgg16": "vgg16",
    "vgg16-bn": "vgg16_bn",
    "googlenet": "googlenet",
}
"""Our networks of which torchvision has a twin with weights of ImageNet-1K, and its name there."""


@dataclass(frozen=True)
class Published:
    """What torchvision says of its weights for a network."""

    name: str
    """Such as ResNet34_Weights.IMAGENET1K_V1."""
    url: str
    protocol: Protocol
    """With which they are meant to be tested."""
    error: float
    """%, as torchvision reports it for one crop."""
    error5: float


def published(model: str) -> Published:
    """Return what torchvision says of its first weights for one of our networks; UserError if it has none."""
    if model not in TWINS:
        raise UserError(f"torchvision has no weights for {model}; it has for: {', '.join(TWINS)}")
    from torchvision.models import get_model_weights

    from repro.data.views import Protocol

    weights: Any = get_model_weights(TWINS[model])["IMAGENET1K_V1"]
    shown = weights.transforms()
    mean, std = tuple(shown.mean), tuple(shown.std)
    if model == "googlenet":  # its weights are ported from another framework: torchvision's network undoes ImageNet's
        mean, std = (0.5,) * 3, (0.5,) * 3  # mean and std and applies these (transform_input)
    accuracy = weights.meta["_metrics"]["ImageNet-1K"]
    return Published(
        name=str(weights),
        url=weights.url,
        protocol=Protocol(
            resize=shown.resize_size[0],
            crop=shown.crop_size[0],
            interpolation=shown.interpolation.value,
            mean=mean,
            std=std,
        ),
        error=round(100 - accuracy["acc@1"], 3),
        error5=round(100 - accuracy["acc@5"], 3),
    )


def fetch(url: str) -> dict[str, Tensor]:
    """Return the tensors of an address, downloaded once to torch's own cache and checked against the name's hash.

    Raises:
        RunFailed: the network is in trouble, or what came is not the published file.
        UserError: the file in the cache is broken.
    """
    name = url.rsplit("/", 1)[-1]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        with redirect_stdout(sys.stderr):  # torch announces a download on stdout, which is the answer's
            return torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=True, check_hash=True, weights_only=True
            )
    except Exception as error:  # torch's reader raises whatever a broken file leads it to
        reason = f"{getattr(error, 'reason', error)}".strip().partition("\n")[0]
        if (folder / name).exists():
            raise UserError(f"{folder / name} is broken ({reason}); remove it to download it again") from error
        raise RunFailed(f"{url} could not be fetched ({reason}); put it into {folder} by hand") from error


def insert(network: nn.Module, model: str, weights: Mapping[str, Tensor]) -> None:
    """Put torchvision's weights for a model into our network.

    Ours has torchvision's parameters and buffers in the same order under names of its own. The file's own order is
    not trusted: it is what the version that wrote it had.

    Raises:
        UserError: they are not the weights of this network.
    """
    values = _in_order(TWINS[model], weights)
    own = {name: value for name, value in network.state_dict().items() if _counts(name)}
    if [each.shape for each in own.values()] != [each.shape for each in values]:
        raise UserError(f"the weights do not fit {model}: other shapes than torchvision's {TWINS[model]}")
    network.load_state_dict(dict(zip(own, values, strict=True)), strict=False)


def _in_order(twin: str, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the weights in the order of torchvision's network."""
    import torchvision

    # The files of DenseNet are older than its names: norm1 was once norm.1.
    named = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): each for name, each in weights.items()
    }
    # GoogLeNet's file has the auxiliary classifiers too, which exist in training alone.
    extra = {"init_weights": False, "aux_logits": False} if twin == "googlenet" else {}
    with torch.device("meta"):
        network = torchvision.models.get_model(twin, **extra)
    names = [name for name in network.state_dict() if _counts(name)]
    if missing := [name for name in names if name not in named]:
        raise UserError(f"the weights are not those of torchvision's {twin}: {missing[0]} is missing")
    return [named[name] for name in names]


def _counts(name: str) -> bool:
    """Tell whether a tensor is a part of the network's function; BatchNorm's count of batches is not in old files."""
    return not name.endswith("num_batches_tracked")
