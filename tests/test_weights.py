"""Published weights in our networks give torchvision's outputs, and only published files are downloaded."""

import hashlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import repro
from marking import slow_or_nightly
from torch import nn

from repro.data import SHIPPED
from repro.data.inputs.normalise import Normalise
from repro.data.inputs.protocol import ONE_CROP
from repro.errors import RunFailed, UserError
from repro.evaluation import evaluate
from repro.evaluation import pretrained as weights
from repro.evaluation.mapping import Receiver, TensorMapping
from repro.evaluation.mapping import insert as insert_into
from repro.evaluation.pretrained import fetch, published
from repro.evaluation.state_dicts import StateDict
from repro.models import MODELS, build, resolve_options
from repro.models.registry import TORCHVISION

FIRST = {(MODELS[name].builder, name.rstrip("0123456789")): name for name in reversed(TORCHVISION)}.values()
"""Networks that differ not only in depth or width."""


def randomly(network: nn.Module) -> nn.Module:
    """Fill a network that was built on the meta device, so that signals neither vanish nor explode."""
    network = network.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.dim() > 1:
            deviation = math.sqrt(2 / tensor[0].numel())
            tensor.uniform_(-deviation * math.sqrt(3), deviation * math.sqrt(3), generator=generator)
        elif name.endswith(("bias", "running_mean")):
            tensor.uniform_(-0.1, 0.1, generator=generator)
        elif tensor.is_floating_point():
            tensor.uniform_(0.5, 1.0, generator=generator)
        else:
            tensor.zero_()
    return network


def twin_of(model: str, **arguments: object) -> nn.Module:
    import torchvision

    if model == "googlenet":  # as the published weights are loaded by torchvision
        arguments |= {"init_weights": False, "aux_logits": True, "transform_input": True}
    with torch.device("meta"):
        network = torchvision.models.get_model(TORCHVISION[model], **arguments)
    return randomly(network)


def ours(model: str, classes: int = 1000) -> nn.Module:
    with torch.device("meta"):
        network = build(model, {}, classes=classes)
    return network.to_empty(device="cpu").eval()


def insert(network: nn.Module, model: str, tensors: dict[str, torch.Tensor]) -> TensorMapping:
    return insert_into(
        Receiver(network, model, resolve_options(model, {}, "imagenet"), "imagenet"), published_as(tensors)
    )


def published_as(tensors: dict[str, torch.Tensor]) -> StateDict:
    return StateDict(Path("theirs.pth"), tensors)


