"""The tables' copy of the papers compared with a second copy: the cells, and the recipe behind each cell."""

import csv
from pathlib import Path

import pytest

from repro.data.inputs.protocol import ONE_CROP, Averaged, Protocol, Views
from repro.recipes import RECIPES
from repro.tables import PrintedError, read_table, table_names

DENSENET = {
    "c10": ("densenet-cifar10", "last", 1),
    "c10+": ("densenet-cifar10+", "last", 1),
    "c100": ("densenet-cifar100", "last", 1),
    "c100+": ("densenet-cifar100+", "last", 1),
    "svhn": ("densenet-svhn", "last", 1),
}
WRN = {"c10": ("wrn-cifar10", "median", 5), "c100": ("wrn-cifar100", "median", 5), "svhn": ("wrn-svhn", "last", 1)}
ZCA = {"error": ("wrn-cifar10-zca", "median", 5)}
BEHIND = {
    "cifar100": {"error": ("miru2020-cifar100", "last", 1)},
    "imagenet": {"error": ("miru2020-imagenet-resnet34", "last", 1)},
    "densenet-cifar": DENSENET,
    "densenet-imagenet": dict.fromkeys(("top1", "top1-10", "top5", "top5-10"), ("densenet-imagenet", "last", 1)),
    "densenet-replication": {"error": DENSENET["c10+"]},
    "resnet-cifar": {"error": ("resnet-cifar10", "last", 1)},
    "unet-isbi": dict.fromkeys(("rand", "pixel"), ("unet-isbi", "last", 1)),
    "wrn-best": {column: (name, "last", 1) for column, (name, *_) in WRN.items()},
    "wrn-blocks": ZCA,
    "wrn-cifar": {column: WRN[column] for column in ("c10", "c100")},
    "wrn-coco": {"ap": ("faster-rcnn-coco", "last", 1)},
    "wrn-deepening": ZCA,
    "wrn-imagenet-width": dict.fromkeys(("top1", "top5"), ("wrn-imagenet", "last", 1)),
    "wrn-dropout": WRN,
    "wrn-width": {"c10": ("wrn-cifar10-zca", "last", 1), "c100": ("wrn-cifar100-zca", "last", 1)},
}
"""The recipe, the statistic and the runs behind a column; other columns have no recipe. Only Tables 2 to 4 of Wide
ResNet use ZCA; its Tables 2, 3, 5 and, on CIFAR, 6 print medians of five runs; its Table 9 and DenseNet's Table 2
print single runs."""
CLASSICS = {
    "AlexNet": "alexnet-imagenet",
    "VGG-16 (D)": "vgg16-imagenet",
    "GoogLeNet": "googlenet-imagenet",
    **dict.fromkeys(("ResNet-18", "ResNet-34 B", "ResNet-50", "ResNet-101", "ResNet-152"), "resnet-imagenet"),
    **{f"ResNeXt-{name}": "resnext-imagenet" for name in ("50 32x4d", "101 32x4d", "101 64x4d")},
    "Xception": "xception-imagenet",
    "MobileNet 1.0": "mobilenetv1-imagenet",
    "MobileNetV2 1.0": "mobilenetv2-imagenet",
    **dict.fromkeys(("MobileNetV3-Large 1.0", "MobileNetV3-Small 1.0"), "mobilenetv3-imagenet"),
}
ROWS = {
    **{("classics", label): (name, "last", 1) for label, name in CLASSICS.items()},
    **{("wrn-imagenet", f"ResNet-{depth}"): ("fb-resnet-imagenet", "last", 1) for depth in (50, 101, 152)},
    ("wrn-imagenet", "WRN-50-2-bottleneck"): ("wrn-imagenet", "last", 1),
    ("wrn-best", "WRN-50-2-bottleneck"): ("wrn-imagenet", "last", 1),
    ("imagenet", "MobileNet-v2"): ("miru2020-imagenet-mobilenetv2", "last", 1),
    ("imagenet", "DenseMobileNet-v2, N = 4"): ("miru2020-imagenet-mobilenetv2", "last", 1),
    ("resnet-cifar", "ResNet-110"): ("resnet-cifar10-warmup", "mean", 5),
    ("resnet-cifar", "ResNet-1202"): ("resnet-cifar10-warmup", "last", 1),
    ("wrn-times", "WRN-16-10"): ("wrn-cifar10-zca", "last", 1),
}
"""Rows that differ from their columns."""
ERRORS = {
    "cifar100": 5,
    "classics": 33,
    "densenet-cifar": 27,
    "densenet-imagenet": 16,
    "densenet-replication": 2,
    "imagenet": 7,
    "resnet-cifar": 6,
    "unet-isbi": 2,
    "wrn-best": 5,
    "wrn-blocks": 6,
    "wrn-cifar": 6,
    "wrn-coco": 1,
    "wrn-deepening": 4,
    "wrn-dropout": 16,
    "wrn-imagenet-width": 14,
    "wrn-imagenet": 8,
    "wrn-times": 3,
    "wrn-width": 19,
}
"""The number of printed errors of each table, without those that it quotes."""
QUOTED = {
    "densenet-cifar": ["ResNet (pre-activation)"] * 2,
    "wrn-cifar": ["pre-act-ResNet-164", "pre-act-ResNet-1001"],
    "wrn-times": ["ResNet-164", "ResNet-1001"],
}
"""Rows of registered networks with quoted errors."""
TEN = Protocol(views=Views.TEN_CROP, averaged=Averaged.PROBABILITIES)
TEN_OUTPUTS = Protocol(views=Views.TEN_CROP, averaged=Averaged.OUTPUTS)
ALL = Protocol(views=Views.CROPS_144, averaged=Averaged.PROBABILITIES)
DENSE = Protocol(views=Views.DENSE, scales=(384,), averaged=Averaged.PROBABILITIES)
PROTOCOLS = {
    "classics": {
        **dict.fromkeys(("top1-10", "top5-10"), TEN),
        "top5-144": ALL,
        **dict.fromkeys(("top1-dense", "top5-dense"), DENSE),
    },
    "densenet-imagenet": dict.fromkeys(("top1-10", "top5-10"), TEN_OUTPUTS),
}
"""How errors are tested that are not tested with one crop, by column; TF-Slim tests the MobileNets."""


