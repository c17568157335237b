"""Texts of others, in each field and each format, are shown and never obeyed."""

import html
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from commands import repro
from markdown_it import MarkdownIt
from reading import Page
from records import append_record

from repro.comparison.join import Comparison, compare
from repro.console import stderr, stdout
from repro.encoding import visible
from repro.experiment import experiment_for
from repro.report import Report
from repro.report.formats.html import html_page
from repro.report.formats.markdown import escaped
from repro.store.curves import curve_path, write_curve
from repro.store.gates import GateRow, gates_path, write_gates
from repro.store.results import EpochRow, Record
from repro.store.weights_tests import WeightsTest
from repro.tables import read_table
from repro.tables.replications import Epoch, Kind, Replication, ReplicationSource, Reported, RunStatistic

pytestmark = pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # of labels as long as these
Make = Callable[..., Record]
ACTIVE = (
    "<script>alert(1)</script>",
    r"\input{/etc/passwd}",
    "a|b",
    "*strong* _slant_ `code` ~~gone~~",
    "[text](javascript:alert(2))",
    "$\\frac{1$ & 100 % #1",
    "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "\u202egpj.exe\u2066",
    "&lt;script&gt;",
    "[/red]",
)
SCRIPT = "javascript:alert(3)//"
ALL = " ".join(ACTIVE)
PLAIN = visible(ALL)
NAME = ALL.replace("/", "")
"""A name of a file or a folder."""


@pytest.fixture(scope="module")
def hostile(record: Make) -> Comparison:
    """A table whose every text is hostile, with runs, replications and weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repro.comparison.join.count_cells", lambda table, row: {})  # seconds for all networks
        return _hostile(record)


def _hostile(record: Make) -> Comparison:
    table = read_table("cifar100")
    source = ReplicationSource(
        url=f"https://{ALL}",
        place=ALL,
        seen=date(2026, 1, 1),
        kind=Kind.ERROR,
        statistic=RunStatistic.ONE,
        runs=1,
        epoch=Epoch.LAST,
        recipe_described=True,
        differences=(ALL,),
        values=(Reported(row=ALL, column="error", value="22.9"),),
    )
    row = next(each for each in table.rows if each.label == "DenseResNet-110, N = 4")
    first = replace(row, label=ALL, replications=(Replication(source, source.values[0]),))
    others = tuple(replace(each, no_recipe=ALL) for each in table.rows if each is not row)
    columns = tuple(
        replace(each, label=f"{each.label} {ALL}", **({"remark": ALL} if each.kind == "error" else {}))
        for each in table.columns
    )
    texts = dict.fromkeys(("title", "caption", "paper", "source"), ALL)
    table = replace(table, rows=(first, *others), columns=columns, notes=(ALL,), **texts)
    facts = {"torch": ALL, "commit": ALL, "device": ALL, "host": ALL, "epochs": 3}
    run = record(name="evil", error=25.0, **facts)
    short = record(id="short", name="short-evil", deviations=[ALL], **facts)
    weights = [_weights(), replace(_weights(), sha256="b", source="")]
    return compare(table, [run, short], weights=weights, repeated={run.id: [run, replace(run, error=26.0)]})


def _weights() -> WeightsTest:
    return WeightsTest(
        sha256="a",
        file=ALL,
        source=f"{SCRIPT}{ALL}",
        model="denseresnet110",
        options=experiment_for("denseresnet110", {"N": 4}, seed=0).options,
        dataset="cifar100",
        protocol={},
        normalised_as=ALL,
        mean=[0.5],
        std=[0.5],
        error=24.0,
        error5=8.0,
        images=10_000,
        device=ALL,
        torch=ALL,
        version=ALL,
        commit=ALL,
        tested=ALL,
    )


@pytest.fixture(scope="module")
def results(hostile: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Curves and gates of the run."""
    folder, (run,) = tmp_path_factory.mktemp("results"), hostile.runs
    figures = {"lr": 0.1, "train_loss": 1.0, "train_error": 20.0, "test_loss": 1.0, "seconds": 1.0}
    write_curve(
        [EpochRow(epoch=epoch, step=epoch, test_error=run.error, **figures) for epoch in (1, 2, 3)],
        curve_path(folder, run.name),
    )
    place = {"step": 3, "epoch": 3, "epochs": 3, "step_of_epoch": 1, "steps_of_epoch": 1, "images": 9}
    gates = [GateRow(run=run.name, deviations=[ALL], block=1, distance=1, mean=0.5, **place)]
    write_gates(gates, gates_path(folder, run.name))
    return folder


def test_a_page_shows_them(hostile: Comparison, results: Path) -> None:
    page = html_page([hostile], [results])
    assert visible(page) == page
    assert page.count("<script") == 1
    assert page.count("<img") >= 3  # evidence, curve, gates
    read = Page(page)
    assert all(each.startswith("https://") for each in read.links)
    assert all(each.startswith(("#", "data:")) for each in read.loaded)
    shown = "\n".join(cell for line in read.sections[hostile.table.name] for cell in line)
    assert shown.count(PLAIN) > 20
    assert PLAIN in html.unescape(Report([hostile], [], summary=False)._repr_html_())


