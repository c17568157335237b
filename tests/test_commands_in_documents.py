"""Every command in the documents is one that the program accepts."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from documents import DOCUMENTS, ROOT

from repro.cli.app import app

MISSING: Any = next(each for each in typer.BadParameter.__subclasses__() if each.__name__ == "MissingParameter")
PROGRAM = typer.main.get_command(app)
BLOCK = re.compile(r"^```(?:sh|console|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"(?:^|&& |-m )(?:\$ )?(?:\.venv/bin/)?repro +(.+?)(?= && |$)")
INLINE = re.compile(r"(?<!`)`(?:\.venv/bin/)?repro ([^`]+)`(?!`)")
LEFT_OUT = re.compile(r"\.\.\.|--help|--install-completion|--show-completion")
"""Commands with words left out, and options that act while they are read."""


def commands() -> Iterator[tuple[str, str]]:
    """Yield each command of the documents, with the name of the document."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for block in BLOCK.findall(text):
            for line in block.replace("\\\n", " ").splitlines():
                for found in LINE.findall(line.removesuffix("&")):
                    yield document.relative_to(ROOT).as_posix(), re.sub(r'"?\$\w+"?', "1", found)
        for found in INLINE.findall(BLOCK.sub("", text)):
            yield document.relative_to(ROOT).as_posix(), " ".join(found.split())


def parse(words: list[str]) -> None:
    """Read a command line as the program does, without running it; an error of Typer if it is refused."""
    command: Any = PROGRAM
    context: Any = None
    while True:
        context = command.make_context(command.name or "repro", words, parent=context)
        words = [*context._protected_args, *context.args]
        if not hasattr(command, "resolve_command") or not words:
            return
        _, command, words = command.resolve_command(context, words)


FOUND = sorted({each for each in commands() if not LEFT_OUT.search(each[1])})


@pytest.mark.parametrize(("document", "command"), FOUND, ids=" ".join)
def test_the_program_accepts_the_command(document: str, command: str) -> None:
    try:
        parse(shlex.split(command, comments=True))
    except typer.BadParameter as error:
        if not isinstance(error, MISSING) or len(command.split()) > 2:  # a command is named by its words alone
            raise
