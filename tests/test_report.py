"""The formats of a report: what a terminal shows, and what other programs read."""

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import wrap

import pytest
from commands import repro
from records import append_record
from rich.console import Console

from repro.api.selection import select
from repro.api.tables import compared
from repro.comparison.frame import errors_frame
from repro.comparison.join import Comparison, compare
from repro.comparison.rule import RULE
from repro.comparison.summary import summarise
from repro.comparison.verdict import Verdict
from repro.data.inputs.protocol import ONE_CROP
from repro.errors import UserError
from repro.experiment import experiment_for
from repro.report import Report, ReportFormat
from repro.report.content import content_of
from repro.report.formats.frame import table_frame
from repro.report.formats.latex import PAGE, escaped, fitting, width_of
from repro.report.formats.terminal import COLOURS, plain, summary_rich, table_rich
from repro.report.summary import summary_of
from repro.report.view import View, view_of
from repro.store.results import Record
from repro.tables import Table, read_table, table_names

Make = Callable[..., Record]


@pytest.fixture
def without_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the counts: those of all networks take minutes."""
    monkeypatch.setattr("repro.comparison.join.count_cells", lambda table, row: {})


def cifar100(record: Make) -> Comparison:
    """Return Table 2 with three seeds of N = 4 that are too high, one of N = 2, and a run that deviates.

    It is without what others report, so that it is narrow: test_replications.py tests that column.
    """
    table = read_table("cifar100")
    table = replace(table, rows=tuple(replace(row, replications=()) for row in table.rows))
    runs = [record(seed=seed, error=error) for seed, error in enumerate((25.0, 25.1, 25.2))]
    other = experiment_for("denseresnet110", {"N": 2}, seed=0)
    runs.append(record(id=other.id, options={"N": 2}, error=23.1, precision="bf16"))
    runs.append(record(id="short", name="short-run", deviations=["epochs=1 (300)"], error=91.56))
    return compare(table, runs, lowest=lambda run: run.error - 0.5)


def text(comparison: Comparison, format: str) -> str:
    return Report([comparison], [], summary=False).text(format)


def at_width(comparison: Comparison, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table_rich(content_of(comparison)))
    return console.export_text()


def all_measured(record: Make, name: str) -> Comparison:
    """Return a table with five made-up seeds for every printed error."""
    table, runs = read_table(name), {}
    for printed in (each for each in table.errors() if each.recipe):
        for seed in range(5):
            run = printed.experiment(seed)
            facts = {"id": run.id, "name": run.name, "model": run.model, "options": run.options}
            error = float(printed.cell.value) + 0.1 * seed
            runs[run.id] = record(
                **facts,
                recipe=printed.recipe,
                dataset=run.dataset,
                seed=seed,
                error=error,
                error5=error,
                isbi_rand=0.05,
                isbi_pixel=0.06,
            )
    return compare(table, list(runs.values()))


@pytest.mark.usefixtures("without_counts")
@pytest.mark.parametrize("name", table_names())
def test_figures_are_not_broken_at_80_columns(record: Make, name: str) -> None:
    comparison = all_measured(record, name)
    shown = at_width(comparison, 80)
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    cells = [cell for row in comparison.rows for cell in row.errors.values() if cell.n]
    assert all(cell.n == 5 for cell in cells)
    for cell in cells:
        assert f"{cell.value:.{cell.digits}f}" in shown
        assert re.search(rf"± ?{cell.std:.{cell.digits}f}", shown)
        assert cell.margin is None or re.search(rf"± ?{cell.margin:.{cell.digits}f}", shown)


@pytest.mark.usefixtures("without_counts")
def test_each_of_several_errors_has_the_mark_of_its_own_verdict(record: Make) -> None:
    table = read_table("densenet-cifar")
    plus, none = (
        experiment_for("densenet", {"depth": 40, "k": 12}, seed=0, recipe_name=name)
        for name in ("densenet-cifar10+", "densenet-cifar10")
    )
    facts = {"model": "densenet", "options": plus.options, "dataset": "cifar10"}
    runs = [
        record(id=plus.id, error=9.0, recipe=plus.recipe.name, **facts),
        record(id=none.id, error=7.1, recipe=none.recipe.name, **facts),
    ]
    for format, off, within in (("rich", "≠", "?"), ("md", "≠", "?"), ("latex", "$\\neq$", "?")):
        shown = text(compare(table, runs), format)
        assert f"{off} not consistent (one run)" in shown
        assert shown.count(off) == 2  # in its cell and in the legend
        assert shown.count(within) == 2
    for format in ("rich", "md", "html"):
        assert "2 of 5" in text(compare(table, runs), format)  # printed errors of the row are measured
    rows = [row for row in compare(table, runs[1:]).rows if row.row.model == "densenet"]
    assert rows[0].verdict == Verdict.TOO_FEW  # though other cells are not measured


def test_a_record_older_than_a_metric_breaks_nothing(record: Make) -> None:
    table = read_table("densenet-imagenet")
    run = experiment_for("densenet121", {}, seed=0, recipe_name="densenet-imagenet")
    facts = {"model": "densenet121", "options": run.options, "dataset": "imagenet", "recipe": "densenet-imagenet"}
    runs = [
        record(id=run.id, error=40.0, error5=20.0, **facts),
        record(id="old", error=90.0, deviations=["epochs=1 (90)"], **facts),
    ]
    comparison = compare(table, runs)
    for format in ("rich", "csv", "md", "latex", "json"):
        assert "not consistent" in text(comparison, format)


@pytest.mark.usefixtures("without_counts")
@pytest.mark.parametrize("name", table_names())
def test_no_word_of_a_label_or_a_figure_is_cut_at_80_columns(name: str) -> None:
    comparison = compare(read_table(name), [])
    shown = at_width(comparison, 80)
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    for row in comparison.rows:
        assert all(word in shown for word in row.row.label.split())
        assert all(re.search(rf"(?<!\S){re.escape(cell.text)}(?!\d)", shown) for cell in row.row.cells.values())


def test_a_terminal_shows_figures_reasons_and_notes(record: Make) -> None:
    for width in (80, 160):
        shown = at_width(cifar100(record), width)
        flat = " ".join(shown.split())
        for figure in ("25.10 ± ?0.10", "n ?= ?3", r"\+2.48", "n ?= ?1, bf16", "2.23M ✓"):
            assert re.search(figure, shown)
        assert RULE in flat
        assert "Possible reasons for the difference: DenseResNet-110, N = 4:" in flat
        assert "not used: seed 0 with epochs=1 (300): 91.56" in flat
        assert "no verdict uses it" in flat
        assert "DenseResNet-110, N = 4, Error %: 24.60" in flat


def test_the_rule_is_left_out_without_verdicts() -> None:
    assert RULE not in text(compare(read_table("cifar100"), []), "md")


def test_csv_has_a_column_for_every_figure(record: Make) -> None:
    line = list(csv.DictReader(io.StringIO(text(cifar100(record), "csv"))))[2]
    figures = [
        line[f"error {each}"] for each in ("paper", "ours", "n", "mean", "std", "difference", "best epoch (extra)")
    ]
    assert figures == ["22.62", "25.1", "3", "25.1", "0.1", "2.48", "24.6"]
    assert (line["verdict"], line["params ours"]) == ("not reproduced", "2230868")
    assert "epochs = 300" in line["why"]


def test_json_has_every_figure(record: Make) -> None:
    row = json.loads(text(cifar100(record), "json"))["rows"][2]
    error = row["measured"]["error"]
    assert (error["n"], error["mean"], error["best_epoch"]) == (3, pytest.approx(25.1), pytest.approx(24.6))
    assert 0.5 < error["margin"] < 1.5
    assert (error["verdict"], row["why"][0][:18]) == ("not reproduced", "Error %: inferred:")


def test_markdown_has_the_table_and_its_notes(record: Make) -> None:
    shown = text(cifar100(record), "md")
    assert re.search(r"\| DenseResNet-110, N = 4 +\| +2\.23M \|", shown)
    assert "25.10 ± 0.10; n = 3" in shown
    assert re.fullmatch(r"\|:-+\|(-+:\|)+:-+\|", shown.splitlines()[1])  # numbers to the right
    assert "Possible reasons for the difference: DenseResNet-110, N = 4:\n\n- Error %: inferred: epochs = 300" in shown
    assert "short-run: Error % 91.56; Deviation (recipe) epochs=1 (300)" in shown
    assert RULE in shown


@pytest.fixture(scope="module")
def latex_tables(record: Make) -> list[str]:
    """All tables with five made-up seeds for each error, one with few columns, and the summary, as LaTeX."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repro.comparison.join.count_cells", lambda table, row: {})
        whole = [all_measured(record, name) for name in table_names()]
    few = view_of(whole[0].table, ["error"], bare=True)
    reports = [*(Report([each], [], summary=False) for each in whole), Report(whole[:1], [], summary=False, view=few)]
    return [each.text("latex") for each in (*reports, Report(whole, [], summary=True))]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex: apt install texlive-latex-recommended")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_latex_compiles_and_fits_the_page(latex_tables: list[str], tmp_path: Path, columns: str) -> None:
    head = f"\\documentclass[{columns}]{{article}}\\usepackage{{booktabs,graphicx}}\\begin{{document}}"
    document = "\n\\clearpage\n".join([head, *latex_tables, "\\end{document}\n"])
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert re.findall("Overfull.*|Float too large.*", done.stdout) == []
    assert (tmp_path / "all.pdf").stat().st_size > 10_000


