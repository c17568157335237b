"""The classes and functions that build networks from outside the package. Only this file runs their code."""

from __future__ import annotations

import inspect
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import sha256
from importlib import import_module
from importlib.abc import SourceLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO

from repro.errors import PackageMissing, UserError
from repro.models.options import EXPECTED, OptionValue, Shape, as_text, is_finite, of_type, shape_text
from repro.models.outside.location import Outside, changed, outside, set_defaults
from repro.text import choose

if TYPE_CHECKING:
    from torch import nn

SCALARS: dict[Any, type] = {each: each for each in (bool, int, float, str)} | {
    each.__name__: each for each in (bool, int, float, str)
}
"""The types of options, by their annotation."""
OWN_WEIGHTS = frozenset({"weights", "weights_backbone", "pretrained", "checkpoint_path", "progress"})
"""Parameters of packages that are no options: every network here starts without weights."""
CALLS_A_LAYER = "_call_impl"
"""The function of torch that calls every layer of a network."""
OWN_ERRORS = (Exception, SystemExit)
"""What the code of a network raises: it may call sys.exit, which must not end a command without a message."""


@dataclass(frozen=True)
class Factory:
    """What builds a network, and its options as its signature gives them."""

    build: Callable[..., Any]
    kinds: Mapping[str, type | None]
    """The types of the options; None if the signature has neither a default nor an annotation of such a type."""
    defaults: Mapping[str, OptionValue]
    required: tuple[str, ...]
    sizes: Mapping[str, str]
    """The parameters for `classes` and `channels`, where it has them."""
    open: bool
    """Whether it takes options that its signature does not name."""


class _Content(SourceLoader):
    """A loader of exactly these bytes: a cached file of Python could be that of an earlier version."""

    def __init__(self, file: Path, content: bytes) -> None:
        self._file, self._content = file, content

    def get_filename(self, fullname: str) -> str:
        return str(self._file)

    def get_data(self, path: str | bytes) -> bytes:
        if str(path) != str(self._file):
            raise OSError(path)
        return self._content


@cache
def factory_of(network: Outside) -> Factory:
    """Return the factory of a network, which imports its file or its package; UserError if that fails."""
    if network.where == "timm":
        return _of_timm(network)
    if network.where == "torchvision":
        return _of_torchvision(network)
    module = _run(network, network.file) if network.file else _imported(network, network.where)
    found = getattr(module, network.factory, None)
    if not callable(found):
        own = [key for key, each in vars(module).items() if getattr(each, "__module__", "") == module.__name__]
        raise UserError(f"{network.where} has no class or function {network.factory!r}; it has: {_listed(own)}")
    parameters = _signature(network, found)
    sizes = {name: name for name in ("classes", "channels") if name in parameters}
    return _factory(found, parameters, sizes)


def resolved(network: Outside, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Return all options of a network: the given values, and the defaults for the others.

    Raises:
        UserError: it has no such option, a value is of another type, or an option without default is missing.
    """
    factory = factory_of(network)
    chosen = {name: _checked(network, factory, name, value) for name, value in given.items()}
    for name in factory.required:
        if name not in chosen:
            raise UserError(f"{network.place} needs the option {name}, which has no default; add {name}=VALUE")
    set_defaults(network.name, factory.defaults)
    return {**factory.defaults, **chosen}


def kind_of(network: Outside, option: str) -> type | None:
    """Return the type of an option, None if its signature does not say; UserError if there is no such option."""
    factory = factory_of(network)
    _expect_option(network, factory, option)
    return factory.kinds.get(option)


def built(network: Outside, options: Mapping[str, OptionValue], classes: int, channels: int) -> nn.Module:
    """Return the network; UserError if its factory raises or returns something else."""
    from torch import nn
    from torch.nn.parameter import is_lazy

    factory = factory_of(network)
    sizes = {"classes": classes, "channels": channels}
    given = {**options, **{parameter: sizes[size] for size, parameter in factory.sizes.items()}}
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="torchvision")
            made = factory.build(**given)
    except OWN_ERRORS as error:
        options_given = ", ".join(f"{name}={as_text(value)}" for name, value in given.items())
        how = f"with {options_given}" if given else "without options"
        unnamed = factory.open and "classes" not in factory.sizes
        hint = "; name the parameter classes in its signature to receive it" if unnamed else ""
        raise UserError(f"{network.place} cannot be built {how}: {_reason(error, network)}{hint}") from error
    if not isinstance(made, nn.Module):
        raise UserError(f"{network.place} returns {type(made).__name__}; it must return a torch.nn.Module")
    if any(map(is_lazy, made.parameters())):
        raise UserError(f"{network.place} has lazy layers, whose weights no recipe can initialise; give their sizes")
    return made


def check_output(name: str, made: nn.Module, classes: int, input: Shape, *, trains: bool = False) -> None:
    """Raise UserError if a built network does not return (batch, classes) for images of this shape.

    `trains` means that its weights are to be trained.
    """
    import torch

    from repro.models.outside.state import check_state

    network = outside(name)
    with nullcontext() if trains else torch.no_grad(), torch.random.fork_rng(devices=[]), redirect_stdout(sys.stderr):
        try:
            output = made(torch.zeros(2, *input))
        except OWN_ERRORS as error:
            raise UserError(
                f"{network.place} does not accept images of {shape_text(input)} (CxHxW): {_reason(error, network)}"
            ) from error
    found = tuple(output.shape) if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"
    if found != (2, classes):
        raise UserError(
            f"{network.place} returns {found} for 2 images of {shape_text(input)}; it must return (batch, classes) = "
            f"(2, {classes})"
        )
    if trains and not output.requires_grad:
        raise UserError(
            f"{network.place} cannot be trained: its output has no gradient; leave out no_grad, detach and the like, "
            "and let its weights require gradients"
        )
    if trains:
        check_state(network.place, made)


def failed_in(error: BaseException, name: str) -> str | None:
    """Return an error that a built network raised, in one line; None if it came from elsewhere."""
    network = outside(name)
    frames = traceback.extract_tb(error.__traceback__)
    if any(each.filename == str(network.file) or each.name == CALLS_A_LAYER for each in frames):
        return f"{network.place}: {_reason(error, network)}"
    return None


def _run(network: Outside, file: Path) -> ModuleType:
    """Return the module of a file, which is run now."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}; restore the file of {network.name}") from None
    if (found := sha256(content).hexdigest()) != network.version:
        raise changed(replace(network, version=found), network.name)
    name = f"repro_outside_{network.version}"
    spec = spec_from_loader(name, _Content(file, content))
    assert spec
    assert spec.loader
    module = sys.modules[name] = module_from_spec(spec)
    vars(module)["print"] = _print
    try:
        with redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except OWN_ERRORS as error:
        del sys.modules[name]
        raise UserError(f"{file} cannot be imported: {_reason(error, network)}; repair the file") from error
    return module


