"""Detection on tiny synthetic images: annotations, network, boxes, AP, a whole run, and the table."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import refused, repro
from PIL import Image
from records import record_of
from watching import Silent, assert_same, stop_at, train_one, weights

from repro.api.library import using
from repro.comparison.join import compare
from repro.comparison.verdict import Verdict
from repro.counting.conventions import total
from repro.counting.count import analysis
from repro.counting.demand import work_of
from repro.data import DATASETS
from repro.data.declaration import CocoFolder
from repro.data.files.annotations import Object, Scene, read_annotations
from repro.data.readers.coco import check, load
from repro.errors import Diverged, Stopped, UserError
from repro.experiment import Experiment, experiment_for
from repro.models import build
from repro.models.detector import Detector, Pyramid, Scenes
from repro.models.resnet import resnet_bottleneck
from repro.paths import Folders
from repro.recipes import RECIPES
from repro.report import Report
from repro.runtime import Runtime, Together
from repro.store.curves import read_curve
from repro.store.results import Record, read_records
from repro.tables import read_table
from repro.training.initialise import network_of
from repro.training.progress.watcher import epoch_line
from repro.training.runs.grouping import chosen_sharing
from repro.training.schedule import lr_at
from repro.training.tasks.average_precision import Detections, average_precision
from repro.training.tasks.detection import Detection, DetectionImages, targets_of
from repro.training.tasks.kinds import task_for

CPU = Runtime(device="cpu", workers=0)
DEVICE = torch.device("cpu")
SIDE = 48
BOXES = """
[datasets.boxes]
summary = "Red and blue rectangles"
kind = "coco folder"
path = "boxes"
classes = ["red", "blue"]
size = 48
"""
RECIPE = """
[recipes.boxes]
extends = "faster-rcnn-coco"
summary = "Rectangles."
paper = "Mine"
dataset = "boxes"
default_for = ["wrn18-fpn"]
epochs = { value = 2, source = "printed" }
batch = { value = 2, source = "printed" }
warmup_iterations = { value = 2, source = "printed" }
resize = { value = 48, source = "printed" }
resize_limit = { value = 64, source = "printed" }
"""
TINY = {"width": 0.125, "pyramid": 4}


def content(images: int) -> dict[str, Any]:
    """Return annotations of one rectangle per image: red (category 3) or blue (7)."""
    return {
        "info": {"year": 2026},
        "images": [
            {"id": 5 + each, "file_name": f"{each}.png", "width": SIDE, "height": 40, "license": 1}
            for each in range(images)
        ],
        "annotations": [
            {
                "id": each,
                "image_id": 5 + each,
                "category_id": 7 if each % 2 else 3,
                "bbox": [4 + each, 6, 30, 24],
                "area": 720.0,
                "iscrowd": 0,
                "segmentation": [],
            }
            for each in range(images)
        ],
        "categories": [{"id": 7, "name": "blue"}, {"id": 3, "name": "red", "supercategory": "colour"}],
    }


def write(root: Path, train: int = 6, test: int = 2, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Write a folder in COCO's format under `root`; `change` is applied to the training annotations."""
    folder = root / "boxes"
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for part, images in (("train2017", train), ("val2017", test)):
        (folder / part).mkdir(exist_ok=True)
        given = content(images)
        for image, each in zip(given["images"], given["annotations"], strict=True):
            left, top, width, height = each["bbox"]
            pixels = np.full((40, SIDE, 3), 110, np.uint8)
            pixels[top : top + height, left : left + width] = (
                (20, 40, 230) if each["category_id"] == 7 else (230, 40, 20)
            )
            Image.fromarray(pixels).save(folder / part / image["file_name"])
        if change and part == "train2017":
            change(given)
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(given))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the dataset in ./data and a paper that declares it, which is part of the library."""
    folder = tmp_path_factory.mktemp("detection")
    write(folder / "data")
    paper = folder / "paper"
    (paper / "recipes").mkdir(parents=True)
    (paper / "datasets.toml").write_text(BOXES + "train_images = 6\ntest_images = 2\n")
    (paper / "recipes" / "mine.toml").write_text(RECIPE)
    with using((paper,)):
        yield folder


def experiment(**changes: object) -> Experiment:
    found = experiment_for("wrn18-fpn", TINY, seed=0, dataset="boxes")
    return replace(found, recipe=replace(found.recipe, **changes))  # type: ignore[arg-type]


def task_of(home: Path, **changes: object) -> Detection:
    made = task_for(experiment(**changes), home / "data", CPU, DEVICE)
    assert isinstance(made, Detection)
    return made


# The annotations


def test_annotations_give_classes_by_id_and_objects_by_image(tmp_path: Path) -> None:
    folder = write(tmp_path)
    read = read_annotations(folder / "annotations" / "instances_train2017.json", folder / "train2017")
    assert read.classes == ("red", "blue")
    assert len(read.scenes) == 6
    assert read.scenes[1] == Scene("1.png", 40, SIDE, (Object((5, 6, 30, 24), 2, 720.0, False),))


Change = Callable[[dict[str, Any]], object]
WRONG: list[tuple[Change, str]] = [
    (lambda all: all["images"][0].update(file_name="9.png"), r"has no file '9\.png', which .* restore the image"),
    (lambda all: all["images"][0].update(file_name="../val2017/0.png"), r"names '\.\./val2017/0\.png' with a folder"),
    (lambda all: all["images"][0].update(width=0), r"not in COCO's format .*>= 1.* replace the file"),
    (lambda all: all["images"][1].update(id=5), "two images share an id; give each a unique one"),
    (lambda all: all["categories"][1].update(id=7), "two categories share an id"),
    (lambda all: all["annotations"][2].update(category_id=4), "annotation 3 has the unknown category 4; correct"),
    (lambda all: all["annotations"][2].update(image_id=99), "annotation 3 is of the unknown image 99; correct"),
    (lambda all: all["annotations"][2].update(iscrowd=2), "annotation 3 has iscrowd 2, which must be 0 or 1"),
    (lambda all: all["annotations"][2].update(bbox=[0, 0, 5, 0]), "annotation 3 of 2.png has the box .* has no area"),
    (lambda all: all["annotations"][2].update(bbox=[0, 0, -5, 3]), "which has no area"),
    (lambda all: all["annotations"][2].update(bbox=[20, 0, 30, 9]), r"box \[20.*which leaves the image of 48x40"),
    (lambda all: all["annotations"][2].update(bbox=[0, 35, 5, 9]), "which leaves the image of 48x40 pixels"),
    (lambda all: all["annotations"][2].update(bbox=[1, 2, 3]), "not in COCO's format"),
    (lambda all: all.pop("annotations"), "not in COCO's format .*missing required field `annotations`"),
]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("crowds", [False, True])
def test_a_test_part_without_objects_is_refused_before_the_training(folders: Folders, crowds: bool) -> None:
    """Neither an empty list of annotations nor one of crowds, which a detector need not find, can be tested."""
    given = content(2)
    given["annotations"] = [{**each, "iscrowd": 1} for each in given["annotations"]] if crowds else []
    (write(folders.data) / "annotations" / "instances_val2017.json").write_text(json.dumps(given))
    with pytest.raises(UserError, match=r"instances_val2017\.json has no objects, so nothing can be tested"):
        train_one(experiment(), CPU, folders, Silent())
    assert not (folders.results / "runs.csv").exists()


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_annotations_are_refused(tmp_path: Path, change: Change, message: str) -> None:
    folder = write(tmp_path, change=change)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message) as refused:
        read_annotations(folder / "annotations" / "instances_train2017.json", folder / "train2017")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"images": NaN}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_is_refused(tmp_path: Path, text: bytes) -> None:
    file = write(tmp_path) / "annotations" / "instances_train2017.json"
    file.write_bytes(text)
    with pytest.raises(UserError, match="is not in COCO's format"):
        read_annotations(file, file.parents[1] / "train2017")


def test_published_boxes_may_have_no_area_and_are_not_trained_on(tmp_path: Path) -> None:
    folder = write(tmp_path, change=lambda all: all["annotations"][2].update(bbox=[0, 0, 5, 0]))
    file = folder / "annotations" / "instances_train2017.json"
    read = read_annotations(file, folder / "train2017", as_published=True)
    assert (len(read.scenes), len(read.trained_on)) == (6, 5)


def test_categories_that_are_numbered_otherwise_in_the_other_file_are_refused(tmp_path: Path) -> None:
    """Else all red rectangles would be tested as blue ones."""
    paper = tmp_path / "paper"
    paper.mkdir()
    (paper / "datasets.toml").write_text(BOXES.replace("boxes]", "counted]").replace('["red", "blue"]', "2"))
    swapped = {"red": "blue", "blue": "red"}
    write(tmp_path, change=lambda all: [each.update(name=swapped[each["name"]]) for each in all["categories"]])
    with using((paper,)), pytest.raises(UserError, match="has the categories red, blue in the order of their ids, and"):
        check("counted", tmp_path)


def test_a_dataset_of_other_categories_or_sizes_is_refused(home: Path, tmp_path: Path) -> None:
    write(tmp_path, change=lambda all: all["categories"].append({"id": 9, "name": "green"}))
    with pytest.raises(UserError, match="has 3 categories, and boxes has 2 classes"):
        task_for(experiment(), tmp_path, CPU, DEVICE)
    write(tmp_path, change=lambda all: all["categories"][0].update(name="green"))
    with pytest.raises(UserError, match="has the categories red, green, not red, blue"):
        task_for(experiment(), tmp_path, CPU, DEVICE)
    write(tmp_path, train=5)
    with pytest.raises(UserError, match="train_images is 6, but there are 5"):
        task_for(experiment(), tmp_path, CPU, DEVICE)
    with pytest.raises(UserError, match=r"boxes is not in .*; it is in .*: name the folder above it"):
        task_for(experiment(), tmp_path / "no/where", CPU, DEVICE)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, None),
        ({"classes": ("one",)}, None),
        ({"channels": 1}, "channels is 1, but images in COCO's format are read in RGB: 3"),
        ({"train": "../elsewhere"}, "'../elsewhere' must be the name of a folder in path"),
        ({"test": ".."}, "'..' must be the name of a folder in path"),
    ],
)
def test_a_declaration_of_a_folder_elsewhere_or_in_grey_is_refused(values: Any, message: str | None) -> None:
    assert CocoFolder(**{"summary": "x", "path": "boxes", "classes": 2, "size": 48, **values}).mistake() == message


def test_a_replaced_image_changes_the_fingerprint(home: Path, tmp_path: Path) -> None:
    folder = write(tmp_path)
    before = load("boxes", tmp_path).fingerprint
    assert load("boxes", tmp_path).fingerprint == before
    Image.new("RGB", (SIDE, 40)).save(folder / "val2017" / "0.png")
    assert load("boxes", tmp_path).fingerprint != before


def test_an_image_of_another_size_than_annotated_is_refused(home: Path, tmp_path: Path) -> None:
    folder = write(tmp_path)
    Image.new("RGB", (20, 10)).save(folder / "train2017" / "0.png")
    part = task_for(experiment(), tmp_path, CPU, DEVICE).part  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"0\.png has 20x10 pixels, and its annotation says 48x40; restore the file"):
        DetectionImages(part)[0]


# The network


def test_with_resnet_50_it_has_the_parameters_and_multiply_adds_of_torchvision() -> None:
    """Torchvision prints 41,755,286 parameters, without the BatchNorm that it freezes, and 134.38 G multiply-adds."""
    with torch.device("meta"):
        stages = resnet_bottleneck(depth=50, classes=1)
        network = Detector(Pyramid(stages, [256, 512, 1024, 2048], 256), classes=90)
    norms = [each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    count = [sum(each.numel() for each in parameters) for parameters in (network.parameters(), _of(norms))]
    assert count[0] - count[1] == 41_755_286
    assert round(work_of(network, (3, 800, 800)).flops / 3 / 2 / 1e9, 2) == 134.38


def _of(modules: list[torch.nn.BatchNorm2d]) -> Iterator[torch.nn.Parameter]:
    for each in modules:
        yield from each.parameters()


def test_counts_agree_with_torch_and_a_gradient_reaches_every_parameter() -> None:
    network = build("wrn18-fpn", TINY, classes=2, input=(3, 64, 64)).eval()
    operators = analysis(network, (3, 64, 64), "wrn18-fpn")
    assert total(operators.by_operator(), "macs") == work_of(network, (3, 64, 64)).flops / 3 / 2
    assert not operators.unsupported_ops()
    sum(each.sum() for each in network.train()(torch.randn(2, 3, 64, 64))).backward()  # type: ignore[union-attr]
    assert [name for name, each in network.named_parameters() if each.grad is None] == []


def test_an_impossible_pyramid_is_refused() -> None:
    with pytest.raises(UserError, match="pyramid 0 is invalid: each level has at least 1 map"):
        build("wrn18-fpn", {"pyramid": 0}, classes=2)


# The task


@pytest.mark.parametrize("size", [(48, 64), (500, 333), (240, 640)])
def test_images_and_boxes_are_scaled_as_in_torchvision(home: Path, size: tuple[int, int]) -> None:
    from torchvision.models.detection.transform import GeneralizedRCNNTransform

    height, width = size
    task = task_of(home, resize=80, resize_limit=133)
    theirs = GeneralizedRCNNTransform(80, 133, list(task.recipe.mean), list(task.recipe.std))
    pixels = torch.randint(256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    box = [10.0, 5.0, 20.0, 30.0]
    given = {"boxes": torch.tensor([[10.0, 5.0, 30.0, 35.0]]), "labels": torch.tensor([1])}
    image = theirs.normalize(pixels / 255)
    image, target = theirs.resize(image, given)
    ours = task.scaled(pixels)
    torch.testing.assert_close(ours, image, atol=1e-4, rtol=0)
    scene = Scene("x.png", height, width, (Object((box[0], box[1], box[2], box[3]), 1, 600, False),))
    torch.testing.assert_close(targets_of(scene, (ours.shape[1], ours.shape[2]))["boxes"], target["boxes"])


def test_crowds_are_left_out_of_training_and_boxes_are_cut_at_the_border() -> None:
    objects = (Object((-2, 0, 10, 10), 1, 100, False), Object((0, 0, 9, 9), 2, 81, True))
    found = targets_of(Scene("x.png", 20, 40, objects), (40, 80))
    assert found["boxes"].tolist() == [[0, 0, 16, 20]]
    assert found["labels"].tolist() == [1]


def test_batches_resume_at_any_batch_and_mirror_boxes_with_their_images(home: Path) -> None:
    whole, rest = list(task_of(home).batches(0, 1, 0)), list(task_of(home).batches(0, 1, 1))
    assert (len(whole), len(rest)) == (3, 2)
    for one, other in zip(whole[1:], rest, strict=True):
        assert isinstance(one.inputs, Scenes)
        assert isinstance(other.inputs, Scenes)
        assert all(torch.equal(*each) for each in zip(one.inputs.images, other.inputs.images, strict=True))
    lefts = set[bool]()
    for batch in whole:
        assert isinstance(batch.inputs, Scenes)
        for image, objects in zip(batch.inputs.images, batch.inputs.objects, strict=True):
            x1, y1, x2, y2 = (round(each) for each in objects["boxes"][0].tolist())
            background = image[:, 0, 0][:, None, None]
            coloured = ((image - background).abs().sum(0) > 1).nonzero()
            assert (coloured.min(0).values - torch.tensor([y1, x1])).abs().max() <= 1
            assert (coloured.max(0).values + 1 - torch.tensor([y2, x2])).abs().max() <= 1
            lefts.add(x1 < 15)
    assert lefts == {True, False}


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        (replace(CPU, processes=2), "a detection run works with one process only; start it without torchrun"),
        (replace(CPU, compile=True), "--compile and --graph need images of one size"),
    ],
)
def test_what_a_detection_cannot_use_is_refused(home: Path, runtime: Runtime, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task_for(experiment(), home / "data", runtime, DEVICE)


@pytest.mark.parametrize(("value", "message"), [({"resize": 0}, "has no resize"), ({"tile": 8}, "tile=8.*not supp")])
def test_a_recipe_without_sizes_or_for_other_images_is_refused(home: Path, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task_of(home, **value)


def test_without_pycocotools_the_command_that_installs_it_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
    with pytest.raises(UserError, match=r"^computing AP needs the package pycocotools, which is not installed:"):
        task_of(home)


def test_only_detectors_are_trained_on_boxes(home: Path) -> None:
    with pytest.raises(UserError, match="resnet20 predicts one class for an image, and boxes needs a model that pred"):
        experiment_for("resnet20", {}, seed=0, dataset="boxes")
    with pytest.raises(UserError, match="wrn18-fpn predicts a box and a class for each object, and cifar10 needs"):
        experiment_for("wrn18-fpn", {}, seed=0, dataset="cifar10")


@pytest.mark.parametrize("asked", [None, "stacked", "branches"])
@pytest.mark.usefixtures("home")
def test_detectors_do_not_share_a_gpu(asked: str | None) -> None:
    seeds, watcher = [experiment(), replace(experiment(), seed=1)], Silent()
    with torch.device("meta"):
        networks = {each.shared_id: network_of(each) for each in seeds}
    gpu, runtime = torch.device("cuda"), Runtime(together=asked)
    assert chosen_sharing(seeds, networks, runtime, gpu, watcher) is Together.OFF
    assert watcher.said == ["A detector samples regions, so runs are trained one after another."]
    assert chosen_sharing(seeds[:1], networks, runtime, gpu, watcher) is Together.OFF


def test_the_learning_rate_rises_in_equal_parts_as_in_torchvision() -> None:
    """references/detection/engine.py: torch's LinearLR from 1/1000 within 1,000 steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.02)
    theirs = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 1000, total_iters=1000)
    chosen = RECIPES["faster-rcnn-coco"]
    for step in range(1002):
        assert math.isclose(lr_at(chosen, step, 117_266), optimizer.param_groups[0]["lr"], rel_tol=1e-9)
        optimizer.step()
        theirs.step()