@pytest.mark.usefixtures("without_counts")
@pytest.mark.parametrize("name", table_names())
def test_a_latex_table_with_all_errors_measured_is_scaled_by_little(record: Make, name: str) -> None:
    scale = 0.55 if name == "classics" else 0.7  # it has seven columns of errors
    assert width_of(fitting(content_of(all_measured(record, name)).grid)) * scale <= PAGE


COLUMNS = [
    (["params", "verdict"], ["2.23M", "not reproduced"], ["263M", "22.62", "+2.48"]),
    (["PARAMS", "Error %"], ["2.23M", "22.62"], ["263M", "9: 22.02"]),
    (["error"], ["22.62"], ["2.23M", "263M"]),
]


@pytest.mark.parametrize(("columns", "shown", "hidden"), COLUMNS)
def test_columns_are_chosen_in_every_format(
    record: Make, columns: list[str], shown: list[str], hidden: list[str]
) -> None:
    comparison = cifar100(record)
    view = view_of(comparison.table, columns, bare=True)
    report = Report([comparison], [], summary=False, view=view)
    for format in ("rich", "csv", "md", "latex", "html"):
        text = report.text(format)
        assert [each for each in shown if each not in text] == []
        assert [each for each in hidden if each in text] == []
    row = json.loads(report.text("json"))["rows"][2]
    assert set(row["published"]) == {"params", "error"} & {each.lower().split()[0] for each in columns}
    assert ("verdict" in row) == ("verdict" in report.to_frame().columns) == ("verdict" in columns)
    assert not {"replications", "weights", "why"} & set(row)


