"""Networks from outside the package: where they are and which version it is. Nothing here runs their code.

A user writes `nets.py:MyNet`, `package.module:factory`, `timm:resnet26` or `torchvision:regnet_y_400mf`. The name of
the network is that without folders, with its version: `nets.py:MyNet@3f2a91c05b7d`. Two files of one name are two
networks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from repro.errors import PackageMissing, UserError
from repro.models.options import OptionValue
from repro.text import one_of

DIGITS = 12
"""Digits of a file's SHA-256 in the name of a network."""
HERE = (Path(),)


@dataclass(frozen=True)
class Outside:
    """A network from outside the package."""

    place: str
    """As a user types it from the working folder."""
    version: str
    """SHA-256 of the file, or the version of the package; empty if the package is not installed."""
    defaults: Mapping[str, OptionValue] = field(default_factory=dict, compare=False)
    """The defaults of its options, as a run recorded them."""

    @property
    def name(self) -> str:
        """The name, which has the version."""
        shown = self.version[:DIGITS] if _is_hash(self.version) else self.version
        return f"{bare(self.place)}@{shown or 'none'}"

    @property
    def where(self) -> str:
        """The file, the module or the package."""
        return self.place.rpartition(":")[0]

    @property
    def factory(self) -> str:
        """The name of the class or function."""
        return self.place.rpartition(":")[2]

    @property
    def file(self) -> Path | None:
        """The Python file; None for a package."""
        return Path(self.where) if self.where.endswith(".py") else None


_KNOWN: dict[str, Outside] = {}
"""What was found, by name. A name has the version, so that what it means does not depend on what was found first."""


def is_outside(name: str | None) -> bool:
    """Whether a name, as typed or found, is that of a network from outside the package."""
    return name is not None and ":" in name


def bare(name: str) -> str:
    """Return a name without folders and version: `nets.py:MyNet`."""
    place, _ = _split(name)
    where, _, factory = place.rpartition(":")
    return f"{where.rpartition('/')[2] if where.endswith('.py') else where}:{factory}"


def _split(name: str) -> tuple[str, str]:
    """Return the place and the version of a name, which may have none; the path of a file may have an @ too."""
    where, colon, last = name.rpartition(":")
    factory, _, version = last.partition("@")
    return f"{where}{colon}{factory}", version


def label(name: str) -> str:
    """Return the start of the names of a network's runs: `nets.MyNet`."""
    where, _, factory = bare(name).rpartition(":")
    return re.sub(r"[^A-Za-z0-9.]+", "_", f"{where.removesuffix('.py')}.{factory}").lstrip(".")


def outside(name: str) -> Outside:
    """Return the network of a name that `find_outside` or `remember` returned."""
    return _KNOWN[name]


def version_of(name: str) -> str | None:
    """Return the SHA-256 or the version of a network from outside the package; None for any other."""
    return outside(name).version if is_outside(name) else None


def find_outside(typed: str, folders: Sequence[Path] = HERE, others: Sequence[Path] = ()) -> str:
    """Return the name of a network.

    Args:
        typed: as a user types it, or a name.
        folders: where a relative file is searched; the first is preferred, and the rest must not disagree.
        others: where a file is searched that is in none of these; they must not disagree either.

    Raises:
        UserError: there is no such file, several folders have different ones, this is a file without its `.py`, or
            this is not a network.
    """
    if typed in _KNOWN:
        return typed
    place, wanted = _split(typed)
    where, _, factory = place.rpartition(":")
    if not where or not factory:
        raise UserError(f"{typed!r} is not a network; write FILE.py:NAME or PACKAGE.MODULE:NAME")
    if where.endswith(".py"):
        file = _file(where, folders, others)
        found = Outside(f"{file}:{factory}", sha256(file))
    else:
        found = Outside(place, _version(where))
        if not found.version:
            _refuse_file(where, factory, [*folders, *others])
    if wanted and wanted not in (_split(found.name)[1], found.version):
        raise UserError(f"{found.place} has changed: it is {found.name}, not {typed}; restore it")
    _KNOWN[found.name] = found
    return found.name


def recorded(name: str) -> dict[str, Any]:
    """Return what a run records of its network, besides its name."""
    network = outside(name)
    kind = "sha256" if _is_hash(network.version) else "version"
    return {"place": network.place, kind: network.version, "defaults": dict(network.defaults)}


