"""The generated parts of the documents, which are between markers; `python tests/documents.py` writes them."""

import inspect
import json
import re
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import MISSING, Field, fields
from datetime import timedelta
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from commands import printed, set_environment
from peers import ratio
from simulation import power_table

import repro
from repro.api import listing, records, run_lines
from repro.comparison import frame as errors
from repro.comparison.verdict import Verdict
from repro.frames import Columns, Dtype
from repro.recipes import RECIPES, Recipe
from repro.recipes.entries import HINTS, About, Given, GivenNumbers
from repro.recipes.mistakes import form_text
from repro.recipes.recipe import VALUES, shown
from repro.recipes.schema import described
from repro.recipes.source import Source, sources_text
from repro.recipes.values import Value, values_of
from repro.report import counts, plan
from repro.report.formats import frame
from repro.report.formats.frame import EVIDENCE, FIGURES
from repro.store.results import Record
from repro.tables import Column, Row, Table
from repro.training.initialise import INITIALISERS

FRAMES: dict[str, Columns] = {
    "list_models()": listing.MODEL_COLUMNS,
    "list_tables()": listing.TABLE_COLUMNS,
    "list_datasets()": listing.DATASET_COLUMNS,
    "list_recipes()": listing.RECIPE_COLUMNS,
    "runs()": run_lines.RUN_COLUMNS,
    "results()": records.RECORD_COLUMNS,
    "curve(RUN)": records.EPOCH_COLUMNS,
    "count(MODEL).to_frame()": counts.COLUMNS,
    "compare(NAME).to_frame()": errors.COLUMNS,
    "plan().to_frame()": plan.COLUMNS,
    "table().to_frame()": frame.SUMMARY,
    "table(NAME).to_frame()": frame.PRINTED | {"verdict": Dtype.TEXT},
}
"""The columns of each DataFrame; a table has more, and its summary a column for each verdict."""

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md")))
PICTURES = {
    ROOT / "docs/images/resnet-cifar.svg": "repro figure forest resnet-cifar",
    ROOT / "docs/images/resnet-20.svg": "repro figure curves resnet-cifar --rows ResNet-20",
}
"""Each figure of the documents, and the command that draws it; the numbers are in the CSV file with the same name."""

MARKED = re.compile(r"(?<=<!-- made by: )(?P<maker>.+?) -->\n(?P<shown>.*?)(?=<!-- end -->)", re.DOTALL)
PLAIN = {"COLUMNS": "80", "NO_COLOR": "1", "TYPER_USE_RICH": "0"}


@cache
def _plain() -> ProcessPoolExecutor:
    """Return a process of its own for commands: Typer reads its setting for color when it is imported."""
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=set_environment, initargs=(PLAIN,))


def answer(command: str) -> str:
    """Return what a command prints on the shipped results alone, in a terminal of 80 columns without color."""
    with tempfile.TemporaryDirectory() as folder:
        shown = _plain().submit(printed, command, Path(folder)).result()
    return "\n".join(line.rstrip() for line in shown.strip().splitlines())


def measured_rows() -> str:
    """Return one line for each row with a run of full length; those that deviate only if no run follows the recipe."""
    tables = [json.loads(answer(f"repro table {each['name']} --format json")) for each in _listed("tables")]
    lines = [line for table in tables for row in table["rows"] for line in _measured(table, row)]
    return "\n".join(["| Table | Row | Paper, % | Ours, % | Verdict |", "| --- | --- | --- | --- | --- |", *lines])


