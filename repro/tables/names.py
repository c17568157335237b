"""Names that users type: the labels of the tables' rows as networks, and names of another kind than a command needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from shlex import quote
from typing import NamedTuple

from repro.data import DATASETS, find_dataset
from repro.errors import UnknownName, UserError
from repro.experiment import Experiment
from repro.models import MODELS, OPTIONS, OptionValue, is_outside, spec_of
from repro.models.options import parsed
from repro.models.typed import typed_name, typed_options
from repro.recipes import RECIPES, default_recipe, find_network
from repro.tables.printed import PrintedError, Row, Table
from repro.tables.reading import asked_rows, read_table, table_names
from repro.text import MISTYPED, canonical, first_of, one_of

Rows = Sequence[tuple[Table, Row]]
"""Rows with their tables."""
NEAREST = 3
"""Maximum number of rows in a hint."""
LETTER = r"[^\W\d_]"
"""Matches a letter of any script."""


class Use(NamedTuple):
    """A model, a dataset, a recipe and a table that belong together; empty if there is none."""

    model: str = ""
    dataset: str = ""
    recipe: str = ""
    table: str = ""


class Network(NamedTuple):
    """A network, and those of its options that its name gives."""

    name: str
    options: Mapping[str, OptionValue]

    def typed(self) -> str:
        """Return it as a user types it."""
        return f"{typed_name(self.name)} {typed_options(self.name, self.options)}".strip()

    def fits(self, experiment: Experiment) -> bool:
        """Whether an experiment is of this network."""
        return experiment.model == self.name and self.options.items() <= experiment.options.items()

    def with_options(self, typed: str, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
        """Return its options and those that a user gave; UserError if the name that was typed gives another value."""
        for option, value in given.items():
            if option in self.options and self.options[option] != value:
                raise UserError(f"{typed!r} already gives {option} = {self.options[option]}; leave {option} out")
        return {**self.options, **given}


def network_called(typed: str) -> Network:
    """Return a network as typed by a user.

    Args:
        typed: what `find_network` accepts; the label of a row, such as `WRN-28-10`; or the name of a model and the
            options that rows give, such as `DenseNet-BC-100-12`.

    Raises:
        UserError: there is no such network, or several rows with this label have different ones.
    """
    try:
        return Network(find_network(typed), {})
    except UnknownName as error:
        rows = [(table, row) for table, shown in _tables() for row in shown]
        found = _unique([*_labelled(typed, rows), *_numbered(typed, rows)])
        if not found:
            raise _incomplete(typed, rows) or _quoted(error, rows) or _unasked(typed) or _near(error) from None
    if len(found) > 1:
        names = one_of([each.typed() for each in found])
        raise UserError(f"{typed!r} is the name of {len(found)} networks; write {names}")
    return found[0]


def recipe_called(typed: str, dataset: str | None) -> str | None:
    """Return the recipe of the row with a label; None if nothing has the label, or its errors have no recipe.

    Of several, it is the default of the network on the dataset of its error, that of the network's paper first.

    Args:
        typed: as for `network_called`.
        dataset: only of errors on this dataset.

    Raises:
        UserError: errors with this label have several recipes, and not exactly one of them is such a default.
    """
    dataset = dataset and find_dataset(dataset)
    rows = _rows_only_called(typed)
    printed = [error for table, row in rows for error in table.errors([row]) if error.recipe]
    errors = [each for each in printed if dataset in (None, each.dataset)]
    usual = [each for each in errors if _has_usual_recipe(each)]
    own = [each for each in usual if each.dataset == spec_of(str(each.row.model)).dataset]
    recipes = dict.fromkeys(str(each.recipe) for each in own or usual or errors)
    if len(recipes) > 1:
        raise UserError(f"errors of {typed!r} have several recipes; choose one with --recipe: {', '.join(recipes)}")
    return next(iter(recipes), None)


def dataset_called(typed: str) -> str | None:
    """Return the dataset of the rows with a label; None if that is the default of their network, or there are several.

    `typed` is as for `network_called`.
    """
    rows = _rows_only_called(typed)
    datasets = {table.dataset_of(row) for table, row in rows}
    usual = {spec_of(row.model).dataset for _, row in rows if row.model}
    return None if len(datasets) != 1 or datasets & usual else datasets.pop()


def _rows_only_called(typed: str) -> Rows:
    """Return the rows with a label and a network; none if a network has this name, as WRN-40-2 does."""
    try:
        find_network(typed)
    except UnknownName:
        rows = [(table, row) for table, shown in _tables() for row in shown if row.model]
        return [] if _numbered(typed, rows) else [*_called(typed, rows)]
    return []


def _has_usual_recipe(error: PrintedError) -> bool:
    """Whether the recipe of an error is the default of its network on its dataset."""
    assert error.row.model
    return error.recipe == default_recipe(error.row.model, error.dataset, error.options)


def of_another_kind(error: UnknownName) -> UserError:
    """Return the error of a name that is of another kind: what it is, and what of the right kind belongs to it."""
    wanted, typed = error.kind, canonical(error.name)
    if wanted not in Use._fields:
        return error
    known: tuple[Iterable[str], ...] = (MODELS, DATASETS, RECIPES, table_names())
    for kind, names in zip(Use._fields, known, strict=True):
        name = next((each for each in names if canonical(each) == typed), None)
        if kind != wanted and name is not None:
            found = {getattr(use, wanted) for use in _uses() if getattr(use, kind) == name} - {""}
            of_it = f"its {wanted}s: {first_of(sorted(found))}" if found else f"see repro list {wanted}s"
            return UserError(f"{name} is a {kind}, not a {wanted}; {of_it}")
    return error


def _uses() -> Iterator[Use]:
    """Yield what the models, the recipes and the tables say belongs together."""
    for name, spec in MODELS.items():
        yield Use(model=name, dataset=spec.dataset)
    for recipe in RECIPES.values():
        for model in {*recipe.default_for} & MODELS.keys() or {""}:
            yield Use(model, recipe.dataset, recipe.name)
    for table, rows in _tables():
        for row in rows:
            if row.model in MODELS:
                yield Use(row.model, table.dataset_of(row), table=table.name)
        for each in table.errors([row for row in rows if row.model in MODELS]):
            yield Use(str(each.row.model), each.dataset, each.recipe or "", table.name)


def _tables() -> Iterator[tuple[Table, Sequence[Row]]]:
    """Yield the tables, with the rows that may be shown although nobody named them."""
    return ((table, asked_rows(table)) for table in map(read_table, table_names()))


def _unasked(typed: str) -> UserError | None:
    """Return the error of a row whose network is a user's own code, which runs only where it is named."""
    for table in map(read_table, table_names()):
        for _, row in _called(typed, [(table, row) for row in table.rows if is_outside(row.model)]):
            named = f"{quote(typed_name(str(row.model)))} {typed_options(str(row.model), row.options)}".strip()
            return UserError(f"{typed!r} is a row of {table.name} whose network is your own code; name it: {named}")
    return None