def remember(name: str, content: Mapping[str, Any], folders: Iterable[Path]) -> str:
    """Return the name of a network that a run recorded, wherever its file is now.

    Args:
        name: its name.
        content: what `recorded` returned.
        folders: where its file may be if it has moved; without it nothing can be built, and that is said then.
    """
    found = Outside(content["place"], content.get("sha256") or content["version"], content["defaults"])
    if name in _KNOWN and is_current(_KNOWN[name]):
        found = replace(_KNOWN[name], defaults=found.defaults)
    elif found.file and not is_current(found):
        places = (folder / tail for folder in folders for tail in _tails(found.file))
        moved = (replace(found, place=f"{place}:{found.factory}") for place in places)
        found = next(filter(is_current, moved), found)
    if found.name != name:
        raise UserError(f"{name} is not the network {found.name}")
    _KNOWN[name] = found
    return name


def _tails(file: Path) -> list[Path]:
    """Return the ends of a path, the file's name first: a copy of a paper has its folders, but lies elsewhere."""
    parts = file.parts[1:] if file.is_absolute() else file.parts
    return [Path(*parts[-length:]) for length in range(1, len(parts) + 1)]


def set_defaults(name: str, defaults: Mapping[str, OptionValue]) -> None:
    """Keep the defaults of a network's options, so that its runs record them."""
    _KNOWN[name] = replace(_KNOWN[name], defaults=defaults)


def is_current(network: Outside) -> bool:
    """Whether the file or the package still has the network's version."""
    try:
        check_current(network)
    except UserError:
        return False
    return True


def check_current(network: Outside) -> None:
    """Raise UserError if the file or the package is missing, or has another version than the network; no code runs."""
    found = sha256(network.file) if network.file else _version(network.where)
    if not found:
        raise UserError(f"{network.place}: {PackageMissing(network.where.partition('.')[0])}")
    if found != network.version:
        raise changed(replace(network, version=found), network.name)


def changed(now: Outside, name: str) -> UserError:
    """Return the error for a network that is another version now than its name in a run or an exported file."""
    kind = "SHA-256" if _is_hash(now.version) else "version"
    return UserError(f"{now.where} has changed since {name}: its {kind} is {now.version}; restore it")


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file; UserError if it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None


def _file(where: str, folders: Sequence[Path], others: Sequence[Path]) -> Path:
    """Return the file, relative to the first folder that has it."""
    in_each = ([file for each in searched if (file := each / where).is_file()] for searched in (folders, others))
    found = next(filter(None, in_each), None)
    if not found:
        searched = one_of(list(dict.fromkeys(str(folder.absolute()) for folder in [*folders, *others])))
        raise UserError(f"{where} does not exist in {searched}; name a Python file by its path")
    preferred = found[:1] if found[0] == folders[0] / where else found
    if len({sha256(each) for each in preferred}) > 1:
        raise UserError(f"{where} is in several papers: {', '.join(map(str, found))}; write the path of one")
    return found[0]


def _refuse_file(module: str, factory: str, folders: Sequence[Path]) -> None:
    """Refuse the name of a module that is not installed if it is that of a file: no package is to be installed."""
    file = f"{module.replace('.', '/')}.py"
    if any((folder / file).is_file() for folder in folders):
        raise UserError(f"{module} is not an installed package; for the file {file} write {file}:{factory}")


def _version(module: str) -> str:
    """Return the version of the package of a module, else the SHA-256 of its file; empty if there is none."""
    top, *inner = module.split(".")
    for distribution in (top, *packages_distributions().get(top, ())):
        try:
            return version(distribution)
        except (PackageNotFoundError, ValueError):
            continue
    file = _module_file(top, inner)
    return sha256(file) if file else ""


def _module_file(top: str, inner: Sequence[str]) -> Path | None:
    """Return the file of a module, without importing its package."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not inner:
        return Path(spec.origin) if spec.origin else None
    folders = [Path(each).joinpath(*inner) for each in spec.submodule_search_locations or ()]
    files = [file for each in folders for file in (each.with_suffix(".py"), each / "__init__.py")]
    return next((each for each in files if each.is_file()), None)


def _is_hash(version: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", version) is not None
