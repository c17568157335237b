"""Published weights of torchvision, loaded into our own networks."""

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
"""Our networks for which torchvision has ImageNet-1K weights, and their names in torchvision."""


@dataclass(frozen=True)
class Published:
    """Torchvision's description of its weights for a network."""

    name: str
    """Name of the weights, as in ResNet34_Weights.IMAGENET1K_V1."""
    url: str
    protocol: Protocol
    """The test protocol published with the weights."""
    error: float
    """Top-1 error in % with one crop, as torchvision reports it."""
    error5: float
    """Top-5 error in % with one crop, as torchvision reports it."""


def published(model: str) -> Published:
    """Return torchvision's first weights for one of our networks; UserError if there are none."""
    if model not in TWINS:
        raise UserError(f"torchvision has no weights for {model}; it has weights for {', '.join(TWINS)}")
    from torchvision.models import get_model_weights

    from repro.data.views import Protocol

    weights: Any = get_model_weights(TWINS[model])["IMAGENET1K_V1"]
    shown = weights.transforms()
    mean, std = tuple(shown.mean), tuple(shown.std)
    if model == "googlenet":  # torchvision's network replaces ImageNet's mean and std by these (transform_input),
        mean, std = (0.5,) * 3, (0.5,) * 3  # since its weights come from another framework
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
    """Return the tensors at a URL, downloaded once to torch's cache and checked against the hash in the file's name.

    Raises:
        RunFailed: the download failed, or the file is not the published one.
        UserError: the file in the cache is broken.
    """
    name = url.rsplit("/", 1)[-1]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        with redirect_stdout(sys.stderr):  # torch announces a download on stdout, which is for the answer
            return torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=True, check_hash=True, weights_only=True
            )
    except Exception as error:  # torch's reader raises all kinds of errors for a broken file
        reason = f"{getattr(error, 'reason', error)}".strip().partition("\n")[0]
        if (folder / name).exists():
            raise UserError(f"{folder / name} is broken ({reason}); remove it to download it again") from error
        raise RunFailed(f"{url} could not be downloaded ({reason}); put the file into {folder} by hand") from error


def insert(network: nn.Module, model: str, weights: Mapping[str, Tensor]) -> None:
    """Load torchvision's weights for a model into our network.

    Our network has torchvision's parameters and buffers in the same order under other names. The order in the file
    is not used, since it depends on the version that wrote the file.

    Raises:
        UserError: the weights are not those of this network.
    """
    values = _in_order(TWINS[model], weights)
    own = {name: value for name, value in network.state_dict().items() if _counts(name)}
    if [each.shape for each in own.values()] != [each.shape for each in values]:
        raise UserError(
            f"the weights do not match {model}: their shapes differ from those of torchvision's {TWINS[model]}"
        )
    network.load_state_dict(dict(zip(own, values, strict=True)), strict=False)


def _in_order(twin: str, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the weights in the order of torchvision's network."""
    import torchvision

    # The files of DenseNet have older names: norm1 was norm.1.
    named = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): each for name, each in weights.items()
    }
    # GoogLeNet's file also has the auxiliary classifiers, which exist only in training.
    extra = {"init_weights": False, "aux_logits": False} if twin == "googlenet" else {}
    with torch.device("meta"):
        network = torchvision.models.get_model(twin, **extra)
    names = [name for name in network.state_dict() if _counts(name)]
    if missing := [name for name in names if name not in named]:
        raise UserError(f"the weights are not those of torchvision's {twin}: {missing[0]} is missing")
    return [named[name] for name in names]


def _counts(name: str) -> bool:
    """Whether a tensor affects the output; BatchNorm's count of batches does not, and old files lack it."""
    return not name.endswith("num_batches_tracked")
