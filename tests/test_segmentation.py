"""U-Net on tiny synthetic slices: data, network, deformation, loss, a whole run, and the table."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import repro
from PIL import Image
from slices import SIDE, cells, write, write_folder
from torch import Tensor
from torch.nn.functional import cross_entropy
from watching import Silent, assert_same, stop_at, train_one, weights

from repro.cli.train import _summary
from repro.comparison.join import compare
from repro.comparison.verdict import Verdict
from repro.data import DATASETS, Dataset, Images, load
from repro.data.inputs.deform import Warp, draw_warp, places, read
from repro.data.suitable import training_input
from repro.errors import Stopped, UserError
from repro.evaluation.evaluate import evaluate
from repro.experiment import Experiment, experiment_for
from repro.models import build
from repro.paths import Folders
from repro.recipes import RECIPES
from repro.report import Report
from repro.report.model_card import CardFacts, model_card
from repro.runtime import Runtime
from repro.store.results import Record, read_records
from repro.tables import read_table
from repro.training.initialise import all_fan_in
from repro.training.randomness import generator
from repro.training.tasks.border_weights import class_weights
from repro.training.tasks.kinds import task_for
from repro.training.tasks.segmentation import Segmentation

CPU = Runtime(device="cpu")
DEVICE = torch.device("cpu")
PAPER = RECIPES["unet-isbi"]


def experiment(**changes: object) -> Experiment:
    """A padded U-Net of base 2 on tiles of 32 pixels of the folder."""
    found = experiment_for("unet", {"padded": True, "base": 2}, seed=0, dataset="segmentation", epochs=2)
    values = {"tile": 32, "margin": 0, "lr": 0.01, "momentum": 0.9, "elastic": 2.0, **changes}
    return replace(found, recipe=replace(found.recipe, **values))  # type: ignore[arg-type]


def task_of(root: Path, **changes: object) -> Segmentation:
    write_folder(root)
    made = task_for(experiment(**changes), root, CPU, DEVICE)
    assert isinstance(made, Segmentation)
    return made


# The data


def test_isbi_has_25_slices_to_train_on_and_5_held_out(real_data: Path) -> None:
    if not (real_data / "isbi2012").is_dir():
        pytest.skip("needs ISBI 2012 under $REPRO_DATA")
    found = load("isbi2012", real_data)
    assert found.train.pixels.shape == (DATASETS["isbi2012"].train_images, 1, 512, 512) == (25, 1, 512, 512)
    assert found.test.labels.shape == (5, 512, 512)
    assert found.train.labels.unique().tolist() == [0, 1]
    assert 0.7 < found.train.labels.float().mean() < 0.85  # most of a slice is inside cells
    dark, bright = (found.train.pixels[:, 0][found.train.labels == each].float().mean() for each in (0, 1))
    assert dark + 30 < bright  # labels match their images


def test_isbi_is_the_same_from_stacks_from_a_file_per_slice_and_from_its_own_folder(tmp_path: Path) -> None:
    slices, labels = zip(*(cells(number) for number in range(30)), strict=True)
    for number in range(30):
        write(tmp_path / "files" / "isbi2012" / "image" / f"{number}.png", slices[number])
        write(tmp_path / "files" / "isbi2012" / "label" / f"{number}.png", labels[number])
    folder = tmp_path / "stacks" / "isbi2012"
    folder.mkdir(parents=True)
    for name, pages in (("train-volume.tif", slices), ("train-labels.tif", labels)):
        first, *others = (Image.fromarray(page.numpy()) for page in pages)
        first.save(folder / name, save_all=True, append_images=others)
    one, other = load("isbi2012", tmp_path / "files"), load("isbi2012", tmp_path / "stacks")
    inside = load("isbi2012", tmp_path / "stacks" / "isbi2012")
    assert one.fingerprint == other.fingerprint == inside.fingerprint
    assert torch.equal(one.test.pixels[:, 0], torch.stack(slices[25:]))  # 10.png comes after 2.png


def test_a_stack_of_other_pages_is_refused_before_they_are_read(tmp_path: Path) -> None:
    """A small TIFF may have a million empty pages."""
    pages = [Image.new("L", (4, 4))] * 31
    (tmp_path / "isbi2012").mkdir()
    for name in ("train-volume.tif", "train-labels.tif"):
        pages[0].save(tmp_path / "isbi2012" / name, save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=r"train-volume\.tif has 31 pages, but ISBI 2012 has 30 slices"):
        load("isbi2012", tmp_path)
    pages = [*pages[:29], Image.new("L", (4, 5))]
    pages[0].save(tmp_path / "isbi2012" / "train-volume.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=r"the pages of .*train-volume\.tif differ in size"):
        load("isbi2012", tmp_path)


def test_without_isbi_the_message_names_its_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not in .*isbi2012: put train-volume\.tif .*imagej\.net"):
        load("isbi2012", tmp_path)


def test_a_sign_that_is_no_digit_may_be_in_the_name_of_an_image(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for name in ("images", "masks"):
        path = tmp_path / "segmentation" / "train" / name / "1.png"
        path.rename(path.with_name("1 µm².png"))
    assert torch.equal(load("segmentation", tmp_path).train.pixels[1, 0], cells(1)[0])


def test_another_number_of_slices_is_not_isbi(tmp_path: Path) -> None:
    for number in range(3):
        for name, grey in zip(("image", "label"), cells(number), strict=True):
            write(tmp_path / "isbi2012" / name / f"{number}.png", grey)
    with pytest.raises(UserError, match="3 slices and 3 labels, but ISBI 2012 has 30"):
        load("isbi2012", tmp_path)


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_users_own_folder_is_read(tmp_path: Path, split: str) -> None:
    write_folder(tmp_path, split=split)
    found = load("segmentation", tmp_path)
    assert (len(found.train), len(found.test)) == (3, 1)
    assert torch.equal(found.train.pixels[1, 0], cells(1)[0])
    assert torch.equal(found.train.labels[1], cells(1)[1] // 255)


def test_a_wrong_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs train/ and test/"):
        load("segmentation", tmp_path)
    write_folder(tmp_path)
    mask = tmp_path / "segmentation" / "train" / "masks" / "1.png"
    mask.write_bytes(b"no image")
    with pytest.raises(UserError, match="cannot be read as an image"):
        load("segmentation", tmp_path)
    write(mask, cells(1, side=40)[1])
    with pytest.raises(UserError, match="40x40 pixels and the others 48x48"):
        load("segmentation", tmp_path)
    mask.unlink()
    with pytest.raises(UserError, match=r"1\.png does not exist: every image"):
        load("segmentation", tmp_path)


def test_slices_of_16_bits_are_scaled_and_masks_of_16_bits_refused(tmp_path: Path) -> None:
    write_folder(tmp_path)
    home, before = tmp_path / "segmentation" / "train", load("segmentation", tmp_path)
    write(home / "images" / "1.png", cells(1)[0].to(torch.uint16) * 257)
    assert torch.equal(load("segmentation", tmp_path).train.pixels, before.train.pixels)
    write(home / "masks" / "1.png", cells(1)[1].to(torch.uint16) * 256)
    with pytest.raises(UserError, match=r"masks/1\.png has more than 8 bits per pixel \(mode I;16\); save it with 8"):
        load("segmentation", tmp_path)


def test_slices_smaller_than_a_tile_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="48x48 pixels are smaller than a tile"):
        task_of(tmp_path, tile=64)


# The network


def test_an_input_of_572_pixels_gives_388_pixels() -> None:
    with torch.device("meta"):
        network = build("unet", {}, classes=2, input=(1, 572, 572), dropout=PAPER.dropout)
        assert network(torch.empty(1, 1, 572, 572)).shape == (1, 2, 388, 388)


def test_dropout_is_only_at_the_end_of_the_contracting_path() -> None:
    network = build("unet", {"base": 2, "padded": True}, classes=2, input=(1, 572, 572), dropout=0.5)
    seen: list[torch.Size] = []
    network.dropout.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    network(torch.zeros(1, 1, 64, 64))
    assert seen == [(1, 16, 8, 8), (1, 32, 4, 4)]


def test_initial_weights_have_a_variance_of_2_over_the_incoming_nodes() -> None:
    torch.manual_seed(0)
    network = build("unet", {"base": 16}, classes=2, input=(1, 572, 572))
    all_fan_in(network)
    for module, incoming in ((network.down[1][2], 9 * 32), (network.up[0], 4 * 128)):
        assert module.weight.detach().std().item() == pytest.approx(math.sqrt(2 / incoming), rel=0.03)
    assert all(not each.any() for name, each in network.named_parameters() if name.endswith("bias"))


def test_a_network_whose_output_does_not_match_the_tiles_is_refused(tmp_path: Path) -> None:
    task = task_of(tmp_path, margin=16)
    with pytest.raises(UserError, match=r"the network's output is 64x64, .* needs 32x32; leave out --padded"):
        task.predict(
            build("unet", {"base": 2, "padded": True}, classes=2, input=(1, 572, 572)), task.test_images.pixels[0]
        )


def test_a_padded_network_has_its_own_recipe() -> None:
    assert experiment_for("unet", {}, seed=0).recipe == PAPER
    padded = experiment_for("unet", {"padded": True}, seed=0).recipe
    assert (padded.name, padded.tile, padded.margin) == ("unet-isbi-padded", 512, 0)
    assert [training_input(each) for each in (PAPER, padded)] == [(1, 572, 572), (1, 512, 512)]


# The deformation

STILL = Warp(0, 0, 0, False, torch.zeros(2, 3, 3), 1.0, 0.0)


def test_an_undeformed_tile_is_the_slice_with_its_mirror_image() -> None:
    grey = cells(0)[0].float()[None]
    small = replace(PAPER, tile=32, margin=8)
    where = places(STILL._replace(top=3, left=5), small, DEVICE)
    mirrored = torch.nn.functional.pad(grey[None], (8,) * 4, mode="reflect")[0, :, 3 : 3 + 48, 5 : 5 + 48]
    torch.testing.assert_close(read(grey, where, "bilinear"), mirrored, atol=0.02, rtol=0)
    assert torch.equal(read(grey, where, "nearest"), mirrored)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [False, True])
def test_turns_and_mirroring_are_exact(turns: int, flip: bool) -> None:
    label = cells(1)[1].float()[None]
    small = replace(PAPER, tile=SIDE, margin=0, elastic=0.0)
    turned = read(label, places(STILL._replace(turns=turns, flip=flip), small, DEVICE), "nearest")
    candidates = [torch.rot90(label, k, (1, 2)) for k in range(4)]
    candidates += [each.flip(2) for each in candidates]
    assert sum(torch.equal(turned, each) for each in candidates) == 1
    assert torch.equal(turned, label) == (turns == 0 and not flip)


def test_displacements_are_normal_with_10_pixels_on_a_grid_of_3_by_3() -> None:
    assert (PAPER.elastic, PAPER.elastic_grid) == (10.0, 3)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([draw_warp(PAPER, 512, 512, generator).displacement for _ in range(300)])
    assert drawn.shape == (300, 2, 3, 3)
    assert drawn.std() == pytest.approx(10, rel=0.03)
    assert drawn.mean() == pytest.approx(0, abs=0.5)


def test_displacements_are_exact_on_the_coarse_grid_and_smooth_in_between() -> None:
    displacement = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0)) * 10
    still, moved = (
        places(STILL._replace(displacement=each), PAPER, DEVICE) for each in (0 * displacement, displacement)
    )
    by = (moved - still).permute(2, 0, 1)
    torch.testing.assert_close(by[:, ::571, ::571], displacement[:, ::2, ::2], atol=0.01, rtol=0)
    steps = torch.cat([by.diff(dim=1).flatten(), by.diff(dim=2).flatten()])
    assert 0 < steps.abs().max() < 0.5  # nothing folds or tears


def test_tiles_are_within_the_slice_and_reach_its_corners() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_warp(replace(PAPER, tile=508), 512, 512, generator) for _ in range(200)]
    assert {each.top for each in drawn} == {each.left for each in drawn} == set(range(5))
    assert {each.turns for each in drawn} == set(range(4))
    assert {each.flip for each in drawn} == {False, True}
    assert all(0.9 <= each.contrast <= 1.1 and -0.1 <= each.brightness <= 0.1 for each in drawn)


def test_labels_and_weights_are_deformed_like_the_pixels(tmp_path: Path) -> None:
    """A slice that is its own label: the tile's pixels, cut at the middle, are the tile's label."""
    task = task_of(tmp_path, elastic=3.0, color_jitter=0.0, border_weight=0.0)
    grey, target = task.tile(1, seed=0, epoch=0)
    assert (grey.shape, target.shape) == ((1, 32, 32), (2, 32, 32))
    assert ((grey[0] > 0) == (target[0] == 1)).float().mean() > 0.85
    assert torch.equal(target[1], class_weights(task.train_images.labels, 2)[target[0].long()])


def test_a_tile_depends_only_on_seed_epoch_and_slice(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    tiles = {(i, seed, epoch): task.tile(i, seed, epoch)[0] for i in (0, 1) for seed in (0, 1) for epoch in (0, 1)}
    again = task_of(tmp_path).tile(1, 0, 1)[0]
    assert torch.equal(again, tiles[1, 0, 1])
    assert sum(torch.equal(again, each) for each in tiles.values()) == 1


def test_batches_resume_at_any_batch(tmp_path: Path) -> None:
    whole, rest = list(task_of(tmp_path).batches(0, 1, 0)), list(task_of(tmp_path).batches(0, 1, 1))
    assert (len(whole), len(rest)) == (3, 2)
    assert all(torch.equal(one.inputs, other.inputs) for one, other in zip(whole[1:], rest, strict=True))
    order = torch.randperm(3, generator=generator(0, "order", 1)).tolist()
    assert torch.equal(whole[0].targets[0], task_of(tmp_path).tile(order[0], 0, 1)[1])


# The loss


def test_the_loss_is_the_weighted_cross_entropy(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    batch = next(task.batches(0, 0, 0))
    outputs = torch.randn(1, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    labels, weights = batch.targets[:, 0].long(), batch.targets[:, 1]
    expected = (weights * cross_entropy(outputs, labels, reduction="none")).mean()
    torch.testing.assert_close(task.loss(outputs, batch.targets), expected)
    perfect = torch.stack([1 - batch.targets[:, 0], batch.targets[:, 0]], dim=1)
    assert task.wrong(perfect, batch.targets) == 0
    assert task.wrong(-perfect, batch.targets) == 1


def test_overlapping_tiles_cover_the_slice_with_its_mirrored_surroundings(tmp_path: Path) -> None:
    """The network returns the centre of its input, so that the prediction is a function of each pixel alone."""
    task = task_of(tmp_path, margin=8)

    class Middle(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([0 * x, x], dim=1)[:, :, 8:-8, 8:-8]

    pixels = task.test_images.pixels[0]
    expected = task.normalise(pixels[None])[0, 0].sigmoid()
    torch.testing.assert_close(task.predict(Middle(), pixels)[1], expected)


# A whole run


def test_a_run_learns_and_is_recorded_evaluated_and_drawn(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(folders.data)
    run = experiment(epochs=20, lr=0.02, dropout=0.0, border_weight=1.0)
    run = replace(run, options={**run.options, "base": 8})
    record = train_one(run, CPU, folders, Silent())
    assert read_records([folders.results]) == [record]
    assert record.error < 5  # a third of the pixels are membrane
    assert record.error5 is None
    assert record.iou is not None
    assert record.iou > 0.9
    picture = folders.data / "pictures" / "slice.png"
    found = evaluate(record.name, folders, CPU, picture=picture)
    assert found.metrics.error == record.error == found.recorded
    assert found.metrics.extra == {name: getattr(record, name) for name in ("iou", "isbi_pixel", "isbi_rand")}
    shares = f"IoU {record.iou:.4f}, pixel error {record.isbi_pixel:.4f} (best threshold), Rand error "
    where = ("--data", folders.data, "--runs", folders.runs, "--results", folders.results)
    assert f"test error {record.error:.2f} %, {shares}" in repro(capsys, "eval", record.name, *where)[1]
    assert f"test error {record.error:.2f} %, {shares}" in _summary(record)
    facts = CardFacts(run, 20, record.steps, True, record.error, record, None)
    assert f"| Segmentation by the run | {shares}" in " ".join(model_card(facts, Path("net.safetensors")).split())
    with Image.open(picture) as drawn:
        assert drawn.size == (3 * SIDE + 16, SIDE + 16)
        label = torch.tensor(list(drawn.crop((SIDE + 8, 16, 2 * SIDE + 8, SIDE + 16)).tobytes())).view(SIDE, SIDE)
    assert torch.equal(label.to(torch.uint8), cells(3)[1])


@pytest.mark.parametrize("step", [2, 3, 4])
def test_resume_continues_bit_for_bit(folders: Folders, shared: Folders, step: int) -> None:
    write_folder(folders.data)
    straight = train_one(experiment(), CPU, shared, Silent())
    with pytest.raises(Stopped):
        train_one(experiment(), CPU, folders, stop_at(step))
    record = train_one(experiment(), CPU, folders, Silent())
    assert (record.error, record.loss, record.train_loss) == (straight.error, straight.loss, straight.train_loss)
    assert_same(weights(folders, experiment()), weights(shared, experiment()))


def test_only_a_segmentation_is_drawn(folders: Folders) -> None:
    digits = experiment_for("densenet", {"depth": 7, "k": 4}, seed=0, dataset="digits", epochs=1)
    record = train_one(digits, CPU, folders, Silent())
    with pytest.raises(UserError, match="--picture is for segmentations"):
        evaluate(record.id, folders, CPU, picture=folders.data / "no.png")


def test_a_recipe_for_tiles_is_not_for_whole_images(tmp_path: Path) -> None:
    pixels = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    whole = Images(pixels, torch.zeros(1, 8, 8, dtype=torch.uint8))
    with pytest.raises(UserError, match="recipe digits has no tile, which slices for segmentation need"):
        Segmentation(RECIPES["digits"], Dataset(whole, whole, ""), CPU, DEVICE)


# The table


def test_the_hidden_test_set_is_never_judged(record: Callable[..., Record]) -> None:
    table = read_table("unet-isbi")
    assert {row.verdict for row in compare(table, []).rows if row.row.model} == {Verdict.NOT_MEASURED}
    run = experiment_for("unet", {}, seed=0)
    facts = {"id": run.id, "model": "unet", "options": dict(run.options), "dataset": "isbi2012", "recipe": "unet-isbi"}
    comparison = compare(table, [record(**facts, isbi_rand=0.05, isbi_pixel=0.0712, error=9.5)])
    row = next(each for each in comparison.rows if each.row.model)
    assert row.verdict == Verdict.DIFFERENT_IMAGES
    assert not row.mismatches
    assert (row.errors["rand"].value, row.errors["rand"].difference) == (0.05, None)
    assert "0.0712" in Report([comparison], [], summary=False).text("rich")


def test_a_smaller_network_is_never_in_the_table(record: Callable[..., Record]) -> None:
    run = experiment_for("unet", {"base": 16}, seed=0)
    facts = {"id": run.id, "model": "unet", "options": dict(run.options), "dataset": "isbi2012", "recipe": "unet-isbi"}
    comparison = compare(read_table("unet-isbi"), [record(**facts, isbi_rand=0.05, isbi_pixel=0.07)])
    assert {row.verdict for row in comparison.rows if row.row.model} == {Verdict.NOT_MEASURED}
