"""Counts against the papers' printed columns, and the conventions against each other."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from marking import COUNTS_ALL

from repro.comparison.counts import abbreviated, subject_of
from repro.counting import cache
from repro.counting.cache import cached_count, counted, counted_parameters
from repro.counting.count import (
    Subject,
    count,
    count_modules,
    count_network,
    empty_network,
    parameters_of,
    without_memory,
)
from repro.models import is_small
from repro.tables import Cell, Row, Table, read_table, table_names

pytestmark = COUNTS_ALL
TAKEDA = [(table, row) for table in map(read_table, ("cifar100", "imagenet")) for row in table.rows]
LABELS = [row.label for _, row in TAKEDA]
TABLES = [read_table(name) for name in table_names()]
MISMATCHES = {
    ("classics", "AlexNet"): "61M",
    ("classics", "MobileNetV2 1.0"): "3.5M",
    ("classics", "MobileNetV3-Large 1.0"): "5.5M",
    ("densenet-cifar", "ResNet (pre-activation), Depth 1001"): "10.3M",
    ("wrn-cifar", "pre-act-ResNet-1001"): "10.3M",
}
"""Rows printed with 60M, 3.4M, 5.4M and 10.2M, and the parameters of the networks that their papers define."""
PRINTED = [(table, row) for table in TABLES for row in table.rows if row.model and "params" in row.cells]


@pytest.mark.parametrize(
    ("exact", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1k"),
        (999_499, "999k"),
        (999_700, "1M"),
        (1_234_567, "1.23M"),
        (999_700_000_000, "1,000G"),
        (1_234_600_000_000, "1,235G"),
    ],
)
def test_an_abbreviated_count_has_three_digits_and_no_exponent(exact: int, shown: str) -> None:
    assert abbreviated(exact) == shown


@pytest.mark.parametrize(("table", "row"), PRINTED, ids=[f"{table.name}: {row.label}" for table, row in PRINTED])
def test_parameters_match_the_printed_ones_except_in_five_rows(table: Table, row: Row) -> None:
    params = parameters_of(without_memory(subject_of(table, row)))
    cell = row.cells["params"]
    expected = MISMATCHES.get((table.name, table.called(row)), cell.text)
    assert (cell.like(params), cell.matches(params)) == (expected, expected == cell.text)


@pytest.mark.parametrize("name", ["densenet-cifar", "wrn-cifar"])
def test_preactivation_resnet_1001_is_printed_without_its_batchnorm_parameters(name: str) -> None:
    """The notes say so; with 164 layers the printed digits are the same either way."""
    table = read_table(name)
    rows = {row.model: row for row in table.rows if (row.model or "").startswith("preresnet")}
    assert rows.keys() == {"preresnet164", "preresnet1001"}
    for row in rows.values():
        network = without_memory(subject_of(table, row))
        norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        whole, without = parameters_of(network), parameters_of(network) - sum(map(parameters_of, norms))
        assert row.cells["params"].matches(without)
    assert any(f"{without:,} of {whole:,}" in note for note in table.notes)  # of the last row, 1001 layers


def test_u_net_is_that_of_figure_1() -> None:
    """The authors' prototxt gives 128 maps in the last up-convolution, where Figure 1 gives 64: the notes say so."""
    table = read_table("unet-isbi")
    (row,) = (row for row in table.rows if row.model)
    network = without_memory(subject_of(table, row))
    assert parameters_of(network) == 31_030_658
    last_up, last_merge = network.up[-1], network.merge[-1][0]  # type: ignore[index,union-attr]
    assert (last_up.out_channels, last_merge.in_channels) == (64, 128)
    wider = 64 * (128 * 2 * 2 + 1) + 64 * 64 * 3 * 3  # of the up-convolution, and of the convolution that reads it
    assert any(f"{31_030_658 + wider:,} parameters" in note for note in table.notes)


@pytest.mark.parametrize(("table", "row"), TAKEDA, ids=LABELS)
def test_flops_match_the_printed_ones_except_for_mobilenet_v2(table: Table, row: Row) -> None:
    flops = counted(subject_of(table, row)).flops["paper"]
    assert row.cells["flops"].matches(flops) == (row.model != "mobilenetv2")