@pytest.mark.parametrize("format", ["rich", "csv", "md", "latex", "html", "json"])
def test_a_bare_table_has_no_notes_and_no_runs(record: Make, format: str) -> None:
    comparison = cifar100(record)
    below = ("short-run", "91.56", "The number of epochs is not printed", "inferred", RULE[:40])
    whole, bare = (Report([comparison], [], summary=False, view=View(bare=bare)).text(format) for bare in (False, True))
    assert any(each in whole for each in below)
    assert [each for each in below if each in bare] == []
    assert "not reproduced" in bare


def test_reasons_and_the_rule_are_those_of_the_shown_columns(record: Make) -> None:
    comparison = cifar100(record)
    row = comparison.rows[2]
    wrong = {"params": replace(row.counts["params"], published="2.00M", matches=False)}
    rows = (*comparison.rows[:2], replace(row, counts={**row.counts, **wrong}), *comparison.rows[3:])

    def shown(*columns: str) -> tuple[set[str], bool, int]:
        view = view_of(comparison.table, columns, bare=False)
        data = json.loads(Report([replace(comparison, rows=rows)], [], summary=False, view=view).text("json"))
        labels = {why.partition(":")[0] for why in data["rows"][2]["why"]}
        return labels, data["rule"] is not None, len(data["deviating"])

    assert shown() == ({"Params", "Error %"}, True, 1)
    assert shown("error", "verdict") == shown("verdict") == ({"Error %"}, True, 1)
    assert shown("params") == ({"Params"}, False, 0)
    assert shown("flops") == (set(), False, 0)
    assert shown("error") == ({"Error %"}, True, 1)


