"""Several crops of a test image, and how a network's answers to them become one. Standard library alone."""

from enum import StrEnum

TEN = 10
"""The corners and the middle, and their mirror images: Krizhevsky et al. 2012, section 4.1."""


class Averaged(StrEnum):
    """What is averaged over the crops of an image."""

    OUTPUTS = "outputs"
    """Of the classifier, before the softmax: as `computeScore` of fb.resnet.torch and of DenseNet's code sums them."""
    PROBABILITIES = "probabilities"
    """After the softmax: Krizhevsky et al. 2012, section 4.1, and KaimingHe's models."""

    @property
    def words(self) -> str:
        """As a protocol says it."""
        return "raw outputs averaged" if self is Averaged.OUTPUTS else "probabilities averaged"
