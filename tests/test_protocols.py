"""Test protocols of image files: which pixels a network sees, and how its predictions are combined."""

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from records import append_record
from test_streamed import CPU, HERE, RECIPE
from torch import Tensor, nn
from watching import Silent, train_one

from repro.campaign.training import train_runs
from repro.comparison.join import compare
from repro.comparison.summary import summarise
from repro.comparison.verdict import Verdict
from repro.data import load
from repro.data.inputs.procedure import Procedure, procedure_of
from repro.data.inputs.protocol import ONE_CROP, Averaged, Protocol, Views
from repro.data.inputs.views import TestViews, central, squares
from repro.data.readers.folder import Files, ImageFolder
from repro.errors import Stopped, UserError
from repro.evaluation import evaluate as evaluation
from repro.evaluation.evaluate import evaluate
from repro.evaluation.protocols import NO_REQUEST, RequestedProtocol, protocol_for, protocol_of_run
from repro.experiment import Experiment, experiment_for
from repro.models import build, find
from repro.models.fully_convolutional import fully_convolutional
from repro.papers import find_papers
from repro.paths import Folders
from repro.planning import needed
from repro.planning.needed import complete, incomplete
from repro.planning.state import RunState, status_of
from repro.recipes import RECIPES, Library, within
from repro.report.cells import error_cell
from repro.report.notes import notes_of
from repro.store.protocol_tests import FILE, ProtocolTest, measured, plain, recorded_tests
from repro.store.results import Record, every_record, read_records
from repro.store.run_folders import describe, run_at
from repro.tables import parse_table
from repro.training.initialise import network_of
from repro.training.runs import final_tests
from repro.training.runs.train import train
from repro.training.tasks import file_test
from repro.training.tasks.file_test import FileTest, mean_prediction

PROCEDURE = procedure_of(RECIPE)
TEN = Protocol(views=Views.TEN_CROP, averaged=Averaged.PROBABILITIES)
ALL = Protocol(views=Views.CROPS_144, averaged=Averaged.PROBABILITIES)
DENSE = Protocol(views=Views.DENSE, scales=(36,), averaged=Averaged.PROBABILITIES)


class Looks(nn.Module):
    """Collects its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return torch.zeros(len(x), 2)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("protocol", [ONE_CROP, TEN])
def test_crops_are_torchvisions(small_images: ImageFolder, protocol: Protocol, interpolation: str) -> None:
    from torchvision import transforms

    network = Looks()
    procedure = replace(procedure_of(replace(RECIPE, interpolation=interpolation)), protocol=protocol)
    metrics = FileTest(small_images.test, procedure, HERE, CPU).test(network)
    cut = transforms.TenCrop(32) if protocol is TEN else transforms.Compose([transforms.CenterCrop(32), lambda x: [x]])
    to_tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize(RECIPE.mean, RECIPE.std)])
    scaled = transforms.Resize(36, transforms.InterpolationMode(interpolation))
    images = [cut(scaled(small_images.test.read(index))) for index in range(6)]
    expected = torch.stack([to_tensor(each) for image in images for each in image])
    torch.testing.assert_close(torch.cat(network.seen), expected)
    assert metrics.images == 6


def views_of(protocol: Protocol, pixels: Tensor, **values: int) -> list[Tensor]:
    """Return what a network sees of an image (C, H, W) uint8."""
    from torchvision.transforms.v2.functional import to_pil_image

    class One:
        labels = torch.zeros(1)

        def read(self, index: int) -> object:
            return to_pil_image(pixels)

    procedure = replace(PROCEDURE, protocol=protocol, **values)
    *views, _ = TestViews(One(), procedure)[0]  # type: ignore[arg-type]
    return views


def ramp(height: int, width: int) -> Tensor:
    """Return an image whose red is the column and whose green is the row, so that a pixel tells its place."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows, torch.zeros_like(rows)]).byte()


def test_ten_crops_are_at_the_corners_and_the_centre() -> None:
    (crops,) = views_of(TEN, ramp(40, 50), resize=40, crop=32)
    assert corners(crops) == [(0, 0), (18, 0), (0, 8), (18, 8), (9, 4)]
    mirrored = crops[[1, 0, 3, 2, 4]].flip(3)  # the corners of the mirrored image
    assert torch.equal(crops[5:], mirrored)