# The metric


def found(*boxes: tuple[float, float, float, float], label: int = 1) -> Detections:
    scores = torch.linspace(0.9, 0.5, len(boxes))
    return Detections(torch.tensor(boxes).view(-1, 4), torch.full((len(boxes),), label), scores)


def test_ap_of_right_wrong_and_missing_detections() -> None:
    scene = Scene("x.png", 100, 100, (Object((10, 10, 40, 40), 1, 1600, False),))
    right, shifted = (10.0, 10.0, 50.0, 50.0), (10.0, 20.0, 50.0, 60.0)
    assert average_precision([scene], [found(right)]) == pytest.approx((100, 100))
    assert average_precision([scene], [found(right, label=2)]) == (0, 0)
    assert average_precision([scene], [found()]) == (0, 0)
    # An overlap of 0.6 is enough at 0.50, 0.55 and 0.60 of ten thresholds.
    assert average_precision([scene], [found(shifted)]) == pytest.approx((30, 100))


def test_detections_in_a_crowd_count_neither_way() -> None:
    one, crowd = Object((10, 10, 40, 40), 1, 1600, False), Object((60, 60, 40, 40), 1, 1600, True)
    inside = found((62.0, 62.0, 80.0, 80.0), (10.0, 10.0, 50.0, 50.0))  # the more confident one is in the crowd
    assert average_precision([Scene("x.png", 100, 100, (one, crowd))], [inside]) == pytest.approx((100, 100))
    assert average_precision([Scene("x.png", 100, 100, (one,))], [inside])[1] == pytest.approx(50, abs=1)


