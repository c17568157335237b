"""The page: one file with everything in it, readable without a network and without scripts."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from repro.comparison.join import Comparison
from repro.comparison.rule import RULE
from repro.comparison.summary import summarise
from repro.comparison.verdict import Verdict
from repro.console import with_bar
from repro.report.html.compared import compared_grid
from repro.report.html.facts import facts_of
from repro.report.html.grid import Grid
from repro.report.html.overview import called, overview_grid
from repro.report.html.pictures import Picture, curve_pictures, gate_pictures
from repro.report.html.recipes import ShownRecipe, recipes_of
from repro.report.html.runs import deviating_grid, runs_grid
from repro.report.html.stamp import stamp_of
from repro.tables import Table

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Section:
    """What the page shows of one table."""

    table: Table
    grid: Grid
    facts: list[tuple[str, list[str]]]
    curves: list[Picture]
    gates: list[Picture]
    recipes: list[ShownRecipe]
    runs: Grid | None
    deviating: Grid | None


def html_page(comparisons: Sequence[Comparison], folders: Sequence[Path]) -> str:
    """Return the report over tables as one self-contained page.

    Args:
        comparisons: the tables, in the order of the page.
        folders: of the results, in which curves/ and gates/ lie.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    loader = FileSystemLoader(HERE)
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return templates.get_template("page.html.j2").render(
        title=_title(comparisons),
        stamp=stamp_of(comparisons),
        rule=RULE,
        verdicts=list(Verdict),
        overview=overview_grid([summarise(each) for each in comparisons]),
        sections=[_section(each, folders) for each in with_bar(comparisons, "making the page")],
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
    )


def _section(comparison: Comparison, folders: Sequence[Path]) -> Section:
    return Section(
        comparison.table,
        compared_grid(comparison),
        facts_of(comparison),
        curve_pictures(comparison, folders),
        gate_pictures(comparison, folders),
        recipes_of(comparison),
        runs_grid(comparison),
        deviating_grid(comparison),
    )


def _title(comparisons: Sequence[Comparison]) -> str:
    return f"{called(comparisons[0].table)} beside ours" if len(comparisons) == 1 else "Published tables beside ours"


def _policy(style: str, script: str) -> str:
    """Return what a browser may load: nothing but this style, this script, and pictures that are in the page."""
    return f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; base-uri 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
