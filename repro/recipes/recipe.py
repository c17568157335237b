"""A recipe: everything that defines a training run except network, seed and runtime, with the source of each value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from repro.bounds import Amount, OneToBillion, Pixels, Rate, UpToBillion
from repro.errors import Place
from repro.models import OptionValue
from repro.recipes.source import Source

Init = Literal[
    "conv-fan-out",
    "conv-fan-in",
    "conv-and-classifier-fan-out",
    "conv-fan-in-batchnorm-uniform",
    "conv-fan-out-batchnorm-uniform",
    "all-fan-in",
    "conv-fan-out-alone",
    "conv-fan-out-linear-normal",
    "glorot",
    "truncated-normal",
    "alexnet",
    "as-built",
]
"""How weights are initialised: the names of training/initialise.py."""
INIT_OF_LINEAR: frozenset[Init] = frozenset(
    ("conv-and-classifier-fan-out", "conv-fan-out-linear-normal", "glorot", "truncated-normal", "alexnet")
)
"""Those that set the weights of linear layers; all but `as-built` set those of convolutions."""


def shown(name: str, value: Any) -> str:
    """Return a value of a recipe as people read it: 5e-4 as 0.0005, a list without brackets."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(shown(name, each) for each in value) or _EMPTY.get(name, "–")
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None or value == "" else str(value)


