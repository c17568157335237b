"""`repro bench --check`: whether training on a device is right, and how long its steps take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer

from repro.check.results import CheckReport, Result, line_of
from repro.cli.options.shared import AnswerFormat
from repro.cli.suggestion import suggest
from repro.console import loading, note, print_json, print_line, stdout
from repro.runtime import Runtime
from repro.text import number_of


def check_device(runtime: Runtime, seconds: float, only: str, format: AnswerFormat) -> None:
    """Check a device, show each result when it is known and all of them at the end.

    Raises:
        UserError: this machine has no such device.
        Exit: a check failed; status 1.
    """
    with loading():
        from repro.check.run import run_check, setting_of
    setting = setting_of(runtime)
    note(f"checking {setting.device} for at most {seconds:g} s")
    report = run_check(setting, seconds, only, lambda result: note(line_of(result)))
    if format is AnswerFormat.JSON:
        print_json(report.to_json())
    else:
        _show(report)
    if report.not_run:
        note(f"{number_of(len(report.not_run), 'check')} did not run: no time left; use a longer --seconds")
    if report.failed:
        raise typer.Exit(1)
    suggest("repro bench resnet20")


def _show(report: CheckReport) -> None:
    for heading, lines in (
        ("Machine", [f"{name}: {value}" for name, value in report.machine.items()]),
        ("Checks", _lines(report.checks)),
        ("Step times, the fastest variant of each network first", _lines(report.times)),
        ("Device, and costs outside the steps", _lines(report.facts)),
    ):
        if lines:
            stdout().print(heading, style="bold")
            for line in lines:
                print_line(line)


def _lines(results: Sequence[Result]) -> Iterable[str]:
    return [line_of(each) for each in results]