def test_kinds_of_columns_can_be_chosen_in_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert view_of(read_table("wrn-cifar"), ["params", "error"], bare=True).columns == {"params", "c10", "c100"}
    assert view_of(read_table("resnet-cifar"), ["flops", "error"], bare=True).columns == {"error"}
    assert capsys.readouterr().err == "resnet-cifar has no column 'flops'; it is left out\n"
    with pytest.raises(UserError, match="resnet-cifar has no column 'flops'; choose from params, error"):
        view_of(read_table("resnet-cifar"), ["flops"], bare=True)


def test_a_label_names_all_columns_that_have_it_and_a_key_only_its_own() -> None:
    table = read_table("wrn-cifar")
    first, *others = table.of_kind("error")
    second = replace(first, key=f"{first.key.upper()}-", label=f"{first.label} ")
    table = replace(table, columns=(first, second))
    assert others
    assert view_of(table, [first.label], bare=True).columns == {first.key, second.key}
    assert view_of(table, [first.key], bare=True).columns == {first.key}
    assert view_of(table, [second.key], bare=True).columns == {second.key}


def test_a_stacked_table_says_which_figures_are_those_of_others() -> None:
    table = read_table("resnet-cifar")
    grid = content_of(compare(table, [], shown=table.matching("ResNet-20"))).grid.stacked()
    cells = [cell.lines() for cell in grid.lines[1].cells]
    assert ["–", "others 15: 5.97–8.73"] in cells


def test_a_stacked_table_names_the_figures_of_others_without_the_printed_ones() -> None:
    table = read_table("resnet-cifar")
    comparison = compare(table, [], shown=table.matching("ResNet-20"))
    grid = content_of(comparison, view_of(table, ["others"], bare=True)).grid.stacked()
    assert [cell.lines() for cell in grid.lines[0].cells] == [["ResNet-20"], ["others 15: 5.97–8.73"]]


def test_others_are_those_of_the_chosen_errors_or_else_of_all() -> None:
    table = read_table("densenet-cifar")
    comparison = compare(table, [], shown=table.matching("*BC*"))

    def shown(*columns: str) -> tuple[list[str], set[str], str]:
        report = Report([comparison], [], summary=False, view=view_of(table, columns, bare=False))
        headings = [each.group for each in report.contents[0].grid.headings if each.label == "others"]
        data = {each["column"] for row in json.loads(report.text("json"))["rows"] for each in row["replications"]}
        return headings, data, report.text("csv").splitlines()[0]

    assert shown("C10+", "others", "depth")[:2] == (["C10+"], {"c10+"})
    assert "c100 others n" not in shown("C10+", "others")[2]
    assert len(shown("others", "depth")[0]) == 4