def _measured(table: dict[str, Any], row: dict[str, Any]) -> Iterator[str]:
    start = f"| {table['table']} | {row['label']}"
    errors = {key: each for key, each in row["measured"].items() if isinstance(each, dict) and "seeds" in each}
    for key, error in errors.items():
        if error["n"]:
            several = f"{error['statistic']} of {error['n']} runs"
            ours = f"{error['value']:.2f} ({several if error['n'] > 1 else 'one run'})"
            yield f"{start} | {row['published'][key]} | {ours} | {error['verdict']} |"
    changed = [each for each in table["deviating"] if _of_row(each, row) and not _is_shortened(each)]
    if changed and not any(each["n"] for each in errors.values()):
        printed = ", ".join(row["published"][key] for key in errors)
        ours = ", ".join(f"{each['error']:.2f}" for each in changed)
        values = {deviation.partition("=")[0] for each in changed for deviation in each["deviations"]}
        yield f"{start} | {printed} | {ours} | not counted: deviates in {', '.join(sorted(values))} |"


def _of_row(run: dict[str, Any], row: dict[str, Any]) -> bool:
    return (run["model"], run["options"]) == (row.get("model"), row.get("options"))


def _is_shortened(run: dict[str, Any]) -> bool:
    return any(each.startswith("epochs=") for each in run["deviations"])


def every_recipe() -> str:
    """Return a section for each recipe: all its values, and the sources of each."""
    return "\n\n".join(map(_recipe, RECIPES.values()))


def _recipe(recipe: Recipe) -> str:
    lines = [_value(each) for each in values_of(recipe)]
    default = f"The default on `{recipe.dataset}` for: {_default_for(recipe)}." if recipe.default_for else ""
    table = "\n".join(["| Setting | Value | Source |", "| --- | --- | --- |", *lines])
    parts = (f"## {recipe.name}", f"{recipe.paper}.", recipe.summary, *recipe.notes, default, table)
    return "\n\n".join(part for part in parts if part)


def _value(value: Value) -> str:
    others = f" (alternatives: {value.alternatives_text})" if value.alternatives else ""
    return f"| `{value.name}` | {value.text}{others} | {sources_text(value.sources)} |"


def _default_for(recipe: Recipe) -> str:
    return ", ".join("every network" if each == "*" else f"`{each}`" for each in recipe.default_for)


def recipe_keys() -> str:
    """Return the keys of a recipe file, of the recipe and of each value, with what they may be and what they mean."""
    texts, defaults = described(Recipe), {each.name: each for each in fields(Recipe)}
    lines = [
        f"| `{name}` | {form_text(HINTS[name])} | {_default(defaults[name])} | {texts[name]} |"
        for name in VALUES
        if name != "dataset"
    ]
    about = {**{name: texts[name] for name in ("paper", "dataset")}, **described(About)}
    values = {"value": "What the paper did.", **described(GivenNumbers), **described(Source), **described(Given)}
    parts = (
        _meanings("Key of a recipe", about),
        _meanings("Key of a value", {"source" if name == "kind" else name: text for name, text in values.items()}),
        "\n".join(["| Value | What it may be | Default | Meaning |", "| --- | --- | --- | --- |", *lines]),
        _meanings("`init`", {name: _initialisation(each) for name, each in INITIALISERS.items()}),
    )
    return "\n\n".join(parts)


def _meanings(head: str, texts: Mapping[str, str]) -> str:
    return "\n".join([f"| {head} | Meaning |", "| --- | --- |", *(f"| `{name}` | {texts[name]} |" for name in texts)])


def _default(field: Field[Any]) -> str:
    return "required" if field.default is MISSING else shown(field.name, field.default)


def _initialisation(function: Callable[..., Any]) -> str:
    """Return the docstring of an initialisation in one line, with the names that recipes use."""
    text = " ".join((inspect.getdoc(function) or "").split())
    return re.sub(r"Like (\w+)", lambda found: f"Like `{found[1].replace('_', '-')}`", text)


def table_keys() -> str:
    """Return the keys of a table's file, of its columns and of its rows, with what they mean."""
    forms = {"Key of a table": Table, "Key of a column": Column, "Key of a row": Row}
    texts = {head: described(form) for head, form in forms.items()}
    besides = ("file", "replications")
    return "\n\n".join(
        _meanings(head, {name: text for name, text in of.items() if name not in besides}) for head, of in texts.items()
    )


