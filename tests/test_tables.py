"""Tables as data: read completely, and refused with file, row and reason when malformed."""

from pathlib import Path

import pytest

from repro.errors import UserError
from repro.recipes import current_library
from repro.tables import Cell, parse_table, read_table

LAST = 'statistic = "last"'
GOOD = current_library().tables["cifar100"].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("cell", "exact", "matches"),
    [
        ("2.23M", 2_230_868, True),
        ("2.23M", 2_235_000, False),
        ("2.23M", 2_225_000, True),
        ("24.00M", 23_999_896, True),
        ("263M", 262_499_999, False),
        ("3.70G", 3_697_389_664, True),
        ("17", 17, True),
    ],
)
def test_a_count_matches_when_it_rounds_to_the_printed_digits(cell: str, exact: int, matches: bool) -> None:
    assert Cell(cell).matches(exact) == matches


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            'recipe = "miru2020-cifar100"',
            'recipe = "wrn-cifar10"',
            "row 1 (ResNet-110): recipe wrn-cifar10 is for cifar10, but error is an error on cifar100",
        ),
        (
            '"24.65"',
            "24.65",
            'row 1 (ResNet-110): cell error is 24.65, not a printed number; write it in quotes, such as "2.23M"',
        ),
        (
            '"24.65"',
            '"24,65"',
            "row 1 (ResNet-110): cell error is '24,65', not a printed number; write a decimal point, and no comma",
        ),
        ('model = "resnet110"', 'model = "resnet111"', "row 1 (ResNet-110): unknown model 'resnet111'; did you mean "),
        ("N = 2 }", 'N = "2" }', "row 2 (DenseResNet-110, N = 2): option N is '2', but it must be a whole number"),
        ("{ N = 2 }", "{ M = 2 }", "row 2 (DenseResNet-110, N = 2): unknown option 'M'; known: N"),
        ('source = "', 'sauce = "', "the table: unknown key 'sauce'"),
        ('caption = "', '# caption = "', "the table: key 'caption' is missing"),
        ('kind = "flops"', 'kind = "flop"', "column 2 (flops): unknown kind 'flop'; did you mean flops?"),
        ('recipe = "miru2020-cifar100"', 'recipe = "miru"', "column 3 (error): unknown recipe 'miru'; did"),
        (LAST, f"runs = {10**400}", "not a whole number from 1 to 1,000,000"),
        (LAST, 'runs = "one"', "column 3 (error): runs is 'one', not a whole number"),
        (LAST, "runs = 0", "column 3 (error): runs is 0, not a whole number from 1 to 1,000,000"),
        (
            LAST,
            'metric = "iou"',
            "column 3 (error): iou is not measured on cifar100; set kind",
        ),
        (
            LAST,
            'dataset = "segmentation"',
            "column 3 (error): verdicts need errors in % on a known number of images, and a network on segmentation "
            "predicts a class for each pixel; set comparable = false",
        ),
        (
            LAST,
            'dataset = "coco"',
            "column 3 (error): verdicts need errors in % on a known number of images, and a network on coco predicts a "
            "box and a class for each object; set comparable = false",
        ),
        ('"24.65"', '"100"', "row 1 (ResNet-110): cell error is '100', but an error with a verdict is above 0"),
        ('"24.65"', '"0.00"', "row 1 (ResNet-110): cell error is '0.00', but an error with a verdict is above 0"),
        ('"24.65"', '"8.75k"', "row 1 (ResNet-110): cell error is '8.75k', but an error has no unit; write the number"),
        ('dataset = "cifar100"', 'dataset = "cifar"', "the table: unknown dataset 'cifar'; did you mean cifar10"),
        ("[[columns]]", "[[columns]", "cifar100.toml: not a TOML file: "),
        (LAST, 'protocol = "1 crop"', "column 3 (error): protocol is '1 crop', not a table such as { views = "),
        (LAST, 'protocol = { views = "ten-crop" }', "column 3 (error): protocol: averaged = "),
        (LAST, 'protocol = { averaged = "outputs" }', "column 3 (error): protocol: averaged = "),
        (LAST, 'protocol = { views = "dense", averaged = "outputs" }', "column 3 (error): protocol: scales = [384], "),
        (LAST, "protocol = { scales = [384] }", "column 3 (error): protocol: scales = [384], in pixels, belongs to"),
        (LAST, 'protocol = { views = "five-crop" }', "protocol: Invalid enum value 'five-crop' - at `$.views`"),
        (LAST, "protocol = { crops = 1 }", "protocol: Object contains unknown field `crops`"),
        (LAST, "protocol = {}", "protocol is for image files; the images of cifar100 are shown whole"),
        ('kind = "flops"', 'kind = "flops"\nprotocol = {}', "column 2 (flops): protocol belongs to a column of kind"),
        (
            'model = "resnet110"',
            'model = "resnet110"\nprotocol = {}',
            "row 1 (ResNet-110): protocol is for image files",
        ),
        (
            "[[rows]]",
            '[[rows]]\ndataset = "segmentation"\nrecipe = "unet-segmentation"',
            "row 1 (ResNet-110): verdicts need errors in % on a known number of images",
        ),
        (
            "[[rows]]",
            '[[rows]]\nrecipe = "digits"\nno_recipe = "unknown"',
            "row 1 (ResNet-110): recipe and no_recipe exclude each other; leave one of them out",
        ),
        ('model = "resnet110"', "count_only = true", "row 1 (ResNet-110): count_only is for a row with a model"),
        ('error = "23.03"', 'top9 = "23.03"', "row 2 (DenseResNet-110, N = 2): unknown cell 'top9'; "),
    ],
)
def test_a_malformed_table_is_refused_with_file_row_and_reason(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = tmp_path / "cifar100.toml"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError) as error:
        parse_table(path)
    assert str(path) in str(error.value)
    assert reason in str(error.value)


def test_a_bracket_in_a_pattern_is_that_of_a_label(tmp_path: Path) -> None:
    path = tmp_path / "cifar100.toml"
    path.write_text(GOOD.replace('label = "ResNet-110"', 'label = "ResNet-110 [13]"', 1), encoding="utf-8")
    table = parse_table(path)
    assert [table.called(row) for row in table.like("[13]")] == ["ResNet-110 [13]"]
    assert [table.called(row) for row in table.like("resnet* [13]")] == ["ResNet-110 [13]"]
    assert table.like("ResNet-11[0-9]*") == ()


def test_an_unknown_table_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="did you mean cifar100"):
        read_table("cifar-10O")
