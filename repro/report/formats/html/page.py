"""The page: one file with everything in it, readable without a network and without scripts."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from repro.bars import with_bar
from repro.comparison.join import Comparison
from repro.comparison.rule import RULE
from repro.comparison.verdict import Verdict
from repro.recipes.library import naming_papers
from repro.report.cells import MATCH, verdict_tag
from repro.report.content import Content, content_of
from repro.report.formats.html.pictures import Picture, curve_pictures, forest_pictures, gate_pictures
from repro.report.formats.html.recipes import ShownRecipe, recipes_of
from repro.report.formats.html.stamp import stamp_of
from repro.report.formats.html.templates import HERE, templates
from repro.report.notes import RECIPES, Note
from repro.report.summary import headline_of, short_name, summary_of
from repro.report.view import ALL, View
from repro.store.command_text import command_with
from repro.tables import table_as_typed


@dataclass(frozen=True)
class Section:
    """What the page shows of one table."""

    content: Content
    notes: list[Note]
    """All notes but the one on recipes, which are shown in full."""
    pictures: dict[str, list[Picture]]
    """By their heading."""
    recipes: list[ShownRecipe]
    with_runs: bool
    """Whether runs are shown, or that there are none."""
    training: str
    """The command that trains and tests the missing runs."""


def html_page(comparisons: Sequence[Comparison], folders: Sequence[Path], view: View = ALL) -> str:
    """Return the report on some tables as one self-contained page.

    Args:
        comparisons: the tables, in the order of the page.
        folders: the results folders, with curves/ and gates/.
        view: what is shown of each table; a bare page has only the tables.
    """
    from markupsafe import Markup

    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            title=_title(comparisons),
            headline=headline_of(comparisons),
            stamp=stamp_of(comparisons),
            rule=RULE,
            verdicts=[(verdict_tag(each), each.meaning) for each in Verdict],
            matches=list(MATCH.values()),
            summary=summary_of(comparisons),
            sections=[_section(each, folders, view) for each in with_bar(comparisons, "making the page")],
            bare=view.bare,
            style=Markup(style),  # noqa: S704 - files of the package, like the script
            script=Markup(script),  # noqa: S704
            policy=_policy(style, script),
        )
    )


def _section(comparison: Comparison, folders: Sequence[Path], view: View) -> Section:
    content = content_of(comparison, view)
    training = _training(comparison)
    if view.bare:
        return Section(content, [], {}, [], with_runs=False, training=training)
    shown = view.of_comparison(comparison)
    notes = [note for note in content.notes if note.heading != RECIPES]
    pictures = {
        "Evidence": forest_pictures(shown),
        "Curves": curve_pictures(shown, folders),
        "Gates": gate_pictures(shown, folders),
    }
    with_runs = any(row.errors for row in shown.rows)
    return Section(content, notes, pictures, recipes_of(shown), with_runs=with_runs, training=training)


def _training(comparison: Comparison) -> str:
    """Return the command that trains the missing runs of the rows, or of the table if no pattern names just them."""
    table, rows = comparison.table, tuple(each.row for each in comparison.rows)
    patterns = ("*", rows[0].label, table.called(rows[0]))
    given = {"rows": next((each for each in patterns if table.like(each) == rows), "*"), "results": comparison.results}
    return naming_papers(command_with(f"repro table {table_as_typed(table)} --run", given))


def _title(comparisons: Sequence[Comparison]) -> str:
    only = short_name(comparisons[0].table) if len(comparisons) == 1 else ""
    return f"{only}: printed and measured" if only else "Printed and measured results"


def _policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy: only this style, this script, and pictures that are in the page."""
    return f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; base-uri 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
