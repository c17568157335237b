"""The layouts: how others name the tensors of our networks in published state dicts. One TOML file for each of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import msgspec

from repro.errors import UserError
from repro.models import OptionValue, spec_of
from repro.models.typed import typed_name
from repro.papers import toml_of
from repro.text import choose, one_of

OWN = "repro"
"""The layout with our own names, which needs no rules and has all networks."""


class Normalisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is subtracted from the pixels in 0..1, and what they are divided by; a number for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        mean, std = (", ".join(f"{each:.6g}" for each in values) for values in (self.mean, self.std))
        return f"mean {mean}; std {std}"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of our names, and what takes its place in theirs."""

    ours: str
    """A regular expression. Its groups are indices, which we count from 0."""
    theirs: str
    """The text, with `{}` for each index."""
    first: int = 0
    """The number from which theirs are counted."""

    def applied(self, name: str) -> str:
        """Return a name after the rule, unchanged if the rule does not match."""
        return re.sub(
            self.ours, lambda found: self.theirs.format(*(int(each) + self.first for each in found.groups())), name
        )


class NamedNetworks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Networks of ours that a layout names in one way."""

    builders: tuple[str, ...]
    """As in the registry of models."""
    options: dict[str, OptionValue] = {}
    """Options that a network must have."""
    names: tuple[Rule, ...] = ()
    """The rules, which are applied one after another; without any, the names are ours."""
    centred: bool = False
    """Whether shortcuts of option A pad the channels on both sides; ours pad after them."""
    normalise: dict[str, Normalisation] = {}
    """How these networks are normalised if not as the layout's others, by dataset."""

    def is_centred(self, options: Mapping[str, OptionValue]) -> bool:
        """Whether a network with these options has its channels in another order than ours."""
        return self.centred and options["shortcut"] == "A"


class Former(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A spelling in older files."""

    theirs: str
    """A regular expression."""
    now: str


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one library or repository names the tensors of networks that are also ours."""

    source: str
    """The library, or owner and name of the repository on GitHub."""
    networks: tuple[NamedNetworks, ...]
    normalise: dict[str, Normalisation] = {}
    """How its training script normalises, by dataset."""
    former: tuple[Former, ...] = ()
    unused: str = ""
    """A regular expression for tensors that do not affect the output."""
    name: str = ""
    """The name of its file."""

    def networks_of(self, model: str, options: Mapping[str, OptionValue]) -> NamedNetworks | None:
        """Return what it says of one of our networks with all its options; None if it does not have the network."""
        if self.name == OWN:
            return NamedNetworks(())
        spec = spec_of(model)
        chosen = {**spec.options, **spec.fixed, **options}
        fitting = (
            each for each in self.networks if spec.builder in each.builders and each.options.items() <= chosen.items()
        )
        return next(fitting, None)

    def normalisation_of(self, model: str, options: Mapping[str, OptionValue], dataset: str) -> Normalisation | None:
        """Return how its training script normalises a dataset for a network; None if it does not train on it."""
        networks = self.networks_of(model, options)
        return {**self.normalise, **(networks.normalise if networks else {})}.get(dataset)

    def current(self, names: Iterable[str]) -> dict[str, str]:
        """Return the names in a file by their present spelling, without those of tensors that are not used."""
        return {self._current(name): name for name in names if not (self.unused and re.search(self.unused, name))}

    def _current(self, name: str) -> str:
        for each in self.former:
            name = re.sub(each.theirs, each.now, name)
        return name


def theirs(networks: NamedNetworks, names: Iterable[str]) -> dict[str, str]:
    """Return the names of a layout by our names."""
    found = dict[str, str]()
    for name in names:
        found[name] = name
        for rule in networks.names:
            found[name] = rule.applied(found[name])
    return found


@cache
def layouts() -> Mapping[str, Layout]:
    """Return all layouts by name, ours first."""
    files = sorted(Path(__file__).parent.glob("*.toml"))
    others = {file.stem: msgspec.convert({**toml_of(file), "name": file.stem}, Layout) for file in files}
    return {OWN: Layout("repro", (), name=OWN), **others}


def layout_named(name: str, model: str, options: Mapping[str, OptionValue]) -> tuple[Layout, NamedNetworks]:
    """Return a layout that a user names, and what it says of a network.

    Raises:
        UserError: there is no such layout, or it has no names for the network; the message lists those that have.
    """
    layout = layouts()[choose("layout", name, layouts())]
    networks = layout.networks_of(model, options)
    if networks is None:
        fitting = [each.name for each in layouts().values() if each.networks_of(model, options)]
        raise UserError(
            f"{layout.name} has no names for the tensors of {typed_name(model)} with these options; "
            f"choose {one_of(fitting)}"
        )
    return layout, networks