def test_a_page_runs_only_its_own_script(hostile: Comparison) -> None:
    page = html_page([hostile], [])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.split(" ", 1) for rule in html.unescape(policy).split("; "))
    assert rules.keys() == {"default-src", "style-src", "script-src", "img-src", "base-uri"}
    assert (rules["default-src"], rules["base-uri"], rules["img-src"]) == ("'none'", "'none'", "data:")
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", rules["script-src"])
    assert not re.search(r"<[^>]* on\w+=", page)


def test_markdown_shows_them(hostile: Comparison) -> None:
    shown = Report([hostile], [], summary=False).text("md")
    made = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(shown)
    assert not set(re.findall(r"<(\w+)", made)) - {"table", "thead", "tbody", "tr", "th", "td", "p", "ul", "li"}
    assert html.unescape(re.sub(r"<[^>]*>", "", made)).count(PLAIN) > 10
    assert visible(shown) == shown


def test_a_text_in_markdown_stays_on_its_line() -> None:
    assert escaped("one\n# two\n\n- three") == "one # two - three"
    assert escaped("decay_scope = all, weight_decay_") == r"decay_scope = all, weight_decay\_"


def test_markdown_has_no_backslash_that_a_reader_may_show() -> None:
    """Python-Markdown, and so MkDocs, shows one before `&`, `<`, `~`, `$` and `|`."""
    assert escaped("R&D, a < b") == "R&D, a < b"
    assert escaped("<b> &amp; ~1~ $2$") == "&#60;b> &#38;amp; &#126;1&#126; &#36;2&#36;"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_shows_them(hostile: Comparison, tmp_path: Path) -> None:
    table = replace(hostile.table, name=r"a}\input{/etc/passwd}")
    shown = Report([replace(hostile, table=table)], [], summary=False).text("latex")
    assert not re.search(r"\\(input|frac)", shown)
    packages = "\\usepackage[a4paper,margin=2cm]{geometry}\\usepackage{booktabs,graphicx}"
    document = f"\\documentclass{{article}}{packages}\\begin{{document}}{shown}\\end{{document}}\n"
    (tmp_path / "one.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "one.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "(/etc/passwd" not in done.stdout


def test_a_terminal_shows_them(hostile: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report([hostile], [], summary=False)
    for console in (stdout(), stderr()):
        console.print(report.rich())
        console.print(ALL, markup=False)
    printed = capsys.readouterr()
    for shown in (printed.out, printed.err, report.text("rich"), repr(report)):
        assert visible(shown) == shown
        assert "\ufffd[31mred" in shown
        assert "[/red]" in shown


@pytest.fixture
def named(record: Make, tmp_path: Path) -> Path:
    """Folders with a run's folder of a hostile name and a record of hostile texts."""
    folder = tmp_path / "runs" / f"evil{NAME}"
    folder.mkdir(parents=True)
    (folder / "curve.csv").write_text("")
    experiment = experiment_for("denseresnet110", {"N": 4}, seed=0)
    for error in (22.0, 23.0):
        facts = {
            "name": "evil-record",
            "device": ALL,
            "host": ALL,
            "started": f"2026-01-0{error - 21:g}T12:00:00+00:00",
        }
        append_record(record(id=experiment.id, error=error, **facts), tmp_path / "results")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["list", "runs", "--runs", "runs"],
        ["runs", "keep", "evil", "--results", "results"],
        ["runs", "rm", "evil", "--yes"],
        ["runs", "rm", f"no{ALL}", "--yes"],
        ["table", ALL],
        ["count", ALL],
        ["merge", ALL],
        ["eval", "evil"],
        ["plan", "--rows", ALL],
    ],
)
def test_no_command_obeys_a_name(
    named: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.chdir(named)
    _, out, err = repro(capsys, *words)
    for shown in (out, err):
        assert visible(shown) == shown
    assert "31mred" in out + err


def test_a_file_keeps_its_characters_and_a_terminal_does_not_get_them(
    hostile: Comparison, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from repro.console import print_file

    print_file(f"{ALL}\n")
    assert capsys.readouterr().out == f"{ALL}\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_file(f"{ALL}\n")
    assert capsys.readouterr().out == f"{PLAIN}\n"


def test_all_characters_that_act_are_replaced() -> None:
    """By Unicode: controls but newline and tab, what turns the direction of writing, line ends, and halves."""
    bidirectional = {"LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    for number in range(0x10000):
        sign = chr(number)
        acts = sign not in "\n\t" and unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")
        acts |= unicodedata.bidirectional(sign) in bidirectional or number in (0x61C, 0x200E, 0x200F, 0xFEFF)
        assert (visible(sign) != sign) == acts, f"U+{number:04X}"