def _print(*values: object, file: TextIO | None = None, **options: Any) -> None:
    """Print on stderr unless a file is given: stdout is for the answer, also while a network computes."""
    print(*values, file=file or sys.stderr, **options)


def _imported(network: Outside, module: str) -> ModuleType:
    """Return an installed module; UserError if it is missing or its import fails."""
    try:
        with redirect_stdout(sys.stderr):
            return import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).split(".")[0]
        if missing == module.split(".")[0] and (error.name or module) != missing:
            raise UserError(f"{network.place}: there is no module {error.name}; correct its name") from None
        raise UserError(f"{network.place}: {PackageMissing(missing)}") from None
    except OWN_ERRORS as error:
        raise UserError(f"{module} cannot be imported: {_reason(error, network)}") from error


def _of_timm(network: Outside) -> Factory:
    timm: Any = _imported(network, "timm")
    if not timm.is_model(network.factory):
        choose("network of timm", network.factory, timm.list_models())
        raise UserError(f"timm spells {network.factory!r} differently; see timm.list_models()")
    parameters = _signature(network, timm.models.model_entrypoint(network.factory))
    build = partial(timm.create_model, network.factory, pretrained=False)
    return _factory(build, parameters, {"classes": "num_classes", "channels": "in_chans"})


def _of_torchvision(network: Outside) -> Factory:
    models: Any = _imported(network, "torchvision.models")
    known = models.list_models(module=models)
    if network.factory not in known:
        raise UserError(f"torchvision spells it {choose('network of torchvision', network.factory, known)}; write that")
    parameters = _signature(network, models.get_model_builder(network.factory))
    build = partial(models.get_model, network.factory, weights=None)
    return _factory(build, parameters, {"classes": "num_classes"})


def _factory(
    build: Callable[..., Any], parameters: Mapping[str, inspect.Parameter], sizes: Mapping[str, str]
) -> Factory:
    """Return a factory with the options of a signature."""
    empty, open_ = inspect.Parameter.empty, False
    kinds, defaults, required = dict[str, type | None](), dict[str, OptionValue](), list[str]()
    for name, each in parameters.items():
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            open_ = True
        elif each.kind is not inspect.Parameter.VAR_POSITIONAL and name not in {*sizes.values(), *OWN_WEIGHTS}:
            kinds[name] = kind = _kind(each)
            if each.default is empty:
                required.append(name)
            elif type(each.default) in SCALARS and is_finite(default := of_type(each.default, kind)):
                defaults[name] = default
    return Factory(build, kinds, defaults, tuple(required), sizes, open_)


def _kind(parameter: inspect.Parameter) -> type | None:
    """Return the type of an option: as it is annotated, else that of its default; None if it may have several."""
    annotated = str(getattr(parameter.annotation, "__name__", parameter.annotation)).removesuffix(" | None")
    if " | " in annotated:
        return None
    return SCALARS.get(annotated) or SCALARS.get(type(parameter.default))


def _signature(network: Outside, build: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(build).parameters
    except (TypeError, ValueError):
        raise UserError(f"{network.place} has no signature that gives its options; name a class or function") from None


def _expect_option(network: Outside, factory: Factory, name: str) -> None:
    reserved = {*factory.sizes.values(), *OWN_WEIGHTS}
    if name not in factory.kinds and (name in reserved or not factory.open):
        raise UserError(f"{network.place} has no option {name}; its options: {_listed(factory.kinds)}")


def _checked(network: Outside, factory: Factory, name: str, value: OptionValue) -> OptionValue:
    """Return a value in the type of its option."""
    _expect_option(network, factory, name)
    kind = factory.kinds.get(name)
    value = of_type(value, kind)
    if type(value) not in SCALARS or (kind and type(value) is not kind):
        raise UserError(
            f"{network.place}: option {name} must be {EXPECTED[kind] if kind else 'a number, text, true or false'}, "
            f"not {value!r}"
        )
    return value


def _reason(error: BaseException, network: Outside) -> str:
    """Return an error in one line, with the last line of the network's file that it passed."""
    said = (str(error).strip() or "no message").splitlines()[0]
    lines = [each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == str(network.file)]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else next(reversed(lines), None)
    return f"{type(error).__name__}: {said}" + (f" (line {line})" if line and "line" not in said else "")


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"
