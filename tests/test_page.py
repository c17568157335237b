"""The report as a page: what it shows, and how it looks and works in a browser."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from reading import Page
from records import record_of

from repro.comparison import counts as counts_beside
from repro.comparison.join import Comparison, compare
from repro.comparison.verdict import Verdict
from repro.counting.count import Count, Subject
from repro.experiment import experiment_for
from repro.recipes import RECIPES
from repro.report.formats import html as page_module
from repro.report.formats.html import html_page, stamp
from repro.report.formats.html.pictures import curve_pictures, slim
from repro.report.grid import Grid, Heading, Line, Shown, Tag
from repro.report.summary import headline_of, short_name
from repro.report.view import view_of
from repro.store.curves import curve_path, write_curve
from repro.store.gates import GateRow, gates_path, write_gates
from repro.store.results import EpochRow, Record
from repro.tables import Table, read_table, table_names

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
TABLES = ("cifar100", "densenet-cifar")
SEEDS = {0: 24.3, 1: 24.25, 2: 24.05}
"""Errors of DenseResNet-110, N = 4, far from the printed 22.62."""
CHROMIUM = "/usr/bin/chromium"
QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")


def made_up(subject: Subject) -> Count:
    """Return made-up counts."""
    params = crc32(repr(subject).encode()) % 90_000_000
    return Count(params, dict.fromkeys(("paper", "fvcore", "macs"), 7 * params))


@pytest.fixture(scope="module", autouse=True)
def counts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts_beside, "counted", made_up)
        yield


@pytest.fixture(scope="module")
def records(record: Callable[..., Record]) -> list[Record]:
    """Three seeds of a row of Table 2, and a run that deviates."""
    runs = []
    for seed, error in SEEDS.items():
        experiment = experiment_for("denseresnet110", {"N": 4}, seed=seed)
        runs.append(record(id=experiment.id, name=experiment.name, seed=seed, error=error, epochs=3))
    return [*runs, record(id="0", name=f"short-{HOSTILE}", deviations=["epochs=3 (300)"], epochs=3, seconds=3723.0)]


@pytest.fixture(scope="module")
def folder(records: Sequence[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with curves of all runs that are counted, and gates of the first."""
    made = tmp_path_factory.mktemp("results")
    for run in records[:3]:
        errors = (60.0, 40.0, run.error)
        write_curve([_epoch(number, error) for number, error in enumerate(errors, 1)], curve_path(made, run.name))
    write_gates(
        [_gate(records[0], block, back) for block in (1, 2, 3) for back in range(1, min(block, 2) + 1)],
        gates_path(made, records[0].name),
    )
    return made


def _epoch(epoch: int, error: float) -> EpochRow:
    figures = {"train_loss": 1.0, "train_error": error / 2, "test_loss": 1.0, "test_error": error}
    return EpochRow(epoch=epoch, step=782 * epoch, lr=0.05, seconds=9.0, **figures)


def _gate(run: Record, block: int, back: int) -> GateRow:
    at = {"step": 2346, "epoch": 3, "epochs": 300, "step_of_epoch": 782, "steps_of_epoch": 782}
    return GateRow(run=run.name, deviations=[], images=100, block=block, distance=back, mean=0.25 * back, **at)


@pytest.fixture(scope="module")
def comparisons(records: Sequence[Record]) -> list[Comparison]:
    return [compare(read_table(name), records) for name in TABLES]


@pytest.fixture(scope="module")
def text(comparisons: Sequence[Comparison], folder: Path) -> str:
    return html_page(comparisons, [folder])


@pytest.mark.parametrize("name", table_names())
def test_every_printed_cell_and_every_count_is_on_the_page(name: str) -> None:
    table = read_table(name)
    compared = compare(table, [])
    lines = [line for line in Page(html_page([compared], [])).sections[name] if line]
    for row in compared.rows:
        printed = [row.row.cells[column.key].text for column in table.columns if column.key in row.row.cells]
        mine = [line for line in lines if line[0] == row.row.label]
        assert any(_in_order(printed, line) for line in mine), row.row.label
        for cell in row.counts.values():
            assert any(f"{cell.exact:,}" in each for line in mine for each in line)