AUTHORS_COUNTER = {
    "ResNet-34": 3681373184,
    "DenseResNet-34, N = 2": 3689181280,
    "DenseResNet-34, N = 4": 3694019680,
    "DenseResNet-34, N = 6": 3697389664,
    "DenseResNet-34, N = 8": 3699865184,
    "MobileNet-v2": 314409600,
    "DenseMobileNet-v2, N = 4": 319965312,
    "ResNet-110": 257894656,
    "DenseResNet-110, N = 2": 260769088,
    "DenseResNet-110, N = 4": 262911040,
    "DenseResNet-110, N = 6": 264920896,
    "DenseResNet-110, N = 8": 266798656,
}
"""Counts of the author's networks by the rules of his src/flops.py, commit c1fa035, without the gate's means."""


@pytest.mark.parametrize(("table", "row"), TAKEDA, ids=LABELS)
def test_the_paper_convention_is_the_authors_counter(table: Table, row: Row) -> None:
    """The gate's sum is decisive: in DenseMobileNet-v2 the nearest map and the sum differ in their channels."""
    assert counted(subject_of(table, row)).flops["paper"] == AUTHORS_COUNTER[row.label]


SMALL_FORMS = {
    # the known exact counts of kuangliu/pytorch-cifar's networks on CIFAR-10
    ("resnet18", 10): "11173962",
    ("resnet34", 10): "21282122",
    ("resnet50", 10): "23520842",
    ("vgg16-bn", 10): "14728266",
    ("mobilenetv1", 10): "3217226",
    # README of huyvnphan/PyTorch_CIFAR10
    ("densenet121", 10): "6.956M",
    ("densenet161", 10): "26.483M",
    ("densenet169", 10): "12.493M",
    ("mobilenetv2", 10): "2.237M",
    ("googlenet", 10): "5.491M",
    # README of bearpaw/pytorch-classification
    ("alexnet", 10): "2.47M",
    # README of weiaicunzai/pytorch-cifar100
    ("resnet101", 100): "42.7M",
    ("resnet152", 100): "58.3M",
    ("densenet201", 100): "18M",
    ("xception", 100): "21.0M",
}


@pytest.mark.parametrize(("model", "classes"), SMALL_FORMS)
def test_the_forms_for_small_images_have_the_parameters_that_cifar_repositories_print(model: str, classes: int) -> None:
    params = parameters_of(without_memory(Subject(model, {}, (3, 32, 32), classes)))
    assert Cell(SMALL_FORMS[model, classes]).matches(params)


WIDTHS = {
    # Howard et al., arXiv 1704.04861, Tables 6 and 7; the last one is printed as 290 there, and as 291 in
    # tensorflow/models, research/slim/nets/mobilenet_v1.md, of the authors
    ("mobilenetv1", 0.75, 224): ("2.6M", "325M"),
    ("mobilenetv1", 0.5, 224): ("1.3M", "149M"),
    ("mobilenetv1", 0.25, 224): ("0.5M", "41M"),
    ("mobilenetv1", 1.0, 192): ("4.2M", "418M"),
    ("mobilenetv1", 1.0, 128): ("4.2M", "186M"),
    ("mobilenetv1", 1.0, 160): ("4.2M", "291M"),
    # tensorflow/models, research/slim/nets/mobilenet/README.md, of the authors; without the parameters of BatchNorm
    ("mobilenetv2", 1.4, 224): ("6.06M", "582M"),
    ("mobilenetv2", 1.3, 224): ("5.34M", "509M"),
    ("mobilenetv2", 0.75, 160): ("2.61M", "107M"),
    ("mobilenetv2", 0.5, 224): ("1.95M", "97M"),
    ("mobilenetv2", 0.35, 224): ("1.66M", "59M"),
}
"""Parameters and multiply-adds of MobileNets by width multiplier and side of the images."""