@pytest.mark.parametrize(
    ("name", "columns", "headings"),
    [
        ("wrn-width", ["c10"], ["Source", "Recipes", "Errors"]),
        ("wrn-width", ["params"], ["Source", "Counts"]),
        ("wrn-width", ["others"], ["Source", "Others"]),
        ("cifar100", ["flops"], ["Source", "FLOPs", "Notes"]),
        ("wrn-times", ["error"], ["Source", "Recipes", "Errors", "Notes"]),
    ],
)
def test_notes_on_columns_that_are_not_shown_are_left_out(name: str, columns: list[str], headings: list[str]) -> None:
    comparison = compare(read_table(name), [])
    content = content_of(comparison, view_of(comparison.table, columns, bare=False))
    assert [each.heading for each in content.notes] == headings
    assert "wrn-cifar100-zca" not in str(content.notes)


def test_a_page_without_errors_says_nothing_of_runs_and_recipes(record: Make) -> None:
    comparison = cifar100(record)

    def page(*columns: str) -> str:
        view = view_of(comparison.table, columns, bare=False)
        return Report([comparison], [], summary=False, view=view).text("html")

    headings = [f"<h3>{each}</h3>" for each in ("Evidence", "Recipe", "Runs")]
    assert [each in page("params") for each in headings] == [False, False, False]
    assert [each in page("verdict") for each in headings] == [True, True, True]


def test_no_recipe_is_not_claimed_of_columns_in_which_the_rows_print_nothing() -> None:
    table = read_table("classics")
    (errors,) = [
        each
        for each in content_of(compare(table, [], shown=table.matching("mobilenetv2"))).notes
        if each.heading == "Errors"
    ]
    assert "no recipe" not in str(errors)


def test_a_caption_is_as_wide_as_the_terminal(record: Make) -> None:
    comparison = cifar100(record)
    narrow = Report([comparison], [], summary=False, view=view_of(comparison.table, ["params"], bare=True))
    title = narrow.contents[0].title
    assert [each.rstrip() for each in plain(narrow.rich(), 80).splitlines()[:2]] == wrap(title, 80)


def test_a_summary_with_the_mismatches_does_not_say_how_to_list_them(record: Make) -> None:
    summary = summary_of([cifar100(record)])
    shown, checked = plain(summary_rich(summary)), plain(summary_rich(summary, checked=True))
    assert "repro table --check" in shown
    assert shown.replace("; repro table --check lists the mismatches", "") == checked


def test_evidence_that_does_not_exist_is_not_shown_as_an_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    none = "no published weights were tested for these errors"
    refused = repro(capsys, "table", "wrn-width", "--columns", "weights")
    assert (refused[0], refused[2]) == (2, f"error: {none}; choose other columns\n")
    shown = repro(capsys, "table", "wrn-width", "--columns", "c10,weights", "--rows", "28-10", "--format", "md")
    assert (shown[0], shown[2]) == (0, f"{none}\n")
    borrowed = repro(capsys, "table", "densenet-replication", "--columns", "others", "--bare", "--format", "csv")
    assert (borrowed[0], "12,4.16,5.34" in borrowed[1]) == (0, True)
    elsewhere = repro(capsys, "table", "wrn-width", "--columns", "weights", "--results", "nowhere")
    assert elsewhere[2].startswith("error: --results nowhere does not exist; ")
    quoted = repro(capsys, "table", "imagenet", "--columns", "others,weights", "--rows", "MobileNet-v2")
    assert f"error: no replications are known for these errors and {none}" in quoted[2]


def test_others_are_shown_by_either_name() -> None:
    table = read_table("resnet-cifar")
    assert view_of(table, ["others"], bare=False) == view_of(table, ["Replications"], bare=False)
    report = Report(
        [compare(table, [], shown=table.matching("ResNet-20"))],
        [],
        summary=False,
        view=view_of(table, ["others"], bare=True),
    )
    assert "15: 5.97–8.73" in report.text("md")
    assert (
        report.text("csv").splitlines()[0] == "row,error others n,error others lowest,error others highest,replications"
    )
    assert "8.75" not in report.text("md")


