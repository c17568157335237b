"""What others report for the same printed cell: read, checked, and shown in each format, without any effect."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from commands import repro
from reading import Page
from records import judgements, runs_behind

from repro.comparison.join import Comparison, compare
from repro.comparison.pooling import pooled_over
from repro.comparison.spread import PRINTED_SPREAD
from repro.comparison.verdict import Verdict
from repro.data.inputs.protocol import Protocol, Views
from repro.errors import UserError
from repro.recipes import current_library
from repro.report import Report
from repro.report.replications import references
from repro.store.results import Record
from repro.tables import Replication, Table, parse_table, read_table, table_names
from repro.tables.replications import Closeness, span

CIFAR = ("resnet-cifar", "densenet-cifar", "wrn-cifar", "wrn-dropout", "wrn-width", "wrn-best", "cifar100")
TABLE = current_library().tables["cifar100"]
SOURCE = """
[[sources]]
url = "https://github.com/somebody/nets"
commit = "0123456789abcdef0123456789abcdef01234567"
place = "README.md, results"
seen = 2026-11-26
kind = "accuracy"
statistic = "one"
runs = 1
epoch = "last"
recipe_described = true
differences = []
values = [
  { row = "ResNet-110", column = "error", value = "75.01" },
]
"""


def parsed(folder: Path, replications: str) -> Table:
    """Return Table 2 with the replications of a file of this content."""
    (folder / "replications").mkdir(parents=True, exist_ok=True)
    shutil.copy(TABLE, folder)
    (folder / "replications" / TABLE.name).write_text(replications, encoding="utf-8")
    return parse_table(folder / TABLE.name)


def only(table: Table) -> Replication:
    (found,) = (each for row in table.rows for each in row.replications)
    return found


def text(comparison: Comparison, format: str) -> str:
    return Report([comparison], [], summary=False).text(format)


def bare(table: Table) -> Table:
    return replace(table, rows=tuple(replace(row, replications=()) for row in table.rows))


@pytest.mark.parametrize("name", CIFAR)
def test_differences_of_replications_are_no_sentences(name: str) -> None:
    found = [each for row in read_table(name).rows for each in row.replications]
    assert found
    assert not any(difference.endswith(".") for each in found for difference in each.source.differences)


def test_there_are_at_least_sixty_and_every_file_belongs_to_a_table() -> None:
    counts = {name: sum(len(row.replications) for row in read_table(name).rows) for name in table_names()}
    assert sum(counts[name] for name in CIFAR) >= 60
    files = sorted(TABLE.parent.glob("replications/*.toml"))
    assert {file.stem for file in files} == {name for name, count in counts.items() if count}


def test_no_value_of_a_source_is_listed_twice() -> None:
    for name in CIFAR:
        found = [
            (each.source.url, each.source.place, table_row.label, each.reported.column, each.reported.value)
            for table_row in read_table(name).rows
            for each in table_row.replications
        ]
        assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("kind", "unit", "value", "error"),
    [
        ("error", "%", "24.9", "24.9"),
        ("accuracy", "%", "75.01", "24.99"),
        ("error", "fraction", "0.249", "24.9"),
        ("accuracy", "fraction", "0.7501", "24.99"),
    ],
)
def test_errors_and_accuracies_become_errors_in_percent_with_their_digits(
    tmp_path: Path, kind: str, unit: str, value: str, error: str
) -> None:
    written = SOURCE.replace('"accuracy"', f'"{kind}"\nunit = "{unit}"').replace("75.01", value)
    assert str(only(parsed(tmp_path, written)).error) == error


@pytest.mark.parametrize(
    ("differences", "epoch", "described", "closeness"),
    [
        ("", "last", "true", Closeness.SAME),
        ("", "best", "true", Closeness.CLOSE),
        ('"a"', "last", "true", Closeness.CLOSE),
        ('"a", "b"', "last", "true", Closeness.CLOSE),
        ('"a", "b"', "unknown", "true", Closeness.OTHER),
        ('"a", "b", "c"', "last", "false", Closeness.OTHER),
        ("", "last", "false", Closeness.UNKNOWN),
        ('"a"', "best", "false", Closeness.UNKNOWN),
    ],
)
def test_closeness_counts_the_differences(
    tmp_path: Path, differences: str, epoch: str, described: str, closeness: Closeness
) -> None:
    written = SOURCE.replace("differences = []", f"differences = [{differences}]")
    written = written.replace('"last"', f'"{epoch}"').replace("= true", f"= {described}")
    assert only(parsed(tmp_path, written)).source.closeness == closeness


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "place =",
            "plaec =",
            "source 1 (https://github.com/somebody/nets): Object contains unknown field `plaec`",
        ),
        (
            'value = "75',
            'valeu = "75',
            "value 1: Object contains unknown field `valeu`; known: row, column, value",
        ),
        ("seen = 2026-11-26", "", "source 1 (https://github.com/somebody/nets): Object missing required field `seen`"),
        ('row = "ResNet-110"', 'row = "ResNet-111"', "row 'ResNet-111' is not in the table; its rows: ResNet-110 |"),
        ('column = "error"', 'column = "params"', "the table has no column 'params' of errors in %; known: error"),
        ('"75.01"', "75.01", "value 1: value: Expected `str`, got `float`; write the number in quotes, as it"),
        ('"75.01"', '"75,01"', "ResNet-110, error: value is '75,01', not a number in quotes between 0 and 100"),
        ('"75.01"', '"0.7501"', "99.2499 % is 74.5999 points from 24.65; check kind and unit, or confirm it with far"),
        ('"75.01"', '"75.01", far = true', "24.99 % is 0.34 points from 24.65; remove far"),
        ('"https://github.com/somebody/nets"', '"javascript:alert(1)"', "but it must begin with https://"),
        ("commit =", "# commit =", "a repository needs its commit"),
        ("4567", "456", "not 40 hexadecimal digits"),
        ("runs = 1", "runs = 3", 'statistic = "one" and runs = 1 go together'),
        ("runs = 1", "runs = 0", 'runs is 0, not a whole number of 1 or more or "unknown"'),
        ('"README.md, results"', '""', "place, values and each of the differences must not be empty"),
        (
            'epoch = "last"',
            'epoch = "first"',
            "Invalid enum value 'first'; write last, best, validation or unknown",
        ),
        ("[[sources]]", "[[source]]", "unknown field `source`; a file of replications has only tables [[sources]]"),
        ("runs = 1", 'runs = "three"', "runs: Invalid enum value 'three'; write a whole number of 1 or more, or"),
        ("2026-11-26", '"yesterday"', "seen: Invalid RFC3339 encoded date; write a date such as 2026-11-26, without"),
        ("[[sources]]", "[[sources]", "not a TOML file"),
    ],
)
def test_a_malformed_file_is_refused_with_file_source_and_reason(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    with pytest.raises(UserError) as refused:
        parsed(tmp_path, SOURCE.replace(old, new, 1))
    message = str(refused.value)
    assert message.startswith(str(tmp_path / "replications" / "cifar100.toml"))
    assert reason in message
    assert "\n" not in message


def test_a_value_belongs_to_a_printed_cell(tmp_path: Path) -> None:
    file = tmp_path / "replications" / "wrn-cifar.toml"
    file.parent.mkdir()
    shutil.copy(current_library().tables["wrn-cifar"], tmp_path)
    file.write_text(SOURCE.replace("ResNet-110", "pre-act-ResNet-110").replace('"error"', '"c100"'), encoding="utf-8")
    with pytest.raises(UserError, match="pre-act-ResNet-110, c100: the table prints nothing in this cell"):
        parse_table(tmp_path / "wrn-cifar.toml")


def test_a_paper_of_ones_own_may_have_replications_and_no_orphans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tables = tmp_path / "mine" / "tables"
    (tables / "replications").mkdir(parents=True)
    shutil.copy(TABLE, tables / "mine.toml")
    (tables / "replications" / "mine.toml").write_text(SOURCE, encoding="utf-8")
    status, out, _ = repro(capsys, "table", "mine", "--papers", "mine", "--format", "json")
    assert (status, json.loads(out)["rows"][0]["replications"][0]["error"]) == (0, 24.99)
    (tables / "replications" / "mine.toml").rename(tables / "replications" / "yours.toml")
    status, _, err = repro(capsys, "table", "mine", "--papers", "mine")
    assert (status, "yours.toml: there is no table" in err) == (2, True)


def test_the_column_has_the_number_and_the_range_and_only_where_there_is_one(tmp_path: Path) -> None:
    table = parsed(tmp_path, SOURCE + SOURCE.replace("75.01", "74.123").replace("results", "results 2"))
    assert span(table.rows[0].replications) == "2: 24.99–25.88"
    assert span(table.rows[0].replications[:1]) == "1: 24.99"
    assert span(()) == ""
    for format, shown in (("rich", "2: 24.99–25.88"), ("md", "2: 24.99–25.88"), ("latex", "24.99--25.88")):
        assert shown in text(compare(table, []), format)
        assert "others" in text(compare(table, []), format)
        assert "others" not in text(compare(table, [], shown=table.rows[1:]), format)
        assert "others" not in text(compare(bare(table), []), format)


def test_a_fraction_with_one_digit_is_shown_without_an_exponent(tmp_path: Path) -> None:
    written = SOURCE.replace('"accuracy"', '"error"\nunit = "fraction"').replace("75.01", "0.2")
    table = parsed(tmp_path, written)
    assert span(table.rows[0].replications) == "1: 20"
    (compared,) = compare(table, [], shown=table.rows[:1]).rows
    assert [each.text for each in references(table, compared)] == ["20 %"]
    with pytest.raises(UserError, match=r"error: 30 % is 5\.35 points from 24\.65"):
        parsed(tmp_path, written.replace('"0.2"', '"0.3"'))


def test_json_has_every_replication_with_its_source() -> None:
    rows = json.loads(text(compare(read_table("resnet-cifar"), []), "json"))["rows"]
    found = next(row for row in rows if row["label"] == "ResNet-20")["replications"]
    (akamaster,) = (each for each in found if "akamaster" in each["url"])
    assert (akamaster["column"], akamaster["value"], akamaster["error"]) == ("error", "8.27", 8.27)
    assert (akamaster["kind"], akamaster["runs"], akamaster["epoch"]) == ("error", "unknown", "last")
    assert akamaster["commit"] == "d5489e8995e81e91ce6b1d69dcc98ad579b0b153"
    assert (akamaster["seen"], akamaster["closeness"]) == ("2026-11-27", "other")
    assert len(akamaster["differences"]) == 3
    assert [row["replications"] for row in rows if row["label"] == "Maxout"] == [[]]


def test_an_error_has_the_replications_of_the_same_result_in_other_tables(capsys: pytest.CaptureFixture[str]) -> None:
    borrowing, giving = (
        json.loads(repro(capsys, "table", name, "--format", "json")[1])["rows"]
        for name in ("densenet-replication", "densenet-cifar")
    )
    found = {row["label"]: row["replications"] for row in borrowing}
    theirs = {row["name"]: [each for each in row["replications"] if each["column"] == "c10+"] for row in giving}
    expected = theirs["DenseNet-BC (k = 12)"]
    assert len(expected) == 12
    assert found["DenseNet-BC (k = 12), L = 100"] == [{**each, "column": "error"} for each in expected]
    assert len(found["DenseNet (k = 12), L = 100"]) == 3
    own = {table.called(row): len(row.replications) for table in [read_table("densenet-cifar")] for row in table.rows}
    assert {row["name"]: len(row["replications"]) for row in giving} == own


def test_a_replication_in_several_tables_is_shown_once_and_only_for_the_same_result(tmp_path: Path) -> None:
    table = parsed(tmp_path, SOURCE)
    again = SOURCE.replace('"75.01"', '"24.99"').replace('"accuracy"', '"error"')
    other = parsed(tmp_path / "other", again + SOURCE.replace("75.01", "74.99")).errors()[0]
    (compared, *_) = compare(table, [], reported=[other]).rows
    assert [str(each.error) for each in compared.replications] == ["24.99", "25.01"]
    changed = (
        replace(other, recipe=None),
        replace(other, recipe="resnet-cifar10"),
        replace(other, dataset="cifar10"),
        replace(other, row=replace(other.row, options={"shortcut": "A"})),
        replace(other, row=replace(other.row, model="resnet56")),
        replace(other, protocol=Protocol(views=Views.CENTRAL_CROP)),
    )
    for each in changed:
        assert compare(table, [], reported=[each]).rows[0].replications == table.rows[0].replications


def test_csv_has_number_range_and_all_of_them() -> None:
    lines = list(csv.DictReader(io.StringIO(text(compare(read_table("densenet-cifar"), []), "csv"))))
    line = next(each for each in lines if each["row"] == "DenseNet-BC (k = 40)")
    found = json.loads(line["replications"])
    errors = [each["error"] for each in found if each["column"] == "c10+"]
    figures = [line[f"c10+ others {name}"] for name in ("n", "lowest", "highest")]
    assert figures == [str(len(errors)), str(min(errors)), str(max(errors))]
    assert (line["svhn others n"], lines[0]["replications"]) == ("", "")


def test_the_page_lists_them_with_links_and_escapes_their_words(tmp_path: Path) -> None:
    written = SOURCE.replace("differences = []", 'differences = ["<b>bold</b>"]').replace("nets", "nets?a='b'&c")
    page = text(compare(parsed(tmp_path, written), []), "html")
    assert "What others report (1) for ResNet-110" in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>" not in page
    (link,) = Page(page).links
    assert link == "https://github.com/somebody/nets?a='b'&c/tree/0123456789abcdef0123456789abcdef01234567"


def test_verdicts_do_not_depend_on_replications(tmp_path: Path, record: Callable[..., Record]) -> None:
    table = parsed(tmp_path, SOURCE.replace("75.01", "99.0").replace('"99.0"', '"99.0", far = true'))
    error = table.errors()[0]
    assert len(error.row.replications) == 1
    runs = runs_behind(error, record, 24.5, 24.6, 24.8)
    spreads = [pooled_over([each], runs) for each in (table, bare(table))]
    assert spreads[0] == spreads[1]
    assert spreads[0].degrees == PRINTED_SPREAD.degrees + 2
    compared = [compare(each, runs, spread=spreads[0]) for each in (table, bare(table))]
    assert compared[0].rows[0].verdict is Verdict.REPRODUCED
    assert judgements(compared[0]) == judgements(compared[1])
    with_them, without = (json.loads(text(each, "json")) for each in compared)
    for row in (*with_them["rows"], *without["rows"]):
        row.pop("replications")
    assert with_them == without
