"""Attacks with files that others made: images and weights."""

import contextlib
import io
from functools import cache
from typing import Any

import torch
from attacks import run, tensors, values_and_tensors
from fuzzing import Attack, changed, damaged, folder, one_line
from hypothesis import strategies as st
from PIL import Image

from repro.data.files import image_files
from repro.errors import RunFailed
from repro.evaluation.mapping import Receiver, insert
from repro.evaluation.state_dicts import read_state_dict
from repro.training.initialise import network_of


@cache
def images() -> tuple[bytes, ...]:
    """Return a small image in each format that is read, with EXIF data where a format has them."""
    drawn = Image.linear_gradient("L").resize((24, 16))
    exif = Image.Exif()
    exif[274] = 6  # on its side
    made = []
    for mode in ("L", "RGB", "P"):
        for format in image_files.FORMATS:
            if (mode, format) == ("P", "JPEG"):
                continue
            file = io.BytesIO()
            marks: dict[str, Any] = {"exif": exif} if format in ("JPEG", "PNG", "WEBP", "TIFF") else {}
            drawn.convert(mode).save(file, format, **marks)
            made.append(file.getvalue())
    return tuple(made)


def read_image(content: bytes) -> None:
    """Read a hostile image in every way; one that is accepted is grey or RGB."""
    with folder() as home:
        (home / "image").write_bytes(content)
        for channels, as_published in ((1, False), (3, False), (3, True)):
            with one_line():
                image = image_files.read(home / "image", channels=channels, as_published=as_published)
                assert image.mode == ("L" if channels == 1 else "RGB")


KEYS = st.sampled_from([7, None, b"bytes", ("a", 1), 1.5, "", "module."])
ODD = st.sampled_from(
    [
        torch.zeros(()),
        torch.zeros(0),
        torch.zeros(2, device="meta"),
        torch.zeros(2, dtype=torch.float8_e4m3fn),
        torch.zeros(2, dtype=torch.complex64),
        torch.full((2, 2), float("nan")),
        torch.eye(2).to_sparse(),
    ]
)


@st.composite
def weights_file(draw: st.DrawFn) -> bytes:
    """Return a file of weights with other keys or tensors, or a damaged one."""
    state: dict[Any, Any] = dict(network_of(run()).state_dict())
    for name in draw(st.lists(st.sampled_from(sorted(state)), max_size=3, unique=True)):
        match draw(st.sampled_from(["key", "tensor", "type", "shape", "remove"])):
            case "key":
                state[draw(KEYS)] = state.pop(name)
            case "tensor":
                state[name] = draw(st.one_of(ODD, tensors, values_and_tensors))
            case "type":
                state[name] = state[name].to(draw(st.sampled_from([torch.float8_e5m2, torch.complex64, torch.int8])))
            case "shape":
                state[name] = state[name].flatten()[:1].squeeze()
            case _:
                del state[name]
    content = draw(changed(st.just({"model": state, "epoch": 3}))) if draw(st.integers(0, 5)) == 0 else state
    file = io.BytesIO()
    torch.save(content, file)
    return draw(damaged(st.just(file.getvalue()))) if draw(st.integers(0, 2)) == 0 else file.getvalue()


def read_weights(content: bytes) -> None:
    """Map hostile weights onto a network; what is accepted are finite numbers."""
    with folder() as home:
        (home / "weights.pth").write_bytes(content)
        network = network_of(run())
        with one_line(), contextlib.suppress(RunFailed):
            insert(Receiver(network, run().model, run().options, run().dataset), read_state_dict(home / "weights.pth"))
        assert all(each.isfinite().all() for each in network.parameters())


FILE_ATTACKS = [
    Attack("Images", damaged(st.deferred(lambda: st.sampled_from(images()))), read_image),
    Attack("Published weights", weights_file(), read_weights, examples=60),
]
