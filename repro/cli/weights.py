"""The answer of `repro eval --weights FILE`: what was read from the file, and the test error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from repro.cli.networks import chosen_network
from repro.cli.options.shared import AnswerFormat
from repro.cli.suggestion import network_as_typed, suggest, with_folders
from repro.console import loading, note, print_json, print_line
from repro.errors import UserError
from repro.evaluation.layouts import Normalisation
from repro.evaluation.protocols import RequestedProtocol
from repro.models.typed import typed_name, typed_options
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.results import error5_text
from repro.store.run_folders import run_names
from repro.store.weights_tests import WEIGHTS, WeightsTest, put_weights_test, read_weights_tests
from repro.store.writing import check_writable
from repro.text import number_of, signed

if TYPE_CHECKING:
    from repro.evaluation.weights_file import TestedWeights

MEANING = (
    "published weights are shown beside the printed error and never counted in a verdict: they tell what this "
    "network and this test can reach, not whether the paper's recipe reaches it"
)
OWN_MEANING = "weights that repro exported; its run is what a verdict counts"


class Given(NamedTuple):
    """What a user gave with `--weights FILE`."""

    model: str
    settings: Sequence[str]
    file: Path
    dataset: str | None
    mean: str | None
    std: str | None
    requested: RequestedProtocol
    record: bool
    """Whether the test is recorded in the folder of results."""
    source: str
    """The URL where the weights are published, for the record."""


def show_weights(given: Given, folders: Folders, runtime: Runtime, format: AnswerFormat) -> None:
    """Test a model with the weights in a file and print what was found.

    Raises:
        UserError: as `evaluate_weights`, or a normalisation is not complete.
    """
    model, options, _ = chosen_network(given.model, {}, given.settings, without_recipe=True)
    normalisation = _normalisation(given.mean, given.std)
    if given.record:
        read_weights_tests([folders.results])
        check_writable(folders.results / WEIGHTS)
    with loading():
        from repro.evaluation.weights_file import evaluate_weights

    found = evaluate_weights(
        model,
        options,
        given.file,
        folders.data,
        runtime,
        dataset=given.dataset,
        normalisation=normalisation,
        requested=given.requested,
        of_others=given.record,
    )
    if given.record:
        _record(found, folders.results, given.source, runtime)
    if format == AnswerFormat.JSON:
        print_json(found.to_json())
        return
    for line in _lines(found):
        print_line(line)
    if found.run and found.run in run_names(folders.runs):
        suggest(with_folders(f"repro eval {quote(found.run)}", folders, "data", "runs"))
    elif found.printed:
        suggest(with_folders(f"repro table {quote(found.printed[0].table)}", folders, "data", "results"))
    else:
        suggest(f"repro count {network_as_typed(found.model, found.options, found.dataset)}")


def _record(found: TestedWeights, results: Path, source: str, runtime: Runtime) -> None:
    """Record a test in a folder of results, and say what became of an earlier one."""
    from repro.training.machine.device import checked_device

    test, path = found.recorded(source, checked_device(runtime)), results / WEIGHTS
    earlier = put_weights_test(test, results)
    if earlier is None:
        note(f"recorded the test in {path}")
    elif earlier.outcome == test.outcome:
        sourced = ", and now their source" if test.source and not earlier.source else ""
        note(f"{path} already has this test of these weights{sourced}")
    else:
        note(f"replaced the test of these weights in {path}: it had {_outcome(earlier)}; now it has {_outcome(test)}")


def _outcome(test: WeightsTest) -> str:
    return f"test error {test.error:.3f} %{error5_text(test.error5, 3)}, on {number_of(test.images, 'image')}"


def _normalisation(mean: str | None, std: str | None) -> Normalisation | None:
    """Return the normalisation of `--mean` and `--std`; None without them."""
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise UserError("--mean and --std belong together; give both, as --mean 0.5,0.5,0.5 --std 0.25,0.25,0.25")
    values = Normalisation(_numbers("--mean", mean), _numbers("--std", std))
    if not all(each > 0 for each in values.std):
        raise UserError(f"--std {std} is invalid: each number must be above 0")
    return values


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        values = tuple(map(float, text.split(",")))
    except ValueError:
        values = ()
    if not values or not all(0 <= each <= 1 for each in values):
        raise UserError(f"{option} {text} is invalid: give numbers from 0 to 1, separated by commas")
    return values


def _lines(found: TestedWeights) -> Iterator[str]:
    network = f"{typed_name(found.model)} {typed_options(found.model, found.options)}".strip()
    procedure = f", {found.procedure}" if found.procedure else ""
    yield (
        f"{network}, with {found.file}: test error {found.error:.2f} %{error5_text(found.error5)}, "
        f"on {found.images:,} images of {found.dataset}{procedure}"
    )
    for name, text in (
        ("file", f"SHA-256 {found.sha256}{f'; exported from the run {found.run}' if found.run else ''}"),
        ("names", _names(found)),
        ("normalisation", _normalised(found)),
        ("printed", _printed(found)),
        ("meaning", OWN_MEANING if found.run else MEANING),
    ):
        yield f"  {name:<13}  {text}"
    if not found.layouts:
        yield "  mapping        by order, shape and kind; check it, since tensors of the same shape may be swapped:"
        yield from (f"    {theirs} -> {ours}" for ours, theirs in found.mapping.items())


def _names(found: TestedWeights) -> str:
    """Return the layout, where the tensors were in the file, and what was done with them."""
    parts = [", ".join(found.layouts) if found.layouts else "of no known layout"]
    parts.append(number_of(len(found.mapping), "tensor") + (f" under {found.key!r}" if found.key else ""))
    if found.prefix:
        parts.append(f"without the prefix {found.prefix!r}")
    if found.permuted:
        parts.append("channels reordered, since the shortcuts in this file pad zero channels on both sides")
    elif not found.layouts and found.options.get("shortcut") == "A":
        parts.append("the shortcuts in this file are assumed to pad zero channels at the end")
    return "; ".join(parts)


def _normalised(found: TestedWeights) -> str:
    values = ", ".join(f"{each:.6g}" for each in found.mean), ", ".join(f"{each:.6g}" for each in found.std)
    return f"{f'mean {values[0]}, std {values[1]}; ' if found.mean else ''}from {found.normalised_as}"


def _printed(found: TestedWeights) -> str:
    if not found.printed:
        return f"no table prints an error of this network on {found.dataset}"
    return "; ".join(
        f"{each.error} % ({each.table}, {each.row}, {each.column}): these weights "
        f"{signed(found.error - float(each.error))} points"
        for each in found.printed
    )