def test_alexnets_ten_crops_are_of_the_central_square() -> None:
    """Krizhevsky et al., section 2: the central 256x256 patch of the rescaled image."""
    procedure = replace(procedure_of(RECIPES["alexnet-imagenet"]), protocol=TEN)
    assert procedure.square
    (crops,) = views_of(TEN, ramp(40, 50), resize=40, crop=32, square=procedure.square)
    assert corners(crops) == [(5, 0), (13, 0), (5, 8), (13, 8), (9, 4)]
    assert ", central square, 10 crops" in str(procedure)


def corners(crops: Tensor) -> list[tuple[int, int]]:
    """Return the columns and rows at which the first five crops of a ramp begin."""
    return [(int(each[0, 0, 0]), int(each[1, 0, 0])) for each in crops[:5]]


def test_the_centre_crop_and_the_central_crop_are_where_they_should_be() -> None:
    (one,) = views_of(ONE_CROP, ramp(40, 50), resize=40, crop=32)
    assert one[0, :2, 0, 0].tolist() == [9, 4]
    from torchvision.transforms.v2.functional import to_pil_image

    kept = central(to_pil_image(ramp(40, 50)))  # int(50 * 0.0625) = 3 columns and int(40 * 0.0625) = 2 rows are cut off
    assert (kept.size, kept.getpixel((0, 0))) == ((44, 36), (3, 2, 0))
    (crop,) = views_of(Protocol(views=Views.CENTRAL_CROP), ramp(40, 50), resize=40, crop=22)
    assert crop.shape == (1, 3, 22, 22)
    assert crop[0, 0, 5].diff().float().mean() == pytest.approx(44 / 22, abs=0.1)
    assert crop[0, 1, :, 5].diff().float().mean() == pytest.approx(36 / 22, abs=0.1)


def test_144_crops_are_four_scales_three_squares_six_crops_and_their_mirrors() -> None:
    from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

    procedure = replace(PROCEDURE, protocol=ALL, resize=256, crop=224)
    assert procedure.scales == (256, 288, 320, 352)
    (crops,) = views_of(ALL, ramp(28, 42), resize=32, crop=28)
    assert crops.shape == (4 * 3 * 6 * 2, 3, 28, 28)
    for tall in (False, True):
        image = to_pil_image(ramp(60, 40) if tall else ramp(40, 60))
        places = [pil_to_tensor(each)[:2, 0, 0].tolist() for each in squares(image)]
        assert places == ([[0, 0], [0, 10], [0, 20]] if tall else [[0, 0], [10, 0], [20, 0]])
        assert {each.size for each in squares(image)} == {(40, 40)}
    for scale in range(4):
        for square in range(3):
            twelve = crops[36 * scale + 12 * square :][:12]
            assert torch.equal(twelve[6:], twelve[:6].flip(3))


def test_144_crops_of_the_first_square_are_its_corners_its_centre_and_itself() -> None:
    from torchvision.transforms import functional

    pixels = ramp(36, 54)
    (crops,) = views_of(ALL, pixels, resize=32, crop=28)
    scaled = functional.pil_to_tensor(functional.resize(functional.to_pil_image(pixels), 32))
    right = scaled[:, :, 48 - 32 :]
    places = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]  # top and left, of the square at the right
    for crop, (top, left) in zip(crops[24:29], places, strict=True):
        assert torch.equal(crop, right[:, top : top + 28, left : left + 28])
    whole = functional.resize(functional.to_pil_image(right), [28, 28])
    assert torch.equal(crops[29], functional.pil_to_tensor(whole))