def record_columns() -> str:
    """Return the columns of runs.csv with what they mean."""
    return _meanings("Column", described(Record))


def every_verdict() -> str:
    """Return the verdicts with their marks and meanings."""
    lines = [f"| {each.mark} | {each.value} | {each.meaning} |" for each in Verdict]
    return "\n".join(["| | verdict | meaning |", "| --- | --- | --- |", *lines])


def gpu_times() -> str:
    """Return the times of training steps that were measured on a GPU, the fastest variant of each network first."""
    times = json.loads((ROOT / "docs/measurements/h100.json").read_text(encoding="utf-8"))["times"]
    found = sorted(
        (each["network"], each["milliseconds"] / each["seeds"], each) for each in times if each["milliseconds"]
    )
    lines = [
        f"| {each['name']} | {each['milliseconds']:.1f} | {alone:.1f} | {each['gibibytes']:.1f} GiB |"
        for _, alone, each in found
    ]
    return "\n".join(["| Variant | ms per step | ms per step and run | Memory |", "| --- | --- | --- | --- |", *lines])


def cpu_speeds() -> str:
    """Return what `repro bench resnet20 --compile` measured on a CPU."""
    speeds = json.loads((ROOT / "docs/measurements/cpu.json").read_text(encoding="utf-8"))["speeds"]
    head = "| | images/s | range | ratio | time for recipe | % of peak matmul | % of peak bandwidth |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- |", *map(_of_speed, speeds)])


def _of_speed(speed: dict[str, Any]) -> str:
    rates = f"{speed['images_per_second']:.0f} | {speed['slowest']:.0f} to {speed['fastest']:.0f}"
    shares = " | ".join(f"{speed[each]:.0%}".replace("%", " %") for each in ("matmul_share", "copy_share"))
    duration = timedelta(seconds=round(speed["recipe_seconds"]))
    return f"| {speed['name']} | {rates} | {speed['ratio']:.2f} | {duration} | {shares} |"


def waiting_threads() -> str:
    """Return the speeds with threads that sleep and with threads that spin, from two answers of `repro bench`."""
    measured = json.loads((ROOT / "docs/measurements/waiting.json").read_text(encoding="utf-8"))
    rates = {
        when: {each["name"]: each["images_per_second"] for each in bench["speeds"]} for when, bench in measured.items()
    }
    head = "| Images/s | the machine is quiet | three processes keep its cores busy |"
    lines = [f"| {name} | {quiet:.0f} | {rates['busy'][name]:.0f} |" for name, quiet in rates["quiet"].items()]
    return "\n".join([head, "| --- | --- | --- |", *lines])


def peers_on_a_cpu() -> str:
    """Return the speed of the loops of public repositories on a CPU, of the baseline and of ours, with ratios."""
    networks = json.loads((ROOT / "docs/measurements/peers.json").read_text(encoding="utf-8"))
    head = "| Network | Batch | Repository | Its loop differs | Its images/s | Baseline | repro, fp32 |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- |", *map(_of_peer, networks.values())])


def _of_peer(measured: dict[str, Any]) -> str:
    repository, commit = measured["repository"], measured["commit"]
    link = f"[{repository}](https://github.com/{repository}/tree/{commit})"
    rate = statistics.median(measured["images_per_second"]["peer"])
    ours = " | ".join(f"× {ratio(measured, loop):.2f}" for loop in ("baseline", "repro"))
    return f"| {measured['network']} | {measured['batch']} | {link} | {measured['differs']} | {rate:.0f} | {ours} |"


def hostile_inputs() -> str:
    """Return how often each attack was tried, and how often it succeeded, when `pytest -m nightly` last ran."""
    attacks = json.loads((ROOT / "docs/measurements/attacks.json").read_text(encoding="utf-8"))
    lines = [f"| {name} | {of['tries']:,} | {of['failures']:,} | {of['date']} |" for name, of in attacks.items()]
    return "\n".join(["| Attack on | Trials | Failures | Date |", "| --- | --- | --- | --- |", *lines])


