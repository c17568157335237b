"""Counts against the papers' printed columns, and the conventions against each other."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from repro.compare import subject_of
from repro.counting.cache import cached, counted
from repro.counting.count import Subject, analysis, count, count_modules, empty_network
from repro.data import DATASETS
from repro.models import MODELS, build
from repro.papers import Cell, Row, Table, read_table

TAKEDA = [(table, row) for table in map(read_table, ("cifar100", "imagenet")) for row in table.rows]
LABELS = [row.label for _, row in TAKEDA]


@pytest.mark.parametrize(("table", "row"), TAKEDA, ids=LABELS)
def test_parameters_are_the_printed_ones(table: Table, row: Row) -> None:
    assert row.cells["params"].matches(counted(subject_of(table, row)).params)


@pytest.mark.parametrize(("table", "row"), TAKEDA, ids=LABELS)
def test_flops_are_the_printed_ones_but_for_mobilenet_v2(table: Table, row: Row) -> None:
    flops = counted(subject_of(table, row)).flops["paper"]
    assert row.cells["flops"].matches(flops) == (row.model != "mobilenetv2")


def test_fvcore_alone_cannot_meet_the_denseresnet_column() -> None:
    table = read_table("cifar100")
    counts = counted(subject_of(table, table.rows[-1]))
    assert not table.rows[-1].cells["flops"].matches(counts.flops["fvcore"])


@pytest.mark.parametrize(
    ("model", "options", "printed"),
    [
        # DenseNet, Table 2. The rows without bottlenecks need 16 initial channels; 2k would give 1.1, 7.1, 28.1M.
        ("densenet", {"depth": 40, "k": 12}, "1.0M"),
        ("densenet", {"depth": 100, "k": 12}, "7.0M"),
        ("densenet", {"depth": 100, "k": 24}, "27.2M"),
        ("densenet-bc", {"depth": 100, "k": 12}, "0.8M"),
        ("densenet-bc", {"depth": 250, "k": 24}, "15.3M"),
        ("densenet-bc", {"depth": 190, "k": 40}, "25.6M"),
        # ResNet, Table 6: shortcuts of option A.
        ("resnet20", {}, "0.27M"),
        ("resnet32", {}, "0.46M"),
        ("resnet44", {}, "0.66M"),
        ("resnet56", {}, "0.85M"),
        ("resnet110", {}, "1.7M"),
        ("resnet1202", {}, "19.4M"),
    ],
)
def test_parameters_of_the_classic_cifar_columns(model: str, options: dict[str, int], printed: str) -> None:
    with torch.device("meta"):
        network = build(model, options, classes=10)
    assert Cell(printed).matches(sum(parameter.numel() for parameter in network.parameters()))


def test_the_bottleneck_options_make_densenet_bc() -> None:
    options = {"depth": 100, "k": 12, "bottleneck": True, "compression": 0.5}
    plain = count(Subject("densenet", options, (3, 32, 32), 10))
    assert plain == count(Subject("densenet-bc", {"depth": 100, "k": 12}, (3, 32, 32), 10))


def test_option_a_misses_the_cell_of_resnet_110_on_cifar_100() -> None:
    table = read_table("cifar100")
    counts = count(Subject("resnet110", {"shortcut": "A"}, (3, 32, 32), 100))
    assert not table.rows[0].cells["params"].matches(counts.params)


def small_subjects() -> list[Subject]:
    deep = {"densenet": {"depth": 10, "k": 4}, "densenet-bc": {"depth": 10, "k": 4}}
    subjects = []
    for name, spec in MODELS.items():
        if name != "resnet1202":
            data = DATASETS[spec.dataset]
            subjects.append(Subject(name, deep.get(name, {}), data.input, data.classes))
    return subjects


@pytest.mark.parametrize("subject", small_subjects(), ids=lambda subject: subject.model)
def test_macs_are_half_of_torchs_own_count(subject: Subject) -> None:
    with torch.device("meta"):
        network = build(subject.model, subject.options, classes=subject.classes).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, *subject.input))
    assert count(subject).flops["macs"] * 2 == counter.get_total_flops()


@pytest.mark.parametrize("convention", ["paper", "fvcore", "macs"])
def test_modules_add_up_to_the_network(convention: str) -> None:
    subject = Subject("denseresnet110", {"N": 2}, (3, 32, 32), 100)
    whole, *rest = count_modules(subject, convention)
    counts = count(subject)
    assert (whole.params, whole.flops) == (counts.params, counts.flops[convention])
    assert sum(each.params for each in rest if "." not in each.name) == counts.params
    assert 0 < sum(each.flops for each in rest if "." not in each.name) <= whole.flops


def test_the_fvcore_convention_is_what_fvcore_says() -> None:
    from fvcore.nn import FlopCountAnalysis

    subject = Subject("resnet20", {}, (3, 32, 32), 10)
    plain = FlopCountAnalysis(empty_network(subject), torch.zeros(1, 3, 32, 32)).unsupported_ops_warnings(False)
    assert count(subject).flops["fvcore"] == plain.total()


def test_no_counted_operator_is_unknown_to_the_paper_convention() -> None:
    """What is left uncounted is named here, so that a new operator in a network is noticed."""
    free = {"hardtanh", "hardtanh_", "softmax", "mean", "pad", "dropout", "sub"}
    for subject in small_subjects():
        flops = analysis(subject, empty_network(subject))
        unknown = {operator.removeprefix("aten::") for operator in flops.unsupported_ops()}
        assert unknown <= free, subject.model


def test_counting_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    count(Subject("resnet20", {}, (3, 32, 32), 10))
    assert torch.equal(before, torch.get_rng_state())


def test_a_count_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject("resnet20", {"shortcut": "B"}, (3, 32, 32), 7)
    assert cached(subject) is None
    counts = counted(subject)
    monkeypatch.setattr("repro.counting.cache.count", lambda subject: pytest.fail("counted twice"))
    assert counted(subject) == counts
