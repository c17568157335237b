"""The commands of the program. Each is imported when it is asked for, so that none waits for the modules of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from shutil import get_terminal_size
from typing import Any

import typer
from typer.core import TyperGroup

from repro.cli.options.papers import with_papers
from repro.cli.options.shared import Command, with_quiet

Wrapper = Callable[[Command], Command]
FRAMED = 80
"""Columns of the narrowest terminal in which help is framed."""


@dataclass(frozen=True)
class CommandSource:
    """Where a command is defined, and the options that it shares with others."""

    module: str
    name: str
    """A function, or a Typer with the commands of a group."""
    wrappers: tuple[Wrapper, ...] = (with_papers, with_quiet)
    """What adds the shared options to a function, or to each of a group."""
    hidden: bool = False
    """Whether the help leaves it out."""

    def load(self) -> Any:
        """Import the module; return the function or the group."""
        return getattr(import_module(f"repro.cli.{self.module}"), self.name)

    def wrapped(self, command: Any) -> Command:
        """Return a function, or one of a group's, with the shared options."""
        for wrapper in self.wrappers:
            command = wrapper(command)
        return command


COMMANDS: Mapping[str, CommandSource] = {
    "count": CommandSource("count", "count"),
    "train": CommandSource("train", "train"),
    "eval": CommandSource("evaluate", "evaluate"),
    "table": CommandSource("table", "table"),
    "list": CommandSource("listing", "list_"),
    "plan": CommandSource("plan", "plan"),
    "bench": CommandSource("bench", "bench"),
    "data": CommandSource("data", "data"),
    "merge": CommandSource("merge", "merge"),
    "export": CommandSource("export", "export"),
    "work": CommandSource("work", "work", wrappers=(), hidden=True),
    "validate": CommandSource("validate", "validate", wrappers=(with_quiet,)),  # after a mistake it looks for others
    "figure": CommandSource("figure", "app"),
    "new": CommandSource("new", "app"),
    "runs": CommandSource("runs", "app"),
}


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        with_fitting_help(self)
        self.commands.update(dict.fromkeys(COMMANDS))  # type: ignore[arg-type]  # Typer suggests these names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; None for an unknown name."""
        return built(cmd_name) if cmd_name in COMMANDS else None


@cache
def built(name: str) -> Any:
    """Return a command as Typer runs it."""
    source = COMMANDS[name]
    found = source.load()
    if isinstance(found, typer.Typer):
        group = copy(found)  # it may be built again
        group.registered_commands = [copy(each) for each in found.registered_commands]
        for each in group.registered_commands:
            each.callback = source.wrapped(each.callback)
        command = typer.main.get_command(group)
        command.name = name  # which Typer leaves out, and the help would too
        return with_fitting_help(command)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name, hidden=source.hidden)(source.wrapped(found))
    return with_fitting_help(typer.main.get_command(alone))


def with_fitting_help(command: Any) -> Any:
    """Return a command whose help names no type for flags; a narrow terminal has no frames, which would cut names."""
    narrow = get_terminal_size().columns < FRAMED
    for each in (command, *filter(None, getattr(command, "commands", {}).values())):
        each.get_params = partial(_flags_without_type, each.get_params)
        each.rich_markup_mode = None if narrow else each.rich_markup_mode
    return command


def _flags_without_type(parameters: Callable[[Any], Sequence[Any]], context: Any) -> Sequence[Any]:
    """Return the parameters of a command; newer versions of Typer show a flag as if it took a value."""
    found = parameters(context)
    for flag in (each for each in found if getattr(each, "is_flag", False)):
        flag.metavar = flag.metavar or ""
    return found


def load(words: Sequence[str]) -> None:
    """Import the modules of the command that is named first in a command line, or else those of all commands."""
    named = [each for each in words if each in COMMANDS][:1]
    for name in named or COMMANDS:
        COMMANDS[name].load()
