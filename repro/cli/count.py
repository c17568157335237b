"""`repro count`: parameters and FLOPs beside the printed ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from repro.console import print_json, stdout, waiting
from repro.counting.cache import cached, counted
from repro.counting.conventions import CONVENTIONS
from repro.counting.count import Count, Subject, count_modules
from repro.data import DATASETS
from repro.data import find as find_dataset
from repro.errors import UserError
from repro.models import MODELS, OptionValue, as_typed, is_small, resolve_options
from repro.models import find as find_model
from repro.report.cells import MARK
from repro.tables import read_table, table_names
from repro.text import choose


def run(
    model: str,
    options: Mapping[str, OptionValue],
    dataset: str | None,
    input: str | None,
    classes: int | None,
    flops: str,
    by_module: bool,
    format: str,
) -> None:
    """Count a network and show it."""
    format = choose("format", format, ("rich", "json"))
    convention = choose("convention", flops, CONVENTIONS)
    name = find_model(model)
    where = find_dataset(dataset) if dataset else MODELS[name].dataset
    subject = _subject(name, options, where, input, classes)
    counts = _counted(subject)
    as_published = (subject.input, subject.classes) == (DATASETS[where].input, DATASETS[where].classes)
    answer = {
        "model": name,
        "options": subject.options,
        "dataset": where if as_published else None,
        "input": "x".join(map(str, subject.input)),
        "classes": subject.classes,
        "params": counts.params,
        "flops": counts.flops[convention],
        "flops_convention": convention,
        "macs": counts.flops["macs"],
        "small": is_small(name, subject.input),
        "published": published(name, subject.options, where, counts) if as_published else [],
    }
    if by_module:
        with waiting(f"counting the modules of {name}", seconds=True):
            answer["modules"] = [vars(each) for each in count_modules(subject, convention)]
    print_json(answer) if format == "json" else _show(answer)


def _counted(subject: Subject) -> Count:
    """Return the counts; what is not known yet takes seconds, in which a user sees why."""
    known = cached(subject)
    if known is None:
        with waiting(f"counting {subject.model}", seconds=True):
            known = counted(subject)
    return known


def _subject(
    model: str, options: Mapping[str, OptionValue], dataset: str, input: str | None, classes: int | None
) -> Subject:
    """Return what is counted: a data set's input and classes unless others are given."""
    spec = DATASETS[dataset]
    shape = _shape(input) if input else spec.input
    return Subject(model, resolve_options(model, options, dataset), shape, classes or spec.classes)


def published(model: str, options: Mapping[str, OptionValue], dataset: str, counts: Count) -> list[dict[str, Any]]:
    """Return every printed row of this network, and whether its counts are ours."""
    found = []
    for table in map(read_table, table_names()):
        for row in table.rows:
            if (row.model, row.dataset or table.dataset) != (model, dataset) or table.options(row) != options:
                continue
            params, flops = row.cells.get("params"), row.cells.get("flops")
            found.append(
                {
                    "table": table.name,
                    "row": row.label,
                    "params": params and params.text,
                    "flops": flops and flops.text,
                    "params_match": params and params.matches(counts.params),
                    "flops_match": flops and flops.matches(counts.flops[table.flops_convention]),
                    "flops_convention": table.flops_convention,
                }
            )
    return found


def _shape(text: str) -> tuple[int, int, int]:
    """Return C, H, W of `CxHxW`."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise UserError(f"--input {text!r} is no shape; CxHxW, such as 3x32x32")
    channels, height, width = map(int, match.groups())
    return channels, height, width


def _show(answer: Mapping[str, Any]) -> None:
    title = f"{answer['model']} {as_typed(answer['options'])}".strip()  # on one line, to be copied
    stdout().print(title, style="bold", soft_wrap=True, markup=False)
    stdout().print(_beside(answer))
    size = f"input {answer['input']}, {answer['classes']} classes"
    stdout().print(f"{size} ({answer['dataset']})" if answer["dataset"] else size, style="dim")
    stdout().print(f"FLOPs {answer['flops_convention']!r}: {CONVENTIONS[answer['flops_convention']]}", style="dim")
    if answer["small"]:
        stdout().print("in the form that CIFAR repositories use for small images, not its paper's", style="dim")
    if "modules" in answer:
        stdout().print(_modules(answer["modules"]))


def _beside(answer: Mapping[str, Any]) -> Any:
    """Return our counts, and beneath them those of every printed row of the network."""
    from rich.markup import escape

    from repro.report.grid import Fitted, empty_grid

    grid = empty_grid()
    grid.add_column("")
    for heading in ("Parameters", f"FLOPs ({answer['flops_convention']})", "Multiply-adds"):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_row("ours", *(f"{answer[key]:,}" for key in ("params", "flops", "macs")))
    for row in answer["published"]:
        printed = (_printed(row, key, answer) for key in ("params", "flops"))
        grid.add_row(escape(f"{row['table']}: {row['row']}"), *printed, "")
    return Fitted(grid)


def _printed(row: Mapping[str, Any], key: str, answer: Mapping[str, Any]) -> str:
    """Return a printed cell with its mark; FLOPs are compared under the table's convention only."""
    if row[key] is None:
        return ""
    if key == "flops" and row["flops_convention"] != answer["flops_convention"]:
        return f"{row[key]} (by {row['flops_convention']!r})"
    return f"{row[key]} {MARK[row[f'{key}_match']]}"


def _modules(modules: list[dict[str, Any]]) -> Any:
    from rich.markup import escape

    from repro.report.grid import Fitted, empty_grid

    grid = empty_grid()
    grid.add_column("Module", no_wrap=True)
    grid.add_column("Kind")
    for heading in ("Parameters", "FLOPs", "Share of FLOPs"):
        grid.add_column(heading, justify="right")
    total = modules[0]["flops"]
    for each in modules:
        share = f"{100 * each['flops'] / total:.2f} %" if total else ""
        name = escape(each["name"] or "(all)")
        grid.add_row(name, each["kind"], f"{each['params']:,}", f"{each['flops']:,}", share)
    return Fitted(grid)