@pytest.mark.parametrize("verdict", Verdict)
def test_every_format_can_show_every_verdict(verdict: Verdict) -> None:
    comparison = compare(read_table("cifar100"), [])
    figures = {"verdict": verdict, "value": 25.0, "mean": 25.0, "margin": 1.0, "expected": 0.0}
    rows = [replace(row, errors={"error": replace(row.errors["error"], **figures)}) for row in comparison.rows]
    shown = replace(comparison, rows=tuple(rows))
    for format in ("rich", "csv", "md", "html"):
        assert verdict.value in text(shown, format)
    assert text(shown, "latex").isascii()
    assert escaped(verdict.mark).isascii()
    assert json.loads(text(shown, "json"))["rows"][0]["verdict"] == verdict.value
    assert (verdict.tone in COLOURS) == (verdict.tone != "none")


def test_latex_escapes_special_characters(record: Make) -> None:
    shown = text(cifar100(record), "latex")
    assert "Error \\%" in shown
    assert "25.10 $\\pm$ 0.10" in shown
    assert shown.isascii()


def test_the_summary_counts_cells(record: Make) -> None:
    report = Report([cifar100(record)], [], summary=True)
    (line,) = json.loads(report.text("json"))["tables"]
    assert (line["counts_right"], line["counts"], line["errors_measured"], line["errors"]) == (10, 10, 2, 5)
    assert line["verdicts"] == {"not reproduced": 1, "too few runs": 1}
    assert line["off"][0].startswith("cifar100, DenseResNet-110, N = 4, Error %")
    for format in ("rich", "md"):
        assert "1 not reproduced" in report.text(format)
    (line,) = csv.DictReader(io.StringIO(report.text("csv")))
    assert (line["errors measured"], line["not reproduced"], line["reproduced"]) == ("2", "1", "0")