def python_api() -> str:
    """Return a section for each function of the Python API: its signature and its docstring."""
    functions = [(name, getattr(repro, name)) for name in repro.__all__]
    return "\n\n".join(_function(name, each) for name, each in functions if inspect.isfunction(each))


def _function(name: str, function: Callable[..., Any]) -> str:
    lines, star = list[str](), False
    for each in inspect.signature(function).parameters.values():
        if each.kind is each.KEYWORD_ONLY and not star:
            lines, star = [*lines, "    *,"], True
        default = "" if each.default is each.empty else f" = {each.default!r}"
        lines.append(f"    {'**' if each.kind is each.VAR_KEYWORD else ''}{each.name}: {each.annotation}{default},")
    head = "\n".join([f"repro.{name}(", *lines, f") -> {function.__annotations__['return']}"])
    return f"### {name}\n\n```text\n{head if lines else head.replace(chr(10), '')}\n\n{inspect.getdoc(function)}\n```"


def frame_columns() -> str:
    """Return the columns of each DataFrame of the Python API, with their types."""
    lines = [f"| `{name}` | {_typed(columns)} |" for name, columns in FRAMES.items()]
    ours = [
        f"| a column of kind `{kind}` | `KEY_published` string, {_typed(FIGURES[kind], 'KEY_')} |" for kind in FIGURES
    ]
    evidence = [
        f"| `{of}` of a column of kind `error` | {_typed(columns, 'KEY_')} |" for of, columns in EVIDENCE.items()
    ]
    at_error = [*FIGURES].index("error") + 1
    kinds = [*ours[:at_error], *evidence, *ours[at_error:]]
    return "\n".join(["| DataFrame | Columns and their types |", "| --- | --- |", *lines, *kinds])


def _typed(columns: Columns, start: str = "") -> str:
    return ", ".join(f"`{start}{name}` {kind}" for name, kind in columns.items())


def _listed(what: str) -> list[dict[str, Any]]:
    """Return the lines of `repro list`."""
    listed: list[dict[str, Any]] = json.loads(answer(f"repro list {what} --format json"))[what]
    return listed


GENERATORS: dict[str, Callable[[], str]] = {
    "tests/simulation.py": power_table,
    "tests/documents.py, measured rows": measured_rows,
    "tests/documents.py, every recipe": every_recipe,
    "tests/documents.py, recipe keys": recipe_keys,
    "tests/documents.py, table keys": table_keys,
    "tests/documents.py, columns of runs.csv": record_columns,
    "tests/documents.py, every verdict": every_verdict,
    "tests/documents.py, times on a GPU": gpu_times,
    "tests/documents.py, speeds on a CPU": cpu_speeds,
    "tests/documents.py, waiting threads": waiting_threads,
    "tests/documents.py, loops on a CPU": peers_on_a_cpu,
    "tests/documents.py, hostile inputs": hostile_inputs,
    "tests/documents.py, Python API": python_api,
    "tests/documents.py, columns of frames": frame_columns,
}


def made_by(maker: str) -> str:
    """Return the text for a marker: the output of a generator or of a command."""
    if maker in GENERATORS:
        return GENERATORS[maker]()
    shown = answer(maker)
    return shown if maker.endswith("--format md") else f"```text\n{shown}\n```"


def renewed(text: str) -> str:
    """Return a document with everything between its markers generated again."""
    return MARKED.sub(lambda found: f"{found['maker']} -->\n{made_by(found['maker'])}\n\n", text)


def draw(picture: Path) -> None:
    """Draw a figure of the documents."""
    answer(f"{PICTURES[ROOT / 'docs/images' / picture.name]} --output {picture}")


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(renewed(document.read_text(encoding="utf-8")), encoding="utf-8")
    for picture in PICTURES:
        draw(picture)
