"""The structure in which checkpoints, run.json and weights files hold an experiment."""

from __future__ import annotations

import msgspec

from repro.bounds import Whole
from repro.models import OptionValue, is_outside

Scalar = bool | int | float | str | None


class StoredNetwork(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What `recorded` returns of a network from outside the package."""

    place: str
    defaults: dict[str, OptionValue]
    sha256: str | msgspec.UnsetType = msgspec.UNSET
    version: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        """Require one version, and a place that names a file or a package, and what is in it."""
        if (self.sha256 is msgspec.UNSET) == (self.version is msgspec.UNSET) or not is_outside(self.place):
            raise ValueError("Expected a place, and `sha256` or `version`")


class StoredExperiment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What `Experiment.to_json` returns."""

    model: str
    options: dict[str, OptionValue]
    recipe: str
    values: dict[str, Scalar | tuple[Scalar, ...]]
    seed: Whole
    network: StoredNetwork | msgspec.UnsetType = msgspec.UNSET
    declaration: str | msgspec.UnsetType = msgspec.UNSET