def test_the_summary_says_what_cannot_be_measured() -> None:
    comparisons = [compare(read_table(name), []) for name in ("wrn-times", "unet-isbi")]
    times = summarise(comparisons[:1])
    assert (times.errors_without_recipe, times.errors) == (2, 1)
    report = Report(comparisons, [], summary=True)
    lines = [line for line in report.text("md").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["Table", "Counts matching", "Errors measured", "Errors without recipe", "Verdicts on errors"]
    assert cells[1][1:4] == ["–", "0/1", "2"]
    assert cells[2][1:4] == ["–", "0/2", "–"]
    for format in ("rich", "html"):
        assert all(each in report.text(format) for each in ("0/1", "0/2"))


FIGURES = ("25.10 ± 0.10", "n = 3", "+2.48", "2.23M", "23.10", "n = 1, bf16", "not reproduced")


@pytest.mark.parametrize("format", ["rich", "md", "latex", "html"])
def test_every_format_shows_the_same_words(record: Make, format: str) -> None:
    comparison = cifar100(record)
    shown = text(comparison, format).replace("$\\pm$", "±")
    margin = comparison.rows[2].errors["error"].margin_text
    assert [figure for figure in (*FIGURES, margin) if figure not in shown] == []


def test_every_format_shows_a_lower_error_with_a_true_minus(record: Make) -> None:
    runs = [record(seed=seed, error=22.0) for seed in range(2)]
    for format in ("rich", "md", "html"):
        assert "−0.62" in text(compare(read_table("cifar100"), runs), format)


def test_an_error_that_is_as_printed_when_rounded_is_not_shown_as_lower(record: Make) -> None:
    shown = text(compare(read_table("cifar100"), [record(seed=seed, error=22.6167) for seed in range(2)]), "md")
    assert ("+0.00" in shown, "−0.00" in shown) == (True, False)


def test_check_names_the_mismatches(
    record: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = repro(capsys, "table", "cifar100", "--check")
    assert (status, "no mismatch in the cells that were counted or measured" in err) == (0, True)
    for seed, error in enumerate((25.0, 25.1)):
        experiment = experiment_for("denseresnet110", {"N": 4}, seed=seed)
        append_record(record(id=experiment.id, seed=seed, error=error), tmp_path / "results")
    status, _, err = repro(capsys, "table", "cifar100", "--check")
    mismatch = "mismatch: cifar100, DenseResNet-110, N = 4, Error %: printed 22.62, ours 25.05"
    assert (status, mismatch in err) == (1, True)


def test_a_name_is_needed_to_run_or_choose_rows(capsys: pytest.CaptureFixture[str]) -> None:
    for option in (["--run"], ["--time"], ["--rows", "x"]):
        status, _, err = repro(capsys, "table", *option)
        assert (status, "requires the name of a table" in err) == (2, True)


def test_rows_that_are_not_chosen_are_not_shown() -> None:
    (comparison,) = compared([select("cifar100", "N = 4")], Path("nowhere"))
    assert [row.row.label for row in comparison.rows] == ["DenseResNet-110, N = 4"]


@pytest.mark.usefixtures("without_counts")
def test_a_row_with_a_statistic_of_its_own_says_so() -> None:
    """He et al., Table 6: ResNet-110 is the mean of five runs, the number of runs of the others is not printed."""
    table = read_table("resnet-cifar")
    whole, one = (text(compare(table, [], shown=rows), "md") for rows in (table.rows, table.matching("ResNet-110")))
    assert "number of runs not printed, taken as one; ResNet-110: mean of 5 runs" in whole
    assert "Errors: ResNet-110: mean of 5 runs" in one
    assert "not printed, taken as one" not in one


@pytest.mark.usefixtures("without_counts")
def test_a_number_of_runs_that_is_not_printed_is_never_called_one_run() -> None:
    table = read_table("resnet-cifar")
    first, second = (table.matching(label)[0] for label in ("ResNet-20", "ResNet-32"))
    rows = (first, replace(second, statistic="best"))
    comparison = compare(replace(table, rows=rows), [])
    shown = text(comparison, "md")
    unknown = "number of runs not printed, taken as one"
    assert f"{unknown}; {rows[1].label}: best, {unknown}" in shown
    details = [each.details for line in content_of(comparison).grid.lines for each in line.cells if each.details]
    assert details == [("best, number of runs not printed",)]


@pytest.mark.usefixtures("without_counts")
def test_rows_of_one_label_are_told_apart_in_data_and_notes() -> None:
    table = read_table("densenet-cifar")
    rows = [replace(row, statistic="mean", runs=3, protocol=ONE_CROP) for row in table.matching("DenseNet (k = 12)")]
    comparison = compare(replace(table, rows=tuple(rows)), [])
    names = ["DenseNet (k = 12), Depth 40", "DenseNet (k = 12), Depth 100"]
    assert [(row["label"], row["name"]) for row in json.loads(text(comparison, "json"))["rows"]] == [
        ("DenseNet (k = 12)", name) for name in names
    ]
    assert [row["row"] for row in csv.DictReader(io.StringIO(text(comparison, "csv")))] == names
    assert table_frame(content_of(comparison))["row"].tolist() == names
    assert errors_frame(comparison)["row"].unique().tolist() == names
    notes = text(comparison, "md")
    for name in names:
        assert f"{name}: mean of 3 runs" in notes
        assert f"{name}: {ONE_CROP}" in notes


@pytest.mark.usefixtures("without_counts")
@pytest.mark.parametrize("format", ["rich", "md", "latex", "html"])
def test_rows_of_one_label_are_told_apart_without_the_columns_that_differ(format: str) -> None:
    table = read_table("densenet-cifar")
    comparison = compare(table, [], shown=table.matching("DenseNet (k = 12)"))
    view = view_of(table, ["c10+", "verdict"], bare=True)
    shown = Report([comparison], [], summary=False, view=view).text(format)
    assert all(f"DenseNet (k = 12), Depth {depth}" in shown for depth in (40, 100))


def without_errors(table: Table) -> Table:
    """Return a table without its column of errors."""
    columns = tuple(each for each in table.columns if each.key != "error")
    rows = tuple(
        replace(row, cells={key: cell for key, cell in row.cells.items() if key != "error"}, replications=())
        for row in table.rows
    )
    return replace(table, columns=columns, rows=rows)


@pytest.mark.parametrize("format", [*ReportFormat])
def test_a_table_without_errors_has_no_verdicts_and_no_runs(format: str) -> None:
    comparison = compare(without_errors(read_table("cifar100")), [])
    report = Report([comparison], [], summary=False)
    shown = report.text(format)
    assert "not measured" not in shown.partition("What the verdicts mean")[0]
    assert "<h3>Runs</h3>" not in shown
    assert "○" not in repr(comparison)
    assert report.to_frame()["verdict"].isna().all()
    assert all(heading.label != "Verdict" for heading in report.contents[0].grid.headings)
    with pytest.raises(UserError, match=r"choose from params, flops$"):
        view_of(comparison.table, ["verdict"], bare=True)


@pytest.mark.parametrize("width", [40, 60, 160])
def test_a_row_without_a_printed_error_has_no_verdict(width: int) -> None:
    table = read_table("cifar100")
    rows = (without_errors(table).rows[1], *table.rows[2:4])
    shown = at_width(compare(replace(table, rows=rows), []), width).partition("Source")[0]
    assert (shown.count("not "), "N = 2:" in shown) == (2, False)


def test_signs_of_the_format_in_a_label_are_escaped() -> None:
    table = read_table("cifar100")
    named = replace(table, rows=(replace(table.rows[0], label="[1] a|b"), *table.rows[1:]))
    assert r"{[}1] a\textbar{}b" in text(compare(named, []), "latex")
    assert r"| \[1] a&#124;b " in text(compare(named, []), "md")


def test_lines_of_a_note_are_kept_apart(record: Make) -> None:
    report = Report([cifar100(record)], [], summary=False)
    shown = report.text("latex")
    assert "Notes: $\\bullet$ The number of epochs is not printed." in shown
    assert "<ul><li>The number of epochs is not printed." in report._repr_html_()


def test_notes_after_a_latex_table_name_it(latex_tables: list[str]) -> None:
    after = [re.split(r"\\end\{table\*?\}", each)[1].strip() for each in latex_tables]
    assert any(after)
    assert all("Notes to Table~\\ref{tab:" in each for each in after if each)


def test_latex_explains_marks_of_counts_only_if_there_are_any(record: Make) -> None:
    comparison = cifar100(record)
    words = "whether our exact count"
    assert words in text(comparison, "latex")
    assert words not in Report([comparison], [], summary=False, view=View(columns=frozenset({"error"}))).text("latex")


def test_a_stacked_difference_has_a_name(record: Make) -> None:
    lines = content_of(cifar100(record)).grid.stacked().lines
    assert any("difference +2.48" in cell.lines() for line in lines for cell in line.cells)


def test_lines_of_latex_cells_are_as_short_as_the_place_needs(record: Make) -> None:
    stacked = fitting(content_of(all_measured(record, "wrn-cifar")).grid)
    lines = [each for line in stacked.lines for cell in line.cells for each in cell.lines()]
    assert not any(each.endswith(("±", "=")) for each in lines)
    assert 14 < max(map(len, lines)) <= 24


def test_hyphens_of_options_are_no_dash_in_latex() -> None:
    assert escaped("repro table x --time; 1–2; a-b; ---") == "repro table x -{}-time; 1--2; a-b; -{}-{}-"


def test_paragraphs_on_a_narrow_terminal_name_the_column_of_each_figure() -> None:
    """Params of Xception are printed and FLOPs are not; the verdict belongs to no column."""
    table = read_table("classics")
    comparison = compare(table, [], shown=table.matching("Xception"))
    shown = " ".join(plain(Report([comparison], [], summary=False).rich(), 40).split())
    assert "Params, paper: 22855952; Params, ours: 22855952 ✓; FLOPs, ours: 8.36G" in shown
    assert "; Verdict: not measured" in shown