@pytest.fixture
def network() -> nn.Module:
    """Return a small random network with global average pooling and without borders of zeros."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)).eval()


def loss_of(protocol: Protocol, data: ImageFolder, network: nn.Module, **values: int) -> float:
    procedure = replace(PROCEDURE, protocol=protocol, **values)
    return FileTest(first(2, data), procedure, HERE, CPU).test(network).loss


def first(images: int, data: ImageFolder) -> Files:
    return replace(data.test, ends=data.test.ends[:images], labels=data.test.labels[:images])


def overwrite(data: ImageFolder, pixels: Callable[[int], Tensor]) -> None:
    """Replace each test image by the one that `pixels` gives for its index."""
    from torchvision.transforms.functional import to_pil_image

    for index in range(len(data.test)):
        to_pil_image(pixels(index)).save(data.test.path(index), format="PNG")


def test_protocols_differ_on_textures_and_agree_on_images_of_one_colour(
    small_images: ImageFolder, network: nn.Module
) -> None:
    two_scales = Protocol(views=Views.DENSE, scales=(36, 48), averaged=Averaged.PROBABILITIES)
    protocols = [ONE_CROP, Protocol(views=Views.CENTRAL_CROP), TEN, ALL, DENSE, two_scales]
    assert len({loss_of(each, small_images, network) for each in protocols}) == len(protocols)
    overwrite(small_images, lambda index: torch.tensor([40 * index, 200, 9]).byte().view(3, 1, 1).expand(3, 48, 40))
    one, *others = [loss_of(each, small_images, network) for each in protocols]
    assert others == pytest.approx([one] * 5, rel=1e-5)


def test_protocols_differ_on_photographs(real_images: Path, network: nn.Module) -> None:
    data = load("tiny-imagenet-10", real_images)
    assert isinstance(data, ImageFolder)
    procedure = procedure_of(RECIPES["tiny-imagenet-10"])
    dense = Protocol(views=Views.DENSE, scales=(72, 96), averaged=Averaged.PROBABILITIES)
    metrics = [
        FileTest(first(6, data), replace(procedure, protocol=each), HERE, CPU).test(network)
        for each in (ONE_CROP, Protocol(views=Views.CENTRAL_CROP), TEN, ALL, dense)
    ]
    assert len({each.loss for each in metrics}) == 5
    assert max(each.loss for each in metrics) - min(each.loss for each in metrics) < 0.1


def test_a_dense_test_of_a_symmetric_image_of_the_size_of_a_crop_equals_one_crop(
    small_images: ImageFolder, network: nn.Module
) -> None:
    def symmetric(index: int) -> Tensor:
        half = torch.randint(256, (3, 32, 16), generator=torch.Generator().manual_seed(index))
        return torch.cat([half, half.flip(2)], 2).byte()

    overwrite(small_images, symmetric)
    dense = Protocol(views=Views.DENSE, scales=(32,), averaged=Averaged.PROBABILITIES)
    losses = [
        loss_of(each, small_images, net, resize=32) for each in (ONE_CROP, dense) for net in (network, Classic().eval())
    ]
    assert losses[:2] == pytest.approx(losses[2:], rel=1e-6)


class Classic(nn.Module):
    """A network in the form of AlexNet and VGG: maps of 4x4 positions on images of 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 8, stride=8), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d((4, 4))
        self.classifier = nn.Sequential(nn.Linear(6 * 16, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def test_a_fully_convolutional_network_gives_at_each_position_what_its_crop_gives() -> None:
    network = Classic().double().eval()
    dense = fully_convolutional(network)
    images = torch.randn(2, 3, 48, 40, dtype=torch.float64)
    maps = dense(images)
    assert maps.shape == (2, 2, 3, 2)
    crops = [
        network(images[:, :, 8 * row : 8 * row + 32, 8 * col : 8 * col + 32]) for row in range(3) for col in (0, 1)
    ]
    torch.testing.assert_close(maps.flatten(2), torch.stack(crops, 2), rtol=0, atol=1e-14)
    with pytest.raises(UserError, match=r"an image of 24x32 pixels is too small .* 3x4 positions, .* needs 4x4"):
        dense(images[:, :, :32, :24])


@pytest.mark.parametrize(("model", "positions"), [("alexnet", (6, 6)), ("vgg16", (6, 6)), ("vgg16-bn", (6, 6))])
def test_the_classics_become_fully_convolutional(model: str, positions: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = build(model, {}, classes=1000).eval()
        small = fully_convolutional(network)(torch.empty(1, 3, 224, 224))
        large = fully_convolutional(network)(torch.empty(1, 3, 384, 384))
    assert small.shape == (1, 1000, 1, 1)
    assert large.shape == (1, 1000, *positions)


def test_the_auxiliary_classifiers_of_googlenet_are_no_obstacle_to_a_dense_test() -> None:
    with torch.device("meta"):
        network = build("googlenet", {}, classes=10, auxiliary=True)
    assert fully_convolutional(network) is network


def test_a_network_with_global_pooling_is_dense_and_one_with_other_linear_layers_is_refused() -> None:
    with torch.device("meta"):
        residual, mobile = (build(name, {}, classes=10) for name in ("resnet18", "mobilenetv3-small"))
    assert fully_convolutional(residual) is residual
    with pytest.raises(UserError, match="a dense test of MobileNetV3 is not implemented: it has several linear layers"):
        fully_convolutional(mobile)


@pytest.fixture
def divided() -> Tensor:
    """Outputs for ten crops of two images: nine crops of the first prefer class 0 slightly, one class 1 strongly."""
    outputs = torch.tensor([[1.0, 0.0]]).repeat(20, 1)
    outputs[9] = torch.tensor([0.0, 100.0])
    return outputs


def test_averages_of_probabilities_and_of_outputs_choose_different_classes(divided: Tensor) -> None:
    of_outputs, of_probabilities = (mean_prediction(divided, 10, each) for each in Averaged)
    assert (of_outputs.argmax(1).tolist(), of_probabilities.argmax(1).tolist()) == ([1, 0], [0, 0])
    torch.testing.assert_close(of_outputs, torch.stack([divided[:10].mean(0), divided[10:].mean(0)]))
    torch.testing.assert_close(of_probabilities.exp(), divided.softmax(1).view(2, 10, 2).mean(1))


class Divided(nn.Module):
    """Returns the same divided outputs for the ten crops of every image."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs.repeat(len(x) // 10, 1)


@pytest.mark.parametrize(
    ("averaged", "error"), [(Averaged.OUTPUTS, 100 * 2 / 6), (Averaged.PROBABILITIES, 100 * 4 / 6)]
)
def test_a_test_averages_as_its_protocol_says(
    small_images: ImageFolder, divided: Tensor, averaged: Averaged, error: float
) -> None:
    """Four of the six test images are labelled as class 1."""
    small_images.test.labels[:] = torch.tensor([0, 0, 1, 1, 1, 1])
    procedure = replace(PROCEDURE, protocol=Protocol(views=Views.TEN_CROP, averaged=averaged))
    assert FileTest(small_images.test, procedure, HERE, CPU).test(Divided(divided[:10])).error == pytest.approx(error)


@pytest.mark.parametrize(
    ("model", "requested", "protocol"),
    [
        ("densenet121", RequestedProtocol(Views.TEN_CROP), Protocol(views=Views.TEN_CROP, averaged=Averaged.OUTPUTS)),
        ("resnet50", RequestedProtocol(Views.TEN_CROP), TEN),
        ("densenet161", RequestedProtocol(Views.TEN_CROP), TEN),  # no table prints an error of it
        ("densenet121", RequestedProtocol(Views.CROPS_144), ALL),
        ("densenet121", RequestedProtocol(Views.CENTRAL_CROP), Protocol(views=Views.CENTRAL_CROP)),
        ("densenet121", NO_REQUEST, ONE_CROP),
        (
            "vgg16",
            RequestedProtocol(Views.DENSE),
            Protocol(views=Views.DENSE, scales=(384,), averaged=Averaged.PROBABILITIES),
        ),
        ("resnet18", RequestedProtocol(Views.DENSE, (36,)), DENSE),
    ],
)
def test_the_protocol_that_is_asked_for_is_completed_by_the_printed_one(
    model: str, requested: RequestedProtocol, protocol: Protocol
) -> None:
    assert protocol_for(requested, model) == protocol


@pytest.mark.parametrize(
    ("model", "protocol"),
    [
        ("vgg16", Protocol(views=Views.DENSE, scales=(384,), averaged=Averaged.PROBABILITIES)),
        ("alexnet-two-towers", TEN),
        ("densenet121", ONE_CROP),  # printed with ten crops, too
    ],
)
def test_a_run_is_tested_as_its_errors_are_printed(model: str, protocol: Protocol) -> None:
    assert protocol_of_run(NO_REQUEST, experiment_for(model, {}, seed=0)) == protocol


def test_a_protocol_without_its_scales_and_scales_without_it_are_refused() -> None:
    with pytest.raises(UserError, match=r"no table prints a dense error of resnet18; add .* as --scales 384 or"):
        protocol_for(RequestedProtocol(Views.DENSE), "resnet18")
    with pytest.raises(UserError, match="--scales is for --protocol dense; the other protocols have their own scale"):
        protocol_for(RequestedProtocol(Views.TEN_CROP, (384,)), "resnet18")


@pytest.mark.parametrize(
    ("protocol", "shown"),
    [
        (ONE_CROP, "shorter side to 256 (bilinear, antialiased), 1 crop, 224x224"),
        (TEN, "shorter side to 256 (bilinear, antialiased), 10 crops, probabilities averaged, 224x224"),
        (
            ALL,
            "shorter side to 256, 288, 320, 352 (bilinear, antialiased), 144 crops, probabilities averaged, 224x224",
        ),
        (
            Protocol(views=Views.CENTRAL_CROP),
            "1 crop of the middle 87.5 %, 224x224 (bilinear, antialiased)",
        ),
        (
            Protocol(views=Views.DENSE, scales=(256, 384), averaged=Averaged.OUTPUTS),
            "shorter side to 256, 384 (bilinear, antialiased), the whole image, mirrored too, raw outputs averaged",
        ),
    ],
)
def test_a_procedure_describes_itself(protocol: Protocol, shown: str) -> None:
    procedure = Procedure(resize=256, crop=224, protocol=protocol, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert str(procedure) == shown
    with pytest.raises(UserError, match="a crop of 300 pixels cannot be cut from images of 256"):
        replace(procedure, crop=300)


def test_a_protocol_of_images_that_are_shown_whole_is_refused(tiny: Callable[..., Experiment]) -> None:
    with pytest.raises(UserError, match="--protocol is for image files; the images of digits are shown whole"):
        evaluation.test(network_of(tiny()), tiny(), Path(), HERE, RequestedProtocol(Views.TEN_CROP), None)


@pytest.mark.usefixtures("small_images")
def test_a_run_is_tested_by_the_protocol_that_is_asked_for(folders: Folders) -> None:
    experiment = Experiment("resnet20", {"shortcut": "A"}, RECIPE.with_epochs(1), 0)
    record = train_one(experiment, HERE, folders, Silent())
    one, ten, dense = (
        evaluate(record.id, folders, HERE, requested=each)
        for each in (NO_REQUEST, RequestedProtocol(Views.TEN_CROP), RequestedProtocol(Views.DENSE, (36, 40)))
    )
    assert one.metrics.error == record.error == one.recorded
    assert one.metrics.loss == record.loss
    assert len({record.loss, ten.metrics.loss, dense.metrics.loss}) == 3
    assert [each.procedure and each.procedure.protocol.views for each in (one, ten, dense)] == [
        Views.ONE_CROP,
        Views.TEN_CROP,
        Views.DENSE,
    ]


def test_a_dense_test_that_is_not_implemented_is_refused_before_the_training(
    folders: Folders, printed: list[Protocol]
) -> None:
    experiment = experiment_for("mobilenetv3-small", {}, seed=0, dataset="tiny-imagenet-10")
    with pytest.raises(UserError, match="a dense test of MobileNetV3 is not implemented"):
        train_one(experiment, HERE, folders, Silent())
    assert not folders.runs.exists()


def test_a_dense_test_of_too_small_images_is_refused_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Protocol(views=Views.DENSE, scales=(384, 160), averaged=Averaged.PROBABILITIES)
    monkeypatch.setattr(final_tests, "protocols_of", lambda experiment: [small])
    with pytest.raises(UserError, match=r"an image of 160x160 pixels is too small .* needs 7x7; use larger scales"):
        final_tests.final_protocols(experiment_for("vgg16", {}, seed=0))


NETS = """
import torch
from torch import nn

def net(classes, form=""):
    head = {
        "flat": [nn.Flatten(), nn.Linear(4 * 36 * 36, classes)],
        "window": [nn.AvgPool2d(36), nn.Flatten(), nn.Linear(4, classes)],
        "fixed": [nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(4 * 7 * 7, classes)],
        "maps": [nn.Conv2d(4, classes, 36), nn.Flatten()],
        "values": [nn.AdaptiveAvgPool2d(1), Values(), nn.Linear(4, classes)],
    }
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *head[form])

class Values(nn.Flatten):
    def forward(self, x):
        return super().forward(x) if x.sum().item() < 1e9 else x
"""


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("flat", r"it does not accept images of 73x36 pixels \(mat1 and mat2 shapes cannot be multiplied .*\)"),
        ("window", r"it does not accept images of 73x36 pixels \(mat1 and mat2 shapes cannot be multiplied .*\)"),
        ("fixed", "it pools to maps of a fixed size above 1x1"),
        ("maps", r"it returns \(2, 76\) for 2 images of 73x36 pixels"),
        ("values", ""),
    ],
)
@pytest.mark.usefixtures("small_images")
def test_a_network_of_a_user_without_a_dense_test_is_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, reason: str
) -> None:
    monkeypatch.setattr(final_tests, "protocols_of", lambda experiment: [DENSE])
    (tmp_path / "nets.py").write_text(NETS)
    name = find(f"{tmp_path / 'nets.py'}:net")
    experiment = experiment_for(name, {"form": form}, seed=0, dataset="tiny-imagenet-10")
    expected = f"^a dense test of Sequential is not implemented: {reason}; use crops$"
    with pytest.raises(UserError, match=expected) if reason else nullcontext():
        assert final_tests.final_protocols(experiment) == (DENSE,)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[Protocol]:
    """Pretend that the errors of the experiment are printed by two protocols besides one crop."""
    protocols = [TEN, ONE_CROP, DENSE]
    for each in (final_tests, needed):
        monkeypatch.setattr(each, "protocols_of", lambda experiment: protocols)
    return protocols


@pytest.mark.usefixtures("small_images")
def test_a_finished_run_is_tested_by_the_printed_protocols_and_a_stopped_test_goes_on(
    folders: Folders, elsewhere: Folders, printed: list[Protocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_test, "TEST_CROPS", 20)  # two images in a batch
    experiment = Experiment("resnet20", {"shortcut": "A"}, RECIPE.with_epochs(1), 0)
    watcher = Stopping()
    with pytest.raises(Stopped, match=r"saved when 4 of 6 images were tested with 10 crops"):
        train_one(experiment, HERE, folders, watcher)
    assert not (folders.results / "runs.csv").exists()
    watcher = Stopping()
    with pytest.raises(Stopped, match=r"saved when 2 of 6 images were tested with the whole image at 36 pixels"):
        train_one(experiment, HERE, folders, watcher)
    assert watcher.batches == [1, 2]  # the last two images with ten crops, then one image at a time
    record = train_one(experiment, HERE, folders, Silent())
    straight = train_one(experiment, HERE, elsewhere, Silent())
    assert record.tests == straight.tests
    assert read_records([folders.results]) == [record]
    for protocol in (TEN, DENSE):
        requested = RequestedProtocol(protocol.views, protocol.scales)
        metrics = evaluate(record.id, folders, HERE, requested=requested).metrics
        shown = [measured(record, each, protocol) for each in ("error", "loss")]
        assert shown == pytest.approx([metrics.error, metrics.loss], rel=1e-6)
        assert measured(record, "error5", protocol) is metrics.error5 is None  # there are three classes
    assert measured(record, "error", ONE_CROP) == record.error
    assert measured(record, "error", ALL) is None


class Stopping(Silent):
    """Sends SIGINT to this process before the second batch of the second test of a session."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = list[int]()

    def testing(self, begins: range) -> Iterator[int]:
        self.batches.append(0)
        for number, begin in enumerate(begins):
            if len(self.batches) == 2 and number == 1:
                signal.raise_signal(signal.SIGINT)
            self.batches[-1] += 1
            yield begin


@pytest.mark.usefixtures("small_images")
def test_a_record_without_the_test_of_a_printed_protocol_gets_it(
    folders: Folders, printed: list[Protocol], tmp_path: Path
) -> None:
    experiment = Experiment("resnet20", {"shortcut": "A"}, RECIPE.with_epochs(1), 0)
    printed.clear()
    before = train_one(experiment, HERE, folders, Silent())
    assert incomplete([experiment], folders) == []
    printed.append(DENSE)
    assert incomplete([experiment], folders) == [experiment]
    assert incomplete([experiment], replace(folders, runs=tmp_path / "other")) == []  # without its weights
    assert complete([before], [experiment], folders.runs) == []
    planned = status_of(experiment, (), folders.runs, {})
    assert (planned.state, planned.images_left) == (RunState.STOPPED, 0)
    watcher = Silent()
    after = train_one(experiment, replace(HERE, checkpoint_seconds=9.0), folders, watcher)
    assert not any("adds another one" in line for line in watcher.said)
    assert (before.tests, [each.protocol for each in recorded_tests(after)]) == ((), [DENSE])
    assert after == replace(before, tests=after.tests)
    assert read_records([folders.results]) == every_record(folders.results) == [after]
    again = Silent()
    assert train_one(experiment, HERE, folders, again) == after
    assert again.said == [f"{experiment.name} is already finished; showing its record"]
    assert incomplete([experiment], folders) == []


@pytest.mark.usefixtures("small_images")
def test_a_recorded_run_that_cannot_be_tested_keeps_no_other_from_being_trained(
    folders: Folders, printed: list[Protocol], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (Experiment("resnet20", {"shortcut": "A"}, RECIPE.with_epochs(1), seed) for seed in (0, 1))
    printed.clear()
    train_one(first, replace(HERE, precision="bf16"), folders, Silent())
    printed.append(DENSE)
    outcome = train_runs([first, second], HERE, folders)
    (failure,) = outcome.failures
    reason = f"{first.name} is not tested: {first.name} was started in bf16; resume with --precision bf16"
    assert (outcome.holders, str(failure).startswith(reason)) == ({}, True)
    assert f"failed: {reason}" in capsys.readouterr().err
    assert {each.seed: len(each.tests) for each in every_record(folders.results)} == {0: 0, 1: 1}


@pytest.mark.usefixtures("small_images")
def test_tests_of_the_same_weights_add_up(folders: Folders, printed: list[Protocol]) -> None:
    experiment, found = Experiment("resnet20", {"shortcut": "A"}, RECIPE.with_epochs(1), 0), list[Record]()
    for protocol in (DENSE, TEN, Protocol(views=Views.CENTRAL_CROP)):
        printed[:] = [protocol]
        found.append(train_one(experiment, HERE, folders, Silent()))
        if protocol is TEN:
            (folders.runs / experiment.name / FILE).unlink()  # the record has its tests too
    assert [len(each.tests) for each in found] == [1, 2, 3]
    assert found[1].tests[0] == found[0].tests[0]
    assert found[2].tests[1:] == found[1].tests
    assert read_records([folders.results]) == [found[-1]]


@pytest.mark.usefixtures("small_images")
def test_seeds_that_were_trained_alone_keep_their_records_when_they_are_tested_at_once(
    folders: Folders, printed: list[Protocol]
) -> None:
    seeds = [Experiment("resnet20", {"shortcut": "A"}, RECIPE.with_epochs(1), seed) for seed in (0, 1)]
    printed.clear()
    before = [train_one(each, HERE, folders, Silent()) for each in seeds]
    printed.append(DENSE)
    after = train(seeds, replace(HERE, together="stacked"), folders, Silent())
    assert after == [replace(old, tests=new.tests) for old, new in zip(before, after, strict=True)]
    assert sorted(every_record(folders.results), key=lambda each: each.seed) == after


@pytest.mark.usefixtures("small_images")
def test_weights_that_are_trained_again_are_tested_again(folders: Folders, printed: list[Protocol]) -> None:
    printed[:] = [DENSE]
    experiment = Experiment("resnet20", {"shortcut": "A"}, RECIPE.with_epochs(1), 0)
    train_one(experiment, HERE, folders, Silent())
    for checkpoint in (folders.runs / experiment.name).glob("checkpoint*"):
        checkpoint.unlink()
    watcher = Silent()
    train_one(experiment, replace(HERE, precision="bf16"), folders, watcher)
    assert f"{experiment.name}: testing with {DENSE}" in watcher.said
    assert any("adds another one, and tables use the first" in line for line in watcher.said)


def test_a_probability_that_vanishes_in_all_views_has_a_finite_loss() -> None:
    outputs = torch.tensor([[200.0, 0.0], [300.0, 0.0]])
    assert mean_prediction(outputs, 2, Averaged.PROBABILITIES)[0, 1].item() == pytest.approx(-200 - math.log(2))


def test_a_loss_that_is_not_finite_is_recorded_as_unknown(record: Callable[..., Record]) -> None:
    tests = plain([ProtocolTest(protocol=TEN, error=24.0, error5=7.0, loss=None)])
    assert [each.loss for each in recorded_tests(record(tests=tests))] == [None]


def test_a_cell_is_compared_only_with_results_of_its_own_protocol(
    record: Callable[..., Record], tmp_path: Path
) -> None:
    (tmp_path / "ten.toml").write_text(TEN_CROP_TABLE, "utf-8")
    printed = parse_table(tmp_path / "ten.toml")
    (error,) = printed.errors([printed.rows[0]])
    experiment = error.experiment(0)
    of_run = {"model": "resnet34", "options": {}, "dataset": "imagenet", "recipe": experiment.recipe.name}
    one_crop = record(id=experiment.id, name=experiment.name, error=24.99, **of_run)
    tests = plain([ProtocolTest(protocol=TEN, error=24.0, error5=7.0, loss=1.0)])
    shown = [compare(printed, [each]).rows[0] for each in (one_crop, replace(one_crop, tests=tests))]
    cells = [each.errors["error"] for each in shown]
    assert [each.verdict for each in cells] == [Verdict.OTHER_PROTOCOL, Verdict.LOWER]
    assert [each.value for each in cells] == [None, 24.0]
    assert error_cell(cells[0], alone=True).notes == ("tested with 1 crop", "printed with 10 crops")
    assert (shown[0].verdict, shown[0].share_measured) == (Verdict.OTHER_PROTOCOL, "")
    assert summarise([compare(printed, [one_crop])]).errors_measured == 0
    note = next(each for each in notes_of(compare(printed, [one_crop])) if each.heading == "Errors")
    assert "10 crops, probabilities averaged" in note.lines[0]


TEN_CROP_TABLE = """
title = "Table 1"
caption = "Errors with ten crops"
paper = "made up"
source = "made up"
dataset = "imagenet"
flops_convention = "macs"

[[columns]]
key = "error"
label = "Error"
kind = "error"
recipe = "miru2020-imagenet-resnet34"
protocol = { views = "ten-crop", averaged = "probabilities" }

[[rows]]
label = "ResNet-34"
model = "resnet34"
cells = { error = "24.99" }
"""


def test_the_command_that_resumes_a_run_names_the_paper_whose_table_says_how_it_is_tested(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("ten", TEN_CROP_TABLE), ("one", TEN_CROP_TABLE.replace("protocol =", "# protocol ="))):
        Path(name, "tables").mkdir(parents=True)
        Path(name, "tables", f"{name}.toml").write_text(text, "utf-8")
    experiment = experiment_for("resnet34", {}, seed=0, recipe_name="miru2020-imagenet-resnet34")
    with within(Library(find_papers([Path("ten"), Path("one")]))):
        describe(experiment, HERE, folders)
    run = run_at(folders.runs / experiment.name)
    assert (run.command or "").endswith(" --papers ten")
    Path("ten").rename("moved")
    run = run_at(folders.runs / experiment.name)
    assert (run.state, "--papers" in (run.command or "--papers")) == (RunState.STOPPED, False)


def test_the_tests_of_a_record_survive_its_file(record: Callable[..., Record], tmp_path: Path) -> None:
    tests = [ProtocolTest(protocol=each, error=1.5, error5=0.25, loss=0.1) for each in (TEN, DENSE)]
    append_record(record(tests=plain(tests)), tmp_path)
    (found,) = read_records([tmp_path])
    assert recorded_tests(found) == tests
    assert [measured(found, each, DENSE) for each in ("error", "error5", "loss")] == [1.5, 0.25, 0.1]
    wrong = (tmp_path / "runs.csv").read_text("utf-8").replace("[{", '{""tests"": [{').replace("}]", "}]}")
    (tmp_path / "runs.csv").write_text(wrong, "utf-8")
    with pytest.raises(UserError, match="is not a list of mappings"):
        read_records([tmp_path])
