"""What is shown of a table: all or some of its columns, with or without the notes below it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from repro.comparison.join import ComparedRow, Comparison
from repro.comparison.match import is_of, replications_for, weights_of
from repro.console import note
from repro.errors import UserError
from repro.store.weights_tests import WeightsTest
from repro.tables import ColumnKind, PrintedError, Selection, Table
from repro.tables.column import OTHERS, VERDICT, WEIGHTS
from repro.text import canonical

SHOWN_WITH = {"replications": OTHERS, "weights": WEIGHTS, "verdict": VERDICT}
"""The column that a value of a row's data is shown with, by its key."""
BY_COLUMN = ("recipe", "published", "measured", "matches")
"""The keys of a row's data that have a value for each printed column."""
EVIDENCE = ("replications", "weights")
"""The keys of a row's data that list the evidence of others, each item with its printed column."""
OF_NOTES = ("rule", "repeated", "deviating", "why")
"""The keys of the data of a table and of its rows that a bare view leaves out."""


@dataclass(frozen=True)
class View:
    """What is shown of a table."""

    columns: frozenset[str] = frozenset()
    """The keys of printed columns, OTHERS, WEIGHTS and VERDICT, as far as they are shown; empty: all."""
    errors: frozenset[str] = frozenset()
    """The keys of the printed errors among them, whose OTHERS and WEIGHTS alone are shown; empty: those of all."""
    bare: bool = False
    """Whether the notes, the reasons for differences, and the runs are left out."""

    def shows(self, column: str) -> bool:
        """Whether a column is shown."""
        return not self.columns or column in self.columns

    def shows_of(self, evidence: str, error: str) -> bool:
        """Whether OTHERS or WEIGHTS of the printed error with a key is shown."""
        return self.shows(evidence) and (not self.errors or error in self.errors)

    def shows_verdict(self, table: Table) -> bool:
        """Whether the verdict on the rows of a table is shown, which has none without a column of errors."""
        return self.shows(VERDICT) and bool(table.of_kind(ColumnKind.ERROR))

    def has(self, key: str) -> bool:
        """Whether a key of the data of a table or of a row is shown."""
        return not (self.bare and key in OF_NOTES) and (key not in SHOWN_WITH or self.shows(SHOWN_WITH[key]))

    def of_data(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is shown of the data of a table or of a row."""
        return {key: self._part(key, value) for key, value in data.items() if self.has(key)}

    def _part(self, key: str, value: Any) -> Any:
        if key in BY_COLUMN:
            return self._of_columns(value)
        if key in EVIDENCE:
            return [each for each in value if self.shows_of(SHOWN_WITH[key], each["column"])]
        return value

    def _of_columns(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {column: value for column, value in values.items() if self.shows(column)}

    def of_comparison(self, comparison: Comparison) -> Comparison:
        """Return a comparison of only the cells that are shown, or behind the verdict that is, and of their runs."""
        rows = tuple(map(self._of_row, comparison.rows))
        errors = [cell.printed for row in rows for cell in row.errors.values()]
        return replace(
            comparison,
            rows=rows,
            deviating=tuple(run for run in comparison.deviating if any(is_of(run, each) for each in errors)),
            repeated=tuple(runs for runs in comparison.repeated if any(is_of(runs[0], each) for each in errors)),
        )

    def _of_row(self, row: ComparedRow) -> ComparedRow:
        shown = self._of_columns
        errors = row.errors if self.shows(VERDICT) else shown(row.errors)
        return replace(row, counts=shown(row.counts), errors=errors, times=shown(row.times))


NO_EVIDENCE = {
    OTHERS: "no replications are known for these errors",
    WEIGHTS: "no published weights were tested for these errors",
}
"""What is said of errors without the evidence that was asked for."""
KINDS = (ColumnKind.PARAMS, ColumnKind.FLOPS, ColumnKind.ERROR)
"""The kinds of printed columns, which can be chosen in every table."""
ALL = View()
"""The view of everything."""


def view_of(table: Table, words: Iterable[str], *, bare: bool) -> View:
    """Return the view of some columns of a table.

    Args:
        table: the table.
        words: keys or labels of printed columns, `others` (in JSON: `replications`), `weights` or `verdict`, matched
            without regard to case, `-` and `_`; `params`, `flops` and `error` are all columns of that kind, and are
            left out of a table that has none beside others; `others` and `weights` are those of the chosen errors, or
            of all errors if none is chosen; none: all columns.
        bare: whether the notes are left out.

    Raises:
        UserError: the table has no such column.
    """
    of_errors = [OTHERS, WEIGHTS, VERDICT] if table.of_kind(ColumnKind.ERROR) else []
    known = [*(each.key for each in table.columns), *of_errors]
    kinds = {kind.value: {each.key for each in table.of_kind(kind)} for kind in KINDS}
    synonyms = [("replications", OTHERS)] if of_errors else []
    labels = _by_spelling([*((each.label, each.key) for each in table.columns), *synonyms])
    keys = kinds | labels | _by_spelling((key, key) for key in known)
    words = [each.strip() for each in words]
    asked = {word: {word} if word in known else keys.get(canonical(word)) for word in words}
    chosen = frozenset(key for found in asked.values() for key in found or ())
    for word, found in asked.items():
        if found is None or not (found or chosen):
            raise UserError(f"{table.name} has no column {word!r}; choose from {', '.join(known)}")
        if not found:
            note(f"{table.name} has no column {word!r}; it is left out")
    return View(chosen, chosen & kinds[ColumnKind.ERROR], bare)


def check_evidence(
    selection: Selection, view: View, tests: Sequence[WeightsTest], errors: Sequence[PrintedError]
) -> None:
    """Say which evidence of others was asked for but does not exist; UserError if nothing else was asked for.

    Args:
        selection: the rows that are shown.
        view: what is shown of them.
        tests: all tests of weights that others published.
        errors: the errors of all tables for which others report values.
    """
    replications = (replications_for(selection.table, row, errors) for row in selection.rows)
    reported = [each.reported.column for of_row in replications for each in of_row]
    tested = [each.column.key for each in selection.table.errors(selection.rows) if weights_of(each, tests)]
    have = {OTHERS: reported, WEIGHTS: tested}
    missing = [of for of in have if of in view.columns and not any(view.shows_of(of, each) for each in have[of])]
    if missing and view.columns <= {*missing}:
        raise UserError(f"{' and '.join(NO_EVIDENCE[of] for of in missing)}; choose other columns")
    for of in missing:
        note(NO_EVIDENCE[of])


def _by_spelling(names: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Return the keys of the columns with a name, by what all spellings of the name share."""
    found = dict[str, set[str]]()
    for name, key in names:
        found.setdefault(canonical(name), set()).add(key)
    return found
