"""The options of the networks as options of a command, taken from the registry."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from repro.models import OPTIONS


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for each option that a network can have.

    The command has a parameter `options`; it gets those that the user gave, by name.
    """

    @wraps(command)
    def with_options(**arguments: Any) -> Any:
        given = {name: arguments.pop(name) for name in OPTIONS}
        return command(options={name: value for name, value in given.items() if value is not None}, **arguments)

    own = inspect.signature(command, eval_str=True).parameters
    kept = [each for name, each in own.items() if name != "options"]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, typer.Option(f"--{name}", help=text, rich_help_panel="Network")],
        )
        for name, (kind, text) in OPTIONS.items()
    ]
    kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in kept]
    with_options.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in [*kept, *added]}
    return with_options
