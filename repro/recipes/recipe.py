"""What a recipe is: the whole mathematics of a training beside network and seed, and where each value is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

PRINTED, CODE, INFERRED = "printed", "code", "inferred"
"""Where a value is from: the paper, the authors' code, or our own reading of either."""

Channels = tuple[float, float, float]
CIFAR10: tuple[Channels, Channels] = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CIFAR100: tuple[Channels, Channels] = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
IMAGENET: tuple[Channels, Channels] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the training pixels in 0..1."""


def of_bytes(red: float, green: float, blue: float) -> Channels:
    """Return values given for pixels in 0..255 for pixels in 0..1."""
    return red / 255, green / 255, blue / 255


def shown(value: Any) -> str:
    """Return a value of a recipe as people read it: 5e-4 as 0.0005, a list without brackets."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(shown(each) for each in value) or "the training set's own"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None or value == "" else str(value)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to train, on one data set. Its values are the whole mathematics of a run beside network and seed."""

    name: str
    paper: str
    dataset: str
    epochs: int
    iterations: int | None = None
    """The run stops after so many steps, in the middle of the last epoch if need be."""
    batch: int
    """The last batch of an epoch is smaller."""
    drop_last: bool = False
    """Whether an epoch ends before a last batch that is smaller."""
    lr: float
    schedule: str
    """`cosine`: once per epoch; `steps`: times `gamma` at each of `milestones`."""
    milestones: tuple[float, ...] = ()
    """Shares of the run's length."""
    gamma: float = 0.1
    momentum_reset: bool = False
    """Whether the momentum begins anew at each of `milestones`."""
    warmup_epochs: int = 0
    """lr * (e + 1) / (warmup_epochs + 1) in the first epochs e = 0, 1, ..."""
    warmup_iterations: int = 0
    warmup_lr: float = 0.0
    """The rate of the first `warmup_iterations` steps."""
    momentum: float = 0.9
    nesterov: bool
    weight_decay: float
    decay_scope: str = "all"
    """What decays: `all` parameters, or the `weights` of convolutions and linear layers alone."""
    init: str
    """A name of training/initialise.py."""
    dropout: float = 0.0
    """Of the layers whose rate a recipe sets; 0: as the network has them by itself."""
    crop_padding: int = 0
    """Pixels on each side before a random crop to the old size; 0: no crop."""
    padding_mode: str = "zero"
    """`zero`: the mean colour, since images are normalised before; `reflect`."""
    crop_draw: str = "image"
    """Whose crop has an offset of its own: each `image`, or the `batch` as a whole."""
    flip: bool = False
    """Mirrored with probability 1/2."""
    flip_half: bool = False
    """Whether exactly half of each batch is mirrored, rounded down, in place of each image by its own chance."""
    scaled_crop: int = 0
    """Side of a random crop of 8 % to 100 % of the area, scaled to this size (ImageNet); 0: none."""
    resize: int = 0
    """A test image's shorter side is scaled to this size, antialiased; 0: it is not scaled."""
    test_crop: int = 0
    """Side of the crop from the middle of the scaled test image; 0: the whole image."""
    interpolation: str = "bilinear"
    """How images are scaled, for training and tests: `bilinear` or `bicubic`."""
    color_jitter: float = 0.0
    """Brightness, contrast and saturation are changed by up to this share; of grey slices the first two."""
    lighting: float = 0.0
    """Standard deviation of AlexNet's colour noise."""
    tune_epochs: int = 0
    """After the epochs, so many of the classifier alone, at `test_crop` pixels; BatchNorm keeps its statistics."""
    tune_batch: int = 0
    tune_lr: float = 0.0
    """Constant; momentum, which begins anew, and weight decay are those of the training."""
    preprocessing: str = ""
    """In place of `mean` and `std`. `zca`: global contrast normalisation, then ZCA whitening; `mean-image`: the mean of
    the training images, pixel by pixel, is subtracted from images in 0..1, and nothing is divided."""
    tile: int = 0
    """Segmentation: side of the square for which the network gives classes at once; 0: no segmentation."""
    margin: int = 0
    """Pixels around a tile that the network sees beside it; beyond the slice they are its mirror image."""
    turn: bool = False
    """Turned by 0, 90, 180 or 270 degrees."""
    elastic: float = 0.0
    """Standard deviation in pixels of the random displacements of a coarse grid; 0: none."""
    elastic_grid: int = 0
    """Points of the coarse grid on each side."""
    class_balance: bool = False
    """The loss of a pixel is divided by its class's share of the training pixels, times the number of classes."""
    border_weight: float = 0.0
    """w0: what the loss of a pixel weighs more where two cells touch."""
    border_sigma: float = 0.0
    """Pixels: how fast that weight falls with the distances from the two cells."""
    mean: tuple[float, ...] = ()
    """Per channel, of pixels in 0..1; empty: the training set's own."""
    std: tuple[float, ...] = ()
    batchnorm_images: int = 0
    """Images of a batch that BatchNorm normalises over at once in training; 0: all of them."""
    batchnorm_statistics: str = "running"
    """With which a finished network is tested: `running` averages, or the `exact` ones over the training images."""
    validation_images: int = 0
    """Training images that are not trained on, but tested after every epoch."""
    reported: str = "last"
    """The epoch whose test error is reported: `last`, or `lowest-validation` for the lowest validation error."""
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where each value is from: `printed`, `code` or `inferred`, and the place."""

    def _mathematics(self) -> dict[str, Any]:
        """Return every value beside the name and the sources."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in ("name", "paper", "origins")
        }

    def values(self) -> dict[str, Any]:
        """Return what the recipe does, without its name and sources.

        A value that is the default is left out, so that a recipe keeps its identity when recipes learn a new word.
        """
        defaults = {each.name: each.default for each in fields(self)}
        return {name: value for name, value in self._mathematics().items() if value != defaults[name]}

    def differences(self, published: Recipe) -> list[str]:
        """Return what differs from another recipe, as `epochs=1 (300)` with the other's value behind."""
        theirs, own = published._mathematics(), self._mathematics()
        return [
            f"{name}={shown(value)} ({shown(theirs[name])})" for name, value in own.items() if value != theirs[name]
        ]

    @property
    def phases(self) -> tuple[Recipe, ...]:
        """The training and, where there is one, the tuning of the classifier: each a recipe that tunes nothing."""
        if not self.tune_epochs:
            return (self,)
        training = replace(self, tune_epochs=0, tune_batch=0, tune_lr=0.0)
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
    def all_epochs(self) -> int:
        """Epochs of all phases."""
        return self.epochs + self.tune_epochs

    def with_epochs(self, epochs: int) -> Recipe:
        """Return the recipe with another length of the training.

        Iterations and the epochs of tuning shrink or grow alike: few enough epochs leave the tuning out.
        """
        iterations = self.iterations and round(self.iterations * epochs / self.epochs)
        tune_epochs = round(self.tune_epochs * epochs / self.epochs)
        return replace(self, epochs=epochs, iterations=iterations, tune_epochs=tune_epochs)
