"""State dicts in files that others published, read without executing any code in them."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from repro.errors import UserError
from repro.experiment import Experiment
from repro.stored_experiment import StoredExperiment
from repro.tensor_file import (
    ADVICE,
    Format,
    check_archive,
    content_of,
    format_of,
    plain_content,
    raise_if_out_of_memory,
    refusal,
)

SAFETENSORS = ".safetensors"
KEYS = ("state_dict", "model", "net", "state_dict_ema", "model_state_dict", "network")
"""Where training scripts put a state dict; the first that a file has is read, else the only dictionary of tensors."""
DEEPEST = 3
"""Keys above a state dict in a file; a hostile dictionary may hold itself."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
"""What DataParallel, `torch.compile` and modules around a network put before all names."""


@dataclass(frozen=True)
class StateDict:
    """The tensors in a file."""

    file: Path
    tensors: Mapping[str, Tensor]
    """By name, without a prefix that all names had, in the order of the file."""
    sha256: str = ""
    """The hash of the file; empty for a download, whose name has the hash that was checked."""
    key: str = ""
    """The key in the file under which they are, such as `state_dict` or `state_dict.model`; empty if they are at the
    top."""
    prefix: str = ""
    """What was removed from all names."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What a safetensors file says of itself."""

    def for_network(self, names: Collection[str]) -> StateDict:
        """Put back the part of the removed prefix with which the names of our network also begin."""
        starts = [at for at in range(len(self.prefix)) if at == 0 or self.prefix[at - 1] == "."]
        kept = next((end for at in starts if all(name.startswith(end := self.prefix[at:]) for name in names)), "")
        tensors = {f"{kept}{name}": tensor for name, tensor in self.tensors.items()}
        return replace(self, tensors=tensors, prefix=self.prefix.removesuffix(kept))


def read_state_dict(file: Path) -> StateDict:
    """Return the state dict in a safetensors file, or in one of `torch.save`.

    Raises:
        UserError: there is no such file, it is broken, it holds more than tensors and plain values, or no state dict.
    """
    if not file.is_file():
        reason = "is a folder" if file.is_dir() else "is not a file" if file.exists() else "does not exist"
        raise UserError(f"{file} {reason}; name the file of a state dict")
    content = content_of(file)
    if not content:
        raise UserError(f"{file} is empty; copy or download it again")
    found = format_of(content)
    if found in ADVICE:
        raise UserError(f"{file} is {found}; {ADVICE[found]}")
    if found is Format.SAFETENSORS or (found is Format.UNKNOWN and file.suffix.lower() == SAFETENSORS):
        key, tensors, metadata = _safetensors(file, content)
    else:
        key, tensors, metadata = _saved(file, content)
    if not tensors:
        raise UserError(f"{file} has no tensors; name the file of a state dict")
    prefix = common_prefix(tensors)
    bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return StateDict(file, bare, hashlib.sha256(content).hexdigest(), key, prefix, metadata)


def exported_experiment(found: StateDict) -> Experiment | None:
    """Return the experiment that `repro export` wrote into a file; None for a file of others.

    Raises:
        UserError: its recipe or dataset is unknown here, or has changed.
    """
    if "experiment" not in found.metadata:
        return None
    try:
        stored = msgspec.json.decode(found.metadata["experiment"], type=StoredExperiment)
    except (ValueError, RecursionError):
        return None
    try:
        return Experiment.from_stored(stored)
    except UserError as error:
        raise UserError(f"{found.file}: {error}") from error


def common_prefix(names: Mapping[str, Any]) -> str:
    """Return the prefixes of PREFIXES, one after another, that all names have."""
    found = ""
    while more := next((each for each in PREFIXES if all(name.startswith(found + each) for name in names)), ""):
        found += more
    return found


Content = tuple[str, Mapping[str, Tensor], Mapping[str, str]]
"""The key of a state dict in its file, the state dict, and what the file says of itself."""


def _safetensors(file: Path, content: bytes) -> Content:
    """Return the state dict in a safetensors file, of which these bytes were read."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(content)
    except KeyError as error:
        raise UserError(f"{file} has numbers in the format {error}, which is not supported; save it in fp32") from error
    except (SafetensorError, AssertionError, TypeError) as error:  # the last two: a shape that does not fit the values
        raise UserError(f"{file} cannot be read as a safetensors file ({error}); download it again") from error
    header = msgspec.json.decode(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return "", tensors, header.get("__metadata__") or {}


def _saved(file: Path, written: bytes) -> Content:
    """Return the state dict in a file of `torch.save`, of which these bytes were read."""
    content = _loaded(file, written)
    if not isinstance(content, Mapping):
        raise UserError(f"{file} holds a {type(content).__name__}, not a state dict; save model.state_dict()")
    if "experiment" in content and "history" in content:
        raise UserError(f"{file} is a checkpoint of repro train; test it without --weights: repro eval {file}")
    usual = tuple(each for each in KEYS if isinstance(content.get(each), Mapping))[:1]
    keys, found = usual if (path := _path(content, DEEPEST)) is None else path, content
    for key in keys:
        found = found[key]
    for name, value in found.items():
        if not isinstance(name, str):
            raise UserError(f"{file}: {name!r} is no name of a tensor; save model.state_dict()")
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise UserError(
                f"{file}: {name} is of type {kind}, not a tensor; a state dict is at the top, under {', '.join(KEYS)}, "
                "or the only dictionary of tensors"
            )
        if value.layout != torch.strided or value.device.type != "cpu":
            raise UserError(f"{file}: {name} is a sparse tensor or has no values; save plain tensors")
    return ".".join(keys), found, {}


def _path(content: Mapping[Any, Any], deepest: int) -> tuple[str, ...] | None:
    """Return the keys, at most `deepest`, that lead to a state dict; None if there is none."""
    inner = {key: each for key, each in content.items() if isinstance(each, Mapping)} if deepest else {}
    for key in KEYS:
        if key in inner and (path := _path(inner[key], deepest - 1)) is not None:
            return key, *path
    if any(isinstance(each, Tensor) for each in content.values()):
        return ()
    of_tensors = [key for key, each in inner.items() if each and all(isinstance(v, Tensor) for v in each.values())]
    return (of_tensors[0],) if len(of_tensors) == 1 and isinstance(of_tensors[0], str) else None


def _loaded(file: Path, content: bytes) -> Any:
    """Return what `torch.save` wrote; UserError if it is broken, or could be read only by unpickling objects."""
    if _is_torchscript(content):
        raise UserError(f"{file} is a TorchScript archive, which is code; save model.state_dict() and name that file")
    try:
        if format_of(content) is Format.ARCHIVE:
            check_archive(content)  # torch compares no checksums, and inflates compressed entries
        return plain_content(content)
    except zipfile.BadZipFile as error:
        raise UserError(f"{file} is damaged ({error}); download it again") from error
    except pickle.UnpicklingError as error:
        raise UserError(refusal(file, content)) from error
    except Exception as error:  # torch's reader raises all kinds of errors for a broken file
        raise_if_out_of_memory(file, error)
        raise UserError(f"{file} is broken or was not written by torch.save; download it again") from error


def _is_torchscript(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except Exception:  # the format before version 1.6, or a damaged archive, for which zipfile raises many errors
        return False