def _in_order(words: Sequence[str], cells: Sequence[str]) -> bool:
    """Whether each word begins a cell, in the same order."""
    left = iter(cells)
    return all(any(re.match(rf"{re.escape(word)}(?![\d.,])", cell) for cell in left) for word in words)


def test_errors_are_shown_with_spread_difference_and_verdict(text: str) -> None:
    row = next(line for line in Page(text).sections["cifar100"] if line and line[0] == "DenseResNet-110, N = 4")
    paper, ours, difference, others, verdict = row[-5:]
    assert paper == "22.62"
    assert ours == "24.20 ± 0.13n = 3"
    assert re.fullmatch(r"\+1\.58margin ± 1\.\d\d", difference)
    assert others == ""
    assert verdict.endswith("not reproduced")


def test_a_row_that_differs_has_possible_reasons(text: str) -> None:
    (why,) = [line[0] for line in Page(text).sections["cifar100"] if "epochs = 300" in "".join(line)]
    assert why.startswith("Possible reasons for the difference")


def test_runs_are_listed_and_those_that_deviate_are_not_used(text: str, records: Sequence[Record]) -> None:
    rows = {line[0]: line for line in Page(text).sections["cifar100"] if line}
    assert rows[records[1].name][1:3] == ["1", "24.25"]
    assert rows[records[3].name][3] == "epochs=3 (300)"
    assert rows[records[3].name][-1] == "1:02:03"
    assert "(not used)" in text


@pytest.mark.parametrize("pattern", ["*", "DenseResNet-110, N = 2"])
def test_rows_without_runs_have_the_command_that_trains_just_them(pattern: str) -> None:
    table = read_table("cifar100")
    comparison = compare(table, [], shown=table.matching(pattern), results=Path("mine"))
    rows = "" if pattern == "*" else f" --rows '{pattern}'"
    command = f"<code>repro table cifar100 --run{rows} --results mine</code>"
    assert f"No run of these rows counts yet; {command} trains and tests what is missing." in unescape(
        html_page([comparison], [])
    )


def test_recipes_are_shown_with_every_value_and_its_source(text: str) -> None:
    rows = {line[0]: line[1:] for line in Page(text).sections["cifar100"] if line}
    chosen = RECIPES["miru2020-cifar100"]
    assert chosen.values().keys() | chosen.sources.keys() <= rows.keys()
    assert rows["epochs"] == ["300", "inferred", "config/cifar100/resnet-110.txt of takedarts/DenseResNet 4cfca0f"]
    assert rows["batch"] == ["64", "printed", ""]
    assert rows["init"][1:] == ["authors' code", "takedarts/DenseResNet c1fa035"]


def test_the_summary_has_a_line_for_every_table(text: str) -> None:
    rows = {line[0]: line for line in Page(text).sections["summary"] if line}
    assert rows["cifar100"][3] == "1/5"
    assert {"densenet-cifar", "2 tables"} < rows.keys()
    assert [short_name(read_table(name)) for name in ("cifar100", "classics")] == ["DenseResNet, Table 2", "Classics"]


def test_the_headline_counts_what_the_tables_show(comparisons: Sequence[Comparison], text: str) -> None:
    assert '<p class="headline">0 of 18 counts match; 1 of 32 errors measured</p>' in text
    assert headline_of([compare(read_table("unet-isbi"), [])]) == "0 of 2 errors measured"


def test_each_table_has_its_name_in_its_heading(text: str) -> None:
    assert all(re.search(rf"<h2 id=\"{name}-title\">.*<code>{name}</code></h2>", text) for name in TABLES)


def test_a_column_without_a_figure_is_left_out() -> None:
    lines = [Line((Shown(""), Shown("–"), Shown("", tags=(Tag("good"),)), Shown(""))), Line((Shown(""),) * 4)]
    grid = Grid("", tuple(Heading(each) for each in "abcd"), tuple(lines))
    assert [each.label for each in grid.without_empty_columns().headings] == ["a", "c"]
    heads = Page(html_page([compare(read_table("unet-isbi"), [])], [])).sections["summary"][0]
    assert heads == ["Table", "Paper", "Errors\nmeasured"]  # no count is printed, and nothing is measured


