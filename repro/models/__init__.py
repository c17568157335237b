"""Models by their names: registry.py lists them, and `build` imports the file of one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from repro.errors import UserError, first_line
from repro.models.options import EXPECTED, Shape, of_type
from repro.models.options import OptionValue as OptionValue
from repro.models.options import as_typed as as_typed
from repro.models.outside.location import HERE, find_outside, outside
from repro.models.outside.location import is_outside as is_outside
from repro.models.registry import LARGEST, TIMM, TORCHVISION
from repro.models.registry import MODELS as MODELS
from repro.models.registry import OPTIONS as OPTIONS
from repro.models.registry import ModelSpec as ModelSpec
from repro.text import choose

if TYPE_CHECKING:
    from torch import nn

ELSEWHERE = "see repro list models, or name one from elsewhere: torchvision:NAME, timm:NAME or FILE.py:NAME"
"""What to do about a name that no model has."""
SMALL = 64
"""Largest side of an image in pixels for which ImageNet models take the form that is usual in CIFAR repositories: the
first layers keep height and width, and heads for 7x7 maps are left out. The papers have no such networks."""


def find(name: str, folders: Sequence[Path] = HERE, others: Sequence[Path] = ()) -> str:
    """Return the name of a network, as typed by a user.

    Args:
        name: a registered name in any spelling, its summary, the name of the same network in torchvision or timm, or a
            network from outside the package, such as `nets.py:MyNet`.
        folders: where files are searched.
        others: where a file is searched that is in none of these.

    Raises:
        UserError: there is none; the message has the nearest name.
    """
    if is_outside(name):
        return find_outside(name, folders, others)
    return choose("model", name, MODELS, _others(), ELSEWHERE)


def _others() -> dict[str, str]:
    """Return what else a user may type for some models, by what they are called elsewhere and by their summaries."""
    libraries = {theirs: ours for names in (TORCHVISION, TIMM) for ours, theirs in names.items()}
    return {**{spec.summary: name for name, spec in MODELS.items()}, **libraries}


def spec_of(name: str) -> ModelSpec:
    """Return what is known of a network without building it."""
    return ModelSpec(name, "", "") if is_outside(name) else MODELS[name]


def resolve_options(name: str, given: Mapping[str, OptionValue], dataset: str) -> dict[str, OptionValue]:
    """Return all options of a model: the given values, and the defaults on `dataset` for the others.

    Raises:
        UserError: the model has no such option, or a value is of another type.
    """
    if is_outside(name):
        from repro.models.outside.factory import resolved

        return resolved(outside(name), given)
    spec = MODELS[name]
    for option in given:
        if option not in spec.options:
            has = ", ".join(f"--{each}" for each in spec.options) or "none"
            raise UserError(f"{name} has no option --{option}; its options: {has}")
    chosen = {option: stored_option(name, option, value) for option, value in given.items()}
    return {**spec.defaults(dataset), **chosen}


def reason_for(name: str, options: Mapping[str, OptionValue], dataset: str) -> str:
    """Return why a model has its default options on a dataset; empty for other options, or if there is no choice."""
    spec = spec_of(name)
    if not spec.reasons or dict(options) != resolve_options(name, {}, dataset):
        return ""
    return spec.reasons.get(dataset, spec.reasons[""])


def stored_option(name: str, option: str, value: OptionValue) -> OptionValue:
    """Return the value of an option of a registered model as experiments have it: `B(3,3)` in capitals without spaces.

    Raises:
        UserError: it is of another type, or too large.
    """
    kind = OPTIONS[option][0]
    value = of_type(value, kind)
    if type(value) is not kind:
        raise UserError(f"{name}: option {option} must be {EXPECTED[kind]}, not {value!r}")
    if isinstance(value, float) and math.isnan(value):
        raise UserError(f"{name}: option {option} must be {EXPECTED[kind]}, not nan")
    if not isinstance(value, str) and value > LARGEST.get(option, math.inf):
        raise UserError(f"{name}: option {option} is {value:,}; the largest is {LARGEST[option]:,}")
    return value.upper().replace(" ", "") if isinstance(value, str) else value


def is_small(name: str, input: Shape) -> bool:
    """Whether a model takes the form of CIFAR repositories instead of its paper's for such images."""
    return spec_of(name).small and max(input[1:]) <= SMALL