@pytest.mark.parametrize(("model", "width", "side"), WIDTHS)
def test_mobilenets_of_other_widths_and_resolutions_have_the_printed_counts(
    model: str, width: float, side: int
) -> None:
    subject = Subject(model, {"width": width}, (3, side, side), 1000)
    params, macs = WIDTHS[model, width, side]
    network = empty_network(subject)
    norms = [each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    without = parameters_of(network) - sum(map(parameters_of, norms)) * (model == "mobilenetv2")
    assert (Cell(params).like(without), Cell(macs).like(count(subject).flops["macs"])) == (params, macs)


LAST_SIDES = {
    **dict.fromkeys(("resnet18", "resnext50", "densenet121", "mobilenetv2", "densemobilenetv2"), 4),
    **dict.fromkeys(("mobilenetv3-large", "mobilenetv3-small", "xception"), 4),
    **dict.fromkeys(("mobilenetv1", "vgg16-bn", "alexnet"), 2),
    "googlenet": 8,
}
"""Height and width of the last convolution's output at 32x32; the paper's form of ResNet-18 would leave one pixel."""


@pytest.mark.parametrize("model", LAST_SIDES)
def test_small_images_keep_a_usable_resolution(model: str) -> None:
    sides = []
    network = without_memory(Subject(model, {}, (3, 32, 32), 10)).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    network(torch.zeros(1, 3, 32, 32, device="meta"))
    assert sides[-1] == LAST_SIDES[model]


def test_images_of_64_pixels_are_small_and_those_of_65_are_not() -> None:
    assert [is_small("resnet18", (3, side, side)) for side in (32, 64, 65, 224)] == [True, True, False, False]
    assert not is_small("resnet20", (3, 32, 32))


def test_parameters_are_cached_separately(monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = [Subject("resnet20", {}, (3, 32, 32), classes) for classes in (11, 12)]
    params = counted_parameters(subjects)
    assert params == [count(subject).params for subject in subjects]
    monkeypatch.setattr("repro.counting.cache.without_memory", lambda subject: pytest.fail("built twice"))
    assert counted_parameters(subjects) == params


def test_flops_of_the_classics_are_shown_even_if_they_mismatch() -> None:
    """Those of most ResNets, ResNeXt-101, V2 and V3 do not match, as the table's notes say."""
    table = read_table("classics")
    rows = [row for row in table.rows if "flops" in row.cells]
    matches = {row.label: row.cells["flops"].matches(counted(subject_of(table, row)).flops["macs"]) for row in rows}
    assert len(matches) == 13
    right = {"GoogLeNet", "ResNet-18", "ResNeXt-50 32x4d", "MobileNet 1.0"}
    assert {label for label, match in matches.items() if match} == right


def test_resnexts_readme_prints_the_flops_of_resnets() -> None:
    """It prints them for 101 layers, and for 64x4d twice ResNet-101's, as the table's notes say; the paper does not."""
    table = read_table("classics")
    printed = {row.model: row.cells["flops"] for row in table.rows if "flops" in row.cells}
    resnet101, resnext50 = (
        counted(Subject(model, {}, (3, 224, 224), 1000)).flops["macs"] for model in ("resnet101", "resnext50")
    )
    assert printed["resnext50"].matches(resnext50)
    assert printed["resnext101"].matches(resnet101)
    assert printed["resnext101-64x4d"].matches(2 * resnet101)


def test_fvcore_alone_cannot_match_the_denseresnet_column() -> None:
    table = read_table("cifar100")
    counts = counted(subject_of(table, table.rows[-1]))
    assert not table.rows[-1].cells["flops"].matches(counts.flops["fvcore"])


def test_densenet_with_2k_initial_channels_misses_its_cells() -> None:
    """The authors' repository has 2k; the paper's text says 16, and its column needs 16."""
    from repro.models.densenet import DenseNet

    with torch.device("meta"):
        network = DenseNet(
            layers=12,
            growth_rate=12,
            initial_channels=24,
            bottleneck=False,
            compression=1.0,
            dropout=0.0,
            channels=3,
            classes=10,
        )
    assert not Cell("1.0M").matches(sum(parameter.numel() for parameter in network.parameters()))


@pytest.mark.parametrize("l", [1, 2, 3, 4])
def test_any_number_of_convolutions_in_a_block_keeps_the_parameters_of_wrn_40_2(l: int) -> None:
    """In Table 3 of the paper a group has 12, 6, 4 and 3 blocks."""
    options = {"depth": 40, "k": 2, "l": l}
    assert parameters_of(without_memory(Subject("wrn", options, (3, 32, 32), 10))) == 2_243_546


def test_the_bottleneck_options_make_densenet_bc() -> None:
    options = {"depth": 100, "k": 12, "bottleneck": True, "compression": 0.5}
    plain = count(Subject("densenet", options, (3, 32, 32), 10))
    assert plain == count(Subject("densenet-bc", {"depth": 100, "k": 12}, (3, 32, 32), 10))


def test_option_a_misses_the_cell_of_resnet_110_on_cifar_100() -> None:
    table = read_table("cifar100")
    counts = count(Subject("resnet110", {"shortcut": "A"}, (3, 32, 32), 100))
    assert not table.rows[0].cells["params"].matches(counts.params)


@pytest.mark.parametrize("convention", ["paper", "fvcore", "macs"])
def test_modules_add_up_to_the_network(convention: str) -> None:
    subject = Subject("denseresnet34", {"N": 2}, (3, 32, 32), 100)
    whole, *rest = count_modules(empty_network(subject), subject.input, subject.model, convention)
    counts = count(subject)
    assert (whole.params, whole.flops) == (counts.params, counts.flops[convention])
    assert sum(each.params for each in rest if "." not in each.name) == counts.params
    assert 0 < sum(each.flops for each in rest if "." not in each.name) <= whole.flops


def test_the_fvcore_convention_equals_fvcores_count() -> None:
    from fvcore.nn import FlopCountAnalysis

    subject = Subject("resnet20", {}, (3, 32, 32), 10)
    plain = FlopCountAnalysis(empty_network(subject), torch.zeros(1, 3, 32, 32)).unsupported_ops_warnings(False)
    assert count(subject).flops["fvcore"] == plain.total()


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.GroupNorm(2, 4),
        torch.nn.LayerNorm([4, 8, 8]),
        torch.nn.InstanceNorm2d(4, affine=True),
        torch.nn.BatchNorm2d(4),
        torch.nn.UpsamplingBilinear2d(scale_factor=2),
        torch.nn.AdaptiveAvgPool2d(1),
    ],
)
def test_macs_are_of_convolutions_and_linear_layers_only(layer: torch.nn.Module) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1, bias=False), layer).eval()
    flops = count_network(network, (3, 8, 8), "net").flops
    assert flops["macs"] == 27 * 4 * 8 * 8 < flops["fvcore"] == flops["paper"]