def test_foreign_text_is_escaped(text: str, folder: Path) -> None:
    assert "short-&#34;&gt;&lt;script&gt;" in text
    table = read_table("unet-isbi")
    row = replace(table.rows[0], label=HOSTILE)
    hostile: Table = replace(table, caption=HOSTILE, source=HOSTILE, notes=(HOSTILE,), rows=(row,))
    for page in (text, html_page([compare(hostile, [])], [folder])):
        assert HOSTILE not in page
        assert page.count("<script") == 1
        assert "<img src=x" not in page


def test_nothing_is_loaded_from_elsewhere(text: str) -> None:
    places = Page(text).loaded
    assert len(places) > 10
    assert all(place.startswith(("#", "data:")) for place in places)
    assert all(link.startswith("https://") for link in Page(text).links)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", text)


def test_only_the_stamp_changes(
    comparisons: Sequence[Comparison], folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2031, 5, 6, 7, 8, tzinfo=UTC)

    monkeypatch.setattr(stamp, "datetime", Later)
    later = html_page(comparisons, [folder])
    assert "6 May 2031, 07:08 UTC" in later
    made = re.compile(r"<time.*?</time>")
    assert made.sub("", later) == made.sub("", text)


def test_a_device_is_named_once_even_if_a_run_moved(records: Sequence[Record]) -> None:
    devices = ("CPU B, 2 threads; CPU A, 2 threads", "CPU B, 2 threads")
    moved = compare(
        read_table("cifar100"), [replace(run, device=name) for run, name in zip(records, devices, strict=False)]
    )
    assert dict(stamp.stamp_of([moved]).facts)["Runs on"] == "CPU A, 2 threads; CPU B, 2 threads"


def test_every_verdict_is_explained_with_a_distinct_mark(text: str) -> None:
    legend = text[text.index('<dl class="legend">') :].partition("</dl>")[0]
    assert len({verdict.mark for verdict in Verdict}) == len(Verdict)
    for verdict in Verdict:
        badge = (
            f'<span class="badge {verdict.tone}"><span class="mark" aria-hidden="true">{verdict.mark}</span>{verdict}'
        )
        assert f"<dt>{badge}</span></dt><dd>{verdict.meaning}</dd>" in unescape(legend)


def test_every_tone_has_a_colour() -> None:
    style = (Path(page_module.__file__).parent / "page.css").read_text(encoding="utf-8")
    assert all(f".badge.{verdict.tone} " in style for verdict in Verdict)


def test_a_long_curve_says_where_all_its_epochs_are(records: Sequence[Record], tmp_path: Path) -> None:
    run = replace(records[0], epochs=30)
    errors = [60.0] * 29 + [run.error]
    write_curve([_epoch(number, error) for number, error in enumerate(errors, 1)], curve_path(tmp_path, run.name))
    (picture,) = curve_pictures(compare(read_table("cifar100"), [run]), [tmp_path])
    assert picture.numbers.title.endswith("after every 2 epochs; all epochs are in curves/ of the results folder")


def test_only_the_curves_of_the_chosen_columns_are_drawn(record: Callable[..., Record], tmp_path: Path) -> None:
    table = read_table("densenet-imagenet")
    experiment = table.errors()[0].experiment(seed=0)
    run = record_of(record, experiment, epochs=2, error=25.0)
    write_curve([_epoch(1, 60.0), _epoch(2, 25.0)], curve_path(tmp_path, run.name))
    comparison = compare(table, [run])
    for columns, shown in ((["top1"], ["top1"]), ([], ["top1", "top1-10"])):
        (picture,) = curve_pictures(view_of(table, columns, bare=True).of_comparison(comparison), [tmp_path])
        groups = [heading.group for heading in picture.numbers.headings[1:]]
        assert groups == [f"{table.column[each].label}, imagenet" for each in shown]


def test_long_paths_lose_digits_and_words_do_not() -> None:
    marker = b'<path d="M 1.234567 2.5 "/><text x="1.234567">0.0382</text>'
    assert slim(marker) == marker
    assert slim(marker + b'<path d="M 1.2 -2.25 \n' + 99 * b"L 12.345678 3" + b'"/>').endswith(b"L 12.3 3" + b'"/>')