@pytest.mark.parametrize("model", slow_or_nightly(TORCHVISION, lambda model: model in FIRST))
@torch.inference_mode()
def test_our_network_has_the_outputs_of_torchvisions(model: str) -> None:
    theirs, own = twin_of(model), ours(model)
    insert(own, model, theirs.state_dict())
    pixels = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    imagenet = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    meant = published(model).procedure
    expected = theirs(Normalise(*imagenet)(pixels))
    outputs = own(Normalise(torch.tensor(meant.mean), torch.tensor(meant.std))(pixels))
    assert expected.std() > 0
    torch.testing.assert_close(outputs, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_every_network_that_torchvision_also_has_is_covered() -> None:
    from torchvision.models import list_models

    def spelled(name: str) -> str:
        return name.replace("-", "").replace("_", "")

    theirs = {spelled(name) for name in list_models()}
    same_name = {name for name, spec in MODELS.items() if spelled(name) in theirs and spec.dataset == "imagenet"}
    assert same_name <= set(TORCHVISION)


@torch.inference_mode()
def test_the_old_names_of_densenets_files_are_known() -> None:
    theirs, own, again = twin_of("densenet121"), ours("densenet121"), ours("densenet121")
    insert(own, "densenet121", theirs.state_dict())
    old = {
        name.replace("norm1.", "norm.1.")
        .replace("norm2.", "norm.2.")
        .replace("conv1.", "conv.1.")
        .replace("conv2.", "conv.2.")
        if "denselayer" in name
        else name: value
        for name, value in theirs.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert old.keys() != theirs.state_dict().keys()
    insert(again, "densenet121", old)
    assert all(torch.equal(one, other) for one, other in zip(own.parameters(), again.parameters(), strict=True))


@torch.inference_mode()
def test_the_order_of_the_file_is_not_trusted() -> None:
    theirs, own = twin_of("resnet18"), ours("resnet18")
    insert(own, "resnet18", dict(reversed(theirs.state_dict().items())))
    assert torch.equal(own.classifier.weight, theirs.fc.weight)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"theirs\.pth has no layer1\.2\.conv1\.weight for resnet34 with the names of t"
    ):
        insert(ours("resnet34"), "resnet34", twin_of("resnet18").state_dict())
    with pytest.raises(UserError, match=r"has 1000 classes \(fc\.weight\), and imagenet has 10"):
        insert(ours("resnet18", classes=10), "resnet18", twin_of("resnet18").state_dict())


def test_torchvisions_figures_are_passed_on() -> None:
    found = published("resnet34")
    assert (found.name, found.error, found.error5) == ("ResNet34_Weights.IMAGENET1K_V1", 26.686, 8.58)
    assert found.url == "https://download.pytorch.org/models/resnet34-b627a593.pth"
    assert (found.procedure.resize, found.procedure.crop, found.procedure.protocol) == (256, 224, ONE_CROP)
    assert published("resnext101-64x4d").procedure.resize == 232
    with pytest.raises(UserError, match="torchvision has no weights for denseresnet34; it has weights for resnet18"):
        published("denseresnet34")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which torch keeps its downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def serve(folder: Path, content: object) -> str:
    """Write a file under a name like the publishers', with the first digits of its hash; return the name."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    name = f"made-up-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(buffer.getvalue())
    return name


def test_weights_are_downloaded_once(server: tuple[str, Path], hub: Path) -> None:
    address, folder = server
    name = serve(folder, {"weight": torch.arange(3.0)})
    assert torch.equal(fetch(f"{address}/{name}").tensors["weight"], torch.arange(3.0))
    (folder / name).unlink()
    assert torch.equal(fetch(f"{address}/{name}").tensors["weight"], torch.arange(3.0))
    assert [path.name for path in hub.iterdir()] == [name]


def test_a_file_that_is_not_the_published_one_is_not_kept(server: tuple[str, Path], hub: Path) -> None:
    address, folder = server
    name = serve(folder, {"weight": torch.zeros(1)})
    (folder / name).write_bytes((folder / name).read_bytes() + b"more")
    with pytest.raises(RunFailed, match=r"downloaded \(invalid hash value.*\); put the file into .* by hand"):
        fetch(f"{address}/{name}")
    assert list(hub.iterdir()) == []


def test_without_a_network_one_line_says_what_to_do(server: tuple[str, Path], hub: Path) -> None:
    with pytest.raises(RunFailed, match=r"/absent-0+\.pth could not be downloaded \(.*\); put the file into"):
        fetch(f"{server[0]}/absent-00000000.pth")
    with pytest.raises(RunFailed, match="could not be downloaded"):
        fetch("http://127.0.0.1:1/absent-00000000.pth")


def test_a_broken_file_in_the_cache_is_named(hub: Path) -> None:
    hub.mkdir(parents=True)
    name = f"made-up-{hashlib.sha256(b'broken').hexdigest()[:8]}.pth"
    (hub / name).write_bytes(b"broken")
    with pytest.raises(UserError, match="is broken"):
        fetch(f"http://127.0.0.1:1/{name}")


def test_a_file_in_the_cache_that_is_not_the_published_one_is_refused(hub: Path) -> None:
    """Weights of anybody's under the name of torchvision's would be reported as torchvision's."""
    hub.mkdir(parents=True)
    torch.save({"weight": torch.zeros(1)}, hub / "made-up-00000000.pth")
    with pytest.raises(UserError, match=r"made-up-00000000\.pth is not the published file \(SHA-256 differs\); remove"):
        fetch("http://127.0.0.1:1/made-up-00000000.pth")


def test_a_folder_in_the_cache_is_refused(hub: Path) -> None:
    (hub / "made-up-00000000.pth").mkdir(parents=True)
    with pytest.raises(UserError, match=r"made-up-00000000\.pth is not a file; remove it to download the weights"):
        fetch("http://127.0.0.1:1/made-up-00000000.pth")


class Owned:
    """Pickles to a call that must not happen."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("owned",)


def test_published_weights_contain_only_tensors(server: tuple[str, Path], hub: Path) -> None:
    address, folder = server
    with pytest.raises(UserError, match="is broken"):
        fetch(f"{address}/{serve(folder, Owned())}")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("asked", [[], ["--protocol", "Dense", "--scales", "256"]])
def test_an_evaluation_of_published_weights_from_the_command_to_the_error(
    asked: list[str],
    server: tuple[str, Path],
    hub: Path,
    tmp_path: Path,
    write_images: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Weights whose classifier has only a bias predict class 1 for every image: two errors out of three."""
    spec = replace(SHIPPED["imagenet"], classes=3, train_images=0, test_images=6)
    monkeypatch.setitem(SHIPPED, "imagenet", spec)
    write_images(tmp_path / "data" / "imagenet" / "val", classes=3, images=2, size=(300, 260))  # type: ignore[operator]
    state = twin_of("resnet18", num_classes=3).state_dict()
    state["fc.weight"].zero_()
    state["fc.bias"].copy_(torch.tensor([0.0, 3.0, 0.0]))
    address, folder = server
    found = replace(published("resnet18"), url=f"{address}/{serve(folder, dict(state))}")
    monkeypatch.setattr(evaluate, "published", lambda model: found)
    command = ["eval", "ResNet_18", "--weights", "torchvision", *asked, "--workers", 0, "--device", "cpu"]
    status, out, _ = repro(capsys, *command, "--data", tmp_path / "data", "--format", "json")
    answer = json.loads(out)
    assert status == 0
    assert answer["error"] == pytest.approx(100 * 2 / 3)
    assert (answer["error5"], answer["images"], answer["published_error"]) == (None, 6, 30.242)
    assert answer["weights"] == "ResNet18_Weights.IMAGENET1K_V1"
    protocol = answer["protocol"]
    views = asked[1].lower() if asked else "one-crop"
    assert (protocol["resize"], protocol["crop"], protocol["views"]) == (256, 224, views)
    assert protocol.get("averaged") == ("probabilities" if asked else None)
    assert protocol.get("scales") == ([256] if views == "dense" else None)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["eval", "resnet34", "--weights", "timm"], "timm does not exist; name the file of a state dict"),
        (["eval", "resnet43", "--weights", "torchvision"], "unknown model 'resnet43'"),
        (["eval", "xception", "--weights", "torchvision"], "torchvision has no weights for xception"),
        (
            ["eval", "resnet34", "--weights", "torchvision"],
            "imagenet is not in data/imagenet; expected: data/",
        ),
        (
            ["eval", "resnet34", "--weights", "torchvision", "--dataset", "cifar10"],
            "the weights of torchvision are for imagenet, not for cifar10",
        ),
        (
            ["eval", "resnet34", "--weights", "torchvision", "--scales", "256,0"],
            "--scales 256,0 is invalid: give lengths in pixels, separated by commas",
        ),
        (
            ["eval", "resnet34", "--weights", "torchvision", "--protocol", "5-crop"],
            "'5-crop' is not one of 'one-crop', 'central-crop', 'ten-crop', '144-crop', 'dense'",
        ),
        (["eval", "resnet34", "--dataset", "imagenet"], "--dataset requires --weights"),
        (["eval", "resnet34", "--weights", "torchvision", "--runs", "x"], "leave out --runs and --results"),
        (["eval", "resnet34", "--weights", "torchvision", "--results", "x"], "leave out --runs and --results"),
    ],
)
def test_impossible_requests_are_refused_in_one_line(
    arguments: list[str],
    line: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPRO_DATA", raising=False)
    monkeypatch.setattr(weights, "fetch", lambda url: pytest.fail("fetched"))
    status, _, err = repro(capsys, *arguments)
    assert (status, err[:7], err.count("\n")) == (2, "error: ", 1)
    assert line in err