def test_counting_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    count(Subject("resnet20", {}, (3, 32, 32), 10))
    assert torch.equal(before, torch.get_rng_state())


def test_a_count_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path))
    subject = Subject("resnet20", {"shortcut": "B"}, (3, 32, 32), 7)
    assert cached_count(subject) is None
    counts = counted(subject)
    monkeypatch.setattr("repro.counting.cache.count", lambda subject: pytest.fail("counted twice"))
    assert counted(subject) == counts


@pytest.fixture
def version_read_anew() -> Iterator[None]:
    """Leave the version of this test's copy of the program to no other test."""
    yield
    cache._version_of_program.cache_clear()


@pytest.mark.usefixtures("version_read_anew")
def test_a_cached_count_is_of_the_present_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models share parts: that of preact_resnet.py uses resnet.py. Some are torchvision's."""
    package = tmp_path / "repro"
    for folder in ("models", "counting"):
        shutil.copytree(cache.PACKAGE / folder, package / folder)
    monkeypatch.setattr(cache, "PACKAGE", package)
    own, others = Subject("preresnet164", {}, (3, 32, 32), 7), Subject("vgg16", {}, (3, 224, 224), 7)

    def keys() -> tuple[Path, Path]:
        cache._version_of_program.cache_clear()
        return cache._path(own, "counts"), cache._path(others, "counts")

    before = keys()
    assert keys() == before
    monkeypatch.setattr(cache, "version", lambda name: "0")
    with_other = keys()
    assert with_other[0] == before[0]
    assert with_other[1] != before[1]
    for name in ("resnet.py", "outside/factory.py"):
        earlier = {*before, *with_other, *keys()}
        file = package / "models" / name
        file.write_text(file.read_text() + "#")
        assert not {*keys()} & earlier


def test_a_damaged_cached_count_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path))
    subject, other = (Subject("resnet20", {"shortcut": "B"}, (3, 32, 32), classes) for classes in (8, 9))
    counts = counted(subject)
    (file,) = (tmp_path / "counts").iterdir()
    written = file.read_bytes()
    damaged = [written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :] for place in range(len(written))]
    for content in (b"", b"[]", b"7", b"[" * 99_999, b'{"params": 1, "flops": {}}', written[:-1], *damaged):
        file.write_bytes(content)
        assert cached_count(subject) is None
    counted(other)
    (second,) = set((tmp_path / "counts").iterdir()) - {file}
    file.write_bytes(second.read_bytes())
    assert cached_count(subject) is None
    assert counted(subject) == counts
    assert cached_count(subject) == counts
