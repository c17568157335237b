"""`repro count`: parameters and FLOPs next to the published ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from repro.cli.networks import chosen_network
from repro.cli.options import AnswerFormat, DatasetName, Format, Model, Settings, choice, model_options
from repro.cli.suggestion import after_count, suggest
from repro.console import print_json, stdout, waiting
from repro.counting.cache import cached, counted
from repro.counting.conventions import Convention
from repro.counting.count import Count, Subject, count_modules
from repro.data import DATASETS
from repro.data import find as find_dataset
from repro.errors import UserError
from repro.experiment import check_task, own_dataset
from repro.models import OptionValue, is_outside, is_small, resolve_options
from repro.models.typed import typed_name, typed_options
from repro.report.cells import MARK
from repro.tables import read_table, table_names

InputShape = Annotated[
    str | None, typer.Option("--input", metavar="CxHxW", help="Input shape (default: the dataset's).")
]
Classes = Annotated[
    int | None, typer.Option("--classes", min=1, metavar="N", help="Number of classes (default: the dataset's).")
]
Flops = Annotated[
    Convention,
    choice("--flops", help=f"FLOPs convention: {'; '.join(f'{each}, {each.meaning}' for each in Convention)}."),
]
ByModule = Annotated[bool, typer.Option("--by-module", help="Also show the counts of every module.")]


@model_options
def count(
    model: Model,
    options: dict[str, Any],
    settings: Settings = None,
    dataset: DatasetName = None,
    input: InputShape = None,
    classes: Classes = None,
    flops: Flops = Convention.PAPER,
    by_module: ByModule = False,
    format: Format = AnswerFormat.RICH,
) -> None:
    """Count a model's parameters and FLOPs and compare them with the published counts."""
    name, options, _ = chosen_network(model, options, settings or (), counting=True)
    where = find_dataset(dataset) if dataset else own_dataset(name)
    if is_outside(name):
        check_task(name, where)
    subject = _subject(name, options, where, input, classes)
    answer = _answer(subject, where, flops)
    if by_module:
        with waiting(f"counting the modules of {name}", seconds=True):
            answer["modules"] = [vars(each) for each in count_modules(subject, flops)]
    if format == AnswerFormat.JSON:
        print_json(answer)
        return
    _show(answer)
    suggest(after_count(name, subject.options, where))


def _subject(
    model: str, options: Mapping[str, OptionValue], dataset: str, input: str | None, classes: int | None
) -> Subject:
    """Return what is counted: a model, by default with the input shape and the classes of a dataset."""
    spec = DATASETS[dataset]
    shape = _shape(input) if input else spec.input
    return Subject(model, resolve_options(model, options, dataset), shape, classes or spec.classes)


def _shape(text: str) -> tuple[int, int, int]:
    """Parse `CxHxW` and return C, H, W."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise UserError(f"--input {text!r} is not a shape; expected CxHxW, such as 3x32x32")
    channels, height, width = map(int, match.groups())
    return channels, height, width


def _answer(subject: Subject, dataset: str, convention: Convention) -> dict[str, Any]:
    """Return the counts of a model and the published rows that they can be compared with."""
    counts = _counted(subject)
    as_published = (subject.input, subject.classes) == (DATASETS[dataset].input, DATASETS[dataset].classes)
    return {
        "model": subject.model,
        "options": subject.options,
        "dataset": dataset if as_published else None,
        "input": "x".join(map(str, subject.input)),
        "classes": subject.classes,
        "params": counts.params,
        "flops": counts.flops[convention],
        "flops_convention": convention,
        "macs": counts.flops[Convention.MACS],
        "small": is_small(subject.model, subject.input),
        "published": _published(subject, dataset, counts) if as_published else [],
    }


def _counted(subject: Subject) -> Count:
    """Return the counts; if they are not cached, count for some seconds and show that."""
    known = cached(subject)
    if known is None:
        with waiting(f"counting {typed_name(subject.model)}", seconds=True):
            known = counted(subject)
    return known


def _published(subject: Subject, dataset: str, counts: Count) -> list[dict[str, Any]]:
    """Return every published row of a model, and whether its counts equal ours."""
    found = []
    for table in map(read_table, table_names()):
        for row in table.rows:
            if (row.model, row.dataset or table.dataset) != (subject.model, dataset):
                continue
            if table.options(row) != subject.options:
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


def _show(answer: Mapping[str, Any]) -> None:
    name, options = answer["model"], answer["options"]
    title = f"{typed_name(name)} {typed_options(name, options)}".strip()  # on one line, so that it can be copied
    stdout().print(title, style="bold", soft_wrap=True, markup=False)
    stdout().print(_beside(answer))
    size = f"Input {answer['input']}, {answer['classes']} classes"
    stdout().print(f"{size} ({answer['dataset']})" if answer["dataset"] else size, style="dim")
    convention = Convention(answer["flops_convention"])
    stdout().print(f"FLOPs convention {convention!s}: {convention.meaning}", style="dim")
    if answer["small"]:
        stdout().print("Small-image variant, as used in CIFAR repositories; the paper has no such model", style="dim")
    if "modules" in answer:
        stdout().print(_modules(answer["modules"]))


def _beside(answer: Mapping[str, Any]) -> Any:
    """Return a grid of our counts and, below them, the counts of every published row of the model."""
    from rich.markup import escape

    from repro.report.fitted import Fitted, empty_grid

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
    """Return a printed cell with its mark; FLOPs are compared only in the convention of the table."""
    if row[key] is None:
        return ""
    if key == "flops" and row["flops_convention"] != answer["flops_convention"]:
        return f"{row[key]} (as {row['flops_convention']})"
    return f"{row[key]} {MARK[row[f'{key}_match']]}"


def _modules(modules: list[dict[str, Any]]) -> Any:
    from rich.markup import escape

    from repro.report.fitted import Fitted, empty_grid

    grid = empty_grid()
    grid.add_column("Module", no_wrap=True)
    grid.add_column("Type")
    for heading in ("Parameters", "FLOPs", "Share of FLOPs"):
        grid.add_column(heading, justify="right")
    total = modules[0]["flops"]
    for each in modules:
        share = f"{100 * each['flops'] / total:.2f} %" if total else ""
        name = escape(each["name"] or "(all)")
        grid.add_row(name, each["kind"], f"{each['params']:,}", f"{each['flops']:,}", share)
    return Fitted(grid)