@pytest.mark.parametrize("name", table_names())
def test_the_cells_are_the_printed_ones(name: str) -> None:
    with (Path(__file__).parent / "printed.csv").open(encoding="utf-8", newline="") as file:
        printed = [tuple(line) for table, *line in csv.reader(file) if table == name]
    table = read_table(name)
    assert [(table.called(row), key, cell.text) for row in table.rows for key, cell in row.cells.items()] == printed


@pytest.mark.parametrize("name", table_names())
def test_an_error_is_compared_under_the_recipe_and_statistic_of_its_paper(name: str) -> None:
    errors = read_table(name).errors()
    assert len(errors) == ERRORS[name]
    for error in errors:
        expected = ROWS.get((name, error.row.label), BEHIND.get(name, {}).get(error.column.key))
        assert behind(error) == expected, (error.row.label, error.column.key)


def test_every_expectation_is_of_a_printed_error() -> None:
    errors = [(name, each.row.label, each.column.key) for name in table_names() for each in read_table(name).errors()]
    rows = {(name, label) for name, label, _ in errors}
    columns = {(name, column) for name, _, column in errors}
    assert ROWS.keys() <= rows
    assert {(name, column) for name, of_table in PROTOCOLS.items() for column in of_table} <= columns
    usual = {(name, column) for name, label, column in errors if (name, label) not in ROWS}
    assert {(name, column) for name, of_table in BEHIND.items() for column in of_table} <= usual


def behind(error: PrintedError) -> tuple[str, str, int] | None:
    return (error.recipe, error.statistic, error.runs) if error.recipe else None


@pytest.mark.parametrize("name", table_names())
def test_quoted_errors_are_not_the_papers_own(name: str) -> None:
    table = read_table(name)
    assert [row.label for row in table.rows if row.model and row.quoted] == QUOTED.get(name, [])
    assert not any(error.row.quoted for error in table.errors())


@pytest.mark.parametrize("name", ["wrn-dropout", "wrn-best"])
def test_wide_resnets_have_more_dropout_on_svhn(name: str) -> None:
    """The rate is 0.3 on CIFAR and 0.4 on SVHN (arXiv 1605.07146v4, section 3.4)."""
    errors = [error for error in read_table(name).errors() if error.row.model == "wrn"]
    rates = {(error.dataset == "svhn", error.options["dropout"]) for error in errors}
    assert all(RECIPES[str(error.recipe)].dataset == error.dataset for error in errors)
    assert rates <= {(False, 0.0), (False, 0.3), (True, 0.0), (True, 0.4)}
    assert {(False, 0.3), (True, 0.4)} <= rates


def test_the_resnets_of_table_6_have_shortcuts_of_option_a() -> None:
    """Option B would also match the printed parameters of four of its six rows."""
    table = read_table("resnet-cifar")
    assert [table.options(row)["shortcut"] for row in table.rows if row.model] == ["A"] * 6


@pytest.mark.parametrize("name", table_names())
def test_an_error_is_tested_by_the_protocol_of_its_paper(name: str) -> None:
    for error in read_table(name).errors():
        of_column = PROTOCOLS.get(name, {}).get(error.column.key, ONE_CROP)
        of_slim = name == "classics" and error.row.label.startswith("MobileNet")
        assert error.protocol == (Protocol(views=Views.CENTRAL_CROP) if of_slim else of_column), error.row.label


def test_quoted_rows_with_the_printed_spread_say_what_was_averaged() -> None:
    """Only ResNet-110 and Highway-19 are printed with a mean of five runs (He et al., Table 6)."""
    table = read_table("resnet-cifar")
    spread = {row.label: (row.statistic, row.runs) for row in table.rows if "std" in row.cells}
    assert spread == {"Highway-19": ("mean", 5), "ResNet-110": ("mean", 5)}
