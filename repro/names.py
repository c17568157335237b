"""Names as users type them: matched without regard to case, `-` and `_`."""

from collections.abc import Iterable
from difflib import get_close_matches

from repro.errors import UserError


def canonical(name: str) -> str:
    """Return `name` in the form in which two spellings of one name are equal."""
    return name.lower().replace("-", "").replace("_", "")


def choose(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the one of `known` that `name` spells.

    Raises:
        UserError: no such name; the message offers the nearest one.
    """
    spellings = {canonical(each): each for each in known}
    if canonical(name) in spellings:
        return spellings[canonical(name)]
    near = get_close_matches(canonical(name), spellings, n=1, cutoff=0.5)
    near = near or [each for each in spellings if each.startswith(canonical(name))]
    hint = f"did you mean {spellings[near[0]]!r}?" if near else f"known: {', '.join(spellings.values())}"
    raise UserError(f"unknown {kind} {name!r}; {hint}")