_EMPTY = dict.fromkeys(("mean", "std"), "the training set's own")
"""What an empty list means, by name."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained on a dataset: everything that defines a run except network, seed and runtime."""

    name: str
    paper: str
    """The name of the paper in lists."""
    dataset: str
    """The images that are trained on and tested; see `repro list datasets`."""
    epochs: OneToBillion
    """Passes over the training images."""
    iterations: OneToBillion | None = None
    """The run stops after this number of steps, even in the middle of the last epoch."""
    batch: OneToBillion
    """Images per step; the last batch of an epoch is smaller."""
    drop_last: bool = False
    """Whether an epoch leaves out a smaller last batch."""
    lr: Amount
    """Learning rate."""
    schedule: Literal["cosine", "steps", "exponential", "plateau"]
    """How the learning rate falls. `cosine`: once per epoch; `steps`: times `gamma` at each of `milestones`;
    `exponential`: by as much, but evenly at every step; `plateau`: times `gamma` when the error stops falling."""
    milestones: tuple[float, ...] = ()
    """Fractions of the run's length; `value = [60, 120], of = 200` for those after 60 and 120 of 200 epochs."""
    gamma: Amount = 0.1
    """Factor of the learning rate at each of `milestones`, or at a plateau."""
    patience: UpToBillion = 0
    """`plateau`: epochs without a new lowest validation error (test error if there are no `validation_images`)."""
    momentum_reset: bool = False
    """Whether the momentum is set to zero at each of `milestones`."""
    warmup_epochs: UpToBillion = 0
    """The learning rate is lr * (e + 1) / (warmup_epochs + 1) in the first epochs e = 0, 1, ..."""
    warmup_iterations: UpToBillion = 0
    """Steps at the start with the learning rate `warmup_lr`."""
    warmup_lr: Amount = 0.0
    """Learning rate of the first `warmup_iterations` steps."""
    linear_warmup: bool = False
    """Whether the learning rate rises from `warmup_lr` to `lr` in these steps, in equal parts."""
    optimizer: Literal["sgd", "rmsprop", "rmsprop-tensorflow"] = "sgd"
    """`rmsprop`: as in torch; `rmsprop-tensorflow`: `epsilon` is inside the root, the mean square starts at 1, and the
    momentum sums updates that are already multiplied by the learning rate."""
    square_decay: Rate = 0.0
    """RMSprop: decay of the mean square of the gradients."""
    epsilon: Amount = 0.0
    """RMSprop: what is added to the mean square or its root."""
    momentum: Rate = 0.9
    """Momentum of the optimizer."""
    nesterov: bool
    """Whether the momentum is Nesterov's."""
    weight_decay: Amount
    """Coefficient of the L2 penalty: this times the parameter is added to its gradient."""
    decay_scope: Literal["all", "weights", "weights-not-depthwise"] = "all"
    """What decays: `all` parameters, only the `weights` of convolutions and linear layers, or these without depthwise
    convolutions."""
    ema: Rate = 0.0
    """Decay per step of the moving average of weights and BatchNorm statistics, which is tested in their place; after
    n steps at most (1 + n) / (10 + n), as in TensorFlow. 0: no average."""
    init: Init
    """How weights are initialised; docs/recipes.md explains the names."""
    dropout: Rate = 0.0
    """Rate of the dropout layers whose rate a recipe sets; 0: as the network sets it."""
    label_smoothing: Rate = 0.0
    """Share of each target that is spread evenly over all classes in training."""
    auxiliary: Amount = 0.0
    """Weight of the training loss of each auxiliary classifier; 0: the network has none."""
    crop_padding: Pixels = 0
    """Pixels added on each side before a random crop to the original size; 0: no crop."""
    padding_mode: Literal["zero", "reflect"] = "zero"
    """What is added. `zero`: the mean colour, since images are normalised first; `reflect`: the mirror image."""
    crop_draw: Literal["image", "batch"] = "image"
    """What a crop offset is drawn for: each `image`, or the `batch` as a whole."""
    flip: bool = False
    """Whether images are mirrored with probability 1/2."""
    flip_half: bool = False
    """Whether exactly half of each batch, rounded down, is mirrored instead of each image independently."""
    scaled_crop: Pixels = 0
    """Side of a random crop of 8 % to 100 % of the area, scaled to this size (ImageNet); 0: none."""
    random_crop: Pixels = 0
    """Side of a random crop that is not scaled, from an image with the `shorter_side`; 0: none."""
    shorter_side: Pixels = 0
    """The shorter side of a training image is scaled to this size before a `random_crop`."""
    shorter_side_max: Pixels = 0
    """Instead, it is scaled to a random size from `shorter_side` to this one; 0: always to `shorter_side`."""
    square: bool = False
    """Whether a `random_crop`, and ten crops in a test, are taken from the central square of the scaled image."""
    resize: Pixels = 0
    """The shorter side of a test image is scaled to this size, antialiased. Detection: that of every image, not
    antialiased."""
    resize_limit: Pixels = 0
    """Detection: the longer side of an image is scaled to at most this size."""
    test_crop: Pixels = 0
    """Side of the centre crop of the scaled test image."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """How images are scaled, in training and testing."""
    color_jitter: Amount = 0.0
    """Largest relative change of brightness, contrast and saturation; of brightness and contrast in grey slices."""
    lighting: Amount = 0.0
    """Standard deviation of AlexNet's colour noise."""
    tune_epochs: UpToBillion = 0
    """Epochs after the training in which only the classifier is trained, at `test_crop` pixels; BatchNorm keeps its
    statistics."""
    tune_batch: UpToBillion = 0
    """Images per step of the fine-tuning."""
    tune_lr: Amount = 0.0
    """Constant learning rate of the fine-tuning; momentum, starting at zero, and weight decay are as in training."""
    preprocessing: Literal["", "zca", "mean-image"] = ""
    """Used instead of `mean` and `std`. `zca`: global contrast normalisation, then ZCA whitening; `mean-image`: the
    per-pixel mean of the training images is subtracted from images in 0..1, and nothing is divided."""
    tile: Pixels = 0
    """Segmentation: side of the square that the network classifies at once; 0: no segmentation."""
    margin: Pixels = 0
    """Pixels around a tile that the network sees too; beyond the slice they are its mirror image."""
    turn: bool = False
    """Whether slices are rotated by 0, 90, 180 or 270 degrees."""
    elastic: Amount = 0.0
    """Standard deviation in pixels of the random displacements of a coarse grid; 0: none."""
    elastic_grid: Pixels = 0
    """Points of the coarse grid on each side."""
    class_balance: bool = False
    """Whether the loss of a pixel is divided by its class's share of the training pixels, times the number of
    classes."""
    border_weight: Amount = 0.0
    """w0: the additional weight of a pixel's loss where two cells touch."""
    border_sigma: Amount = 0.0
    """How fast that weight falls with the distances from the two cells, in pixels."""
    mean: tuple[float, ...] = ()
    """Mean per channel of pixels in 0..1; empty: computed on the training set."""
    std: tuple[float, ...] = ()
    """Standard deviation per channel of pixels in 0..1; empty: computed on the training set."""
    batchnorm_images: UpToBillion = 0
    """Images of a batch that BatchNorm normalises together in training; 0: all of them."""
    batchnorm_decay: Rate = 0.0
    """Decay per step of BatchNorm's running averages; 0: as the network sets it (0.9 in torch)."""
    batchnorm_epsilon: Amount = 0.0
    """What BatchNorm adds to the variance before the root; 0: as the network sets it (1e-5 in torch)."""
    batchnorm_statistics: Literal["running", "exact"] = "running"
    """The statistics with which a finished network is tested: `running` averages, or `exact` ones over the training
    images."""
    validation_images: UpToBillion = 0
    """Training images that are not trained on but tested after every epoch."""
    reported: Literal["last", "lowest-validation"] = "last"
    """The epoch whose test error is reported: `last`, or the one with the `lowest-validation` error."""
    sources: Mapping[str, tuple[Source, ...]] = field(default_factory=dict, compare=False)
    """Where each value comes from, the main source first."""
    alternatives: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, compare=False)
    """Other values that inferred values may have had, by name."""
    stated: frozenset[str] = field(default=frozenset(), compare=False)
    """The values that it states itself or inherits from abstract recipes, which are only a part of it."""
    summary: str = field(default="", compare=False)
    """What is trained and where it is described."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What a reader should know besides the values; each note is one or more sentences."""
    default_for: tuple[str, ...] = field(default=(), compare=False)
    """The models that use this recipe by default on its dataset; `*`: every model."""
    default_with: Mapping[str, OptionValue] = field(default_factory=dict, compare=False)
    """Options that the model must have for this default."""
    file: Path = field(default=Path(), compare=False)
    """The file that gives it."""

    @property
    def place(self) -> Place:
        """The place that gives it."""
        return Place(self.file, f"recipe {self.name}")

    def values(self) -> dict[str, Any]:
        """Return the values that differ from the defaults.

        A default is left out, so that a new field does not change the IDs of existing recipes.
        """
        return {name: value for name in VALUES if (value := getattr(self, name)) != _DEFAULTS[name]}

    def with_values(self, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe with exactly these values, and the defaults for all others; TypeError for an unknown one.

        Args:
            values: as `values` returned them; tuples may have become lists in JSON.
        """
        given: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in values.items()}
        about = {name: getattr(self, name) for name in _ABOUT}
        return Recipe(**about, **given)

    def differences(self, published: Recipe) -> list[str]:
        """Return what differs from another recipe, as `epochs=1 (300)` with the other's value in parentheses."""
        return [
            f"{name}={shown(name, own)} ({shown(name, theirs)})"
            for name in VALUES
            if (own := getattr(self, name)) != (theirs := getattr(published, name))
        ]

    def is_default(self, model: str, dataset: str, options: Mapping[str, OptionValue]) -> bool:
        """Whether a model with these options, as `default_for` names it, uses this recipe by default on a dataset."""
        named = model in self.default_for or "*" in self.default_for
        return named and dataset == self.dataset and self.default_with.items() <= options.items()

    @property
    def phases(self) -> tuple[Recipe, ...]:
        """The training and, if there is one, the fine-tuning of the classifier, each as a recipe without the latter."""
        if not self.tune_epochs:
            return (self,)
        training = self.without_tuning()
        tuning = replace(
            training,
            epochs=self.tune_epochs,
            iterations=None,
            batch=self.tune_batch,
            lr=self.tune_lr,
            schedule="steps",
            milestones=(),
            warmup_epochs=0,
            warmup_iterations=0,
            scaled_crop=self.test_crop,
        )
        return training, tuning

    @property
    def train_side(self) -> int:
        """Side in pixels of what is cut from an image for training, a tile with its margin; 0: it is shown whole."""
        return self.tile + 2 * self.margin if self.tile else self.scaled_crop or self.random_crop

    @property
    def all_epochs(self) -> int:
        """Epochs of all phases."""
        return self.epochs + self.tune_epochs

    def steps_per_epoch(self, images: int) -> int:
        """Return the steps of an epoch on so many training images; the last batch may be smaller, or is dropped."""
        return images // self.batch if self.drop_last else math.ceil(images / self.batch)

    def with_epochs(self, epochs: int) -> Recipe:
        """Return the recipe with another length of the training.

        Iterations, of which there is at least one, and the epochs of fine-tuning change in proportion; with very few
        epochs there is no fine-tuning.
        """
        iterations = self.iterations and max(1, round(self.iterations * epochs / self.epochs))
        tune_epochs = round(self.tune_epochs * epochs / self.epochs)
        changed = replace(self, epochs=epochs, iterations=iterations, tune_epochs=tune_epochs)
        return changed if tune_epochs else changed.without_tuning()

    def without_tuning(self) -> Recipe:
        """Return the recipe without the fine-tuning of the classifier."""
        return replace(self, tune_epochs=0, tune_batch=0, tune_lr=0.0)


_ABOUT = ("name", "paper", *(each.name for each in fields(Recipe) if not each.compare))
VALUES = tuple(each.name for each in fields(Recipe) if each.name not in _ABOUT)
"""The names of the values. Of a recipe, only the name and the values enter an experiment's ID."""

_DEFAULTS = {each.name: each.default for each in fields(Recipe)}
