"""The commands of the program. Each is imported when it is asked for, so that none waits for the modules of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from repro.cli.options import Command, with_quiet
from repro.cli.papers import with_papers

Wrapper = Callable[[Command], Command]


@dataclass(frozen=True)
class Place:
    """Where a command is defined, and the options that it shares with others."""

    module: str
    name: str
    """A function, or a Typer with the commands of a group."""
    wrappers: tuple[Wrapper, ...] = (with_papers, with_quiet)
    """What adds the shared options to a function."""
    hidden: bool = False
    """Whether the help leaves it out."""

    def load(self) -> Any:
        """Import the module; return the function or the group."""
        return getattr(import_module(f"repro.cli.{self.module}"), self.name)


COMMANDS: Mapping[str, Place] = {
    "count": Place("count", "count"),
    "train": Place("train", "train"),
    "eval": Place("evaluate", "evaluate"),
    "table": Place("table", "table"),
    "list": Place("listing", "list_"),
    "plan": Place("plan", "plan"),
    "bench": Place("bench", "bench"),
    "data": Place("data", "data"),
    "merge": Place("merge", "merge"),
    "export": Place("export", "export"),
    "work": Place("work", "work", wrappers=(), hidden=True),
    "validate": Place("validate", "validate", wrappers=(with_quiet,)),  # after a mistake it looks for others
    "figure": Place("figure", "app"),
    "new": Place("new", "app"),
    "runs": Place("runs", "app"),
}


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands.update(dict.fromkeys(COMMANDS))  # type: ignore[arg-type]  # Typer suggests these names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; None for an unknown name."""
        return built(cmd_name) if cmd_name in COMMANDS else None


@cache
def built(name: str) -> Any:
    """Return a command as Typer runs it."""
    place = COMMANDS[name]
    found = place.load()
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    for wrapper in place.wrappers:
        found = wrapper(found)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name, hidden=place.hidden)(found)
    return typer.main.get_command(alone)


def load(words: Sequence[str]) -> None:
    """Import the modules of the command that is named first in a command line, or else those of all commands."""
    named = [each for each in words if each in COMMANDS][:1]
    for name in named or COMMANDS:
        COMMANDS[name].load()