# A whole run


@pytest.fixture(scope="module")
def trained(home: Path) -> tuple[Record, Folders, Silent]:
    watcher = Silent()
    folders = Folders(data=home / "data", runs=home / "runs", results=home / "results")
    return train_one(experiment(), CPU, folders, watcher), folders, watcher


def test_a_run_learns_and_records_its_ap(home: Path, trained: tuple[Record, Folders, Silent]) -> None:
    record, folders, watcher = trained
    assert (record.epochs, record.steps, record.loss, record.error5) == (2, 6, None, None)
    assert record.ap is not None
    assert record.ap50 is not None
    assert record.error == pytest.approx(100 - record.ap)
    assert read_records([folders.results]) == [record]
    curve = read_curve(folders.results / "curves" / f"{record.name}.csv")
    assert curve[1].train_loss < curve[0].train_loss
    assert (curve[1].train_error, curve[1].test_loss, curve[1].ap) == (None, None, record.ap)
    assert epoch_line(curve[1:], 2) in watcher.said[-1]
    assert f"test AP {record.ap:.2f} % AP50 {record.ap50:.2f} %" in watcher.said[-1]
    header = (folders.results / "runs.csv").read_text().splitlines()[0]
    assert header.endswith("environment,tests,ap,ap50,processor")


def test_a_resumed_run_equals_an_uninterrupted_one(home: Path, trained: tuple[Record, Folders, Silent]) -> None:
    _, folders, _ = trained
    apart = replace(folders, runs=home / "stopped", results=home / "stopped-results")
    with pytest.raises(Stopped):
        train_one(experiment(), CPU, apart, stop_at(4))
    train_one(experiment(), CPU, apart, Silent())
    assert_same(weights(apart, experiment()), weights(folders, experiment()))