def test_importing_the_page_loads_no_torch_pandas_or_matplotlib() -> None:
    code = (
        "import sys; import repro.report.formats.html\n"
        "print({'torch', 'pandas', 'numpy', 'matplotlib', 'jinja2', 'rich'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


# In a browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'repro[test]'")
    path = shutil.which("chromium") or (CHROMIUM if Path(CHROMIUM).exists() else None)
    if path is None:
        pytest.skip("needs chromium on the PATH")
    with sync.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-sync", *QUIET]
        opened = playwright.chromium.launch(executable_path=path, headless=True, args=flags)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(text: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text, encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def show(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open the page; a request to anywhere else, a message or an error fails the test."""
    wrong: list[str] = []
    contexts = []

    def open_page(scheme: str = "light", width: int = 1280) -> Any:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: _own(request.url, address) or wrong.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def _own(url: str, address: str) -> bool:
    return url.startswith("data:") or url.partition("#")[0] == address


def script(name: str) -> str:
    return (Path(__file__).parent / f"page_{name}.js").read_text(encoding="utf-8")


def column(page: Any, table: str, number: int) -> list[str]:
    """Return the texts of a column in the order of the rows, without the lines below rows."""
    bodies = f"[...document.querySelector('#{table} table').tBodies]"
    return page.evaluate(f"{bodies}.map(body => body.rows[0].cells[{number}].textContent.trim())")


def depths(page: Any) -> list[int]:
    return [int(text) for text in column(page, "densenet-cifar", 1) if text]


def test_tables_and_pictures_are_present(show: Callable[..., Any]) -> None:
    page = show()
    assert page.locator("section.table table.compared").count() == len(TABLES)
    pictures = page.locator("img").evaluate_all("all => all.map(each => [each.naturalWidth, each.alt])")
    forests = [alt for _, alt in pictures if alt.startswith("Forest plot")]
    assert len(pictures) == 2 + len(forests)
    assert forests
    for width, alt in pictures:
        assert width > 0
        assert len(alt) > 40
    assert any("24.25" in alt for _, alt in pictures)
    page.locator("#cifar100 details.numbers summary").first.click()
    assert page.get_by_role("cell", name="24.25", exact=True).first.is_visible()


def test_a_click_on_a_heading_sorts_by_number_up_and_down_and_back(show: Callable[..., Any]) -> None:
    page = show()
    printed = column(page, "densenet-cifar", 0)
    heading = page.locator("#densenet-cifar table.compared th").filter(has=page.get_by_role("button", name="Depth"))
    unsorted = depths(page)
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert depths(page) == sorted(unsorted) != unsorted
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert depths(page) == sorted(unsorted, reverse=True)
    assert column(page, "densenet-cifar", 1)[-1] == ""  # rows without a printed value are last in either direction
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "none"
    assert column(page, "densenet-cifar", 0) == printed


def test_numbers_are_not_sorted_as_text(show: Callable[..., Any]) -> None:
    page = show()
    runs = page.locator("#cifar100 table.runs").first
    runs.get_by_role("button", name="Error %").click()
    errors = runs.locator("tbody td:nth-child(3)").all_text_contents()
    assert errors == ["24.05", "24.25", "24.30"]  # sorted as text with numbers, 24.3 is before 24.25


def test_sorting_is_stable_and_by_keyboard(show: Callable[..., Any]) -> None:
    page = show()
    page.locator("#densenet-cifar .scroll").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    names = column(page, "densenet-cifar", 0)
    assert (names[0], names[-1]) == ("All-CNN", "Wide ResNet with Dropout")
    assert page.evaluate("document.activeElement.textContent") == "Row"
    assert "sorted by Row, ascending" in page.locator("[role=status]").text_content()
    same = [
        depth for name, depth in zip(names, column(page, "densenet-cifar", 1), strict=True) if name == "Wide ResNet"
    ]
    assert same == ["16", "28"]


def test_reasons_stay_with_their_row(show: Callable[..., Any]) -> None:
    page = show()
    page.locator("#cifar100 table.compared th button").first.click()
    page.locator("#cifar100 table.compared th button").first.click()
    row = page.locator("#cifar100 table.compared tbody").filter(has_text="epochs = 300")
    assert row.locator("th").text_content() == "DenseResNet-110, N = 4"


def test_light_and_dark(show: Callable[..., Any]) -> None:
    colours, pictures = set(), set()
    for scheme in ("light", "dark"):
        page = show(scheme)
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        pictures.add(page.evaluate("document.querySelector('#cifar100 img').currentSrc"))
    assert len(colours) == len(pictures) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(show: Callable[..., Any], scheme: str) -> None:
    page = show(scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    contrasts = page.evaluate(script("contrasts"))
    assert {"not reproduced", "not measured", "inferred"} <= contrasts.keys()
    assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}


def test_a_phone_scrolls_tables_and_not_the_page(show: Callable[..., Any]) -> None:
    page = show(width=360)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = "all => all.filter(each => each.scrollWidth > each.clientWidth).every(each => each.tabIndex === 0)"
    assert page.locator(".scroll").evaluate_all(wide)
    assert page.locator("#densenet-cifar .scroll").first.evaluate("each => each.scrollWidth > each.clientWidth")


def test_a_long_path_in_a_note_is_broken_on_a_phone(show: Callable[..., Any]) -> None:
    page = show(width=360)
    page.evaluate("document.querySelector('.facts dd').textContent = 'path/'.repeat(40)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_phone_shows_pictures_at_a_size_that_can_be_read(show: Callable[..., Any]) -> None:
    widths = show(width=360).locator("figure img").evaluate_all("all => all.map(each => each.clientWidth)")
    assert widths
    assert min(widths) > 600


def test_lines_between_rows_are_not_hidden_by_cells_that_stay_in_view(show: Callable[..., Any]) -> None:
    cells = show().locator(".compared tbody :is(th, tr:not(.why) > td:last-child)")
    assert set(cells.evaluate_all("all => all.map(each => getComputedStyle(each).backgroundClip)")) == {"padding-box"}


@pytest.mark.parametrize("width", [375, 1280])
def test_verdicts_are_in_view_without_scrolling(show: Callable[..., Any], width: int) -> None:
    cells = show(width=width).locator(
        ".compared tbody tr:not(.why) td:last-child, .compared thead tr:first-child th:last-child"
    )
    right = cells.evaluate_all("all => all.map(each => Math.ceil(each.getBoundingClientRect().right))")
    assert len(right) > 20
    assert max(right) <= width


def test_it_works_with_a_screen_reader_and_without_a_mouse(show: Callable[..., Any]) -> None:
    page = show()
    assert page.evaluate(script("barriers")) == []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the tables"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_print_is_black_on_white_without_screen_controls(show: Callable[..., Any]) -> None:
    page = show("dark")
    page.emulate_media(media="print", color_scheme="dark")
    style = "getComputedStyle(document.{}).{}".format
    assert page.evaluate(style("body", "backgroundColor")) == "rgb(255, 255, 255)"
    assert page.evaluate(style("body", "color")) == "rgb(0, 0, 0)"
    assert page.evaluate(style("querySelector('nav')", "display")) == "none"
    assert page.evaluate(style("querySelector('.scroll')", "overflowX")) == "visible"
    assert page.locator("#verdicts dl").is_visible()
    assert page.evaluate(style("querySelector('tbody')", "breakInside")) == "auto"
    assert page.evaluate(style("querySelector('thead')", "breakAfter")) == "avoid"
    assert "image/svg" in page.evaluate("document.querySelector('img').currentSrc")
    assert page.evaluate("document.querySelector('img').currentSrc === document.querySelector('img').src")


def test_a_list_of_runs_fits_a_printed_page(show: Callable[..., Any]) -> None:
    """A table that is wider than the page makes all printed text smaller."""
    page = show(width=688)  # A4 without its margins
    page.emulate_media(media="print")
    right = page.locator("table.runs").evaluate_all("all => all.map(each => each.getBoundingClientRect().right)")
    assert len(right) == 2
    assert max(right) <= 688
