"""`repro runs`: what is done with the runs on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repro.cli.options import Results, Runs, with_quiet
from repro.cli.papers import with_papers
from repro.cli.suggestion import suggest, with_places
from repro.console import note, problem
from repro.errors import RunFailed, UserError
from repro.paths import folders
from repro.text import number_of

if TYPE_CHECKING:
    from repro.store.removal import Removal

app = typer.Typer(help="Remove runs.")
RunNames = Annotated[list[str], typer.Argument(metavar="RUN", help="Runs (name, prefix, ID or folder).")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")]


@app.callback(invoke_without_command=True)
def runs(context: typer.Context) -> None:
    """Print the help if nothing is asked for."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("rm")
@with_quiet
@with_papers
def rm(names: RunNames, yes: Yes = False, results: Results = Path("results"), runs: Runs = None) -> None:
    """Delete runs: their checkpoints, curves and gate weights, and their records in --results."""
    from repro.store.removal import removal_of, remove

    places = folders(runs=runs, results=results)
    removals = {each.name: each for each in (removal_of(name, places) for name in names)}
    if not yes:
        _ask(list(removals.values()))
    for each in removals.values():
        remove(each)
        note(f"deleted {each.name}")
    suggest(with_places("repro list runs", runs=runs))


def _ask(removals: list[Removal]) -> None:
    """Name what will be deleted, and ask.

    Raises:
        UserError: there is no terminal to ask on.
        RunFailed: the answer is no.
    """
    if not sys.stdin.isatty():
        raise UserError(f"there is no terminal to confirm the deletion of {number_of(len(removals), 'run')}; add --yes")
    for each in removals:
        problem(_shown(each))
    if not typer.confirm(f"Delete {number_of(len(removals), 'run')}?", err=True):
        raise RunFailed("nothing was deleted")


def _shown(removal: Removal) -> str:
    """Return a line with everything that the removal of a run deletes."""
    from rich.filesize import decimal

    parts = [f"{removal.folder} ({decimal(removal.size)})"] if removal.folder else []
    if removal.records:
        parts.append(f"{number_of(removal.records, 'record')} in {removal.results / 'runs.csv'}")
    return f"{removal.name}: {', '.join([*parts, *map(str, removal.files)])}"