def test_commands_speak_of_ap(home: Path, trained: tuple[Record, Folders, Silent], capsys: Any) -> None:
    record, folders, _ = trained
    places = ("--runs", folders.runs, "--papers", home / "paper")
    tested = repro(capsys, "eval", record.name, "--data", folders.data, "--workers", 0, "--device", "cpu", *places)[1]
    assert f"{record.name}: test AP {record.ap:.2f} %, AP50 {record.ap50:.2f} %, on 2 images of boxes" in tested
    assert f"recorded during training: test AP {record.ap:.2f} %" in tested
    listed = json.loads(repro(capsys, "list", "runs", "--format", "json", *places)[1])
    assert str(record.ap) in json.dumps(listed)
    picture = ("--picture", home / "picture.png")
    assert "--picture is for segmentations" in refused(capsys, "eval", record.name, *picture, *places)


def test_a_loss_that_is_nan_ends_the_run(home: Path, tmp_path: Path) -> None:
    apart = Folders(data=home / "data", runs=tmp_path / "runs", results=tmp_path / "results")
    with pytest.raises(Diverged, match=r"the training loss is (nan|inf)|weights became NaN"):
        train_one(experiment(lr=1e30, warmup_iterations=0), CPU, apart, Silent())


def test_the_printed_ap_is_shown_beside_ours_without_a_verdict(record: Callable[..., Record]) -> None:
    table = read_table("wrn-coco")
    (error,) = table.errors()
    run = record_of(record, error.experiment(0), epochs=26, error=69.5, loss=None, ap=30.5, ap50=50.0)
    assert run.shown == "AP 30.50 %"
    comparison = compare(table, [run])
    cell = comparison.rows[0].errors["ap"]
    assert (cell.verdict, cell.value, cell.difference, comparison.cells) == (Verdict.DIFFERENT_IMAGES, 30.5, None, 0)
    shown = Report([comparison], [], summary=False).text("md")
    assert "35.2" in shown
    assert "30.50" in shown
    assert "on proposals of AttractioNet" in shown


def test_coco_has_the_published_numbers_of_images() -> None:
    spec = DATASETS["coco"]
    assert (spec.classes, spec.train_images, spec.test_images, spec.as_published) == (80, 117_266, 5_000, True)