def build(
    name: str,
    options: Mapping[str, OptionValue],
    *,
    classes: int,
    input: Shape = (3, 224, 224),
    dropout: float = 0.0,
    auxiliary: bool = False,
) -> nn.Module:
    """Return the network, on torch's default device and with torch's default initialisation.

    Args:
        name: what `find` returned.
        options: the model's options, resolved or not.
        classes: outputs of the classifier.
        input: shape of an image, which selects an ImageNet model's own form or that for small images.
        dropout: the recipe's rate, for models with dropout layers.
        auxiliary: whether to add auxiliary classifiers, for models that have some.

    Raises:
        UserError: no such network exists with these options.
    """
    check_layers(name, dropout, auxiliary)
    if is_outside(name):
        from repro.models.outside.factory import built

        return built(outside(name), options, classes, input[0])
    spec = spec_of(name)
    arguments: dict[str, OptionValue] = {**spec.options, **spec.fixed, **options}
    if dropout:
        arguments["dropout"] = dropout
    if auxiliary:
        arguments["auxiliary"] = True
    if is_small(name, input):
        arguments["small"] = True
    function = getattr(_file(spec), spec.builder.split(":")[1])
    try:
        network: nn.Module = function(classes=classes, channels=input[0], **arguments)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    except (OverflowError, RuntimeError, TypeError) as error:
        raise UserError(
            f"{name} cannot be built with these options ({first_line(error)}); choose smaller values"
        ) from error
    return network


@contextmanager
def building_without_memory(name: str) -> Iterator[None]:
    """Build a network on torch's meta device, which allocates no memory.

    Code from outside the package may read the values of its tensors, so that such a network is built on the CPU;
    torch's random numbers are then as before.
    """
    import torch

    own_code = is_outside(name)
    with torch.device("cpu" if own_code else "meta"), torch.random.fork_rng(devices=[], enabled=own_code):
        yield


def check_layers(name: str, dropout: float, auxiliary: float) -> None:
    """Raise UserError if a recipe needs layers that a network lacks: dropout of its rate or auxiliary classifiers."""
    place = outside(name).place if is_outside(name) else name
    if dropout and is_outside(name):
        raise UserError(
            f"{place} is from outside the package, so no recipe sets its dropout; leave dropout={dropout:g} out of the "
            "recipe (0 if it extends one with dropout) and use an option of the network"
        )
    if dropout and not spec_of(name).dropout:
        raise UserError(
            f"{place} has no dropout layers, but its recipe needs dropout {dropout:g}; choose another recipe"
        )
    if auxiliary and not spec_of(name).auxiliary:
        raise UserError(
            f"{place} has no auxiliary classifiers, but its recipe needs auxiliary {auxiliary:g}; choose another recipe"
        )


def check_no_dropout(name: str, options: Mapping[str, OptionValue], classes: int, input: Shape) -> None:
    """Raise UserError if a network has dropout of its own, which a recipe with dropout 0 leaves as it is."""
    import torch

    with building_without_memory(name):
        network = build(name, options, classes=classes, input=input)
    own = {each.p for each in network.modules() if isinstance(each, torch.nn.Dropout) and each.p}
    if own:
        rates = ", ".join(f"{each:g}" for each in sorted(own))
        raise UserError(f"dropout=0 leaves the dropout of {name}, {rates}, as it is; for none, set a rate such as 1e-9")


def save_memory(name: str, network: nn.Module) -> None:
    """Make a network recompute some activations in the backward pass instead of saving them; results stay the same.

    Raises:
        UserError: the model does not support this.
    """
    spec = spec_of(name)
    if not spec.saves_memory:
        can = ", ".join(each for each, spec in MODELS.items() if spec.saves_memory)
        raise UserError(f"{name} does not support --save-memory; models that do: {can}")
    _file(spec).save_memory(network)


def _file(spec: ModelSpec) -> ModuleType:
    """Return the module with a model's builder."""
    return import_module(f"repro.models.{spec.builder.split(':')[0]}")
