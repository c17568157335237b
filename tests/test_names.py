"""Names as users type them: labels of tables, names of other libraries, and names of another kind."""

from functools import cache

import pytest

import repro
from repro.errors import UnknownName, UserError
from repro.models import MODELS
from repro.models.registry import TIMM, TORCHVISION
from repro.tables import read_table, table_names
from repro.tables.names import Network, network_called, of_another_kind
from repro.text import canonical, choose

TABLES = cache(read_table)


@pytest.fixture(autouse=True)
def _each_table_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repro.tables.names.read_table", TABLES)


@pytest.mark.parametrize(
    ("typed", "name", "options"),
    [
        ("WRN-28-10", "wrn", {"depth": 28, "k": 10}),
        ("wrn_28_10", "wrn", {"depth": 28, "k": 10}),
        ("WRN-16-2", "wrn", {"depth": 16, "k": 2}),  # in no table
        ("wrn-40-2, L=3", "wrn", {"depth": 40, "k": 2, "l": 3}),
        ("WRN-18-1.5", "wrn18", {"width": 1.5}),
        ("WRN-18-2", "wrn18", {"width": 2.0}),
        ("DenseNet-BC-100-12", "densenet-bc", {"depth": 100, "k": 12}),
        ("DenseNet-BC (k = 12, L = 100)", "densenet-bc", {"depth": 100, "k": 12}),
        ("densenet (k = 12), depth 40", "densenet", {"depth": 40, "k": 12}),
        ("DenseResNet-110, N = 8", "denseresnet110", {"N": 8}),
        ("pre-act-ResNet-164", "preresnet164", {}),
        ("wide_resnet50_2", "wrn50-2-bottleneck", {}),
        ("resnext50_32x4d", "resnext50", {}),
        ("Wide ResNet-18", "wrn18", {}),
        ("resnet_18", "resnet18", {}),
    ],
)
def test_a_network_is_found_by_what_papers_and_libraries_call_it(
    typed: str, name: str, options: dict[str, int | float]
) -> None:
    assert network_called(typed) == Network(name, options)


def test_every_label_of_the_tables_names_its_network() -> None:
    rows = [(table.called(row), row.model) for table in map(TABLES, table_names()) for row in table.rows if row.model]
    assert {label: found for label, model in rows if (found := answer(label)) != model} == {
        "AlexNet": "alexnet",  # the name of a model; the paper's network is alexnet-two-towers
        "WRN-34-2": "'WRN-34-2' is the name of 2 networks; write wrn34-fpn --width 2.0 or wrn34 --width 2.0",
    }


def answer(typed: str) -> str:
    """Return the network with a name, or what is said of it."""
    try:
        return network_called(typed).name
    except UserError as error:
        return str(error)


@pytest.mark.parametrize(("library", "names"), [("torchvision", TORCHVISION), ("timm", TIMM)])
def test_every_name_of_another_library_is_understood(library: str, names: dict[str, str]) -> None:
    for ours, theirs in names.items():
        assert network_called(theirs) == Network(ours, {}), library


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("WRN-34-2", "'WRN-34-2' is the name of 2 networks; write wrn34-fpn --width 2.0 or wrn34 --width 2.0"),
        ("WRN-28", "'WRN-28' is not a network; the numbers after wrn are depth and k, as in wrn-28-10"),
        ("FractalNet", "'FractalNet' is not implemented: its errors are only quoted in densenet-cifar"),
        ("efficientnet_b0", "unknown model 'efficientnet_b0'; see repro list models, or name one from elsewhere: "),
        ("resnet43", "unknown model 'resnet43'; did you mean resnet44, resnet34 or resnet32?"),
        ("rasnet20", "unknown model 'rasnet20'; did you mean resnet20?"),
        ("Wide ResNet", "unknown model 'Wide ResNet'; did you mean wrn18, wrn34, wrn or wrn50-2-bottleneck?"),
    ],
)
def test_a_network_that_is_not_there_is_said_in_one_line(typed: str, line: str) -> None:
    with pytest.raises(UserError) as error:
        network_called(typed)
    assert line in str(error.value)


def test_names_with_other_letters_and_other_numbers_are_not_near() -> None:
    with pytest.raises(UnknownName) as error:
        choose("model", "WRM-28-10", MODELS)
    assert error.value.meant == []


def test_an_option_that_the_name_gives_is_refused_with_another_value() -> None:
    called = network_called("WRN-28-10")
    assert called.with_options("WRN-28-10", {"k": 10, "dropout": 0.3}) == {"depth": 28, "k": 10, "dropout": 0.3}
    with pytest.raises(UserError, match="'WRN-28-10' already gives k = 10; leave k out"):
        called.with_options("WRN-28-10", {"k": 4})


@pytest.mark.parametrize(
    ("kind", "name", "line"),
    [
        ("table", "CIFAR-10", "cifar10 is a dataset, not a table; its tables: densenet-cifar, densenet-replication, "),
        ("table", "unet", "unet is a model, not a table; its tables: unet-isbi"),
        ("model", "isbi2012", "isbi2012 is a dataset, not a model; its models: unet"),
        (
            "model",
            "resnet-cifar",
            "resnet-cifar is a table, not a model; its models: resnet110, resnet1202, resnet20, ",
        ),
        ("dataset", "resnet-cifar10", "resnet-cifar10 is a recipe, not a dataset; its datasets: cifar10"),
        ("recipe", "wrn-coco", "wrn-coco is a table, not a recipe; its recipes: "),
        ("recipe", "segmentation", "segmentation is a dataset, not a recipe; its recipes: "),
    ],
)
def test_a_name_of_another_kind_is_answered_with_what_belongs_to_it(kind: str, name: str, line: str) -> None:
    assert line in str(of_another_kind(UnknownName(kind, name, "")))


def test_python_understands_the_same_names() -> None:
    with pytest.raises(UserError, match="'WRN-28-10' already gives k = 10; leave k out"):
        repro.count("WRN-28-10", k=4)
    with pytest.raises(UserError, match="cifar10 is a dataset, not a table"):
        repro.table("cifar10")
    with pytest.raises(UserError, match="resnet20 is a model, not a dataset; its datasets: cifar10"):
        repro.count("resnet20", dataset="resnet20")


def test_all_spellings_of_a_name_are_one() -> None:
    assert {canonical(each) for each in ("CIFAR-10", "cifar_10", "cifar 10")} == {"cifar10"}
