"""Several crops of a test image, and how their predictions are combined. Imports only the standard library."""

from enum import StrEnum

TEN = 10
"""Number of crops: four corners and the centre, and their mirror images (Krizhevsky et al. 2012, section 4.1)."""


class Averaged(StrEnum):
    """What is averaged over the crops of an image."""

    OUTPUTS = "outputs"
    """Outputs of the classifier before the softmax, as in `computeScore` of fb.resnet.torch and of DenseNet's code."""
    PROBABILITIES = "probabilities"
    """Outputs after the softmax: Krizhevsky et al. 2012, section 4.1, and KaimingHe's models."""

    @property
    def words(self) -> str:
        """The averaging in words."""
        return "raw outputs averaged" if self is Averaged.OUTPUTS else "probabilities averaged"