def _labelled(typed: str, rows: Rows) -> list[Network]:
    """Return the networks of the rows that are called so."""
    return [Network(row.model, row.options) for _, row in _called(typed, rows) if row.model]


def _called(typed: str, rows: Rows) -> Iterator[tuple[Table, Row]]:
    """Yield the rows with a label, with or without what distinguishes them from others of that label.

    Other spellings of a label count only if no row has the label as typed: `Ours` and `Ours*` are two rows.
    """
    for form in (str.casefold, _spelling):
        wanted = form(typed.strip())
        found = [(table, row) for table, row in rows if wanted in (form(row.label), form(table.called(row)))]
        if found and any(wanted):  # signs alone have an empty spelling, which is not a name
            yield from found
            return


def _spelling(label: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return what all spellings of a label share: `k = 12` may stand anywhere in it."""
    pair = r"([a-z]+)\s*=\s*([\d.]+)"
    text = "-".join(re.findall(rf"{LETTER}+|\d+(?:\.\d+)?", re.sub(pair, " ", label.lower())))
    return re.sub(rf"(?<={LETTER})-|-(?={LETTER})", "", text), frozenset(re.findall(pair, label.lower()))


def _numbered(typed: str, rows: Rows) -> list[Network]:
    """Return the networks that a model and numbers name: WRN-16-2 has the options that rows give for WRN-16-4.

    The longest name of a model is meant: WRN-18-2 is wrn18, not the wrn of 18 layers.
    """
    found = [network for model, options in _forms(rows) if (network := _with_numbers(typed, model, options))]
    longest = max((len(each.name) for each in found), default=0)
    return [each for each in found if len(each.name) == longest]


def _incomplete(typed: str, rows: Rows) -> UserError | None:
    """Return the error of a model with fewer or more numbers than rows give it; None if it is not such a name."""
    named = canonical(re.sub(r"([-_][\d.]+)+$", "", typed))
    for model, options in _forms(rows):
        if canonical(model) == named and options:
            example = "-".join([model, *(f"{MODELS[model].options[each]:g}" for each in options)])
            numbers = f"the numbers after {model} are {' and '.join(options)}"
            return UserError(f"{typed!r} is not a network; {numbers}, as in {example}")
    return None


def _forms(rows: Rows) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Return the models of rows with the options that are numbers there, the shortest first."""
    forms = {(row.model, _numeric(row)) for _, row in rows if row.model in MODELS}
    return sorted(((str(model), options) for model, options in forms), key=lambda form: (len(form[1]), form))


def _numeric(row: Row) -> tuple[str, ...]:
    """Return the options with numbers that a row gives, in the order of the model's."""
    options = MODELS[row.model or ""].options
    return tuple(each for each in options if each in row.options and OPTIONS[each][0] in (int, float))


def _with_numbers(typed: str, model: str, options: Sequence[str]) -> Network | None:
    """Return a model with one number for each of some options; None if that is not what was typed."""
    parts = re.split("[-_]", typed)
    named, numbers = parts[: -len(options)], parts[len(parts) - len(options) :]
    if not options or canonical("".join(named)) != canonical(model):
        return None
    try:
        values = {option: parsed(OPTIONS[option][0], number) for option, number in zip(options, numbers, strict=True)}
    except (KeyError, ValueError):
        return None
    return Network(model, values)


def _unique(networks: Iterable[Network]) -> list[Network]:
    """Return each network once."""
    return list({(each.name, *sorted(each.options.items())): each for each in networks}.values())


def _quoted(error: UnknownName, rows: Rows) -> UserError | None:
    """Return the error of a network that tables only quote; None if there is none, or another name is near."""
    tables = dict.fromkeys(table.name for table, _ in _called(error.name, rows))
    if error.meant or not tables:
        return None
    return UserError(f"{error.name!r} is not implemented: its errors are only quoted in {', '.join(tables)}")


def _near(error: UnknownName) -> UnknownName:
    """Return the error of a name, with the rows whose labels begin so or are near if no other name is."""
    if error.meant or not canonical(error.name):
        return error
    tables = map(read_table, table_names())
    labels = list(dict.fromkeys(row.label for table in tables for row in table.rows if not row.quoted))
    starting = [each for each in labels if canonical(each).startswith(canonical(error.name))]
    near = (starting or get_close_matches(error.name, labels, cutoff=MISTYPED))[:NEAREST]
    if not near:
        return error
    listed = one_of([quote(each) for each in near])
    return UnknownName(error.kind, error.name, f"unknown {error.kind} {error.name!r}; did you mean {listed}?", near)
